"""Passes over a table on Spark, for warehouses that are too large for one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from minia_spark.frames.scan import SCORED, Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["SparkScan"]


class SparkScan:
    """Applies work to the rows of a table in Spark's workers; see :class:`.scan.Scan`.

    Parameters
    ----------
    spark : SparkSession
    warehouse : Warehouse
    state : Catalogue
    """

    def __init__(self, spark: SparkSession, warehouse: Warehouse, state: Catalogue) -> None:
        self._spark, self._warehouse, self._state = spark, warehouse, state

    def __call__(self, table: str, variant: str | None, columns: list[str], work: Work) -> pa.Table:
        """Return what the work gives of all partitions."""
        storage = self._warehouse.storage
        entries = self._state.of_table(table, None, variant)
        self._warehouse.require_whole(entries)
        frame = self._spark.read.parquet(*[storage.pattern(e.path) for e in entries])
        return frame.select(*columns).mapInArrow(work, SCORED).toArrow()
