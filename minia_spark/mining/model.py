"""From sets and links to structures, and how two models compare.

A structure is the union of the sets of one cluster; an item's frequency is the number of the
cluster's sets that hold it, equal sets found in several tables counting each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import positions_of_rows, row_numbers
from minia_spark.smh.arrays import Links, MalformedError, SetList
from minia_spark.smh.links import components

__all__ = [
    "ItemRows",
    "SingleLink",
    "Structures",
    "best_matches",
    "build_structures",
    "cross_recall",
    "incidence",
    "order_of",
    "ordered_structures",
]

_U32_MAX = 2**32 - 1


class ItemRows(Protocol):
    """Anything whose rows hold items: structures, sets, the bags of a text file."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Row ``i`` is ``items[offsets[i]:offsets[i + 1]]``."""

    @property
    def items(self) -> NDArray[np.uint32]:
        """Items, row after row."""


@dataclass(frozen=True)
class SingleLink:
    """How sets become structures by chaining those that overlap, as in the reference program.

    Parameters
    ----------
    tuple_size, tables : int
        Of the clustering.
    overlap : float
    min_cluster_size : int
        See :func:`build_structures`.
    """

    tuple_size: int = 3
    tables: int = 255
    overlap: float = 0.7
    min_cluster_size: int = 3


@dataclass(frozen=True, eq=False)
class Structures:
    """What was mined.

    Parameters
    ----------
    offsets : int64 array, shape (k + 1,)
        Structure ``i`` holds ``items[offsets[i]:offsets[i + 1]]``.
    items : uint32 array, shape (nnz,)
        By falling frequency, equal frequencies by ascending item.
    frequencies : uint32 array, shape (nnz,)
        Number of the structure's sets that hold the item, >= 1.
    sets : int64 array, shape (k,)
        Number of sets of the structure, with multiplicities.

    Raises
    ------
    MalformedError
        When the shapes do not fit.

    Notes
    -----
    Structures are ordered by number of sets (most first), then by number of items (most first),
    then by their lists of items, lexicographically.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]
    frequencies: NDArray[np.uint32]
    sets: NDArray[np.int64]

    def __post_init__(self) -> None:
        fits = len(self.offsets) == len(self.sets) + 1
        if not fits or not len(self.items) == len(self.frequencies) == self.offsets[-1]:
            raise MalformedError("offsets, items, frequencies and sets do not fit together")

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.sets)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of items of each structure: int64 array, shape (k,)."""
        return np.diff(self.offsets)


def build_structures(sets: SetList, links: Links, *, min_cluster_size: int = 3) -> Structures:
    """Make structures of the clusters that links form.

    Parameters
    ----------
    sets : SetList
    links : Links
        Of all cluster tables, in any order.
    min_cluster_size : int
        Clusters of fewer sets are dropped, equal sets of several tables counting each time; >= 1.

    Returns
    -------
    Structures

    Raises
    ------
    SettingsError
        When `min_cluster_size` is below 1.
    MalformedError
        When a link names a set that does not exist.
    MiniaError
        When a frequency exceeds 2**32 - 1.
    """
    if min_cluster_size < 1:
        raise SettingsError(f"min_cluster_size must be at least 1, got {min_cluster_size}")
    labels = components(len(sets), links)
    # sums of integers below 2**53 are exact in the float64 of bincount
    sizes = np.bincount(labels, weights=sets.multiplicities, minlength=len(sets)).astype(np.int64)
    held = row_numbers(sets.offsets)
    held = held[sizes[labels[held]] >= min_cluster_size]
    _, places = positions_of_rows(sets.offsets, np.flatnonzero(sizes[labels] >= min_cluster_size))
    codes = (labels[held].astype(np.uint64) << np.uint64(32)) | sets.items[places]
    distinct, entries = np.unique(codes, return_inverse=True)
    counts = np.bincount(entries, weights=sets.multiplicities[held], minlength=len(distinct))
    counts = counts.astype(np.int64)
    if counts.max(initial=0) > _U32_MAX:
        raise MiniaError(f"an item is in {counts.max()} sets of a cluster, more than {_U32_MAX}")
    clusters = (distinct >> np.uint64(32)).astype(np.int64)
    items = (distinct & np.uint64(_U32_MAX)).astype(np.uint32)
    order = np.lexsort((items, -counts, clusters))  # clusters keep their ranges
    names, starts = np.unique(clusters, return_index=True)
    offsets = np.append(starts, len(clusters)).astype(np.int64)
    return ordered_structures(
        Structures(offsets, items[order], counts[order].astype(np.uint32), sizes[names])
    )


def order_of(found: Structures) -> NDArray[np.int64]:
    """Return where each structure in its order stands now: int64 array, shape (k,)."""
    # big-endian bytes compare as the lists of items do
    lists = [
        found.items[start:end].astype(">u4").tobytes()
        for start, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
    keys = list(zip((-found.sets).tolist(), (-found.sizes).tolist(), lists, strict=True))
    return np.array(sorted(range(len(found)), key=keys.__getitem__), dtype=np.int64)


def ordered_structures(found: Structures) -> Structures:
    """Bring structures into their order."""
    rank = order_of(found)
    offsets, places = positions_of_rows(found.offsets, rank)
    return Structures(offsets, found.items[places], found.frequencies[places], found.sets[rank])


def incidence(rows: ItemRows, columns: NDArray[np.uint32]) -> csr_array:
    """Membership of items in rows as a sparse matrix.

    Parameters
    ----------
    rows : ItemRows
        Items distinct within a row.
    columns : uint32 array, shape (v,)
        Ascending; items that are not among them are left out.

    Returns
    -------
    csr_array of int64 ones, shape (number of rows, v)
    """
    at = np.searchsorted(columns, rows.items)
    known = at < len(columns)
    known[known] = columns[at[known]] == rows.items[known]
    owners = row_numbers(rows.offsets)[known]
    shape = (len(rows.offsets) - 1, len(columns))
    ones = np.ones(len(owners), dtype=np.int64)
    return csr_array((ones, (owners, at[known])), shape=shape)


def best_matches(rows: ItemRows, others: ItemRows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find for each row the row of another model that is most like it.

    Parameters
    ----------
    rows, others : ItemRows
        k and n rows; only their items count, not frequencies.

    Returns
    -------
    match : int64 array, shape (k,)
        The row of `others` with the largest Jaccard similarity (of equal ones the first), -1
        where no row shares an item.
    similarity : float64 array, shape (k,)
        That Jaccard similarity, 0 where there is none.
    """
    columns = np.unique(np.concatenate([rows.items, others.items]))
    shared = (incidence(rows, columns) @ incidence(others, columns).T).tocsr()
    shared.sort_indices()
    ours, theirs = np.diff(rows.offsets), np.diff(others.offsets)
    owners = row_numbers(shared.indptr.astype(np.int64))
    union = ours[owners] + theirs[shared.indices] - shared.data
    similarity = shared.data / union
    match = np.full(len(ours), -1, dtype=np.int64)
    best = np.zeros(len(ours), dtype=np.float64)
    order = np.lexsort((shared.indices, -similarity, owners))
    first = order[np.unique(owners[order], return_index=True)[1]]
    match[owners[first]] = shared.indices[first]
    best[owners[first]] = similarity[first]
    return match, best


def cross_recall(rows: ItemRows, others: ItemRows, *, jaccard: float = 0.5) -> float:
    """Share of rows that reappear in another model.

    Parameters
    ----------
    rows, others : ItemRows
    jaccard : float
        A row reappears when a row of `others` has at least this Jaccard similarity.

    Returns
    -------
    float
        0 to 1; NaN when there are no rows.
    """
    if len(rows.offsets) == 1:
        return float("nan")
    _, similarity = best_matches(rows, others)
    return float(np.mean(similarity >= jaccard))
