"""What is stored with the descriptors of a warehouse; no Spark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["told_of_descriptors"]

_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"


def told_of_descriptors(
    warehouse: Warehouse, state: Catalogue, extractor: str
) -> dict[str, Any] | None:
    """Return the metadata of column ``descriptors`` of an extractor; None where none are."""
    for entry in state.of_table("features", None, extractor):
        for _, files in warehouse.datasets([entry]):
            fields = json.loads(files.schema.metadata[_SPARK_SCHEMA])["fields"]
            (told,) = (f["metadata"] for f in fields if f["name"] == "descriptors")
            return dict(told)
    return None
