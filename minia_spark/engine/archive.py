"""An archive of Spark's Java classes as they are in memory, which halves what its start costs.

Until its first job ends Spark loads, checks and links some 15,000 classes, always the same. Java
can keep the outcome in a file (class-data sharing, JEP 350).
``python -m minia_spark.engine.archive`` makes it, once in an environment; sessions in local mode
use it where it is. Java itself looks whether it was made by the same Java from the same jars, and
starts without it otherwise. It makes none while Spark's folder ``conf`` holds anything.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import MiniaError
from minia_spark.engine.session import CDS_QUIET, default_archive, open_session
from minia_spark.engine.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["make_archive"]

_ROWS = 1000


def make_archive(place: Path) -> None:
    """Start Spark, let it do a little of everything, and keep the classes that this took.

    Parameters
    ----------
    place : Path
        Appears when it is complete: Java does not survive half of one.

    Raises
    ------
    MiniaError
        Spark does not start, or this Java makes no archive.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spark-", dir=place.parent) as folder:
        made = Path(folder) / place.name
        java = f"{shlex.quote(f'-XX:ArchiveClassesAtExit={made}')} {CDS_QUIET}"
        conf = {"spark.driver.extraJavaOptions": java}
        spark = open_session(SparkSettings(master="local[2]", conf=conf), archive=None)
        _work(spark, folder)
        process = spark.sparkContext._gateway.proc  # type: ignore[union-attr]
        spark.stop()
        process.stdin.close()  # ends it; it writes the archive last
        if process.wait() != 0 or not made.is_file():
            raise MiniaError(
                f"Java wrote no archive of its classes (exit code {process.returncode}); Spark "
                "works without it, and starts more slowly"
            )
        made.replace(place)


def _work(spark: SparkSession, folder: str) -> None:
    """Do a little of what the stages do."""
    import pyarrow as pa  # noqa: PLC0415
    from pyspark.ml.clustering import KMeans  # noqa: PLC0415
    from pyspark.ml.functions import array_to_vector  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: PLC0415

    columns = ["id", "id % 7 as k", "string(id) as s", "array(float(id), float(id % 5)) as a"]
    rows = spark.range(_ROWS).selectExpr(*columns)
    passed = rows.repartition(4).mapInArrow(lambda batches: batches, rows.schema)
    passed.write.mode("overwrite").parquet(f"{folder}/rows")
    read = spark.read.parquet(f"{folder}/rows")
    groups = read.groupBy("k").agg(F.sum("id"), F.count("*"), F.max("s"), F.collect_list("id"))
    read.join(groups, "k").select("s", F.explode("a")).orderBy("s").write.parquet(
        f"{folder}/joined"
    )
    read.repartition(1).sortWithinPartitions("s").persist().toArrow()
    kept = read.select("id").repartition(2).persist()
    kept.mapInArrow(lambda batches: batches, kept.schema).toArrow()
    spark.createDataFrame(pa.Table.from_pylist([{"k": 1}])).unionByName(read.select("k")).first()
    vectors = read.repartition(1).select(array_to_vector(F.col("a")).alias("features")).persist()
    model = KMeans(k=3, initMode="random", maxIter=2, solver="block", seed=1).fit(vectors)
    model.write().overwrite().save(f"{folder}/model")


def main() -> int:
    """Make the archive of this environment."""
    try:
        make_archive(default_archive())
    except MiniaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
