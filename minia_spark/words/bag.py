"""From a word per feature to a bag of words per image, and which words say too much or too little.

The weights are minIA's: FREQUENCY is how often a word occurs in an image, SIZE the rounded sum of
the sizes of its features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bags", "bag_words", "kept_words", "outlier_bounds"]


@dataclass(frozen=True)
class Bags:
    """Bags of words of m images, one after another.

    Attributes
    ----------
    words : int32 array, shape (nnz,)
        Distinct words of an image, ascending.
    counts : int32 array, shape (nnz,)
        How often each occurs in its image.
    sizes : int32 array, shape (nnz,)
        Sum of the sizes (diameters, pixels) of its features, rounded half up, at least 1.
    offsets : int64 array, shape (m + 1,)
        Image i holds ``words[offsets[i]:offsets[i + 1]]``; an image may hold none.
    """

    words: NDArray[np.int32]
    counts: NDArray[np.int32]
    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]


def bag_words(
    words: NDArray[np.int32], sizes: NDArray[np.floating], offsets: NDArray[np.int64]
) -> Bags:
    """Count the words of every image.

    Parameters
    ----------
    words : int32 array, shape (n,)
        Word of every feature, not negative.
    sizes : float array, shape (n,)
        Size of every feature (diameter, pixels).
    offsets : int64 array, shape (m + 1,)
        Image i holds features ``offsets[i]:offsets[i + 1]``.
    """
    images = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    span = int(words.max(initial=0)) + 1
    keys, inverse, counts = np.unique(
        images * span + words, return_inverse=True, return_counts=True
    )
    # bincount adds in the order of the features, which is fixed: the same bits everywhere.
    total_sizes = np.bincount(inverse, weights=sizes, minlength=len(keys))
    per_image = np.bincount(keys // span, minlength=len(offsets) - 1)
    return Bags(
        words=(keys % span).astype(np.int32),
        counts=counts.astype(np.int32),
        sizes=np.maximum(np.floor(total_sizes + 0.5), 1).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(per_image)]).astype(np.int64),
    )


def outlier_bounds(occurrences: NDArray[np.int64], deviations: float) -> tuple[float, float]:
    """Return the smallest and largest corpus count that is not an outlier.

    Parameters
    ----------
    occurrences : int array, shape (K,)
        How often each word occurs in the whole corpus; words that never occur count as 0.
    deviations : float
        Population standard deviations around the mean.

    Returns
    -------
    low, high : float
        mean -+ deviations * sd; a word with ``low <= count <= high`` stays.
    """
    if len(occurrences) == 0:
        return 0.0, 0.0
    mean = float(occurrences.mean())
    spread = deviations * float(occurrences.std())
    return mean - spread, mean + spread


def kept_words(occurrences: NDArray[np.int64], deviations: float) -> NDArray[np.bool_]:
    """Return which words are no outliers, see :func:`outlier_bounds`: bool array, shape (K,)."""
    low, high = outlier_bounds(occurrences, deviations)
    kept: NDArray[np.bool_] = (occurrences >= low) & (occurrences <= high)
    return kept
