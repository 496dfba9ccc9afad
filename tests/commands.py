"""Runs commands of ``minia`` in this process, and reads what they made without Spark."""

from __future__ import annotations

import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from minia_spark.cli import main
from minia_spark.warehouse.warehouse import Warehouse

SETTINGS = (
    "codebook.size=120",
    "codebook.sample_size=1500",
    "codebook.refine_iterations=2",
    "mining.link=single",  # sixty images are too few to tell structure from chance
    "mining.tuple_size=3",
    "mining.tables=300",
    "mining.decoys=3",
    "mining.seeds=2",
    "spark.partitions=3",
    "report.structures=2",
    "report.images_per_structure=2",
    "report.sampled_descriptors=200",
)
"""Small enough for a test, large enough for a few structures."""


def chosen(*settings: str) -> list[str]:
    """Return ``--set`` for each setting."""
    return [word for setting in settings for word in ("--set", setting)]


SMALL = chosen(*SETTINGS)


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def expect(self, code: int) -> Result:
        """Check the exit code, showing what was written, and return the result."""
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.out}\n{self.err}"
        return self


def run_minia(*arguments: object) -> Result:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse: usage errors and --help
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def rows_of(location: Path, table: str, *columns: str, batch: str | None = None) -> list[Any]:
    """Return the rows of a table's current state, sorted; lists and arrays become tuples."""
    frame = table_of(location, table, batch=batch)
    chosen_columns = list(columns) or sorted(frame.columns)
    rows = frame[chosen_columns].itertuples(index=False, name=None)
    return sorted((tuple(map(_plain, row)) for row in rows), key=repr)


def table_of(location: Path, table: str, *, batch: str | None = None) -> pd.DataFrame:
    """Return a table's current state as a frame."""
    folders = Warehouse(str(location)).folders(table, batch)
    return pd.concat([pd.read_parquet(folder) for folder in folders], ignore_index=True)


def take_codebook(source: Path, target: Path) -> None:
    """Begin a warehouse with another one's codebook: it is frozen, so it stays."""
    state = Warehouse(str(source)).require()
    entries = state.of_step("codebook", None, "sift")
    for entry in entries:
        shutil.copytree(source / entry.table, target / entry.table)
    house = Warehouse(str(target))
    note = "a codebook from elsewhere"
    house.commit(house.catalogue(), entries[0].run, entries, note, uses=state.uses)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return None if isinstance(value, float) and value != value else value
