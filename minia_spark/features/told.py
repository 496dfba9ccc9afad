"""What is stored with the descriptors of a warehouse; no Spark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.storage import Storage

__all__ = ["told_of_descriptors"]

_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


def told_of_descriptors(
    storage: Storage, state: Catalogue, extractor: str
) -> dict[str, Any] | None:
    """Return the metadata of column ``descriptors`` of an extractor; None where none are."""
    for entry in state.of_table("features", None, extractor):
        for name in storage.names(entry.path):
            if name.endswith(".parquet"):
                with storage.filesystem.open_input_file(
                    storage.full(f"{entry.path}/{name}")
                ) as file:
                    known = pq.read_schema(file).metadata or {}
                fields = json.loads(known[_SPARK_SCHEMA])["fields"]
                (told,) = (f["metadata"] for f in fields if f["name"] == "descriptors")
                return dict(told)
    return None
