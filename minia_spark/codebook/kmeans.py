"""Exact k-means passes that no partitioning, order or processor can change.

Descriptors and centres are whole numbers (SIFT is; others are put on a fixed-point grid by
:func:`grid_scale`), small enough that every dot product is exact in float32 or float64. So the
matrix product may add in any order, on any processor, and still gives the same nearest centre;
sums are whole numbers and may be merged in any order. Rounding a centre to the grid costs 1/12 per
dimension of the squared distance: for SIFT about 0.02 % of the cost.

Lloyd's algorithm: Lloyd 1982, IEEE Trans. Inf. Theory 28:129. The nearest centre maximises
``x.c - |c|^2 / 2``: one matrix product with the half norms as one more column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = [
    "ClusterSums",
    "NearestCentre",
    "add_sums",
    "empty_sums",
    "grid_scale",
    "thinned",
    "to_grid",
    "updated_centres",
]

# Scores of a block (rows x K) stay in the cache between the product and the search in it; sums are
# made of larger groups, as each group costs K x D additions of its own.
_SCORES = 1 << 20
_BLOCK_ROWS = (64, 1024)
_GROUP_ROWS = 8192
# 3 R^2 half-units, R the largest norm: what a float's significand must hold exactly.
_EXACT = {np.float32: 1 << 24, np.float64: 1 << 53}
_GRID_MAX_NORM = 2048.0

Grid = NDArray[np.integer]


@dataclass(frozen=True)
class ClusterSums:
    """What one pass over some descriptors found; adding two gives that of both.

    Attributes
    ----------
    sums : int64 array, shape (K, D)
        Sum of the descriptors nearest to each centre, in grid units.
    counts : int64 array, shape (K,)
    costs : int64 array, shape (K,)
        Sum of the squared distances of each centre's descriptors to it, in squared grid units.
    """

    sums: NDArray[np.int64]
    counts: NDArray[np.int64]
    costs: NDArray[np.int64]

    @property
    def cost(self) -> int:
        """Sum of all squared distances; also where it does not fit 64 bits."""
        return sum(self.costs.tolist())


def grid_scale(largest_norm: float, *, whole_numbers: bool) -> float:
    """Return by how much descriptors are multiplied before they are rounded to whole numbers.

    Parameters
    ----------
    largest_norm : float
        Largest Euclidean norm of a descriptor; 0 when there is none.
    whole_numbers : bool
        The descriptors are whole numbers already (SIFT); then the scale is 1.

    Returns
    -------
    float
        A power of two, so that scaling itself is exact.
    """
    if whole_numbers or largest_norm == 0:
        return 1.0
    return float(2.0 ** np.floor(np.log2(_GRID_MAX_NORM / largest_norm)))


def to_grid(descriptors: NDArray[np.generic], scale: float) -> NDArray[np.integer]:
    """Return descriptors (n, D), any dtype, in whole grid units, halves rounded up.

    Whole numbers at scale 1 are returned as they are, not copied.
    """
    if scale == 1.0 and np.issubdtype(descriptors.dtype, np.integer):
        return descriptors  # type: ignore[return-value]
    scaled = descriptors.astype(np.float64) * scale
    return np.asarray(np.floor(scaled + 0.5), dtype=np.int32)


class NearestCentre:
    """Finds the nearest centre of many descriptors, exactly; ties go to the lowest centre.

    Parameters
    ----------
    centres : int array, shape (K, D)
        In grid units.
    """

    def __init__(self, centres: Grid) -> None:
        wide = centres.astype(np.float64)
        norms = np.einsum("kd,kd->k", wide, wide)
        self.size, self.dim = centres.shape
        self._largest = float(norms.max(initial=0))
        # One more column carries -|c|^2 / 2 against a 1 in every descriptor.
        weights = np.vstack([wide.T, -norms / 2.0])
        self._weights = {np.float64: weights, np.float32: weights.astype(np.float32)}

    def find(self, descriptors: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the nearest centre of every descriptor and its squared distance.

        Parameters
        ----------
        descriptors : integer array, shape (n, D)
            In grid units; n may be 0.

        Returns
        -------
        nearest : int32 array, shape (n,)
        squared_distances : int64 array, shape (n,)
            In squared grid units, exact.

        Raises
        ------
        ValueError
            The descriptors have another dimension than the centres.
        OverflowError
            Values so large that float64 cannot hold a dot product exactly.
        """
        nearest = np.empty(len(descriptors), dtype=np.int32)
        squared = np.empty(len(descriptors), dtype=np.int64)
        stop = 0
        for group in self._groups(descriptors):
            start, stop = stop, stop + len(group.nearest)
            nearest[start:stop] = group.nearest
            squared[start:stop] = group.squared
        return nearest, squared

    def sums(self, descriptors: NDArray[np.integer]) -> ClusterSums:
        """Return the sums of one Lloyd pass over the descriptors, shape (n, D), n >= 0.

        Errors as in :meth:`find`.
        """
        total = empty_sums(self.size, self.dim)
        for group in self._groups(descriptors):
            rows = len(group.nearest)
            # Exact in float32 while no sum of the group passes 2^24, in float64 always.
            values = group.extended
            if group.largest * rows > _EXACT[np.float32]:
                values = values.astype(np.float64)
            members = sp.csc_matrix(
                (np.ones(rows, values.dtype), group.nearest, np.arange(rows + 1)),
                shape=(self.size, rows),
            )
            found = (members @ values).astype(np.int64)
            total.sums[:] += found[:, : self.dim]
            total.counts[:] += found[:, self.dim]
            np.add.at(total.costs, group.nearest, group.squared)
        return total

    def _groups(self, descriptors: NDArray[np.integer]) -> Iterator[_Group]:
        if descriptors.ndim != 2 or descriptors.shape[1] != self.dim:
            raise ValueError(f"descriptors {descriptors.shape} for centres of {self.dim} numbers")
        # The same memory serves all blocks: fresh pages would cost as much as the product.
        block = int(np.clip(_SCORES // self.size, *_BLOCK_ROWS))
        buffers: dict[type[np.floating], NDArray[np.floating]] = {}
        for start in range(0, len(descriptors), _GROUP_ROWS):
            yield self._assign(descriptors[start : start + _GROUP_ROWS], block, buffers)

    def _assign(
        self,
        group: NDArray[np.integer],
        block: int,
        buffers: dict[type[np.floating], NDArray[np.floating]],
    ) -> _Group:
        largest = max(int(group.max()), -int(group.min()))
        kind = self._exact_kind(self.dim * largest**2)
        extended = np.ones((len(group), self.dim + 1), dtype=kind)
        values = extended[:, : self.dim]
        values[:] = group
        norms = np.einsum("nd,nd->n", values, values)
        wanted = self._exact_kind(3 * max(self._largest, float(norms.max())))
        if wanted is not kind:
            extended = extended.astype(wanted)
        if wanted not in buffers:
            buffers[wanted] = np.empty((block, self.size), dtype=wanted)
        nearest = np.empty(len(group), dtype=np.int32)
        best = np.empty(len(group), dtype=np.float64)
        for start in range(0, len(group), block):
            rows = extended[start : start + block]
            scores = np.matmul(rows, self._weights[wanted], out=buffers[wanted][: len(rows)])
            found = scores.argmax(axis=1)
            nearest[start : start + block] = found
            best[start : start + block] = scores[np.arange(len(rows)), found]
        squared = (norms - 2.0 * best).astype(np.int64)
        return _Group(extended, nearest, squared, largest)

    @staticmethod
    def _exact_kind(bound: float) -> type[np.float32] | type[np.float64]:
        """Return the narrowest type that holds all whole numbers up to the bound."""
        for kind in (np.float32, np.float64):
            if bound <= _EXACT[kind]:
                return kind
        raise OverflowError(f"values up to {bound:g} are too large for exact distances")


@dataclass(frozen=True)
class _Group:
    """Some descriptors, as floats with a 1 after each, (rows, D + 1), and their nearest centres."""

    extended: NDArray[np.floating]
    nearest: NDArray[np.int32]
    squared: NDArray[np.int64]
    largest: int


def empty_sums(size: int, dim: int) -> ClusterSums:
    """Return the sums of no descriptors for K = `size` centres of `dim` numbers."""
    return ClusterSums(
        np.zeros((size, dim), np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    )


def add_sums(left: ClusterSums, right: ClusterSums) -> ClusterSums:
    """Return the sums of the descriptors of both."""
    return ClusterSums(left.sums + right.sums, left.counts + right.counts, left.costs + right.costs)


def updated_centres(centres: Grid, found: ClusterSums) -> tuple[Grid, int]:
    """Return the next centres: means rounded to the grid, dead words re-seeded.

    A word without descriptors is re-seeded by splitting the word with the most: the copy moves
    one grid step up and down in turn over the dimensions, the original the other way (the
    way of FAISS, Johnson et al. 2019, IEEE Trans. Big Data 7:535). Ties go to the lowest word.

    Parameters
    ----------
    centres : int array, shape (K, D)
    found : ClusterSums
        Of a pass with these centres.

    Returns
    -------
    centres : int array, shape (K, D)
    dead : int
        How many words had no descriptor in the pass.
    """
    counts = found.counts[:, None]
    means = (2 * found.sums + counts) // np.maximum(2 * counts, 1)
    updated = np.where(counts > 0, means, centres).astype(np.int32)
    population = found.counts.copy()
    dead_words = np.flatnonzero(found.counts == 0)
    wiggle = np.where(np.arange(centres.shape[1]) % 2 == 0, 1, -1).astype(np.int32)
    for word in dead_words:
        donor = int(population.argmax())
        if population[donor] < 2:
            break
        updated[word] = updated[donor] + wiggle
        updated[donor] = updated[donor] - wiggle
        population[word] = population[donor] // 2
        population[donor] -= population[word]
    return updated, len(dead_words)


def thinned(
    centres: Grid, weights: NDArray[np.int64], size: int, draws: NDArray[np.float64]
) -> Grid:
    """Return `size` of the centres that lie near all the others: greedy k-means++.

    One after another, the centre of several drawn by weight times squared distance to those
    already chosen, that leaves least of it (Arthur and Vassilvitskii 2007, SODA, section 2 and its
    greedy variant). All numbers are whole, so that any processor chooses the same.

    Parameters
    ----------
    centres : int array, shape (M, D)
        In grid units.
    weights : int64 array, shape (M,)
        Descriptors of each centre; one without any is taken only when no other is left.
    size : int
        At most M.
    draws : float64 array, shape (size, candidates)
        Within [0, 1).

    Returns
    -------
    int array, shape (size, D)
    """
    wide = centres.astype(np.float64)
    norms = np.einsum("nd,nd->n", wide, wide)
    weight = weights.astype(np.float64)
    chosen = np.zeros(len(centres), dtype=bool)
    order = np.empty(size, dtype=np.intp)
    left: NDArray[np.float64] | None = None  # squared distance of each to the nearest chosen one
    for number in range(size):
        share = np.cumsum(weight if left is None else weight * left)
        if share[-1] > 0:
            drawn = np.searchsorted(share, np.floor(draws[number] * share[-1]), side="right")
            near = norms[:, None] + norms[drawn] - 2.0 * (wide @ wide[drawn].T)
            if left is not None:
                near = np.minimum(near, left[:, None])
            best = int((weight @ near).argmin())
            order[number], left = drawn[best], near[:, best]
        else:
            order[number] = np.flatnonzero(~chosen)[0]
        chosen[order[number]] = True
    return centres[order]
