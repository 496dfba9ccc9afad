"""Sampled Min-Hashing in NumPy over datasketch: the engine that needs no compiler.

The same results as the native engine, bit for bit, from an independent implementation: it is the
fallback, and what the native engine is validated with. Method: G. Fuentes-Pineda and I. V.
Meza-Ruiz, "Topic discovery in massive text corpora based on Min-Hashing", Expert Systems with
Applications 136 (2019) 62-72; the mergeable hashing is that of :mod:`minia_spark.smh.hashing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import offsets_of, positions_of_rows, row_numbers
from minia_spark.smh.arrays import (
    Documents,
    Links,
    SetList,
    Signatures,
    empty_sets,
    require_same_shape,
)
from minia_spark.smh.growth import grow_groups
from minia_spark.smh.hashing import (
    DEFAULT_SEED,
    affine,
    permutations,
    replica_keys,
)
from minia_spark.smh.interface import Engine
from minia_spark.smh.links import components, spanning_forest
from minia_spark.smh.sets import canonical_sets, check_table_range, equal_rows, merge_sets

__all__ = ["DatasketchEngine", "cluster_sets", "merge_signatures", "mine_sets", "sketch_batch"]

_U32_MAX = 2**32 - 1
_CELLS = 1 << 18
"""Hash values computed at once: 1 MiB, which stays in a core's cache."""
_POSTINGS = 1 << 22
"""Postings (document, item) sketched at once, and set members or pairs held before merging."""
_BLOCK_BYTES = 1 << 26


def sketch_batch(
    batch: Documents,
    *,
    tuple_size: int,
    tables: int,
    seed: int = DEFAULT_SEED,
    expand: bool = False,
    table_range: tuple[int, int] | None = None,
) -> Signatures:
    """Sketch the items of a batch of documents.

    Parameters
    ----------
    batch : Documents
    tuple_size, tables : int
        r and l; r * l permutations are drawn.
    seed : int
    expand : bool
        Hash (document, replica) pairs, as many as the item's frequency; estimates the Jaccard
        similarity of multisets.
    table_range : (begin, end), optional
        Tables ``begin <= t < end``, at least one; all by default.

    Returns
    -------
    Signatures
        The given tables, numbered from 0, with the minima that they have among all tables.
        Every row of minima is the state of a :class:`datasketch.MinHash` that was
        updated with the item's document keys.

    Raises
    ------
    MalformedError
        When `expand` needs something that the documents lack.
    SettingsError
        When seed, number of permutations or range of tables is out of range.
    """
    batch.require(expand=expand)
    drawn = permutations(seed, tuple_size=tuple_size, tables=tables)
    first, beyond = check_table_range(table_range, tables, may_be_empty=False)
    drawn = drawn[:, first * tuple_size : beyond * tuple_size]
    if len(batch.items) == 0:
        return Signatures.empty(tuple_size=tuple_size, tables=beyond - first)
    order = np.argsort(batch.items, kind="stable")
    rows = row_numbers(batch.offsets)[order]
    items, starts = np.unique(batch.items[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    documents = (ends - starts).astype(np.uint32)
    occurrences = documents.astype(np.uint64)
    frequencies = None
    if expand and batch.frequencies is not None:
        frequencies = batch.frequencies[order]
        occurrences = np.add.reduceat(frequencies, starts, dtype=np.uint64)
    minima = np.zeros((len(items), drawn.shape[1]), dtype=np.uint32)
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        members = _Members(
            batch.keys[rows[start:end]],
            None if frequencies is None else frequencies[start:end],
        )
        minima[row] = members.datasketch(drawn, seed).hashvalues
    return Signatures(items, documents, occurrences, minima, tuple_size, beyond - first)


@dataclass(frozen=True)
class _Members:
    """The documents of one item."""

    keys: NDArray[np.uint32]
    frequencies: NDArray[np.uint32] | None

    def pieces(self, hashes: int) -> Iterator[NDArray[np.uint32]]:
        """Yield the keys to be hashed, few enough for the cache."""
        ones = np.ones(len(self.keys), dtype=np.uint32)
        counts = ones if self.frequencies is None else self.frequencies
        yield from replica_keys(self.keys, counts, limit=max(1, _CELLS // hashes))

    def datasketch(self, drawn: NDArray[np.uint32], seed: int) -> MinHash:
        """Return the MinHash of the keys."""
        sketch = MinHash(
            num_perm=drawn.shape[1],
            seed=seed,
            hashfunc=int,  # the keys are hashes already
            permutations=drawn,
            scheme="affine32",
        )
        for keys in self.pieces(drawn.shape[1]):
            sketch.update_batch(keys.tolist())
        return sketch


def _joined(batches: Iterable[Documents], postings: int) -> Iterator[Documents]:
    """Join batches until they hold the given number of postings."""
    pending: list[Documents] = []
    held = 0
    for batch in batches:
        pending.append(batch)
        held += len(batch.items)
        if held >= postings:
            yield Documents.concatenate(pending)
            pending, held = [], 0
    if pending:
        yield Documents.concatenate(pending)


def merge_signatures(parts: Sequence[Signatures]) -> Signatures:
    """Merge the signatures of disjoint parts of a corpus.

    Parameters
    ----------
    parts : sequence of Signatures
        At least one, all of the same settings; the order is immaterial.

    Returns
    -------
    Signatures
        Element-wise minima; documents and occurrences are added.

    Raises
    ------
    MalformedError
        When there is nothing to merge or the settings differ.
    MiniaError
        When an item is in more than 2**32 - 1 documents, or occurs more than 2**64 - 1 times.
    """
    require_same_shape(parts)
    filled = [part for part in parts if len(part)]
    if len(filled) <= 1:
        return filled[0] if filled else parts[0]
    first = filled[0]
    items = np.unique(np.concatenate([part.items for part in filled]))
    minima = np.full((len(items), first.minima.shape[1]), _U32_MAX, dtype=np.uint32)
    documents = np.zeros(len(items), dtype=np.uint64)
    occurrences = np.zeros(len(items), dtype=np.uint64)
    for part in filled:
        rows = np.searchsorted(items, part.items)
        minima[rows] = np.minimum(minima[rows], part.minima)
        documents[rows] += part.documents
        occurrences[rows] += part.occurrences
        wrapped = np.flatnonzero(occurrences[rows] < part.occurrences)
        if wrapped.size:
            raise MiniaError(f"item {part.items[wrapped[0]]} occurs more than {2**64 - 1} times")
    if documents.max() > _U32_MAX:
        raise MiniaError(f"item {items[documents.argmax()]} is in more than {_U32_MAX} documents")
    return Signatures(
        items,
        documents.astype(np.uint32),
        occurrences,
        minima,
        first.tuple_size,
        first.tables,
    )


def mine_sets(
    signatures: Signatures, *, min_set_size: int = 3, table_range: tuple[int, int] | None = None
) -> SetList:
    """Group items with equal tuples of minima, table by table.

    Parameters
    ----------
    signatures : Signatures
    min_set_size : int
        Sets of fewer items are dropped, >= 1.
    table_range : (begin, end), optional
        Tables ``begin <= t < end``; all by default. The results of ranges are put together by
        :func:`minia_spark.smh.sets.merge_sets`.

    Returns
    -------
    SetList
        Equal sets of several tables once, with their number.

    Raises
    ------
    SettingsError
        When `min_set_size` or `table_range` is out of range.
    """
    begin, end = check_table_range(table_range, signatures.tables)
    if min_set_size < 1:
        raise SettingsError(f"min_set_size must be at least 1, got {min_set_size}")
    found = empty_sets()
    sizes: list[NDArray[np.int64]] = []
    members: list[NDArray[np.uint32]] = []
    held = 0
    for table in range(begin, end):
        columns = slice(table * signatures.tuple_size, (table + 1) * signatures.tuple_size)
        order, groups = equal_rows(signatures.minima[:, columns])
        large = np.flatnonzero(np.diff(groups) >= min_set_size)
        offsets, places = positions_of_rows(groups, large)
        sizes.append(np.diff(offsets))
        members.append(signatures.items[order[places]])
        held += len(places)
        if held >= _POSTINGS or table == end - 1:
            found = merge_sets([found, _once(sizes, members)])
            sizes, members, held = [], [], 0
    return found


def _once(sizes: list[NDArray[np.int64]], members: list[NDArray[np.uint32]]) -> SetList:
    offsets = offsets_of(np.concatenate(sizes))
    ones = np.ones(len(offsets) - 1, dtype=np.uint32)
    return canonical_sets(ones, offsets, np.concatenate(members))


def cluster_sets(
    sets: SetList,
    *,
    tuple_size: int = 3,
    tables: int = 255,
    overlap: float = 0.7,
    seed: int = DEFAULT_SEED,
    table_range: tuple[int, int] | None = None,
) -> Links:
    """Link sets that meet in a bucket and overlap.

    In every table the sets with equal tuples of MinHashes (over their items) form a bucket. The
    first of them in canonical order is the hub; each other one whose overlap with the hub,
    ``|A & B| / min(|A|, |B|)``, exceeds `overlap` is linked to it.

    Parameters
    ----------
    sets : SetList
    tuple_size, tables : int
        r and l of the clustering.
    overlap : float
        0 to 1.
    seed : int
        The seed of the *mining*; its successor draws the permutations here.
    table_range : (begin, end), optional
        Tables ``begin <= t < end``; all by default.

    Returns
    -------
    Links
        A spanning forest of all the links: the same components, at most m - 1 pairs.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    """
    begin, end = check_table_range(table_range, tables)
    if not 0.0 <= overlap <= 1.0:
        raise SettingsError(f"overlap must be within 0..1, got {overlap}")
    drawn = permutations((seed + 1) % 2**32, tuple_size=tuple_size, tables=tables)
    if len(sets) == 0:
        return Links.concatenate([])
    items, columns = np.unique(sets.items, return_inverse=True)
    codes = (row_numbers(sets.offsets).astype(np.uint64) << np.uint64(32)) | sets.items
    labels = np.arange(len(sets), dtype=np.int64)
    links = Links.concatenate([])
    for table in range(begin, end):
        functions = drawn[:, table * tuple_size : (table + 1) * tuple_size]
        values = affine(items, functions).T
        minima = [np.minimum.reduceat(column[columns], sets.offsets[:-1]) for column in values]
        pairs = _hub_pairs(np.stack(minima, axis=1))
        pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        pairs = pairs[_overlaps(sets, codes, pairs) > overlap]
        if len(pairs):
            links = Links(np.concatenate([links.pairs, pairs]))
            labels = components(len(sets), links)
    return spanning_forest(len(sets), links)


def _hub_pairs(tuples: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return (hub, member) of every bucket: int64 array, shape (k, 2), hub < member."""
    order, groups = equal_rows(tuples)
    hubs = np.repeat(order[groups[:-1]], np.diff(groups))
    others = hubs != order
    return np.stack([hubs[others], order[others]], axis=1)


def _overlaps(
    sets: SetList, codes: NDArray[np.uint64], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Overlap coefficients of pairs of sets; the second of a pair is the smaller one."""
    smaller = sets.sizes[pairs[:, 1]]
    common = np.zeros(len(pairs), dtype=np.int64)
    ends = np.cumsum(smaller)
    start = 0
    while start < len(pairs):
        before = ends[start] - smaller[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _POSTINGS)))
        offsets, places = positions_of_rows(sets.offsets, pairs[start:stop, 1])
        hubs = np.repeat(pairs[start:stop, 0].astype(np.uint64), np.diff(offsets))
        wanted = (hubs << np.uint64(32)) | sets.items[places]
        at = np.searchsorted(codes, wanted)  # within bounds: a hub comes before the last set
        common[start:stop] = np.add.reduceat(codes[at] == wanted, offsets[:-1], dtype=np.int64)
        start = stop
    shares: NDArray[np.float64] = common / smaller
    return shares


class DatasketchEngine(Engine):
    """The engine over datasketch; see :class:`minia_spark.smh.interface.Engine`."""

    name = "datasketch"

    def sketch_blocks(
        self,
        batches: Iterable[Documents],
        *,
        tuple_size: int,
        tables: int,
        seed: int = DEFAULT_SEED,
        expand: bool = False,
        table_range: tuple[int, int] | None = None,
    ) -> Iterator[Signatures]:
        """Yield the signatures of documents in blocks of ascending items; at least one block."""
        options = {"tuple_size": tuple_size, "tables": tables, "seed": seed}
        # bad settings are found before the first document is drawn
        permutations(**options)
        begin, end = check_table_range(table_range, tables, may_be_empty=False)
        total = Signatures.empty(tuple_size=tuple_size, tables=end - begin)
        for batch in _joined(batches, _POSTINGS):
            part = sketch_batch(batch, expand=expand, table_range=(begin, end), **options)
            total = merge_signatures([total, part])
        step = max(1, _BLOCK_BYTES // (4 * tuple_size * (end - begin)))
        for start in range(0, max(1, len(total)), step):
            yield total.take(slice(start, start + step))

    mine = staticmethod(mine_sets)
    cluster = staticmethod(cluster_sets)
    grow = staticmethod(grow_groups)
