"""What Spark knows of the words of a whole collection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from minia_spark.engine.stage import StageContext
from minia_spark.words.bag import kept_words

__all__ = ["kept_by_settings", "word_occurrences"]


def word_occurrences(context: StageContext) -> NDArray[np.int64]:
    """Return how often each word occurs in the whole collection, shape (K,)."""
    totals = context.read("word_counts").groupBy("word").agg(F.sum("occurrences").alias("n"))
    table = totals.toArrow()
    counts = np.zeros(context.rows("codebooks"), dtype=np.int64)
    counts[table["word"].to_numpy()] = table["n"].to_numpy()
    return counts


def kept_by_settings(context: StageContext) -> NDArray[np.bool_] | None:
    """Return which words ``words.drop_outliers`` keeps, shape (K,); None when it is off."""
    settings = context.settings.words
    if not settings.drop_outliers:
        return None
    counts = word_occurrences(context)
    kept = kept_words(counts, settings.outlier_deviations)
    context.counts |= {
        "words_kept_percent": round(100 * kept.sum() / max(1, len(counts)), 2),
        "occurrences_kept_percent": round(100 * counts[kept].sum() / max(1, counts.sum()), 2),
    }
    return kept
