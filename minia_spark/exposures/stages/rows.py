"""Rows of tables as Arrow, and the columns that several stages know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from minia_spark.engine.table import Table, arrow_type

__all__ = ["FACTS", "Batches", "arrow_schema", "batch_of"]

Batches = Iterator[pa.RecordBatch]

FACTS = (
    ("exposure_seconds", "EXPTIME", True),
    ("filter", "FILTER", False),
    ("mjd", "MJD-OBS", True),
    ("object", "OBJECT", False),
)
"""Header facts: column, keyword, and whether it is a number."""


def arrow_schema(table: Table) -> pa.Schema:
    """Return the columns of a table for the rows of a worker."""
    return pa.schema([pa.field(c.name, arrow_type(c.type), c.null) for c in table.columns])


def batch_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Return rows as a record batch; what a row lacks is null."""
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
