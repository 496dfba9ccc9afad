"""How well a map shows who is near whom, in numbers for every image that is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["Judged", "Measured", "advice", "agreement", "judge", "mean"]

_BLOCK = 256
_REPEATS = 200


@dataclass(frozen=True)
class Judged:
    """What was found for each of m images that were asked.

    Attributes
    ----------
    neighbours : int
        Nearest that were compared, k; 0 where there are too few images to compare.
    trust : float64 array, shape (m,)
        Contributions to trustworthiness, which is their mean.
    recall : float64 array, shape (m,)
        Share of the k nearest by embedding that are among the k nearest on the map.
    same_on_map, same_by_embedding : float64 array, shape (m,)
        Share of the labelled ones among the k nearest that have the image's label; NaN where there
        are none, or the image has no label.
    """

    neighbours: int
    trust: NDArray[np.float64]
    recall: NDArray[np.float64]
    same_on_map: NDArray[np.float64]
    same_by_embedding: NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A number with its standard error by bootstrap; both NaN where there is nothing to measure."""

    value: float
    error: float


def judge(
    vectors: NDArray[np.float32],
    places: NDArray[np.float64],
    labels: NDArray[np.int64],
    asked: NDArray[np.int64],
    *,
    neighbours: int = 15,
) -> Judged:
    """Compare who is near on the map with who is near by embedding.

    Trustworthiness (Venna & Kaski 2001, equation 2) punishes those who are near on the map only, by
    their rank: 1 where there are none, 0.5 where the map is as good as chance.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        As they are compared (:func:`minia_spark.neighbours.nearest.prepared`).
    places : float64 array, shape (n, dimensions)
    labels : int64 array, shape (n,)
        Numbers from 0; -1: none.
    asked : int64 array, shape (m,)
        Which images.
    neighbours : int
        k; less than half of the images.
    """
    images = len(vectors)
    count = min(neighbours, (images - 1) // 2)
    if count < 1:
        nothing = np.full(len(asked), np.nan)
        return Judged(0, nothing, nothing, nothing, nothing)
    exact = vectors.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    tree = cKDTree(places)
    columns = {name: np.empty(len(asked)) for name in ("trust", "recall", "map", "embedding")}
    worst = count * (2 * images - 3 * count - 1) / 2
    for first in range(0, len(asked), _BLOCK):
        block = asked[first : first + _BLOCK]
        here = slice(first, first + len(block))
        far = squares[None, :] - 2 * (exact[block] @ exact.T)
        far[np.arange(len(block)), block] = np.inf
        near = np.argpartition(far, count - 1, axis=1)[:, :count]
        shown = _others(tree, places[block], block, count)
        ranks = np.stack(
            [
                (far < far[np.arange(len(block)), shown[:, j]][:, None]).sum(axis=1)
                for j in range(count)
            ],
            axis=1,
        )
        columns["trust"][here] = 1 - np.maximum(0, ranks + 1 - count).sum(axis=1) / worst
        both = (near[:, :, None] == shown[:, None, :]).any(axis=2)
        columns["recall"][here] = both.mean(axis=1)
        columns["map"][here] = _same(labels, block, shown)
        columns["embedding"][here] = _same(labels, block, near)
    return Judged(count, columns["trust"], columns["recall"], columns["map"], columns["embedding"])


def _others(
    tree: cKDTree, places: NDArray[np.float64], own: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return the nearest on the map, without the image itself, which need not be the first."""
    _, found = tree.query(places, count + 1)
    is_own = found == own[:, None]
    is_own[~is_own.any(axis=1), -1] = True  # others lie in the same place
    return np.asarray(found[~is_own].reshape(len(own), count), np.int64)


def _same(
    labels: NDArray[np.int64], asked: NDArray[np.int64], near: NDArray[np.int64]
) -> NDArray[np.float64]:
    known = labels[near] >= 0
    same = ((labels[near] == labels[asked][:, None]) & known).sum(axis=1)
    total = np.where(labels[asked] >= 0, known.sum(axis=1), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, same / total, np.nan))


def mean(values: NDArray[np.float64], rng: np.random.Generator) -> Measured:
    """Return the mean of the values that are there, with its error."""
    there = values[np.isfinite(values)]
    if not len(there):
        return Measured(np.nan, np.nan)
    drawn = rng.choice(there, (_REPEATS, len(there))).mean(axis=1)
    return Measured(float(there.mean()), float(drawn.std()))


def agreement(
    shares: NDArray[np.float64], labels: NDArray[np.int64], rng: np.random.Generator
) -> Measured:
    """Return how often near images have the same label, corrected for chance.

    ``(observed - expected) / (1 - expected)``: 0 as for any two images, 1 always.

    Parameters
    ----------
    shares : float64 array, shape (m,)
        Of :func:`judge`.
    labels : int64 array, shape (n,)
        Of the collection; they say what chance gives.
    rng : Generator
    """
    known = labels[labels >= 0]
    counts = np.bincount(known) if len(known) else np.zeros(1, np.int64)
    pairs = len(known) * (len(known) - 1)
    expected = float((counts * (counts - 1)).sum() / pairs) if pairs else 1.0
    if expected >= 1:
        return Measured(np.nan, np.nan)
    found = mean(shares, rng)
    return Measured((found.value - expected) / (1 - expected), found.error / (1 - expected))


def advice(batch: str, recall: Measured, fitted: Measured, least: float) -> str | None:
    """Return what to do about a batch whose images were placed, None: nothing.

    Parameters
    ----------
    batch : str
    recall, fitted : Measured
        Recall of its placed images, and of those that the map was fitted to.
    least : float
        Share of the latter that is good enough.
    """
    wanted = least * fitted.value
    if not recall.value + 3 * recall.error < wanted:
        return None
    return (
        f"the images of batch {batch} are placed badly: {recall.value:.2f} of their nearest are "
        f"near on the map, {fitted.value:.2f} for the images that it was fitted to; 'minia map "
        "refit' fits the map to all batches"
    )
