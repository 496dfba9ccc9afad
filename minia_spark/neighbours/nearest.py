"""The nearest vectors of every vector, exactly, and the same bit for bit in whatever pieces.

A product of float32 matrices says who may be near: its errors are bounded, so that everybody within
the bound is kept. The distances of those are then computed in float64, one pair at a time, in an
order that depends on the two vectors alone, and the nearest are chosen by (distance, position). So
neither blocks, nor partitions, nor threads change a bit; and lists of parts of a collection can be
merged into those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lists", "merged", "nearest", "prepared"]

_ROWS, _COLUMNS = 512, 1024
"""Of a block of products: what the processor's cache holds."""
_GROUP_BITS = 4
"""A first block is looked at in groups of 2**this vectors, of which the best one counts."""
_PIECE_BYTES = 1 << 26
"""Of vectors of the collection that are prepared at once."""
_PAIRS = 1 << 13
"""Pairs whose distances are computed at once."""
_UNIT = 2.0**-24
"""Relative error of a float32 operation."""
_NEVER = np.float32(-3e38)


@dataclass(frozen=True)
class Lists:
    """The nearest of m vectors, the nearest first.

    Attributes
    ----------
    positions : int64 array, shape (m, k)
        In the collection; -1 where there are fewer.
    distances : float64 array, shape (m, k)
        Infinite where there are fewer.
    """

    positions: NDArray[np.int64]
    distances: NDArray[np.float64]


def prepared(vectors: NDArray[np.float32], distance: str = "euclidean") -> NDArray[np.float32]:
    """Return vectors, shape (n, d), as they are compared.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Finite.
    distance : str
        ``euclidean``, or ``cosine``, for which they are scaled to length 1 (and rounded to float32
        again); zeros stay, and are as far from everybody as 60 degrees are.
    """
    if distance != "cosine":
        return np.ascontiguousarray(vectors, np.float32)
    lengths = np.sqrt(_squares(vectors))
    scaled = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    return scaled.astype(np.float32)


def _squares(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the squared length of each vector, each added up by itself."""
    found = np.empty(len(vectors))
    for first in range(0, len(vectors), _PAIRS):
        exact = vectors[first : first + _PAIRS].astype(np.float64)
        found[first : first + _PAIRS] = np.einsum("ij,ij->i", exact, exact)
    return found


def nearest(
    queries: NDArray[np.float32],
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
    count: int,
    *,
    own: NDArray[np.int64] | None = None,
    known: Lists | None = None,
    distance: str = "euclidean",
) -> Lists:
    """Return the nearest vectors of every query.

    Parameters
    ----------
    queries : float32 array, shape (m, d)
        Of :func:`prepared`.
    blocks : iterable of (int64 array, shape (n,), and float32 array, shape (n, d))
        The collection in pieces: positions, ascending, and prepared vectors. A few large ones are
        better than many.
    count : int
        Wanted, k.
    own : int64 array, shape (m,), or None
        Position of each query in the collection, which is not its own neighbour; -1: it is not in
        it.
    known : Lists or None
        Lists of other parts of the collection, which are merged with those of `blocks`.
    distance : str
        ``euclidean``; ``cosine``: 1 - the cosine of the angle.

    Returns
    -------
    Lists
        Of equally near vectors the one with the smaller position comes first.
    """
    found = known or Lists(
        np.full((len(queries), count), -1, np.int64), np.full((len(queries), count), np.inf)
    )
    mine = np.full(len(queries), -1, np.int64) if own is None else own
    positions, distances = found.positions.copy(), found.distances.copy()
    for places, block in blocks:
        size = max(_COLUMNS, _PIECE_BYTES // (4 * max(1, block.shape[1])))
        for start in range(0, len(block), size):
            here = slice(start, start + size)
            piece = _Piece.of(block[here], places[here], count)
            for row in range(0, len(queries), _ROWS):
                here = slice(row, row + _ROWS)
                lists = Lists(positions[here], distances[here])
                better = _of_piece(
                    queries[here], piece, count, own=mine[here], known=lists, distance=distance
                )
                positions[here], distances[here] = better.positions, better.distances
    return Lists(positions, distances)


def merged(left: Lists, right: Lists, count: int) -> Lists:
    """Return the nearest of two lists of each of m queries, over different vectors."""
    positions = np.concatenate([left.positions, right.positions], axis=1)
    distances = np.concatenate([left.distances, right.distances], axis=1)
    # lists that are in order already take a stable sort little; equal distances are seldom
    order = np.argsort(distances, axis=1, kind="stable")
    first = np.arange(len(order))[:, None] * order.shape[1]
    ranked = distances.ravel()[order + first]
    alike = (ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])
    tied = np.flatnonzero(alike.any(axis=1))
    order[tied] = np.lexsort((positions[tied], distances[tied]), axis=1)
    chosen = order[:, :count] + first
    return Lists(positions.ravel()[chosen], distances.ravel()[chosen])


@dataclass(frozen=True)
class _Piece:
    """Vectors of the collection, as products take them.

    Attributes
    ----------
    vectors : float32 array, shape (n, d)
    positions : int64 array, shape (n,)
        In the collection, ascending.
    centre : float64 array, shape (d,)
        The middle of the vectors. Products are of vectors from there: what all have in common would
        only make their errors larger.
    augmented : float32 array, shape (c, d + 1)
        A vector v a row, and minus half its squared length: the product with (q, 1) is
        (|q|^2 - |q - v|^2) / 2. Filled up with rows that are near to nobody.
    longest : float
        Length of the longest vector, from the centre.
    """

    vectors: NDArray[np.float32]
    positions: NDArray[np.int64]
    centre: NDArray[np.float64]
    augmented: NDArray[np.float32]
    longest: float

    @classmethod
    def of(cls, vectors: NDArray[np.float32], positions: NDArray[np.int64], count: int) -> _Piece:
        """Prepare vectors, without copies that nobody's list of length `count` can hold."""
        kept = _not_copied_often(vectors, count + 1)
        if len(kept) < len(vectors):
            vectors, positions = vectors[kept], positions[kept]
        width = -(-len(kept) // _COLUMNS) * _COLUMNS
        augmented = np.zeros((width, vectors.shape[1] + 1), np.float32)
        centre = vectors.mean(axis=0, dtype=np.float64)
        shifted, squares = _shifted(vectors, centre)
        augmented[: len(kept), :-1] = shifted
        augmented[:, -1] = _NEVER
        augmented[: len(kept), -1] = -squares / 2
        longest = float(np.sqrt(squares.max(initial=0.0)))
        return cls(vectors, positions, centre, augmented, longest)


def _shifted(
    vectors: NDArray[np.float32], centre: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return vectors from a centre, rounded, and their squared lengths."""
    found, squares = np.empty_like(vectors), np.empty(len(vectors))
    for first in range(0, len(vectors), _PAIRS):
        here = slice(first, first + _PAIRS)
        exact = vectors[here] - centre
        found[here], squares[here] = exact, np.einsum("ij,ij->i", exact, exact)
    return found, squares


def _not_copied_often(vectors: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    """Return the numbers of the vectors that have fewer than `most` equal ones before them.

    Equal vectors are equally near to everybody: only the first can be in a list. Without this,
    thousands of black images would all be compared with each other, pair by pair.
    """
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    factors = np.random.default_rng(1).integers(1, 2**31, bits.shape[1], np.uint32)
    sums = (bits * (2 * factors + 1)).sum(axis=1, dtype=np.uint32)
    order = np.argsort(sums, kind="stable")
    alike = np.flatnonzero(sums[order[1:]] == sums[order[:-1]])
    same = np.zeros(len(vectors), np.bool_)
    same[alike + 1] = (vectors[order[alike + 1]] == vectors[order[alike]]).all(axis=1)
    if int(same.sum()) < most:
        return np.arange(len(vectors))
    starts = np.flatnonzero(~same)
    number = np.arange(len(vectors)) - np.repeat(starts, np.diff(np.append(starts, len(vectors))))
    return np.sort(order[number < most])


def _of_piece(
    queries: NDArray[np.float32],
    piece: _Piece,
    count: int,
    *,
    own: NDArray[np.int64],
    known: Lists,
    distance: str,
) -> Lists:
    """Return the lists of up to `_ROWS` queries with what a piece adds to them."""
    rows = len(queries)
    shifted, squares = _shifted(queries, piece.centre)
    # of sums of d + 1 products, in whatever order (Higham 2002, 3.1), and of the last factor
    margin = (queries.shape[1] + 8) * _UNIT * 1.01
    margin *= np.sqrt(squares) * piece.longest + piece.longest**2 / 2
    reach = known.distances[:, -1] * (2 if distance == "cosine" else known.distances[:, -1])
    with np.errstate(invalid="ignore"):
        floor = (squares - reach * (1 + 1e-12)) / 2 - margin
    near = _Near(rows, count + 1, margin, np.maximum(floor, np.float64(_NEVER) / 2))
    augmented = np.ones((queries.shape[1] + 1, rows), np.float32)
    augmented[:-1] = shifted.T
    room = np.empty((_COLUMNS, rows), np.float32)
    pruned_at = _COLUMNS
    for first in range(0, len(piece.augmented), _COLUMNS):
        np.matmul(piece.augmented[first : first + _COLUMNS], augmented, out=room)
        near.add(room, first)
        if first + _COLUMNS >= pruned_at:
            near.prune()
            pruned_at *= 2
    near.prune()
    return _exact(queries, piece, near, count, own=own, known=known, distance=distance)


class _Near:
    """Who may be among the nearest of some queries, by products with a margin of error.

    Attributes
    ----------
    scores : float32 array, shape (m, w)
        Products; `_NEVER` where a row has fewer.
    columns : int64 array, shape (m, w)
        Of the piece.
    """

    def __init__(
        self, rows: int, count: int, margin: NDArray[np.float64], floor: NDArray[np.float64]
    ) -> None:
        self._count, self._margin = count, margin
        self._floor = floor.astype(np.float32)
        self._held = np.zeros(rows, np.int64)
        self._is_known = bool((floor > _NEVER / 2).all())  # by lists that are full already
        width = count if self._is_known else 4 * count
        self.scores = np.full((rows, width), _NEVER, np.float32)
        self.columns = np.zeros((rows, width), np.int64)

    def add(self, products: NDArray[np.float32], first: int) -> None:
        """Look at a block of products, shape (c, m), with the vectors from `first` on."""
        if not (self._is_known or self._held.any()):
            self._guess_floor(products)
        hit, row = np.divmod(np.flatnonzero(products >= self._floor), len(self._floor))
        order = np.argsort(row.astype(np.int16), kind="stable")  # a radix sort
        hit, row = hit[order], row[order]
        self._append(row, hit + first, products[hit, row])

    def _guess_floor(self, products: NDArray[np.float32]) -> None:
        """Drop most of a first block: the k-th best group holds as good a vector as the k-th."""
        width = len(products) >> _GROUP_BITS
        best = products.reshape(-1, width, products.shape[1]).max(axis=0)
        if width >= self._count:
            self._raise_floor(np.partition(best, width - self._count, axis=0)[width - self._count])

    def _raise_floor(self, kth: NDArray[np.float32]) -> None:
        floor = np.nextafter((kth - 2 * self._margin).astype(np.float32), _NEVER)
        np.maximum(self._floor, floor, out=self._floor)

    def _append(
        self, row: NDArray[np.intp], columns: NDArray[np.intp], values: NDArray[np.float32]
    ) -> None:
        added = np.bincount(row, minlength=len(self._held))
        wanted = int((self._held + added).max(initial=0))
        if wanted > self.scores.shape[1]:
            more = ((0, 0), (0, wanted + self._count - self.scores.shape[1]))
            self.scores = np.pad(self.scores, more, constant_values=_NEVER)
            self.columns = np.pad(self.columns, more)
        starts = np.cumsum(added) - added
        place = self._held[row] + np.arange(len(row)) - starts[row]
        self.scores[row, place] = values
        self.columns[row, place] = columns
        self._held += added

    def prune(self) -> None:
        """Drop who cannot be among the nearest, as enough others are nearer for sure."""
        if self._held.max(initial=0) < self._count:
            return
        width = self.scores.shape[1]
        kth = np.partition(self.scores, width - self._count, axis=1)[:, width - self._count]
        self._raise_floor(kth)
        row, place = np.nonzero(self.scores >= self._floor[:, None])
        values, columns = self.scores[row, place], self.columns[row, place]
        self.scores.fill(_NEVER)
        self._held[:] = 0
        self._append(row, columns, values)


def _exact(
    queries: NDArray[np.float32],
    piece: _Piece,
    near: _Near,
    count: int,
    *,
    own: NDArray[np.int64],
    known: Lists,
    distance: str,
) -> Lists:
    """Return the nearest among those known and those who may be near, by their true distances."""
    row, place = np.nonzero(near.scores > _NEVER / 2)
    columns = near.columns[row, place]
    positions = piece.positions[columns]
    others = positions != own[row]
    row, place, columns, positions = (a[others] for a in (row, place, columns, positions))
    distances = np.empty(len(row))
    for first in range(0, len(row), _PAIRS):
        pairs = slice(first, first + _PAIRS)
        difference = queries[row[pairs]].astype(np.float64) - piece.vectors[columns[pairs]]
        distances[pairs] = np.einsum("ij,ij->i", difference, difference)
    distances = distances / 2 if distance == "cosine" else np.sqrt(distances)
    found = Lists(known.positions.copy(), known.distances.copy())
    changed, row = np.unique(row, return_inverse=True)  # of a small batch most lists stay
    shape = (len(changed), int(place.max(initial=-1)) + 1)
    added = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
    added.positions[row, place], added.distances[row, place] = positions, distances
    older = Lists(known.positions[changed], known.distances[changed])
    better = merged(older, added, count)
    found.positions[changed], found.distances[changed] = better.positions, better.distances
    return found
