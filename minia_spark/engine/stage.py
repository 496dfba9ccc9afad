"""What a stage is, and what it may ask for while it runs.

Every stage folder has a ``stage.py`` with one :class:`Stage`; :mod:`minia_spark.engine.run` orders
them, decides which have to run, and publishes what they wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from minia_spark.base.errors import MiniaError
from minia_spark.engine.progress import Progress
from minia_spark.engine.session import default_partitions
from minia_spark.engine.settings import Settings
from minia_spark.warehouse.records import Catalogue, Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Source", "Stage", "StageContext", "fingerprint"]


@dataclass(frozen=True)
class Source:
    """Where a batch's images come from.

    Attributes
    ----------
    images : Path
        Folder of images, searched recursively.
    files : Path or None
        A list of the images' paths, one a line, relative to the folder `images`; None: all files
        in it.
    """

    images: Path
    files: Path | None = None


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes
    ----------
    name : str
        Also the command's name.
    per_batch : bool
        Runs once a batch and reads only that batch; else once for the whole collection.
    after : tuple of str
        Names of the stages whose outputs it reads.
    revision : int
        Increased whenever the same input and settings give another output: results of an older
        revision are made anew.
    settings : callable
        The part of the settings that its output depends on.
    run : callable
        Does the work; writes its tables through the context.
    frozen : bool
        Once made, new batches do not make it outdated (the vocabulary, the tables of the mining).
    exact : bool
        Also outdated by what is no content: labels, positions, places of files (the page).
    check : callable or None
        Raises SettingsError before a run begins that would run this stage in vain.
    """

    name: str
    per_batch: bool
    after: tuple[str, ...]
    revision: int
    settings: Callable[[Settings], Any]
    run: Callable[[StageContext], None]
    frozen: bool = False
    exact: bool = False
    check: Callable[[Settings, Warehouse], None] | None = None


@dataclass
class StageContext:
    """What a running stage sees: the session, the settings, earlier tables, and where to write."""

    spark: SparkSession
    settings: Settings
    warehouse: Warehouse
    progress: Progress
    stage: str
    batch: str | None
    fingerprint: str
    run: str
    view: Catalogue
    inputs: str = ""
    source: Source | None = None
    steps: tuple[StepRecord, ...] = ()
    counts: dict[str, float] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The step as people call it, e.g. ``features b1``."""
        return self.stage + (f" {self.batch}" if self.batch else "")

    @property
    def parallelism(self) -> int:
        """How many tasks run at the same time."""
        return self.spark.sparkContext.defaultParallelism

    def partitions(self, rows: int) -> int:
        """Return how many partitions a pass over so many images gets."""
        return default_partitions(rows, self.parallelism, self.settings.spark.partitions)

    def say(self, text: str) -> None:
        """Print a line of progress under the step's name."""
        self.progress.say(f"{self.title}: {text}")

    def rows(self, table: str, batch: str | None = None) -> int:
        """Return how many rows a table has, of one batch or of all, from the catalogue."""
        return sum(e.rows for e in self.view.of_table(table, batch))

    def read(self, table: str, batch: str | None = None, *, stage: str | None = None) -> DataFrame:
        """Return a table as this run sees it, of one batch or of all.

        Raises
        ------
        MiniaError
            Nothing wrote it yet.
        """
        entries = self.view.of_table(table, batch)
        if stage is not None:
            entries = [e for e in entries if e.stage == stage]
        if not entries:
            raise MiniaError(f"{self.title}: table {table!r} is not there yet")
        return self.spark.read.parquet(*[self.pattern(e.path) for e in entries])

    def uri(self, path: str) -> str:
        """Return a relative path of the warehouse as Spark's writers want it."""
        return self.warehouse.storage.uri(path)

    def pattern(self, path: str) -> str:
        """Return a relative path of the warehouse as Spark's readers want it."""
        return self.warehouse.storage.pattern(path)

    def folder(self, table: str) -> str:
        """Return the folder, relative to the warehouse, that this step may write for a table."""
        parts = [table, f"run={self.run}"]
        if self.batch is not None:
            parts.append(f"batch={self.batch}")
        return "/".join([*parts, f"stage={self.stage}"] if table == "rejects" else parts)

    def write(
        self,
        table: str,
        frame: DataFrame,
        schema: StructType,
        *,
        within: str = "",
        digest: Column | str | None = None,
        measures: Mapping[str, Column] | None = None,
    ) -> DataFrame:
        """Write a table's Parquet files and return them, read back.

        Parameters
        ----------
        table : str
        frame : DataFrame
        schema : StructType
            The table's contract: columns are selected by it, in its order; another type is an
            error.
        within : str
            Folder below the step's own, for steps that write something else beside the rows.
        digest : Column or str or None
            What later fingerprints are made from, given or aggregated from the rows; by default
            this step's own fingerprint.
        measures : mapping, optional
            Aggregates of the written rows that go into `counts` under their names.

        Raises
        ------
        MiniaError
            The frame's columns have other types than the schema says.
        """
        selected = frame.select(*[frame[name] for name in schema.names])
        for wanted, got in zip(schema.fields, selected.schema.fields, strict=True):
            if wanted.dataType.simpleString() != got.dataType.simpleString():
                raise MiniaError(
                    f"{self.title}: column {table}.{wanted.name} is "
                    f"{got.dataType.simpleString()}, not {wanted.dataType.simpleString()}"
                )
        path = self.folder(table) + (f"/{within}" if within else "")
        with self.progress.spark_jobs(self.spark.sparkContext, f"{self.title}: {table}"):
            selected.write.mode("overwrite").parquet(self.uri(path))
        written = self.spark.read.schema(schema).parquet(self.pattern(path))
        asked = dict(measures or {})
        told = written.agg(
            F.count("*").alias("rows"),
            (digest if isinstance(digest, Column) else F.lit(digest)).alias("digest"),
            *(column.alias(f"of_{name}") for name, column in asked.items()),
        ).first()
        assert told is not None
        self.counts |= {name: told[f"of_{name}"] or 0 for name in asked}
        self.publish(table, path, rows=told["rows"], digest=told["digest"])
        return written

    def publish(self, table: str, path: str, *, rows: int, digest: str | None = None) -> None:
        """Note a complete folder for the catalogue; it becomes visible when the run commits."""
        self.entries.append(
            Entry(
                table=table,
                batch=self.batch,
                stage=self.stage,
                run=self.run,
                path=path,
                rows=rows,
                fingerprint=self.fingerprint,
                digest=digest or self.fingerprint,
                inputs=self.inputs,
            )
        )

    def check_counts(self, what: str, into: int, *out_of: int) -> None:
        """Raise MiniaError unless in = out + rejected: no row may get lost unseen."""
        if into != sum(out_of):
            raise MiniaError(
                f"{self.title}: {into} {what} went in but {' + '.join(map(str, out_of))} came out; "
                "the input changed while it was read, or this is a defect; start the run again"
            )


def fingerprint(*parts: object) -> str:
    """Return a short hash of JSON-able parts; equal parts give equal fingerprints."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
