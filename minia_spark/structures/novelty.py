"""Images that are unlike anything: how odd each image of a batch is beside images that are known.

Three things are measured of an image: how far the nearest known image is by its words, how badly
the words fit its features, and how little of it lies in any structure. Each is compared with the
known images that have about as many features, each measured as if it were not known itself. The
three surprises, -log(p), add up to a score; the scores of the known images say how often chance
alone gives as much. Beyond the ninth tenth tails are taken to be exponential, as those of such sums
are, and not shorter than the largest known value says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["MEASURES", "Described", "Novelty", "novelty"]

MEASURES = ("distance", "error", "uncovered")
"""Distance to the nearest known image, fit of the words, share in no structure."""

_ROWS = 512
_ALIKE = 400
"""Known images, of about as many features, that an image is compared with."""
_TAIL = 0.9
_MARGIN = 1.0
"""With few known images the tail is a guess: alerts keep to their rate all the same."""
_FEW = 10
"""So few known images say nothing."""


@dataclass(frozen=True)
class Described:
    """Images, n of them.

    Attributes
    ----------
    words : sparse float64 array, shape (n, K)
        Weighted bags of length 1 (:func:`minia_spark.embedding.tfidf.weighted`).
    features : int64 array, shape (n,)
        How many features each has.
    errors : float64 array, shape (n,)
        Mean squared distance of its descriptors to their words; NaN without features.
    covered : float64 array, shape (n,)
        Share of its features whose words are in a structure that it holds; NaN without features.
    """

    words: sp.csr_array
    features: NDArray[np.int64]
    errors: NDArray[np.float64]
    covered: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Novelty:
    """How odd the images of a batch are.

    Attributes
    ----------
    values, usual, surprises : float64 arrays, shape (n, 3)
        What was measured (:data:`MEASURES`), the median of the known images that it is compared
        with, and -log(p). NaN: the image has no features.
    nearest : int64 array, shape (n,)
        The nearest known image; -1 without one that has a word in common.
    scores, p : float64 arrays, shape (n,)
        Sum of the surprises; the share of known images that would score as much by chance.
    order : int64 array, shape (n,)
        The oddest first; images without features come last, as they say nothing.
    """

    values: NDArray[np.float64]
    usual: NDArray[np.float64]
    surprises: NDArray[np.float64]
    nearest: NDArray[np.int64]
    scores: NDArray[np.float64]
    p: NDArray[np.float64]
    order: NDArray[np.int64]

    def alerts(self, rate: float) -> NDArray[np.bool_]:
        """Return which images are too odd for chance.

        Parameters
        ----------
        rate : float
            How many images of a batch without anything odd may be among them, on average.
        """
        told = np.isfinite(self.p)
        return told & (np.where(told, self.p, 1.0) * max(1, int(told.sum())) <= rate)


def novelty(batch: Described, known: Described, same: NDArray[np.int64] | None = None) -> Novelty:
    """Return how odd each image of a batch is beside known images.

    Parameters
    ----------
    batch, known : Described
        Under the same words and weights.
    same : int64 array, shape (n,), or None
        Which known image each of the batch is, where the batch itself is known; -1: none.

    Raises
    ------
    ValueError
        Fewer than 10 known images have features.
    """
    with_features = np.flatnonzero(known.features > 0)
    if len(with_features) < _FEW:
        raise ValueError(f"{len(with_features)} known images with features are too few to compare")
    place = np.full(len(known) + 1, -1, np.int64)
    place[with_features] = np.arange(len(with_features))
    mine = np.full(len(batch), -1, np.int64) if same is None else place[same]
    base = Described(
        known.words[with_features],
        known.features[with_features],
        known.errors[with_features],
        known.covered[with_features],
    )
    itself = np.arange(len(base))
    reference, _ = _measured(base, base, itself)
    values, nearest = _measured(batch, base, mine)
    usual, surprises = _surprises(values, batch.features, reference, base.features, mine)
    _, expected = _surprises(reference, base.features, reference, base.features, itself)
    scores = surprises.sum(axis=1)
    p = np.exp(-_surprise(scores, expected.sum(axis=1), margin=_MARGIN))
    p[batch.features == 0] = np.nan
    order = np.lexsort((np.arange(len(batch)), np.where(np.isnan(scores), np.inf, -scores)))
    nearest = np.where(nearest >= 0, with_features[nearest], -1)
    return Novelty(values, usual, surprises, nearest, scores, p, order)


def _measured(
    images: Described, known: Described, same: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what is measured, and the nearest known image that is not the same one."""
    cosines = np.zeros(len(images))
    nearest = np.full(len(images), -1, np.int64)
    transposed = known.words.T.tocsr()
    for first in range(0, len(images), _ROWS):
        here = slice(first, first + _ROWS)
        products = (images.words[here] @ transposed).toarray()
        rows = np.flatnonzero(same[here] >= 0)
        products[rows, same[here][rows]] = -1.0
        best = products.argmax(axis=1)
        cosines[here] = products[np.arange(len(best)), best]
        nearest[here] = np.where(cosines[here] > 0, best, -1)
    found = np.stack([1 - np.maximum(0, cosines), images.errors, 1 - images.covered], axis=1)
    found[images.features == 0] = np.nan
    return found, nearest


def _surprises(
    values: NDArray[np.float64],
    features: NDArray[np.int64],
    reference: NDArray[np.float64],
    reference_features: NDArray[np.int64],
    same: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return medians and -log(p) of every measure among those with about as many features."""
    order = np.argsort(reference_features, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    width = min(_ALIKE, len(order))
    at = np.searchsorted(reference_features[order], features)
    step = max(1, width // 16)  # so that few windows are sorted
    starts = np.clip((at - width // 2) // step * step, 0, len(order) - width)
    usual = np.full(values.shape, np.nan)
    found = np.full(values.shape, np.nan)
    for start in np.unique(starts[features > 0]):
        rows = np.flatnonzero((starts == start) & (features > 0))
        own = np.where(same[rows] >= 0, rank[same[rows]] - start, -1)
        for column in range(values.shape[1]):
            others = reference[order[start : start + width], column]
            usual[rows, column] = np.median(others)
            found[rows, column] = _surprise(values[rows, column], others, own)
    return usual, found


def _surprise(
    values: NDArray[np.float64],
    others: NDArray[np.float64],
    own: NDArray[np.int64] | None = None,
    *,
    margin: float = 0.0,
) -> NDArray[np.float64]:
    """Return -log of the share of others that are as large.

    Parameters
    ----------
    values : float64 array, shape (n,)
    others : float64 array, shape (m,)
    own : int64 array, shape (n,), or None
        Which of the others each value is, and not to be counted.
    margin : float
        Standard errors of the tail's length by which it is taken to be longer.
    """
    ranked = np.sort(others)
    above = len(ranked) - np.searchsorted(ranked, values, side="left")
    total = np.full(len(values), len(ranked) + 1)
    if own is not None:
        counted = (own >= 0) & (own < len(others))
        above = above - counted
        total = total - counted
    found = -np.log((1 + above) / total)
    start = ranked[int(_TAIL * (len(ranked) - 1))]
    excesses = ranked[ranked > start] - start
    if len(excesses):
        share = len(excesses) / len(ranked)
        harmonic = float(np.sum(1 / np.arange(1, len(excesses) + 1)))
        length = max(float(excesses.mean()), float(excesses[-1]) / harmonic)
        length *= 1 + margin / np.sqrt(len(excesses))
        beyond = values > start
        tail = -np.log(share) + (values - start) / length
        found = np.where(beyond, tail, np.minimum(found, -np.log(share)))
    capped: NDArray[np.float64] = np.minimum(found, 6 * np.log(len(ranked) + 1))
    return capped
