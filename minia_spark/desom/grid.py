"""The grid of a self-organising map: distances, neighbourhood, errors; NumPy alone.

Cells of a map of `side` rows and columns are numbered row by row. Forest et al. (2019), Kohonen
(1982).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minia_spark.clustering.som import Lattice, initial_units, main_axes

__all__ = [
    "batch_map",
    "grid_distances",
    "nearest_cells",
    "neighbourhood",
    "quantisation_error",
    "settled_map",
    "squared_distances",
    "temperature",
    "topographic_error",
]

Vectors = NDArray[np.floating]

_AT_ONCE = 2_048  # vectors
_LEAST_WEIGHT = 1e-30
_ROUNDING = 1e-9  # far more than a product of float64 matrices loses


def grid_distances(side: int) -> NDArray[np.int32]:
    """Return the Manhattan distances between the cells: shape (side * side, side * side)."""
    rows, columns = np.divmod(np.arange(side * side, dtype=np.int32), np.int32(side))
    return np.asarray(
        np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns), dtype=np.int32
    )


def temperature(step: int, steps: int, highest: float = 10.0, lowest: float = 0.1) -> float:
    """Return the width of the neighbourhood at a step.

    It falls exponentially from `highest` at step 0 to `lowest` at the last one, ``steps - 1``.
    """
    share = min(step / max(steps - 1, 1), 1.0)
    return float(highest * (lowest / highest) ** share)


def neighbourhood(distances: NDArray[np.integer], width: float) -> NDArray[np.float64]:
    """Return exp(-D^2 / T^2) of distances D on the grid and a width T > 0."""
    return np.asarray(np.exp(-((distances / width) ** 2)), np.float64)


def squared_distances(vectors: Vectors, prototypes: Vectors) -> NDArray[np.float64]:
    """Return squared Euclidean distances: shape (n, cells).

    They are sums of squared differences, not a product of matrices: a vector's distances do not
    depend on which others come with it.
    """
    found = np.empty((len(vectors), len(prototypes)), np.float64)
    theirs = np.asarray(prototypes, np.float64)
    for place, vector in enumerate(np.asarray(vectors, np.float64)):
        found[place] = np.square(theirs - vector).sum(axis=1)
    return found


def nearest_cells(
    vectors: Vectors, prototypes: Vectors
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the best-matching unit of every vector, and its distance.

    Parameters
    ----------
    vectors : float array, shape (n, d)
    prototypes : float array, shape (cells, d)

    Returns
    -------
    int32 array, shape (n,)
        Of equally near cells the one with the lower number.
    float64 array, shape (n,)
        Euclidean, not squared.
    """
    found, theirs = np.asarray(vectors, np.float64), np.asarray(prototypes, np.float64)
    lengths = np.square(theirs).sum(axis=1)
    cells = np.empty(len(found), np.int32)
    distances = np.empty(len(found), np.float64)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        # a product of matrices is fast, and its last bits depend on what else is in it: what is as
        # near but for rounding is looked at again, one by one
        rough = lengths - 2 * (part @ theirs.T)
        slack = _ROUNDING * (np.square(part).sum(axis=1) + lengths.max())
        near = rough <= (rough.min(axis=1) + slack)[:, None]
        chosen = near.argmax(axis=1)
        for row in np.flatnonzero(near.sum(axis=1) > 1):
            those = np.flatnonzero(near[row])
            chosen[row] = those[np.square(theirs[those] - part[row]).sum(axis=1).argmin()]
        cells[start : start + _AT_ONCE] = chosen
        distances[start : start + _AT_ONCE] = np.square(theirs[chosen] - part).sum(axis=1)
    return cells, np.sqrt(distances)


def batch_map(vectors: Vectors, prototypes: Vectors, width: float) -> NDArray[np.float64]:
    """Move prototypes to where the map's loss is least for the cells that vectors have now.

    That is the mean of all vectors, each with weight exp(-D^2 / T^2), D from its cell to the
    prototype's: a step of Kohonen's batch map.

    Parameters
    ----------
    vectors : float array, shape (n, d)
    prototypes : float array, shape (side * side, d)
        Not changed.
    width : float
        T, of the neighbourhood; > 0.

    Returns
    -------
    float64 array, shape (side * side, d)
        A prototype too far from all cells that have vectors for any weight stays.
    """
    found, theirs = np.asarray(vectors, np.float64), np.asarray(prototypes, np.float64)
    cells, _ = nearest_cells(found, theirs)
    sums = np.zeros_like(theirs)
    np.add.at(sums, cells, found)
    near = neighbourhood(grid_distances(math.isqrt(len(theirs))), width)
    weights = near @ np.bincount(cells, minlength=len(theirs))
    there = weights > _LEAST_WEIGHT
    moved = theirs.copy()
    moved[there] = (near @ sums)[there] / weights[there, None]
    return moved


def settled_map(
    vectors: Vectors, side: int, highest: float = 10.0, lowest: float = 0.1, passes: int = 40
) -> NDArray[np.float64]:
    """Lay a map out anew over vectors.

    It begins as the plane in which they vary most, and is moved by :func:`batch_map` while the
    neighbourhood shrinks from `highest` to `lowest`.

    Parameters
    ----------
    vectors : float array, shape (n, d)
        At least one; many more than cells, or the map is theirs alone.
    side : int
    highest, lowest : float
        Widths of the neighbourhood, as in :func:`temperature`.
    passes : int

    Returns
    -------
    float64 array, shape (side * side, d)
    """
    found = np.asarray(vectors, np.float64)
    mean = found.mean(axis=0)
    covariance = (found - mean).T @ (found - mean) / len(found)
    prototypes = initial_units(mean, main_axes(covariance), Lattice(side, side))
    for step in range(passes):
        prototypes = batch_map(found, prototypes, temperature(step, passes, highest, lowest))
    return prototypes


def quantisation_error(vectors: Vectors, prototypes: Vectors) -> float:
    """Return the mean distance of vectors, at least one, to their best-matching unit."""
    return float(nearest_cells(vectors, prototypes)[1].mean())


def topographic_error(vectors: Vectors, prototypes: Vectors, side: int) -> float:
    """Return the share of vectors whose two nearest cells are no neighbours on the grid.

    Neighbours are a row or a column apart, not both.
    """
    two = np.argsort(squared_distances(vectors, prototypes), axis=1, kind="stable")[:, :2]
    return float((grid_distances(side)[two[:, 0], two[:, 1]] > 1).mean())
