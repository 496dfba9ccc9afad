"""The drift of a batch on Spark; what is measured is in :mod:`.measure`.

Reads the words of this batch and the vocabulary, nothing of other batches. All sums are of whole
numbers, so that no partitioning shows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.drift.measure import Drift, WordSums, advice, beyond, measure
from minia_spark.engine.stage import Stage, StageContext

__all__ = ["DRIFT", "STAGE"]

DRIFT = StructType(
    [
        StructField("batch", StringType(), False),
        StructField("vocabulary", StringType(), False),
        StructField("in_training", BooleanType(), False),
        StructField("images", LongType(), False),
        StructField("features", LongType(), False),
        StructField("words", IntegerType(), False),
        StructField("error", DoubleType(), True),
        StructField("error_deviation", DoubleType(), True),
        StructField("expected_error", DoubleType(), True),
        StructField("divergence", DoubleType(), True),
        StructField("expected_divergence", DoubleType(), True),
        StructField("divergence_deviation", DoubleType(), True),
        StructField("dead_words", ArrayType(IntegerType(), False), False),
        StructField("overfull_words", ArrayType(IntegerType(), False), False),
    ]
)

_EXACT = "decimal(38,0)"


def _run(context: StageContext) -> None:
    codebook = (
        context.read("codebooks")
        .select("version", "word", "occurrences", "error", "scale")
        .orderBy("word")
        .toArrow()
    )
    version, scale = codebook["version"][0].as_py(), codebook["scale"][0].as_py()
    words = context.read("words", context.batch).select("words", "counts", "quantisation_error")
    with context.progress.spark_jobs(context.spark.sparkContext, context.title):
        sums = _sums(words, codebook.num_rows, scale)
    drift = measure(
        sums,
        training=codebook["occurrences"].to_numpy(),
        training_errors=codebook["error"].to_numpy(),
        scale=scale,
    )
    known = _in_training(context)
    names = {"batch": context.batch, "vocabulary": version, "in_training": known}
    frame = context.spark.createDataFrame([names | vars(drift)], DRIFT).coalesce(1)
    context.write("drift", frame, DRIFT)
    context.counts |= _counts(drift)
    clauses = [] if known else beyond(drift, **context.settings.drift.model_dump())
    warning = advice({context.batch or "": clauses}, str(context.warehouse.storage))
    if warning is not None:
        context.progress.warn(warning)


def _sums(words: DataFrame, size: int, scale: float) -> WordSums:
    """Return the whole-number sums over a batch's images."""
    features = F.aggregate("counts", F.lit(0).cast("long"), lambda a, b: a + b)
    # the mean is total / scale^2 / n, correctly rounded: the whole total comes back
    total = F.round(F.col("quantisation_error") * F.col("n") * scale**2).cast(_EXACT)
    each = words.select("quantisation_error", features.alias("n"))
    each = each.where("n > 0").select(F.col("n").cast(_EXACT), total.alias("e"))
    sums = each.agg(
        F.count("*").alias("images"),
        *(
            F.sum((F.col(a) * F.col(b)).cast(_EXACT)).alias(name)
            for name, a, b in (("nn", "n", "n"), ("ee", "e", "e"), ("en", "e", "n"))
        ),
        F.sum("e").cast(_EXACT).alias("e"),
    ).first()
    assert sums is not None
    pairs = words.select(F.explode(F.arrays_zip("words", "counts")).alias("w"))
    count = F.col("w.counts").cast("long")
    table = pairs.groupBy(F.col("w.words").alias("word")).agg(
        F.sum(count).alias("occurrences"), F.sum(count * count).alias("squares")
    )
    found = table.toArrow()
    return WordSums(
        occurrences=_by_word(found, "occurrences", size),
        squares=_by_word(found, "squares", size),
        images=sums["images"],
        squared_features=int(sums["nn"] or 0),
        error=int(sums["e"] or 0),
        squared_error=int(sums["ee"] or 0),
        error_times_features=int(sums["en"] or 0),
    )


def _by_word(table: pa.Table, column: str, size: int) -> NDArray[np.int64]:
    values = np.zeros(size, dtype=np.int64)
    values[table["word"].to_numpy()] = table[column].to_numpy()
    return values


def _in_training(context: StageContext) -> bool:
    """Tell whether the vocabulary was made from these very features, among others."""
    ours = F.col("batch").eqNullSafe(context.batch or "")
    trained = context.read("training_batches").where(ours).first()
    (features,) = context.view.of_table("features", context.batch)
    return trained is not None and trained["digest"] == features.digest


def _counts(drift: Drift) -> dict[str, float]:
    if drift.divergence is None or drift.expected_divergence is None:
        return {"features": 0}
    found: dict[str, float] = {
        "divergence": round(drift.divergence, 4),
        "by_chance": round(drift.expected_divergence, 4),
        "dead_words": len(drift.dead_words),
        "overfull_words": len(drift.overfull_words),
    }
    if drift.error_ratio is not None:
        found["error_ratio"] = round(drift.error_ratio, 4)
    return found


STAGE = Stage(
    name="drift",
    per_batch=True,
    after=("features", "vocabulary", "words"),
    revision=1,
    # What is measured is the same whatever the limits: they are applied where it is read.
    settings=lambda _: {},
    run=_run,
)
