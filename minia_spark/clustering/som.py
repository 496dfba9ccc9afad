"""Self-organising maps, trained in batches: assign every vector to its unit, add up, smooth.

Kohonen (2001), section 3.6: after a pass every unit becomes the mean of all vectors, weighted by
how near their units are on the map. A pass is sums over vectors, so it can be done in parts; on a
grid of whole numbers the sums are exact, and no order of the vectors shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lattice", "Sums", "add", "errors", "grid_of", "initial_units", "on_grid", "pass_sums"]
__all__ += ["main_axes", "radius_at", "trained", "updated"]

Shape = Literal["rectangular", "hexagonal"]

_GRID = 1 << 20
"""Largest whole number of a coordinate: products of a thousand dimensions stay below 2^53."""
_BLOCK = 4096
_LAST_RADIUS = 0.5


@dataclass(frozen=True)
class Lattice:
    """The units of a map.

    Attributes
    ----------
    rows, columns : int
    shape : ``rectangular`` or ``hexagonal``
        Hexagonal: every other row is shifted by half a unit, and neighbours are all at distance 1.
    """

    rows: int
    columns: int
    shape: Shape = "rectangular"

    @property
    def units(self) -> int:
        """How many there are, numbered row by row."""
        return self.rows * self.columns

    def places(self) -> NDArray[np.float64]:
        """Return (x, y) of every unit, shape (K, 2); the distance of neighbours is 1."""
        y, x = np.divmod(np.arange(self.units), self.columns)
        places = np.stack([x, y], axis=1).astype(np.float64)
        if self.shape == "hexagonal":
            places[:, 0] += 0.5 * (y % 2)
            places[:, 1] *= np.sqrt(3) / 2
        return places

    def squared_distances(self) -> NDArray[np.float64]:
        """Return the squared distances between units on the map, shape (K, K)."""
        places = self.places()
        apart = places[:, None, :] - places[None, :, :]
        return np.asarray((apart**2).sum(axis=2))

    def neighbours(self) -> NDArray[np.bool_]:
        """Return which units touch: up to 8 round a square, 6 round a hexagon; shape (K, K)."""
        squared = self.squared_distances()
        reach = 2.1 if self.shape == "rectangular" else 1.1
        return np.asarray((squared > 0) & (squared < reach))


@dataclass(frozen=True)
class Sums:
    """What a pass adds up: whole numbers on the grid, in double precision.

    Attributes
    ----------
    vectors : float64 array, shape (K, D)
        Sum of the vectors of every unit.
    counts : float64 array, shape (K,)
    """

    vectors: NDArray[np.float64]
    counts: NDArray[np.float64]


def grid_of(largest: float) -> float:
    """Return the grid units in a unit of the vectors, a power of two.

    Parameters
    ----------
    largest : float
        Size of the largest coordinate.
    """
    if not np.isfinite(largest):
        raise ValueError("a vector holds a value that is no finite number")
    if largest <= 0:
        return 1.0
    return float(2.0 ** np.floor(np.log2(_GRID / largest)))


def on_grid(vectors: NDArray[np.floating], scale: float) -> NDArray[np.float64]:
    """Return vectors, shape (n, D), as whole numbers."""
    return np.asarray(np.rint(vectors.astype(np.float64) * scale))


def initial_units(
    mean: NDArray[np.float64],
    axes: NDArray[np.float64],
    lattice: Lattice,
) -> NDArray[np.float64]:
    """Return units on the plane of the two main axes of the data, shape (K, D).

    Parameters
    ----------
    mean : array, shape (D,)
    axes : array, shape (2, D)
        The directions in which the data varies most, as long as their standard deviations; the
        second may be 0.
    lattice : Lattice
        The longer side lies along the first axis.
    """
    places = lattice.places()
    extent = np.ptp(places, axis=0)
    centred = 2 * (places - places.mean(axis=0)) / np.where(extent > 0, extent, 1)
    if extent[1] > extent[0]:
        centred = centred[:, ::-1]
    return np.asarray(mean + centred @ axes)


def radius_at(step: int, passes: int, lattice: Lattice) -> float:
    """Return the width of the neighbourhood in a pass, in distances of neighbours.

    It falls exponentially, from half of the map's longer side to half a neighbour's distance.
    """
    first = max(_LAST_RADIUS, max(lattice.rows, lattice.columns) / 2)
    return float(first * (_LAST_RADIUS / first) ** (step / max(1, passes - 1)))


def _nearest(
    vectors: NDArray[np.float64], units: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest unit of whole-number vectors, and the scores that they were found by."""
    scores = vectors @ (-2 * units.T)
    scores += (units * units).sum(axis=1)
    return scores.argmin(axis=1), scores


def pass_sums(vectors: NDArray[np.float64], units: NDArray[np.float64]) -> Sums:
    """Assign vectors to their nearest units and add them up.

    Of equally near units the first. All products and sums are exact, so that parts may be added
    in any order.

    Parameters
    ----------
    vectors : float64 array, shape (n, D)
        On the grid.
    units : float64 array, shape (K, D)
        On the grid.
    """
    size = len(units)
    sums, counts = np.zeros_like(units), np.zeros(size)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        nearest, _ = _nearest(block, units)
        order = np.argsort(nearest, kind="stable")
        found = nearest[order]
        first = np.flatnonzero(np.r_[True, found[1:] != found[:-1]])
        sums[found[first]] += np.add.reduceat(block[order], first, axis=0)
        counts += np.bincount(nearest, minlength=size)
    return Sums(sums, counts)


def add(first: Sums, second: Sums) -> Sums:
    """Return the sums of two parts together."""
    return Sums(first.vectors + second.vectors, first.counts + second.counts)


def updated(
    sums: Sums, units: NDArray[np.float64], lattice: Lattice, radius: float
) -> NDArray[np.float64]:
    """Return the units after a pass, on the grid.

    Parameters
    ----------
    sums : Sums
        Of all vectors.
    units : float64 array, shape (K, D)
        As they were; a unit that nothing is near to stays.
    lattice : Lattice
    radius : float
        Standard deviation of the Gaussian neighbourhood on the map.
    """
    weights = np.exp(-lattice.squared_distances() / (2 * radius**2))
    totals = weights @ sums.counts
    found = units.copy()
    reached = totals > 1e-12
    means = (weights[reached] @ sums.vectors) / totals[reached, None]
    found[reached] = np.rint(means)
    return found


def trained(vectors: NDArray[np.floating], lattice: Lattice, passes: int) -> NDArray[np.float64]:
    """Train a map on vectors that are here; the distributed twin is in :mod:`.spark`.

    Parameters
    ----------
    vectors : array, shape (n, D)
        At least one.
    lattice : Lattice
    passes : int

    Returns
    -------
    float64 array, shape (K, D)
    """
    scale = grid_of(float(np.abs(vectors).max(initial=0)))
    data = on_grid(vectors, scale)
    mean = data.mean(axis=0)
    covariance = (data.T @ data) / len(data) - np.outer(mean, mean)
    units = np.rint(initial_units(mean, main_axes(covariance), lattice))
    for step in range(passes):
        radius = radius_at(step, passes, lattice)
        units = updated(pass_sums(data, units), units, lattice, radius)
    return units / scale


def main_axes(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two directions of most variance, as long as their deviations, shape (2, D)."""
    values, ways = np.linalg.eigh(covariance)
    axes = np.zeros((2, len(covariance)))
    for i in range(min(2, len(values))):
        way = ways[:, -1 - i]
        way = way * (1.0 if way[np.abs(way).argmax()] >= 0 else -1.0)
        axes[i] = way * np.sqrt(max(0.0, float(values[-1 - i])))
    return axes


def errors(
    vectors: NDArray[np.floating], units: NDArray[np.floating], lattice: Lattice
) -> tuple[float, float]:
    """Return the quantisation and the topographic error of a map.

    Parameters
    ----------
    vectors : array, shape (n, D)
    units : array, shape (K, D)
    lattice : Lattice

    Returns
    -------
    quantisation : float
        Mean distance of a vector to its unit.
    topographic : float
        Share of the vectors whose two nearest units do not touch; 0 for a single unit. NaN for no
        vectors.
    """
    if not len(vectors):
        return np.nan, np.nan
    touching = lattice.neighbours()
    total, torn = 0.0, 0
    exact = np.asarray(units, np.float64)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        nearest, scores = _nearest(block, exact)
        total += float(np.linalg.norm(block - exact[nearest], axis=1).sum())
        if len(units) > 1:
            scores[np.arange(len(block)), nearest] = np.inf
            torn += int((~touching[nearest, scores.argmin(axis=1)]).sum())
    return total / len(vectors), torn / len(vectors)
