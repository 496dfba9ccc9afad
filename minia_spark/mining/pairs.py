"""How often words meet: in the tables of a mining, and in the documents themselves.

The share of tables in which two words meet estimates a power of their Jaccard similarity, and with
a few hundred tables it does so badly. But it is a cheap way of finding the few pairs that may
matter among the many that could; these are then counted where there is no chance left, in the
documents. Both counts are integers: they depend on nothing but the sets and the documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import offsets_of, row_numbers
from minia_spark.mining.chance import numbered
from minia_spark.mining.model import ItemRows, incidence
from minia_spark.smh.arrays import MalformedError, SetList
from minia_spark.smh.hashing import fmix32

__all__ = ["WordPairs", "meetings_of_pairs", "shared_documents"]

_PRODUCTS = 1 << 23
"""Pairs of members multiplied out at once."""
_DOCUMENTS = 4096
"""Documents that are one bit each, at once."""
_WORDS_OF_BITS = 1 << 22
"""64-bit words of two bit rows compared at once."""


@dataclass(frozen=True, eq=False)
class WordPairs:
    """Pairs of words.

    Parameters
    ----------
    first, second : uint32 arrays, shape (p,)
        ``first < second``; pairs ascend strictly by first, then by second word.
    meetings : int64 array, shape (p,)
        In how many tables the pair met, >= 1.

    Raises
    ------
    MalformedError
        When shapes, types, values or the order differ from the above.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    meetings: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.first.dtype == self.second.dtype == np.uint32:
            raise MalformedError("the words of pairs must be uint32")
        if not self.first.shape == self.second.shape == self.meetings.shape:
            raise MalformedError("words and meetings of pairs do not fit together")
        wrong = np.flatnonzero(self.first >= self.second)
        if wrong.size:
            raise MalformedError("a pair needs first < second", int(wrong[0]))
        codes = (self.first.astype(np.uint64) << np.uint64(32)) | self.second
        wrong = np.flatnonzero(codes[1:] <= codes[:-1])
        if wrong.size:
            raise MalformedError("pairs do not ascend", int(wrong[0]) + 1)
        if self.meetings.min(initial=1) < 1:
            raise MalformedError("a pair never met", int(self.meetings.argmin()))

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)

    @staticmethod
    def concatenate(blocks: Iterable[WordPairs]) -> WordPairs:
        """Join blocks that ascend from one to the next; none gives no pairs."""
        held = list(blocks)
        none = np.zeros(0, dtype=np.uint32)
        return WordPairs(
            np.concatenate([none, *(block.first for block in held)]),
            np.concatenate([none, *(block.second for block in held)]),
            np.concatenate([none.astype(np.int64), *(block.meetings for block in held)]),
        )

    @staticmethod
    def union(parts: Sequence[WordPairs]) -> tuple[WordPairs, list[NDArray[np.int64]]]:
        """Put pairs of several minings together, each once.

        Parameters
        ----------
        parts : sequence of WordPairs

        Returns
        -------
        union : WordPairs
            Meetings are summed.
        places : list of int64 arrays
            Where the pairs of each part are in the union.
        """
        codes = [(p.first.astype(np.uint64) << np.uint64(32)) | p.second for p in parts]
        every = np.concatenate([np.zeros(0, np.uint64), *codes])
        distinct, at = np.unique(every, return_inverse=True)
        meetings = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(
            meetings, at, np.concatenate([np.zeros(0, np.int64), *(p.meetings for p in parts)])
        )
        first = (distinct >> np.uint64(32)).astype(np.uint32)
        union = WordPairs(first, distinct.astype(np.uint32), meetings)
        return union, np.split(at, np.cumsum([len(p) for p in parts])[:-1]) if parts else []

    def take(self, kept: NDArray[np.bool_]) -> WordPairs:
        """Return the pairs for which `kept`, shape (p,), is true."""
        return WordPairs(self.first[kept], self.second[kept], self.meetings[kept])


def meetings_of_pairs(
    sets: SetList, *, min_meetings: int = 2, max_products: int = 1 << 28
) -> Iterator[WordPairs]:
    """Count in how many tables pairs of words were in the same set.

    Parameters
    ----------
    sets : SetList
        Of all tables.
    min_meetings : int
        Pairs that met less often are left out, >= 1.
    max_products : int
        Bound of the work, the sum of the sets' squared sizes. Where it is larger, large sets are
        cut at random (by hashes of their words) into parts of a size that keeps it, and what
        meets in a part counts as often as makes the sum right on average.

    Yields
    ------
    WordPairs
        In ascending order, in blocks: there may be many more pairs than will be of use.

    Raises
    ------
    SettingsError
        When `min_meetings` or `max_products` is below 1.
    """
    if min_meetings < 1 or max_products < 1:
        raise SettingsError(
            f"min_meetings and max_products must be at least 1, got {min_meetings}, {max_products}"
        )
    offsets, items, weights = _cut(sets, max_products)
    distinct, at = numbered(items, int(items.max(initial=0)) + 1)
    columns = distinct.astype(np.uint32)
    sizes = np.diff(offsets)
    shape = (len(sizes), len(columns))
    member = csr_array((np.ones(len(at), np.int64), at, offsets), shape=shape)
    counted = csr_array((np.repeat(weights, sizes), at, offsets), shape=shape)
    by_word = member.T.tocsr()
    # a block of words at a time: this bounds what the product holds before the rare are dropped
    work = offsets_of(np.asarray(by_word @ sizes))
    start = 0
    while start < len(columns):
        stop = int(np.searchsorted(work, work[start] + _PRODUCTS, side="right")) - 1
        stop = min(max(stop, start + 1), len(columns))
        met = (by_word[start:stop] @ counted).tocsr()
        rows = row_numbers(met.indptr.astype(np.int64)) + start
        kept = np.flatnonzero((met.indices > rows) & (met.data >= min_meetings))
        ends = offsets_of(np.bincount(rows[kept] - start, minlength=stop - start))
        upper = csr_array((met.data[kept], met.indices[kept], ends), shape=met.shape)
        ordered = upper.tocsc().tocsr()  # columns ascend within a row, and no sort is needed
        first = columns[start + row_numbers(ordered.indptr.astype(np.int64))]
        yield WordPairs(first, columns[ordered.indices], ordered.data)
        start = stop


def _cut(
    sets: SetList, max_products: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """Cut sets into parts: offsets, items and the weight of each part."""
    sizes = sets.sizes
    limit = int(sizes.max(initial=2))
    while limit > 2 and int((sizes * np.minimum(sizes, limit)).sum()) > max_products:
        limit //= 2
    limit = max(limit, 2)
    if limit >= sizes.max(initial=0):
        return sets.offsets, sets.items, sets.multiplicities.astype(np.int64)
    parts = -(-sizes // limit)
    # the order of a cut set's words is drawn from the set itself, so that it is the same wherever
    # and with whatever other sets it is counted; uncut sets keep theirs
    owners = row_numbers(sets.offsets)
    salts = np.zeros(len(owners), dtype=np.uint32)
    if len(sets):
        salts = fmix32(np.bitwise_xor.reduceat(fmix32(sets.items), sets.offsets[:-1]))[owners]
    drawn = np.where((parts > 1)[owners], fmix32(sets.items ^ salts), np.uint32(0))
    order = np.lexsort((sets.items, drawn, owners))
    # n words in k parts: the first n % k parts have one more
    which = row_numbers(offsets_of(parts))
    number = np.arange(len(which), dtype=np.int64) - offsets_of(parts)[which]
    lengths = sizes[which] // parts[which] + (number < sizes[which] % parts[which])
    pairs_within = np.zeros(len(sets), dtype=np.int64)
    np.add.at(pairs_within, which, lengths * (lengths - 1))
    scale = np.maximum(1, (sizes * (sizes - 1)) // np.maximum(1, pairs_within))
    weights = sets.multiplicities.astype(np.int64) * scale
    return offsets_of(lengths), sets.items[order], weights[which]


def shared_documents(documents: ItemRows, pairs: WordPairs) -> NDArray[np.int64]:
    """Count the documents that hold both words of each pair.

    Parameters
    ----------
    documents : ItemRows
        n documents, words distinct within one.
    pairs : WordPairs

    Returns
    -------
    int64 array, shape (p,)
        Counts of pieces of a collection add up.

    Raises
    ------
    MiniaError
        When there are more than 2**31 - 1 different words in the pairs.

    Notes
    -----
    A document is a bit in the row of each of its words, and a pair is counted by the bits that
    two rows share: n / 64 operations a pair, whatever the number of words in a document.
    """
    words = np.unique(np.concatenate([pairs.first, pairs.second]))
    if len(words) > np.iinfo(np.int32).max:
        raise MiniaError(f"{len(words)} different words are more than can be counted at once")
    left = np.searchsorted(words, pairs.first)
    right = np.searchsorted(words, pairs.second)
    total = np.zeros(len(pairs), dtype=np.int64)
    count = len(documents.offsets) - 1
    for start in range(0, count if len(pairs) else 0, _DOCUMENTS):
        stop = min(start + _DOCUMENTS, count)
        bits = _bit_rows(documents, start, stop, words)
        there = np.bitwise_or.reduce(bits, axis=1) != 0
        asked = np.flatnonzero(there[left] & there[right])
        step = max(1, _WORDS_OF_BITS // bits.shape[1])
        for begin in range(0, len(asked), step):
            some = asked[begin : begin + step]
            both = np.bitwise_count(bits[left[some]] & bits[right[some]])
            total[some] += both.sum(axis=1, dtype=np.int64)
    return total


@dataclass(frozen=True, eq=False)
class _Rows:
    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]


def _bit_rows(
    documents: ItemRows, start: int, stop: int, words: NDArray[np.uint32]
) -> NDArray[np.uint64]:
    """Return which of the documents hold each word: shape (v, ceil((stop - start) / 64))."""
    offsets = documents.offsets[start : stop + 1]
    rows = _Rows(offsets - offsets[0], documents.items[offsets[0] : offsets[-1]])
    held = incidence(rows, words).tocoo()
    bits = np.zeros((len(words), -(-(stop - start) // 64)), dtype=np.uint64)
    ones = np.uint64(1) << (held.row % 64).astype(np.uint64)
    np.bitwise_or.at(bits, (held.col, held.row // 64), ones)
    return bits
