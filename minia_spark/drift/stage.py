"""The drift of a batch on Spark; what is measured is in :mod:`.measure`.

Reads the words of this batch and the codebook, nothing of other batches. All sums are of whole
numbers, so that no partitioning shows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.codebook.tables import CODEBOOKS, TRAINING_BATCHES
from minia_spark.drift.measure import Drift, WordSums, advice, beyond, measure
from minia_spark.drift.settings import DriftSettings
from minia_spark.drift.tables import DRIFT
from minia_spark.engine.context import Context
from minia_spark.features.tables import FEATURES
from minia_spark.words.tables import WORDS

__all__ = ["run"]

_EXACT = "decimal(38,0)"


def run(context: Context) -> None:
    """Measure a batch against the codebook; warn when it is beyond the limits."""
    columns = ["version", "word", "occurrences", "error", "scale"]
    codebook = context.small(CODEBOOKS, columns).sort_by("word")
    version, scale = codebook["version"][0].as_py(), codebook["scale"][0].as_py()
    words = context.read(WORDS).select("words", "counts", "quantisation_error")
    with context.watched("sums"):
        sums = _sums(words, codebook.num_rows, scale)
    drift = measure(
        sums,
        training=codebook["occurrences"].to_numpy(),
        training_errors=codebook["error"].to_numpy(),
        scale=scale,
    )
    known = _in_training(context)
    names = {"batch": context.batch, "codebook": version, "in_training": known}
    row = pa.Table.from_pylist([names | vars(drift)], DRIFT.arrow_schema())
    context.write_rows(DRIFT, row)
    context.counts |= _counts(drift)
    limits = context.settings(DriftSettings)
    clauses = [] if known else beyond(drift, **limits.model_dump())
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


def _in_training(context: Context) -> bool:
    """Tell whether the codebook was made from these very features, among others."""
    (features,) = context.entries_of(FEATURES)
    trained = context.small(TRAINING_BATCHES, ["batch", "digest"]).to_pylist()
    return {"batch": context.batch, "digest": features.digest} in trained


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
