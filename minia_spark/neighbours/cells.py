"""An inverted file: vectors by the cell that they lie in, of which a query searches a few.

A vector lies in the cell whose centre is the nearest (float64, of equally near ones the smaller
number); a query goes through the vectors of its nearest cells alone, and misses who lies elsewhere
(Sivic and Zisserman 2003, ICCV 2:1470; Jegou et al. 2011, IEEE Trans. Pattern Anal. 33:117,
section IV). With given centres nothing depends on the pieces that vectors come in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from minia_spark.codebook.kmeans import NearestCentre, grid_scale, to_grid, updated_centres
from minia_spark.neighbours.nearest import Lists, nearest

__all__ = ["cells_for", "fit", "search", "searched"]

_ITERATIONS = 10
_FAR = 2.0
"""Times the 99th percentile of the lengths: longer vectors would only coarsen the grid."""


def cells_for(images: int) -> int:
    """Return how many cells so many images get: the square root, at least one."""
    return max(1, round(math.sqrt(images)))


def fit(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the centres of cells, by k-means on whole numbers: any processor finds the same.

    Parameters
    ----------
    sample : float32 array, shape (n, d)
        Prepared vectors, at least one, in an order of chance: the first that differ are where the
        centres start.
    count : int
        Cells wanted.

    Returns
    -------
    float32 array, shape (k, d)
        k is `count`, or the number of vectors that differ where those are fewer.
    """
    middle = np.median(sample, axis=0).astype(np.float64)  # whatever a few far ones are
    wide = sample - middle
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    limit = _FAR * float(np.quantile(lengths, 0.99))
    wide = wide[lengths <= limit] if limit > 0 else wide
    largest = min(limit, float(lengths.max())) if limit > 0 else float(lengths.max())
    scale = grid_scale(largest, whole_numbers=False)
    points = to_grid(wide, scale)
    starts = np.sort(np.unique(points, axis=0, return_index=True)[1])[:count]
    centres = points[starts]
    for _ in range(_ITERATIONS):
        centres, _dead = updated_centres(centres, NearestCentre(centres).sums(points))
    return np.asarray(centres / scale + middle, np.float32)


def searched(
    vectors: NDArray[np.float32], cells: NDArray[np.float32], probes: int
) -> NDArray[np.int64]:
    """Return the cells that each vector searches, shape (n, min(probes, k)): its own one first."""
    blocks = [(np.arange(len(cells)), cells)]
    return nearest(vectors, blocks, min(probes, len(cells))).positions


def search(
    queries: NDArray[np.float32],
    probes: NDArray[np.int64],
    members: Iterable[tuple[int, NDArray[np.int64], NDArray[np.float32]]],
    count: int,
    *,
    own: NDArray[np.int64],
    known: Lists,
    distance: str = "euclidean",
) -> Lists:
    """Return the nearest members of the cells that each query searches.

    Parameters
    ----------
    queries : float32 array, shape (m, d)
        Prepared.
    probes : int array, shape (m, p)
        Of :func:`searched`.
    members : iterable of (int, int64 array, shape (n,), and float32 array, shape (n, d))
        Cells, one after another or in parts: number, positions, ascending, and prepared vectors.
    count, own, known, distance
        As of :func:`minia_spark.neighbours.nearest.nearest`.
    """
    positions, distances = known.positions.copy(), known.distances.copy()
    for cell, places, vectors in members:
        asking = np.flatnonzero((probes == cell).any(axis=1))
        found = nearest(
            queries[asking],
            [(places, vectors)],
            count,
            own=own[asking],
            known=Lists(positions[asking], distances[asking]),
            distance=distance,
        )
        positions[asking], distances[asking] = found.positions, found.distances
    return Lists(positions, distances)
