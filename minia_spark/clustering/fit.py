"""Clusterings of vectors in memory: each a library's own fit, as a frozen model of plain arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from minia_spark.clustering.tree import grown
from minia_spark.galaxies.frozen import Model

__all__ = ["NOISE", "density", "hierarchical", "kmeans", "mixture", "numbered_by_size", "som"]

NOISE = -1
"""The cluster of what is near nothing."""

Vectors = NDArray[np.float64]
_NEIGHBOURS_BLOCK = 256


def numbered_by_size(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return labels with the largest cluster as 0, then the next; noise stays -1.

    Of equally large clusters the one that comes first in the data is first.
    """
    found, first, place, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts, found == NOISE))
    numbers = np.empty(len(found), np.int64)
    numbers[order] = np.arange(len(found))
    numbers[found == NOISE] = NOISE
    return np.asarray(numbers[place.ravel()])


def _centres(vectors: Vectors, labels: NDArray[np.int64]) -> Vectors:
    centres = np.empty((int(labels.max(initial=-1)) + 1, vectors.shape[1]))
    for c in range(len(centres)):
        centres[c] = vectors[labels == c].mean(axis=0)
    return centres


def kmeans(centres: Vectors, vectors: Vectors) -> Model:
    """Return the model of k-means centres, numbered by how many vectors each has.

    Parameters
    ----------
    centres : array, shape (k, D)
        As fitted; those that are equal are one.
    vectors : array, shape (n, D)
        That they are numbered by.
    """
    centres = np.unique(np.asarray(centres, np.float64), axis=0)
    sizes = np.bincount(cdist(vectors, centres).argmin(axis=1), minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    return Model("kmeans", {"centres": centres[order]}, {"clusters": len(centres)})


def hierarchical(vectors: Vectors, clusters: int) -> Model:
    """Return Ward's clustering by scipy: the tree, the labels of the vectors, their means.

    Parameters
    ----------
    vectors : array, shape (n, D)
        At least one.
    clusters : int
        Where there are fewer vectors, or fewer that differ, there are fewer clusters.
    """
    tree = linkage(vectors, "ward") if len(vectors) > 1 else np.empty((0, 4))
    cut = fcluster(tree, clusters, "maxclust") if len(tree) else np.ones(1, np.int32)
    labels = numbered_by_size(cut)
    arrays = {"centres": _centres(vectors, labels), "tree": tree, "labels": labels}
    return Model("hierarchical", arrays, {"clusters": len(arrays["centres"])})


def density(vectors: Vectors, least: int, neighbours: int | None) -> Model:
    """Return HDBSCAN's clustering by scikit-learn, and what places further vectors.

    Parameters
    ----------
    vectors : array, shape (n, D)
        At least one.
    least : int
        Smallest size of a cluster.
    neighbours : int or None
        A vector's core distance is that to its so many-th neighbour, itself among them; None: as
        many as `least`.

    Notes
    -----
    Where there are fewer vectors than `least`, all are noise. A cluster's reach is the largest
    mutual reachability distance of one of its vectors to the nearest other of them; beyond it, a
    further vector does not belong (:func:`~.place.place`).
    """
    count = len(vectors)
    k = min(neighbours or least, count)
    if count < max(2, least):
        labels = np.full(count, NOISE, np.int64)
    else:
        model = HDBSCAN(min_cluster_size=least, min_samples=k, copy=True)
        labels = numbered_by_size(model.fit(vectors).labels_)
    core = np.empty(count)
    nearest = np.full(count, np.inf)
    for start in range(0, count, _NEIGHBOURS_BLOCK):
        piece = slice(start, start + _NEIGHBOURS_BLOCK)
        core[piece] = np.partition(cdist(vectors[piece], vectors), k - 1, axis=1)[:, k - 1]
    for start in range(0, count, _NEIGHBOURS_BLOCK):
        piece = slice(start, min(count, start + _NEIGHBOURS_BLOCK))
        reach = np.maximum(cdist(vectors[piece], vectors), core[None, :])
        reach = np.maximum(reach, core[piece, None])
        reach[labels[piece, None] != labels[None, :]] = np.inf
        reach[np.arange(len(reach)), np.arange(piece.start, piece.stop)] = np.inf
        nearest[piece] = reach.min(axis=1, initial=np.inf)
    clusters = int(labels.max(initial=-1)) + 1
    limits = np.array([nearest[labels == c].max() for c in range(clusters)])
    arrays = {
        "centres": _centres(vectors, labels),
        "vectors": vectors,
        "labels": labels,
        "core": core,
        "limits": limits,
        "neighbours": np.array(k),
        "tree": grown(vectors, core),
    }
    told = {"clusters": clusters, "noise": int((labels == NOISE).sum()), "smallest": least}
    return Model("hdbscan", arrays, told)


def som(units: Vectors, told: Mapping[str, Any]) -> Model:
    """Return the model of a trained map: every unit is a cluster, numbered row by row."""
    arrays = {"centres": np.asarray(units, np.float64)}
    return Model("som", arrays, {"clusters": len(units), **told})


def mixture(
    vectors: Vectors, clusters: int, seed: int, *, tolerance: float, iterations: int
) -> Model:
    """Return a mixture of Gaussians by scikit-learn, with whole covariances.

    The means start from k-means++, as in the study.

    Parameters
    ----------
    vectors : array, shape (n, D)
        At least one.
    clusters : int
        Where there are fewer vectors that differ, there are fewer.
    seed : int
    tolerance : float
        Of the mean log-likelihood, where it ends.
    iterations : int
        At most.
    """
    count = min(clusters, len(np.unique(vectors, axis=0)))
    start, _ = kmeans_plusplus(vectors, count, random_state=seed)
    padded = vectors if len(vectors) > 1 else np.repeat(vectors, 2, axis=0)
    model = GaussianMixture(
        count,
        means_init=start,
        init_params="k-means++",
        tol=tolerance,
        max_iter=iterations,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is told
        model.fit(padded)
    labels = model.predict(vectors)
    order = np.argsort(-np.bincount(labels, minlength=count), kind="stable")
    arrays = {
        "centres": model.means_[order],
        "weights": model.weights_[order],
        "precisions": model.precisions_cholesky_[order],
    }
    told = {
        "clusters": count,
        "iterations": int(model.n_iter_),
        "converged": bool(model.converged_),
        "log_likelihood": float(model.lower_bound_),
    }
    return Model("mixture", arrays, told)
