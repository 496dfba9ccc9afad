"""What a running stage sees: Spark, the settings and tables that it declared, where to write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from minia_spark.base.errors import MiniaError
from minia_spark.base.settings import StageSettings
from minia_spark.engine.progress import Progress
from minia_spark.engine.room import Facet, Panel
from minia_spark.engine.session import default_partitions
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Output, Source, Stage, reachable
from minia_spark.engine.table import VARIANT, Table, arrow_type
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Catalogue, Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Context"]

_Model = TypeVar("_Model", bound=StageSettings)


class _Restricted:
    """A settings model of which some fields were declared, and the others cannot be read."""

    def __init__(self, model: StageSettings, allowed: set[str], stage: str) -> None:
        self._model, self._allowed, self._stage = model, allowed, stage

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the trip to a worker."""
        return type(self), (self._model, self._allowed, self._stage)

    def __getattr__(self, name: str) -> Any:
        if name in type(self._model).model_fields and name not in self._allowed:
            raise AttributeError(
                f"stage {self._stage} reads {type(self._model).__name__}.{name} without having "
                "declared that it uses it"
            )
        return getattr(self._model, name)


@dataclass
class Context:
    """One step while it runs.

    Attributes
    ----------
    spark : SparkSession
    stage : Stage
    batch, variant : str or None
        What it is for; None: the collection, no variants.
    all_settings : Settings
        Of the run; stages go through :meth:`settings`.
    warehouse : Warehouse
    progress : Progress
    fingerprint, inputs, uses : str
        Of the step, for its entries.
    run : str
    view : Catalogue
        The state that this run has made so far.
    published : Catalogue
        The state that readers see.
    panels, facets : tuples of Panel and Facet
        Of all rooms, for the stages that gather them.
    source : Source or None
        Where the batch comes from, for stages that take it in.
    steps : tuple of StepRecord
        What the run did so far.
    rows_of_pass : callable or None
        Gives what the pass over the pixels made for this step; see :meth:`passed`.
    counts : dict
        Numbers of the step for ledger, log and people.
    entries : list of Entry
        What it wrote so far.
    """

    spark: SparkSession
    stage: Stage
    batch: str | None
    variant: str | None
    all_settings: Settings
    warehouse: Warehouse
    progress: Progress
    fingerprint: str
    run: str
    view: Catalogue
    published: Catalogue
    panels: tuple[Panel, ...] = ()
    facets: tuple[Facet, ...] = ()
    inputs: str = ""
    uses: str = ""
    source: Source | None = None
    steps: tuple[StepRecord, ...] = ()
    rows_of_pass: Callable[[], DataFrame] | None = None
    counts: dict[str, float] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    # -- what it was asked for ------------------------------------------------------------------

    def settings(self, model: type[_Model]) -> _Model:
        """Return a room's settings; only what the stage declared can be read from them.

        Raises
        ------
        SettingsError
            It declared none of them.
        """
        allowed = reachable(self.stage, self.all_settings, model)
        section = self.all_settings.of(model)
        if allowed >= set(model.model_fields):
            return section
        return cast("_Model", _Restricted(section, allowed, self.stage.name))

    @property
    def title(self) -> str:
        """The step as people call it, e.g. ``features b1 sift``."""
        return " ".join(filter(None, (self.stage.name, self.batch, self.variant)))

    @property
    def parallelism(self) -> int:
        """How many tasks run at the same time."""
        return int(self.spark.sparkContext.defaultParallelism)

    def partitions(self, rows: int) -> int:
        """Return how many partitions a pass over so many images gets."""
        return default_partitions(rows, self.parallelism, self.all_settings.spark.partitions)

    # -- reading --------------------------------------------------------------------------------

    def of_variant(self, variant: str | None) -> Context:
        """Return the same step as it sees the tables of one variant alone."""
        return replace(self, stage=replace(self.stage, all_variants=False), variant=variant)

    def entries_of(self, table: Output, batch: str | None = None) -> list[Entry]:
        """Return the pieces of a table that the step may read: of its batch and variant.

        Raises
        ------
        MiniaError
            The stage did not declare that it reads the table.
        """
        if table not in (*self.stage.inputs, *self.stage.writes):
            raise MiniaError(f"stage {self.stage.name} did not declare that it reads {table.name}")
        variant = self.stage.variant_of(table, self.variant, self.all_settings)
        found = self.view.of_table(table.name, batch, variant)
        if batch is None and self.stage.per_batch:
            found = [e for e in found if e.batch in (None, self.batch)]
        return found

    def has(self, table: Output) -> bool:
        """Tell whether there is anything of an output, e.g. of an optional one."""
        return bool(self.entries_of(table))

    def rows(
        self,
        table: Table,
        batch: str | None = None,
        *,
        batches: Collection[str | None] | None = None,
    ) -> int:
        """Return how many rows of a table the step may read, from the catalogue."""
        entries = self.entries_of(table, batch)
        return sum(e.rows or 0 for e in entries if batches is None or e.batch in batches)

    def read(
        self,
        table: Table,
        *,
        stage: str | None = None,
        batches: Collection[str | None] | None = None,
    ) -> DataFrame:
        """Return the rows of a table that the step may read.

        Parameters
        ----------
        table : Table
        stage : str or None
            Only what this stage wrote, where several write the table.
        batches : collection of str or None
            Only what belongs to one of these.

        Raises
        ------
        MiniaError
            Nothing wrote it yet.
        """
        entries = [
            e
            for e in self.entries_of(table)
            if stage in (None, e.stage) and (batches is None or e.batch in batches)
        ]
        if not entries:
            raise MiniaError(f"{self.title}: table {table.name!r} is not there yet")
        return table.reader(self.spark).parquet(*[self.pattern(e.path) for e in entries])

    def read_published(self, table: Table, state: Catalogue | None = None) -> DataFrame:
        """Return a table of the state that readers see (or of another), of this variant.

        Empty where that state has none.
        """
        entries = (state or self.published).of_table(
            table.name, None, self.variant if table.variants else None
        )
        self.warehouse.require_whole(entries)
        if not entries:
            return self.spark.createDataFrame([], table.stored_schema())
        return table.reader(self.spark).parquet(*[self.pattern(e.path) for e in entries])

    def small(self, table: Table, columns: list[str] | None = None) -> pa.Table:
        """Return a table that fits the driver, such as those of the collection, without a job.

        Parameters
        ----------
        table : Table
        columns : list of str or None
            None: all.
        """
        storage = self.warehouse.storage
        parts = [
            pq.read_table(storage.full(e.path), columns=columns, filesystem=storage.filesystem)
            for e in self.entries_of(table)
        ]
        if not parts:
            raise MiniaError(f"{self.title}: table {table.name!r} is not there yet")
        return pa.concat_tables(parts, promote_options="permissive")

    def rows_here(
        self, table: Table, columns: list[str], where: ds.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows on the driver, some at a time, without a job.

        Parameters
        ----------
        table : Table
        columns : list of str
        where : pyarrow.dataset.Expression or None
            Only these rows.
        """
        storage = self.warehouse.storage
        for entry in self.entries_of(table):
            place = storage.full(entry.path)
            files = ds.dataset(place, filesystem=storage.filesystem, format="parquet")
            for batch in files.to_batches(columns=columns, filter=where):
                if batch.num_rows:
                    yield batch

    def passed(self) -> DataFrame:
        """Return what the pass over the pixels made for this step.

        For a stage that takes in a source: a row a record that was found, readable or not. For a
        stage over pixels: a row an image of the batch, with the columns of its kernel.
        """
        assert self.rows_of_pass is not None, f"{self.stage.name} is not over pixels"
        return self.rows_of_pass()

    # -- places ---------------------------------------------------------------------------------

    def uri(self, path: str) -> str:
        """Return a relative path of the warehouse as Spark's writers want it."""
        return self.warehouse.storage.uri(path)

    def pattern(self, path: str) -> str:
        """Return a relative path of the warehouse as Spark's readers want it."""
        return self.warehouse.storage.pattern(path)

    def folder(self, output: Output) -> str:
        """Return the folder, relative to the warehouse, that this step may write for an output."""
        parts = [output.name, f"run={self.run}"]
        if self.batch is not None:
            parts.append(f"batch={self.batch}")
        if self.variant is not None and output.variants:
            parts.append(f"variant={self.variant}")
        # a table that several stages write
        return "/".join([*parts, f"stage={self.stage.name}"] if output.name == "rejects" else parts)

    def remove_unfinished(self) -> None:
        """Remove what the step wrote before it failed: nobody would ever use it."""
        storage = self.warehouse.storage
        for output in self.stage.writes:
            folder = self.folder(output)
            storage.remove_folder(folder)
            run = "/".join(folder.split("/")[:2])
            if not storage.names(run):
                storage.remove_folder(run)

    # -- writing --------------------------------------------------------------------------------

    def write(
        self,
        table: Table,
        frame: DataFrame,
        *,
        within: str = "",
        digest: Column | str | None = None,
        measures: Mapping[str, Column] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> DataFrame:
        """Write a table's Parquet files and return them, read back.

        Parameters
        ----------
        table : Table
            One that the stage declared to write.
        frame : DataFrame
            Columns are selected by the table's contract, in its order; another type is an error.
            The column ``variant`` is added.
        within : str
            Folder below the step's own, for steps that write something else beside the rows.
        digest : Column or str or None
            What later fingerprints are made from, given or aggregated from the rows; by default
            this step's own fingerprint.
        measures : mapping, optional
            Aggregates of the written rows that go into `counts` under their names.
        metadata : mapping, optional
            Column to what is stored with it.

        Raises
        ------
        MiniaError
            The stage did not declare the table, or the columns have other types than its contract.
        """
        self._require_declared(table)
        if table.variants:
            frame = frame.withColumn(VARIANT.name, F.lit(self.variant).cast("string"))
        schema = table.stored_schema(metadata)
        selected = frame.select(
            *[frame[f.name].alias(f.name, metadata=f.metadata) for f in schema.fields]
        )
        for wanted, got in zip(schema.fields, selected.schema.fields, strict=True):
            if wanted.dataType.simpleString() != got.dataType.simpleString():
                raise MiniaError(
                    f"{self.title}: column {table.name}.{wanted.name} is "
                    f"{got.dataType.simpleString()}, not {wanted.dataType.simpleString()}"
                )
        path = self.folder(table) + (f"/{within}" if within else "")
        with self.watched(table.name):
            selected.write.mode("overwrite").parquet(self.uri(path))
        written = self.spark.read.schema(schema).parquet(self.pattern(path))
        asked = dict(measures or {})
        if asked or isinstance(digest, Column):
            told = written.agg(
                F.count("*").alias("rows"),
                (digest if isinstance(digest, Column) else F.lit(digest)).alias("digest"),
                *(column.alias(f"of_{name}") for name, column in asked.items()),
            ).first()
            assert told is not None
            self.counts |= {name: told[f"of_{name}"] or 0 for name in asked}
            rows, found = told["rows"], told["digest"]
        else:
            rows, found = None, digest
        noted = self._note(table, path, found)
        self.check_counts(f"rows of {table.name}", noted if rows is None else rows, noted)
        return written

    def write_rows(
        self,
        table: Table,
        rows: pa.Table,
        *,
        within: str = "",
        digest: str | None = None,
    ) -> None:
        """Write a table whose rows are on the driver already: one file, without a Spark job.

        Parameters
        ----------
        table, within, digest
            As for :meth:`write`.
        rows : pyarrow.Table
            With the table's columns, in any order.
        """
        self._require_declared(table)
        if table.variants:
            value = pa.array([self.variant] * rows.num_rows, pa.string())
            rows = rows.append_column(VARIANT.name, value)
        schema = pa.schema(
            [pa.field(c.name, arrow_type(c.type), c.null) for c in table.all_columns]
        )
        rows = rows.select(schema.names).cast(schema)
        path = self.folder(table) + (f"/{within}" if within else "")
        storage = self.warehouse.storage
        storage.remove_folder(path)
        storage.make_folder(path)
        target = storage.full(f"{path}/part-00000.zstd.parquet")
        pq.write_table(rows, target, filesystem=storage.filesystem, compression="zstd")
        self._note(table, path, digest)

    def publish(self, output: Output, path: str, *, digest: str | None = None) -> None:
        """Note a complete folder that is no table; it becomes visible when the run commits."""
        self._require_declared(output)
        self._note(output, path, digest)

    def _require_declared(self, output: Output) -> None:
        if output not in self.stage.writes:
            raise MiniaError(
                f"stage {self.stage.name} did not declare that it writes {output.name}"
            )

    def _note(self, output: Output, path: str, digest: str | None) -> int:
        """Note an entry whose files are all written; return the rows of its Parquet files."""
        files, rows = write_manifest(self.warehouse.storage, path)
        self.entries.append(
            Entry(
                table=output.name,
                batch=self.batch,
                variant=self.variant if output.variants else None,
                stage=self.stage.name,
                run=self.run,
                path=path,
                rows=rows if isinstance(output, Table) else None,
                fingerprint=self.fingerprint,
                digest=digest or self.fingerprint,
                inputs=self.inputs,
                uses=self.uses,
                revision=self.stage.revision,
                files=files,
            )
        )
        return rows

    # -- telling --------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print a line of progress under the step's name."""
        self.progress.say(f"{self.title}: {text}")

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Show the progress of the Spark jobs inside the block."""
        with self.progress.spark_jobs(self.spark.sparkContext, f"{self.title}: {what}"):
            yield

    def check_counts(self, what: str, into: int, *out_of: int) -> None:
        """Raise MiniaError unless in = out + rejected: no row may get lost unseen."""
        if into != sum(out_of):
            raise MiniaError(
                f"{self.title}: {into} {what} went in but {' + '.join(map(str, out_of))} came out; "
                "the input changed while it was read, or this is a defect; start the run again"
            )
