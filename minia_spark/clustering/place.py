"""Which cluster of a frozen model a vector belongs to; the same whatever is beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from minia_spark.clustering.fit import NOISE
from minia_spark.galaxies.frozen import Model

__all__ = ["place"]

_BLOCK = 1024


def place(
    model: Model, vectors: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the cluster and the distance of vectors.

    Parameters
    ----------
    model : Model
        Of :mod:`.fit`.
    vectors : array, shape (n, D)

    Returns
    -------
    clusters : int32 array, shape (n,)
        -1 for noise. What holds a value that is no finite number is noise too.
    distances : float64 array, shape (n,)
        To the cluster's centre; of a mixture Mahalanobis' distance to it. NaN for noise.

    Notes
    -----
    k-means, hierarchical clustering and maps: the nearest centre. Mixture: the component with the
    largest posterior probability. HDBSCAN: the cluster of the fitted vector at the least mutual
    reachability distance, unless that is noise or farther than the cluster reaches.
    """
    data = np.asarray(vectors, np.float64)
    clusters = np.full(len(data), NOISE, np.int32)
    distances = np.full(len(data), np.nan)
    usable = np.flatnonzero(np.isfinite(data).all(axis=1))
    how = {"mixture": _by_probability, "hdbscan": _by_density}.get(model.kind, _by_centre)
    for start in range(0, len(usable), _BLOCK):
        rows = usable[start : start + _BLOCK]
        clusters[rows], distances[rows] = how(model, data[rows])
    return clusters, distances


def _by_centre(
    model: Model, data: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    apart = cdist(data, model.arrays["centres"])
    nearest = apart.argmin(axis=1).astype(np.int32)
    return nearest, apart[np.arange(len(data)), nearest]


def _by_probability(
    model: Model, data: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    means, precisions = model.arrays["centres"], model.arrays["precisions"]
    squared = np.empty((len(data), len(means)))
    scores = np.empty_like(squared)
    with np.errstate(divide="ignore"):
        weights = np.log(model.arrays["weights"])
    for k, (mean, factor) in enumerate(zip(means, precisions, strict=True)):
        # row by row: a product of many rows may round by their number
        turned = np.einsum("nd,de->ne", data - mean, factor)
        squared[:, k] = (turned * turned).sum(axis=1)
        scores[:, k] = weights[k] + np.log(np.diag(factor)).sum() - squared[:, k] / 2
    best = scores.argmax(axis=1).astype(np.int32)
    return best, np.sqrt(squared[np.arange(len(data)), best])


def _by_density(
    model: Model, data: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    arrays = model.arrays
    k, labels, limits = int(arrays["neighbours"]), arrays["labels"], arrays["limits"]
    apart = cdist(data, arrays["vectors"])
    # a new vector counts itself among its neighbours, as the fitted ones do
    place = max(0, min(k - 2, apart.shape[1] - 1))
    own = np.partition(apart, place, axis=1)[:, place] if k > 1 else np.zeros(len(data))
    reach = np.maximum(np.maximum(apart, arrays["core"][None, :]), own[:, None])
    # of equal reachabilities, which are frequent, the nearest vector counts
    least = reach.min(axis=1, keepdims=True)
    nearest = np.where(reach <= least, apart, np.inf).argmin(axis=1)
    found = labels[nearest].astype(np.int32)
    if len(limits):
        far = least[:, 0] > np.where(found >= 0, limits[np.maximum(found, 0)], np.inf)
        found = np.where(far, NOISE, found).astype(np.int32)
    distances = np.full(len(data), np.nan)
    rows = np.flatnonzero(found >= 0)
    distances[rows] = np.linalg.norm(data[rows] - arrays["centres"][found[rows]], axis=1)
    return found, distances
