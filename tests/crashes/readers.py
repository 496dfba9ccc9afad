"""What somebody sees who reads a warehouse while its writers come and die."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
from commands import rows_of

from minia_spark.engine.run import PAGE
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["contents", "whole_state"]


def whole_state(location: Path) -> Catalogue:
    """Return the state that readers see, after a look at whether all of it is there."""
    state = Warehouse(str(location)).require()
    for entry in state.entries:
        folder = location / entry.path
        assert folder.is_dir(), entry.path
        if entry.rows is not None:
            assert ds.dataset(folder, format="parquet").count_rows() == entry.rows, entry.path
    assert (location / PAGE).is_file()
    return state


def contents(location: Path) -> dict[str, list[Any]]:
    """Return the rows of every table of the current state."""
    state = Warehouse(str(location)).require()
    tables = {e.table for e in state.entries if e.rows is not None}
    return {table: rows_of(location, table) for table in sorted(tables)}
