"""How often words occur in the whole collection, and which of them are outliers there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.words.bag import kept_words
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["kept_by_settings", "word_occurrences"]


def word_occurrences(context: Context) -> NDArray[np.int64]:
    """Return how often each word occurs in the whole collection, shape (K,)."""
    counts = np.zeros(context.rows(CODEBOOKS), dtype=np.int64)
    for rows in context.rows_here(WORD_COUNTS, ["word", "occurrences"]):
        np.add.at(counts, rows["word"].to_numpy(), rows["occurrences"].to_numpy())
    return counts


def kept_by_settings(context: Context) -> NDArray[np.bool_] | None:
    """Return which words ``words.drop_outliers`` keeps, shape (K,); None when it is off."""
    settings = context.settings(WordsSettings)
    if not settings.drop_outliers:
        return None
    counts = word_occurrences(context)
    kept = kept_words(counts, settings.outlier_deviations)
    context.counts |= {
        "words_kept_percent": round(100 * kept.sum() / max(1, len(counts)), 2),
        "occurrences_kept_percent": round(100 * counts[kept].sum() / max(1, counts.sum()), 2),
    }
    return kept
