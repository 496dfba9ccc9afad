"""What the mining kernels hand to each other: documents, signatures, sets, links.

Every container checks itself when it is made, and this is the only place where that is done; the
readers of :mod:`minia_spark.smh.wire` add the byte offset to what is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError
from minia_spark.base.ragged import first_difference, offsets_of, row_numbers
from minia_spark.smh.hashing import MAX_EXPANDED_FREQUENCY, MAX_PERMUTATIONS

__all__ = [
    "MAX_STRENGTH",
    "Documents",
    "Links",
    "MalformedError",
    "SetList",
    "Signatures",
    "WordLinks",
]

MAX_STRENGTH = 1 << 20
"""Jaccard similarity 1 as an integer: sums of integers do not depend on their order."""
_U32_MAX = 2**32 - 1


class MalformedError(MiniaError):
    """Arrays that are not what they claim to be.

    Parameters
    ----------
    message : str
        What is wrong.
    row : int or None
        Number of the first offending row (document, signature, set or link), where there is one.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message if row is None else f"{message} (row {row})")
        self.message = message
        self.row = row

    def __reduce__(self) -> tuple[type[MalformedError], tuple[str, int | None]]:
        """Survive the trip from a worker process."""
        return type(self), (self.message, self.row)


@dataclass(frozen=True, eq=False)
class Documents:
    """A batch of documents, each a bag of items.

    Parameters
    ----------
    keys : uint32 array, shape (n,)
        What is hashed for each document; see :func:`minia_spark.smh.hashing.document_key`. Two
        documents may share a key: 32-bit hashes of many names collide.
    offsets : int64 array, shape (n + 1,)
        Document ``i`` holds ``items[offsets[i]:offsets[i + 1]]``; it may be empty.
    items : uint32 array, shape (nnz,)
        Distinct within a document, in any order.
    frequencies : uint32 array, shape (nnz,), optional
        How often the document holds the item, >= 1.

    Raises
    ------
    MalformedError
        When shapes, types or values differ from the above.
    """

    keys: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]
    frequencies: NDArray[np.uint32] | None = None

    def __post_init__(self) -> None:
        _check_array("keys", self.keys, np.uint32, (len(self.offsets) - 1,))
        _check_rows(self.offsets, self.items)
        if self.frequencies is not None:
            _check_array("frequencies", self.frequencies, np.uint32, self.items.shape)
            zero = np.flatnonzero(self.frequencies == 0)
            if zero.size:
                raise MalformedError("a document holds an item 0 times", self._row_of(zero[0]))
        self._check_distinct()

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.keys)

    @staticmethod
    def concatenate(batches: Sequence[Documents]) -> Documents:
        """Join batches, at least one; frequencies stay if all batches have them."""
        if len(batches) == 1:
            return batches[0]
        frequencies = [b.frequencies for b in batches if b.frequencies is not None]
        return Documents(
            np.concatenate([batch.keys for batch in batches]),
            offsets_of(np.concatenate([np.diff(batch.offsets) for batch in batches])),
            np.concatenate([batch.items for batch in batches]),
            np.concatenate(frequencies) if len(frequencies) == len(batches) else None,
        )

    def take(self, kept: NDArray[np.bool_]) -> Documents:
        """Return the documents for which `kept`, shape (n,), is true."""
        sizes = np.diff(self.offsets)
        items = np.repeat(kept, sizes)
        return Documents(
            self.keys[kept],
            offsets_of(sizes[kept]),
            self.items[items],
            None if self.frequencies is None else self.frequencies[items],
        )

    def require(self, *, expand: bool) -> None:
        """Refuse documents that lack what an option needs.

        Raises
        ------
        MalformedError
            When `expand` is on and there are no frequencies or one above the limit.
        """
        if expand and self.frequencies is None:
            raise MalformedError("frequency expansion needs documents with frequencies")
        if expand and self.frequencies is not None:
            large = np.flatnonzero(self.frequencies > MAX_EXPANDED_FREQUENCY)
            if large.size:
                raise MalformedError(
                    f"frequency {self.frequencies[large[0]]} is too large to expand, at most "
                    f"{MAX_EXPANDED_FREQUENCY}",
                    self._row_of(large[0]),
                )

    def _row_of(self, position: int) -> int:
        return int(np.searchsorted(self.offsets, position, side="right")) - 1

    def _check_distinct(self) -> None:
        codes = row_numbers(self.offsets).astype(np.uint64) << np.uint64(32)
        codes |= self.items
        if np.all(codes[1:] > codes[:-1]):  # the usual case: items ascend, no sort needed
            return
        codes.sort()
        twice = codes[1:][codes[1:] == codes[:-1]]
        if twice.size:
            code = int(twice[0])
            raise MalformedError(f"a document holds item {code & _U32_MAX} twice", code >> 32)


@dataclass(frozen=True, eq=False)
class Signatures:
    """Minima of every item under every permutation of the documents.

    Parameters
    ----------
    items : uint32 array, shape (v,)
        Strictly ascending; only items that occur.
    documents : uint32 array, shape (v,)
        Number of documents that hold the item, >= 1.
    occurrences : uint64 array, shape (v,)
        Sum of the item's frequencies, >= ``documents``.
    minima : uint32 array, shape (v, tables * tuple_size)
        Column ``table * tuple_size + position``.
    tuple_size, tables : int
        r and l, both >= 1.

    Raises
    ------
    MalformedError
        When shapes, types or values differ from the above.
    """

    items: NDArray[np.uint32]
    documents: NDArray[np.uint32]
    occurrences: NDArray[np.uint64]
    minima: NDArray[np.uint32]
    tuple_size: int
    tables: int

    def __post_init__(self) -> None:
        _check_settings(self.tuple_size, self.tables)
        shape = self.items.shape
        _check_array("items", self.items, np.uint32, (len(self.items),))
        _check_array("documents", self.documents, np.uint32, shape)
        _check_array("occurrences", self.occurrences, np.uint64, shape)
        _check_array("minima", self.minima, np.uint32, (*shape, self.tables * self.tuple_size))
        descending = np.flatnonzero(self.items[1:] <= self.items[:-1])
        if descending.size:
            raise MalformedError("items do not ascend", int(descending[0]) + 1)
        wrong = np.flatnonzero((self.documents == 0) | (self.occurrences < self.documents))
        if wrong.size:
            raise MalformedError(
                "an item needs at least one document and as many occurrences", int(wrong[0])
            )

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    def take(self, rows: slice) -> Signatures:
        """Return a range of rows (views)."""
        return Signatures(
            self.items[rows],
            self.documents[rows],
            self.occurrences[rows],
            self.minima[rows],
            self.tuple_size,
            self.tables,
        )

    @staticmethod
    def empty(*, tuple_size: int, tables: int) -> Signatures:
        """Return the signatures of a corpus without items."""
        _check_settings(tuple_size, tables)
        none = np.zeros(0, dtype=np.uint32)
        minima = np.zeros((0, tuple_size * tables), dtype=np.uint32)
        return Signatures(none, none, none.astype(np.uint64), minima, tuple_size, tables)

    @staticmethod
    def concatenate(blocks: Sequence[Signatures]) -> Signatures:
        """Join blocks whose items ascend from block to block; at least one block."""
        first = blocks[0]
        if len(blocks) == 1:
            return first
        require_same_shape(blocks)
        return Signatures(
            np.concatenate([block.items for block in blocks]),
            np.concatenate([block.documents for block in blocks]),
            np.concatenate([block.occurrences for block in blocks]),
            np.concatenate([block.minima for block in blocks]),
            first.tuple_size,
            first.tables,
        )


def require_same_shape(parts: Sequence[Signatures]) -> None:
    """Refuse signatures that were made with different settings.

    Raises
    ------
    MalformedError
        When there is no part, or tuple size or number of tables differ.
    """
    if not parts:
        raise MalformedError("there are no signatures to merge")
    kinds = {(part.tuple_size, part.tables) for part in parts}
    if len(kinds) > 1:
        found = "; ".join(f"tuple size {r}, {tables} tables" for r, tables in sorted(kinds))
        raise MalformedError(f"signatures of different settings cannot be merged: {found}")


@dataclass(frozen=True, eq=False)
class SetList:
    """Distinct co-occurring sets in canonical order.

    Canonical order is by size, largest first, then by items, lexicographically; the position of
    a set in it is the set's index.

    Parameters
    ----------
    multiplicities : uint32 array, shape (m,)
        In how many tables the set was found, >= 1.
    offsets : int64 array, shape (m + 1,)
        Set ``i`` is ``items[offsets[i]:offsets[i + 1]]``; no set is empty.
    items : uint32 array, shape (nnz,)
        Strictly ascending within a set.

    Raises
    ------
    MalformedError
        When shapes, types, values or the order differ from the above.
    """

    multiplicities: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]

    def __post_init__(self) -> None:
        _check_array("multiplicities", self.multiplicities, np.uint32, (len(self.offsets) - 1,))
        _check_rows(self.offsets, self.items)
        check_sets(self.multiplicities, self.offsets, self.items)
        sizes = self.sizes
        growing = np.flatnonzero(sizes[1:] > sizes[:-1])
        if growing.size:
            raise MalformedError("sets are not ordered by size", int(growing[0]) + 1)
        left = np.flatnonzero(sizes[1:] == sizes[:-1])
        wrong = left[first_difference(self.offsets, self.items, left, left + 1) >= 0]
        if wrong.size:
            raise MalformedError(
                "sets of equal size do not ascend, or one is there twice", int(wrong[0]) + 1
            )

    def __len__(self) -> int:
        """Return the number of distinct sets."""
        return len(self.multiplicities)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of items of each set: int64 array, shape (m,)."""
        return np.diff(self.offsets)

    @property
    def mined(self) -> int:
        """Number of sets counted with their multiplicities."""
        return int(self.multiplicities.sum(dtype=np.int64))


def check_sets(
    multiplicities: NDArray[np.integer], offsets: NDArray[np.int64], items: NDArray[np.uint32]
) -> None:
    """Refuse sets that are empty, found in no table, or not strictly ascending.

    Raises
    ------
    MalformedError
        Naming the first such set.
    """
    wrong = np.flatnonzero(np.diff(offsets) == 0)
    if wrong.size:
        raise MalformedError("a set is empty", int(wrong[0]))
    wrong = np.flatnonzero(multiplicities == 0)
    if wrong.size:
        raise MalformedError("a set was found in no table", int(wrong[0]))
    rising = items[1:] > items[:-1]
    rising[offsets[1:-1] - 1] = True  # from the last item of a set to the first of the next
    falling = np.flatnonzero(~rising)
    if falling.size:
        row = int(np.searchsorted(offsets, falling[0], side="right")) - 1
        raise MalformedError("the items of a set do not ascend", row)


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of set indices that belong together: the edges of a forest over the sets.

    Parameters
    ----------
    pairs : int64 array, shape (e, 2)
        ``0 <= pairs[:, 0] < pairs[:, 1] < 2**32``.

    Raises
    ------
    MalformedError
        When shape, type or values differ from the above.
    """

    pairs: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check_array("pairs", self.pairs, np.int64, (len(self.pairs), 2))
        low, high = self.pairs[:, 0], self.pairs[:, 1]
        wrong = np.flatnonzero((low < 0) | (low >= high) | (high > _U32_MAX))
        if wrong.size:
            raise MalformedError("a link needs 0 <= a < b", int(wrong[0]))

    def __len__(self) -> int:
        """Return the number of links."""
        return len(self.pairs)

    @staticmethod
    def concatenate(parts: Iterable[Links]) -> Links:
        """Join the links of several ranges of tables; none gives an empty list."""
        return Links(np.concatenate([np.zeros((0, 2), dtype=np.int64), *(p.pairs for p in parts)]))


@dataclass(frozen=True, eq=False)
class WordLinks:
    """Links between words that share more documents than chance explains.

    Parameters
    ----------
    first, second : uint32 arrays, shape (e,)
        Pairs, strictly ascending, ``first < second``.
    strength : int64 array, shape (e,)
        Jaccard similarity of the words' documents in units of 2**-20, 0 to 2**20.
    strong : bool array, shape (e,)
        Whether a structure may start here.

    Raises
    ------
    MalformedError
        When shapes, types or values differ from the above.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    strength: NDArray[np.int64]
    strong: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.first),)
        _check_array("first", self.first, np.uint32, shape)
        _check_array("second", self.second, np.uint32, shape)
        _check_array("strength", self.strength, np.int64, shape)
        _check_array("strong", self.strong, np.bool_, shape)
        wrong = np.flatnonzero(self.first >= self.second)
        if wrong.size:
            raise MalformedError("a link needs first < second", int(wrong[0]))
        codes = self.first.astype(np.uint64) << np.uint64(32) | self.second
        wrong = np.flatnonzero(codes[1:] <= codes[:-1])
        if wrong.size:
            raise MalformedError("links do not ascend", int(wrong[0]) + 1)
        wrong = np.flatnonzero((self.strength < 0) | (self.strength > MAX_STRENGTH))
        if wrong.size:
            raise MalformedError(f"a strength is not within 0..{MAX_STRENGTH}", int(wrong[0]))

    def __len__(self) -> int:
        """Return the number of links."""
        return len(self.first)


def empty_sets() -> SetList:
    """Return a list of no sets."""
    none = np.zeros(0, dtype=np.uint32)
    return SetList(none, offsets_of(none), none)


def _check_settings(tuple_size: int, tables: int) -> None:
    if tuple_size < 1 or tables < 1:
        raise MalformedError(f"tuple size {tuple_size} and number of tables {tables} must be >= 1")
    if tuple_size * tables > MAX_PERMUTATIONS:
        raise MalformedError(
            f"{tables} tables of {tuple_size} are more than {MAX_PERMUTATIONS} permutations"
        )


def _check_array(
    name: str, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = getattr(array, "dtype", type(array).__name__)
        raise MalformedError(f"{name}: expected an array of {dtype.__name__}, got {found}")
    if array.shape != shape:
        raise MalformedError(f"{name}: expected shape {shape}, got {array.shape}")


def _check_rows(offsets: NDArray[np.int64], items: NDArray[np.uint32]) -> None:
    _check_array("offsets", offsets, np.int64, (len(offsets),))
    _check_array("items", items, np.uint32, (len(items),))
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(items):
        raise MalformedError(f"offsets must run from 0 to the number of items, {len(items)}")
    if np.any(offsets[1:] < offsets[:-1]):
        raise MalformedError("offsets must not fall")
