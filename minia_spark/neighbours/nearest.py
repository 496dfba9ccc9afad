"""The nearest vectors of every vector, exactly, and the same bit for bit in whatever pieces.

A product of float32 matrices says who may be near: its errors are bounded, so that everybody within
the bound is kept. The distances of those are then computed in float64, one pair at a time, in an
order that depends on the two vectors alone, and the nearest are chosen by (distance, position). So
neither blocks, nor partitions, nor threads change a bit; and lists of parts of a collection can be
merged into those of the whole. Where new vectors are compared with a collection whose lists are
there, one product tells both: their own lists, and whose lists they belong in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hits", "Lists", "Search", "merged", "nearest", "prepared"]

_ROWS, _COLUMNS = 512, 1024
"""Of a block of products: what the processor's cache holds."""
_GROUP_BITS = 4
"""A first block is looked at in groups of 2**this vectors, of which the best one counts."""
_PIECE_BYTES = 1 << 26
"""Of vectors of the collection that are prepared at once."""
_PAIRS = 1 << 13
"""Pairs whose distances are computed at once."""
_HITS = 1 << 21
"""So many are waited for before those that no list can hold are dropped."""
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

    @classmethod
    def within(cls, reach: NDArray[np.float64], count: int) -> Lists:
        """Return lists of nobody: merged with them, only who is as near as `reach` is listed."""
        shape = (len(reach), count)
        beyond = np.nextafter(reach, np.inf)[:, None]
        return cls(np.full(shape, -1, np.int64), np.broadcast_to(beyond, shape).copy())


@dataclass(frozen=True)
class Hits:
    """Queries that are near enough to vectors of a collection to belong in their lists.

    Attributes
    ----------
    positions : int64 array, shape (h,)
        Of the vectors in the collection, ascending.
    rows : int64 array, shape (h,)
        Of the queries.
    distances : float64 array, shape (h,)
    """

    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.float64]

    @classmethod
    def none(cls) -> Hits:
        """Return no hits."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def nearest(self, count: int, own: NDArray[np.int64]) -> Hits:
        """Return the nearest `count` of each vector, by (distance, position of the query)."""
        order = np.lexsort((own[self.rows], self.distances, self.positions))
        positions = self.positions[order]
        starts = np.flatnonzero(np.diff(positions, prepend=-1))
        sizes = np.diff(np.append(starts, len(positions)))
        kept = np.arange(len(positions)) - np.repeat(starts, sizes) < count
        return Hits(positions[kept], self.rows[order][kept], self.distances[order][kept])

    def __add__(self, other: Hits) -> Hits:
        """Return both."""
        return Hits(
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.distances, other.distances]),
        )


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
    search = Search(queries, count, own=own, known=known, distance=distance)
    for positions, vectors in blocks:
        search.add(positions, vectors)
    return search.lists


class Search:
    """The nearest vectors of some queries in a collection that comes in pieces.

    Parameters
    ----------
    queries, count, own, known, distance
        As of :func:`nearest`.
    """

    def __init__(
        self,
        queries: NDArray[np.float32],
        count: int,
        *,
        own: NDArray[np.int64] | None = None,
        known: Lists | None = None,
        distance: str = "euclidean",
    ) -> None:
        self._queries, self._count, self._distance = queries, count, distance
        self._own = np.full(len(queries), -1, np.int64) if own is None else own
        found = known or Lists.within(np.full(len(queries), np.inf), count)
        self._positions, self._distances = found.positions.copy(), found.distances.copy()

    @property
    def lists(self) -> Lists:
        """The nearest so far."""
        return Lists(self._positions, self._distances)

    def add(
        self,
        positions: NDArray[np.int64],
        vectors: NDArray[np.float32],
        reach: NDArray[np.float64] | None = None,
    ) -> Hits:
        """Look at a piece of the collection.

        Parameters
        ----------
        positions : int64 array, shape (n,)
            Ascending.
        vectors : float32 array, shape (n, d)
            Prepared.
        reach : float64 array, shape (n,), or None
            How far the last one in the list of each vector is: who is as near belongs in it,
            unless others are nearer still. Infinite where the list is not full, minus infinity
            where nobody is wanted. Every query must then have a position of its own, and be new
            to those lists.

        Returns
        -------
        Hits
            Of a vector the nearest `count` at most; none without `reach`.
        """
        told = Hits.none()
        if not len(self._queries):
            return told
        size = max(_COLUMNS, _PIECE_BYTES // (4 * max(1, vectors.shape[1])))
        for start in range(0, len(vectors), size):
            here = slice(start, start + size)
            far = None if reach is None or np.isneginf(reach[here]).all() else reach[here]
            piece = _Piece.of(vectors[here], positions[here], self._count, far)
            waiting = Hits.none()
            for row in range(0, len(self._queries), _ROWS):
                waiting += self._rows_of(slice(row, row + _ROWS), piece)
                if len(waiting.rows) > _HITS:
                    waiting = waiting.nearest(self._count, self._own)
            told += waiting.nearest(self._count, self._own)
        return told

    def _rows_of(self, here: slice, piece: _Piece) -> Hits:
        """Look for the nearest of some queries in a piece."""
        found, hits = _of_piece(
            self._queries[here],
            piece,
            self._count,
            own=self._own[here],
            known=Lists(self._positions[here], self._distances[here]),
            distance=self._distance,
            listed=None if piece.reach is None else self._is_listed[here],
        )
        self._positions[here], self._distances[here] = found.positions, found.distances
        return Hits(hits.positions, hits.rows + here.start, hits.distances)

    @cached_property
    def _is_listed(self) -> NDArray[np.bool_]:
        """Who can be in a list: not the copies of so many that come before them."""
        order = np.argsort(self._own, kind="stable")
        found = np.zeros(len(order), np.bool_)
        found[order[_not_copied_often(self._queries[order], self._count)]] = True
        return found


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
    listed : int
        The first so many can be in lists; after them come copies that cannot, which have lists
        themselves.
    reach : float64 array, shape (n,), or None
        How far the last one in the list of each vector is; None: nobody is wanted in any.
    """

    vectors: NDArray[np.float32]
    positions: NDArray[np.int64]
    centre: NDArray[np.float64]
    augmented: NDArray[np.float32]
    longest: float
    listed: int
    reach: NDArray[np.float64] | None

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.float32],
        positions: NDArray[np.int64],
        count: int,
        reach: NDArray[np.float64] | None,
    ) -> _Piece:
        """Prepare vectors, without copies that nobody's list of length `count` can hold."""
        kept = _not_copied_often(vectors, count + 1)
        listed = len(kept)
        if listed < len(vectors):
            if reach is not None:
                kept = np.concatenate([kept, np.setdiff1d(np.arange(len(vectors)), kept)])
                reach = reach[kept]
            vectors, positions = vectors[kept], positions[kept]
        rows = -(-len(kept) // _COLUMNS) * _COLUMNS
        augmented = np.zeros((rows, vectors.shape[1] + 1), np.float32)
        centre = vectors.mean(axis=0, dtype=np.float64)
        shifted, squares = _shifted(vectors, centre)
        augmented[: len(kept), :-1] = shifted
        augmented[:, -1] = _NEVER
        augmented[: len(kept), -1] = -squares / 2
        longest = float(np.sqrt(squares.max(initial=0.0)))
        return cls(vectors, positions, centre, augmented, longest, listed, reach)


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
    listed: NDArray[np.bool_] | None,
) -> tuple[Lists, Hits]:
    """Return the lists of up to `_ROWS` queries with what a piece adds to them, and its hits."""
    rows = len(queries)
    shifted, squares = _shifted(queries, piece.centre)
    # of sums of d + 1 products, in whatever order (Higham 2002, 3.1), and of the last factor
    margin = (queries.shape[1] + 8) * _UNIT * 1.01
    margin *= np.sqrt(squares) * piece.longest + piece.longest**2 / 2
    reach = _squared(known.distances[:, -1], distance)
    floor = (squares - reach) / 2 - margin
    near = _Near(rows, count + 1, margin, np.maximum(floor, np.float64(_NEVER) / 2))
    wanted = None
    if listed is not None:
        wanted = _Wanted.of(piece, np.where(listed, squares / 2, np.inf), margin.max(), distance)
    augmented = np.ones((queries.shape[1] + 1, rows), np.float32)
    augmented[:-1] = shifted.T
    room = np.empty((_COLUMNS, rows), np.float32)
    pruned_at = _COLUMNS
    for first in range(0, len(piece.augmented), _COLUMNS):
        np.matmul(piece.augmented[first : first + _COLUMNS], augmented, out=room)
        if first < piece.listed:
            near.add(room, first)
        if first + _COLUMNS >= pruned_at:
            near.prune()
            pruned_at *= 2
        if wanted is not None:
            wanted.add(room, first)
    near.prune()
    lists = _exact(queries, piece, near, count, own=own, known=known, distance=distance)
    return lists, Hits.none() if wanted is None else wanted.hits(queries, piece, distance)


def _squared(reach: NDArray[np.float64], distance: str) -> NDArray[np.float64]:
    """Return at least the squared length that a distance stands for; minus infinity stays."""
    return reach * (2 if distance == "cosine" else np.abs(reach)) * (1 + 1e-12)


class _Wanted:
    """Who may belong in the lists of a piece's vectors, by products with a margin of error.

    Attributes
    ----------
    half : float32 array, shape (m,)
        Half the squared lengths |q|^2 of the queries, which products are greater by than
        -|q - v|^2 / 2; infinite for those that no list can hold.
    floor : float32 array, shape (n, 1)
        Least difference, for each vector.
    """

    def __init__(self, half: NDArray[np.float32], floor: NDArray[np.float32]) -> None:
        self._half, self._floor = half, floor
        self._columns: list[NDArray[np.int64]] = []
        self._rows: list[NDArray[np.int64]] = []

    @classmethod
    def of(cls, piece: _Piece, half: NDArray[np.float64], margin: float, distance: str) -> _Wanted:
        """Prepare for some queries, whose products are at most `margin` wrong."""
        assert piece.reach is not None
        largest = half.max(initial=0.0, where=np.isfinite(half))
        # of rounding half a squared length, and of the difference
        margin += 4 * _UNIT * (largest + piece.longest * np.sqrt(2 * largest) + piece.longest**2)
        floor = np.full((len(piece.augmented), 1), np.inf, np.float32)
        wanted = -_squared(piece.reach, distance) / 2 - margin
        floor[: len(wanted), 0] = np.nextafter(wanted.astype(np.float32), _NEVER)
        return cls(half.astype(np.float32), floor)

    def add(self, products: NDArray[np.float32], first: int) -> None:
        """Look at a block of products, shape (c, m), with the vectors from `first` on; spoil it."""
        products -= self._half
        hit = np.flatnonzero(products >= self._floor[first : first + len(products)])
        column, row = np.divmod(hit, len(self._half))
        self._columns.append(column + first)
        self._rows.append(row)

    def hits(self, queries: NDArray[np.float32], piece: _Piece, distance: str) -> Hits:
        """Return those that are as near as they must be, by their true distances."""
        assert piece.reach is not None
        columns, rows = np.concatenate(self._columns), np.concatenate(self._rows)
        distances = _distances(queries, piece.vectors, rows, columns, distance)
        near = distances <= piece.reach[columns]
        return Hits(piece.positions[columns[near]], rows[near], distances[near])


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
    distances = _distances(queries, piece.vectors, row, columns, distance)
    found = Lists(known.positions.copy(), known.distances.copy())
    changed, row = np.unique(row, return_inverse=True)  # of a small batch most lists stay
    shape = (len(changed), int(place.max(initial=-1)) + 1)
    added = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
    added.positions[row, place], added.distances[row, place] = positions, distances
    older = Lists(known.positions[changed], known.distances[changed])
    better = merged(older, added, count)
    found.positions[changed], found.distances[changed] = better.positions, better.distances
    return found


def _distances(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    distance: str,
) -> NDArray[np.float64]:
    """Return the true distances of pairs, each computed by itself."""
    found = np.empty(len(rows))
    for first in range(0, len(rows), _PAIRS):
        pairs = slice(first, first + _PAIRS)
        difference = queries[rows[pairs]].astype(np.float64) - vectors[columns[pairs]]
        found[pairs] = np.einsum("ij,ij->i", difference, difference)
    return found / 2 if distance == "cosine" else np.sqrt(found)
