"""How far clusters agree with classes, from the table of counts of both.

The measures are those of scikit-learn (Vinh et al. 2010, J. Mach. Learn. Res. 11:2837; Hubert and
Arabie 1985, J. Classif. 2:193). It wants a label an image; an error takes a hundred tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from scipy.stats import false_discovery_control, hypergeom
from sklearn.metrics import silhouette_score
from sklearn.metrics.cluster import expected_mutual_information

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
    found = _measures(table[None])[0]
    drawn = min(total, _MOST_DRAWN)
    shares = (table / total).ravel()
    many = _measures(rng.multinomial(drawn, shares, repeats).reshape(-1, *table.shape))
    errors = np.full(len(found), np.nan)
    for i in range(len(found)):
        usable = many[np.isfinite(many[:, i]), i]  # a class may not be drawn
        if len(usable) > 1:
            errors[i] = usable.std(ddof=1) * np.sqrt(drawn / total)
    told = [Measured(float(v), float(e)) for v, e in zip(found, errors, strict=True)]
    return Agreement(told[0], told[1], told[2], told[3], tuple(told[4:]))


def _measures(tables: Counts) -> NDArray[np.float64]:
    """Return the measures of tables, shape (m, classes, clusters): first those of `MEASURES`."""
    total = tables.sum(axis=(1, 2))
    classes, clusters = tables.sum(axis=2), tables.sum(axis=1)
    of_classes, of_clusters = _entropy(classes, total), _entropy(clusters, total)
    joint = _entropy(tables.reshape(len(tables), -1), total)
    shared = np.maximum(of_classes + of_clusters - joint, 0.0)
    chance = np.array([_expected(table) for table in tables])
    mean = (of_classes + of_clusters) / 2
    several = np.stack([(classes > 0).sum(axis=1) > 1, (clusters > 0).sum(axis=1) > 1])
    # a single class in a single cluster is a match; a single one of either says nothing
    trivial = np.where(several.any(axis=0), 0.0, 1.0)
    informative = several.all(axis=0)
    shared = np.where(shared > 8 * np.finfo(np.float64).eps * mean, shared, 0.0)
    pairs, of_both = _pairs(total), _pairs(tables).sum(axis=(1, 2))
    together, apart = _pairs(classes).sum(axis=1), _pairs(clusters).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        nmi = np.where(informative, shared / mean, trivial)
        # of tables that match by chance as well as they can, such as an image a cluster
        perfect = np.isclose(mean, chance, rtol=1e-12, atol=0)
        ami = np.where(perfect, 1.0, (shared - chance) / (mean - chance))
        ami = np.where(informative, ami, trivial)
        expected = together * apart / pairs
        ari = (of_both - expected) / ((together + apart) / 2 - expected)
        ari = np.where((of_both == together) & (of_both == apart), 1.0, ari)
    purity = tables.max(axis=1).sum(axis=1) / total
    recalls = [majority_recalls(table) for table in tables]
    return np.column_stack([nmi, ami, ari, purity, np.stack(recalls)])


def _entropy(counts: Counts, total: Counts) -> NDArray[np.float64]:
    """Return the entropy of each row of counts, in nats."""
    shares = counts / total[:, None]
    return np.asarray(-xlogy(shares, shares).sum(axis=1))


def _pairs(counts: Counts) -> NDArray[np.float64]:
    return counts * (counts - 1.0) / 2


def _expected(table: Counts) -> float:
    """Return the mutual information that chance makes."""
    filled = table[np.ix_(table.sum(axis=1) > 0, table.sum(axis=0) > 0)]
    return float(expected_mutual_information(filled, int(filled.sum())))


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
