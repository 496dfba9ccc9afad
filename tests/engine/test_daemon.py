"""Python workers of local mode: what they hold before their first task."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from minia_spark.engine.daemon import unpacked


def test_zipped_copies_of_what_is_unpacked_are_left_out() -> None:
    zipped = "/env/site-packages/pyspark/python/lib/pyspark.zip"
    other = "/opt/spark/python/lib/pyspark.zip"  # of another Spark: its Java wants this one
    path = ["", "/tmp/userFiles/ours.zip", zipped, other, "/env/site-packages"]
    assert unpacked(path) == ["", "/tmp/userFiles/ours.zip", other, "/env/site-packages"]
    assert unpacked([]) == []


def test_workers_collect_no_garbage_of_libraries(spark: SparkSession) -> None:
    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import gc
        import sys

        for _ in batches:
            pass
        zipped = [name for name in sys.path_importer_cache if name.endswith("pyspark.zip")]
        row = {"frozen": [gc.get_freeze_count()], "zipped": [len(zipped)]}
        yield pa.RecordBatch.from_pydict(row)

    rows = spark.range(0, 4, 1, 1).mapInArrow(look, "frozen long, zipped long").collect()
    assert len(rows) == 1
    assert rows[0].frozen > 100_000  # NumPy, pandas and the others
    assert rows[0].zipped == 0
