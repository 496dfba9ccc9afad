"""How far clusters agree with classes, from the table of counts of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from minia_spark.compare.measure import Measured

__all__ = ["MEASURES", "Agreement", "agreement", "enrichment", "majority_recalls", "silhouette"]

Counts = NDArray[np.int64]

MEASURES = ("nmi", "ami", "ari", "purity")
_MOST_DRAWN = 20_000
_REPEATS = 100
_SILHOUETTES = 10


@dataclass(frozen=True)
class Agreement:
    """What a table of classes and clusters says, with errors by bootstrap over the images.

    Attributes
    ----------
    nmi, ami, ari : Measured
        Normalised and adjusted mutual information, adjusted Rand index, as scikit-learn has them.
    purity : Measured
        Share of the images that are of the most frequent class of their cluster.
    recalls : tuple of Measured
        For each class the share of its images in clusters in which it is the most frequent.
    """

    nmi: Measured
    ami: Measured
    ari: Measured
    purity: Measured
    recalls: tuple[Measured, ...]


def agreement(table: Counts, rng: np.random.Generator, repeats: int = _REPEATS) -> Agreement:
    """Measure how far clusters and classes agree.

    Parameters
    ----------
    table : int array, shape (classes, clusters)
        Images of each class in each cluster, at least one in all.
    rng : Generator
    repeats : int
        Collections that are drawn, with replacement, for the errors. Of more than 20,000 images so
        many are drawn, and the error is scaled to all of them.

    Raises
    ------
    ValueError
        The table counts nothing.
    """
    total = int(table.sum())
    if total < 1:
        raise ValueError("the table of classes and clusters counts no image")
    found = _measures(table)
    drawn = min(total, _MOST_DRAWN)
    shares = (table / total).ravel()
    many = np.array(
        [_measures(rng.multinomial(drawn, shares).reshape(table.shape)) for _ in range(repeats)]
    )
    errors = np.full(len(found), np.nan)
    for i in range(len(found)):
        usable = many[np.isfinite(many[:, i]), i]  # a class may not be drawn
        if len(usable) > 1:
            errors[i] = usable.std(ddof=1) * np.sqrt(drawn / total)
    told = [Measured(float(v), float(e)) for v, e in zip(found, errors, strict=True)]
    return Agreement(told[0], told[1], told[2], told[3], tuple(told[4:]))


def _measures(table: Counts) -> NDArray[np.float64]:
    filled = table[np.ix_(table.sum(axis=1) > 0, table.sum(axis=0) > 0)]
    rows, columns = np.nonzero(filled)
    counts = filled[rows, columns]
    classes, clusters = np.repeat(rows, counts), np.repeat(columns, counts)
    return np.array(
        [
            normalized_mutual_info_score(classes, clusters),
            adjusted_mutual_info_score(classes, clusters),
            adjusted_rand_score(classes, clusters),
            table.max(axis=0).sum() / table.sum(),
            *majority_recalls(table),
        ]
    )


def majority_recalls(table: Counts) -> NDArray[np.float64]:
    """Return for each class the share of its images where it is the most frequent.

    Of equally frequent classes the first counts; NaN for a class without images.
    """
    most = np.where(table.sum(axis=0) > 0, table.argmax(axis=0), -1)
    own = np.array([table[i, most == i].sum() for i in range(len(table))], dtype=np.float64)
    sizes = table.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(sizes > 0, own / sizes, np.nan))


def silhouette(
    vectors: NDArray[np.floating], clusters: NDArray[np.integer], rng: np.random.Generator
) -> Measured:
    """Return how much nearer images are to their own cluster than to the next, -1 to 1.

    Parameters
    ----------
    vectors : array, shape (n, D)
        A sample.
    clusters : int array, shape (n,)
        Noise (-1) is left out.
    rng : Generator
        Of the halves that the error is from.
    """
    own = clusters >= 0
    data, labels = vectors[own], clusters[own]

    def measured(rows: NDArray[np.intp]) -> float:
        groups = len(np.unique(labels[rows]))
        if not 2 <= groups < len(rows):
            return np.nan
        return float(silhouette_score(data[rows], labels[rows]))

    whole = measured(np.arange(len(labels)))
    if not np.isfinite(whole):
        return Measured(np.nan, np.nan)
    half = len(labels) // 2
    halves = [measured(rng.permutation(len(labels))[:half]) for _ in range(_SILHOUETTES)]
    usable = [value for value in halves if np.isfinite(value)]
    # the half of a sample that is drawn without replacement varies as the whole one does
    error = float(np.std(usable, ddof=1)) if len(usable) > 1 else np.nan
    return Measured(whole, error)


def enrichment(
    both: Counts, left: Counts, right: Counts, total: Counts
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Tell which pairs of groups share more images than chance explains.

    Parameters
    ----------
    both, left, right, total : int arrays, shape (n,)
        Images of a pair of groups in common, of either, and those among which they are.

    Returns
    -------
    lift : float64 array
        Images in common over those that chance would make.
    p : float64 array
        Hypergeometric: the chance of so many or more.
    q : float64 array
        The same, corrected for the number of pairs (Benjamini and Hochberg 1995).
    """
    if not len(both):
        return np.empty(0), np.empty(0), np.empty(0)
    expected = left * (right / np.maximum(1, total))
    with np.errstate(invalid="ignore", divide="ignore"):
        lift = np.where(expected > 0, both / expected, np.nan)
    p = np.clip(hypergeom.sf(both - 1, total, left, right), 0.0, 1.0)
    return np.asarray(lift), p, np.asarray(false_discovery_control(p))
