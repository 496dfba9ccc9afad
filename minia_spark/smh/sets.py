"""Co-occurring sets: how they are grouped from equal tuples, and their canonical list."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import offsets_of, positions_of_rows
from minia_spark.smh.arrays import SetList, check_sets

__all__ = ["canonical_sets", "check_table_range", "equal_rows", "merge_sets"]

_U32_MAX = 2**32 - 1


def check_table_range(
    table_range: tuple[int, int] | None, tables: int, *, may_be_empty: bool = True
) -> tuple[int, int]:
    """Return the range, or all tables for None.

    Raises
    ------
    SettingsError
        When the range is not ``0 <= begin <= end <= tables``, or is empty and must not be.
    """
    begin, end = (0, tables) if table_range is None else table_range
    if not 0 <= begin <= end <= tables:
        raise SettingsError(f"tables {begin}..{end} are not a range of 0..{tables}")
    if begin == end and not may_be_empty:
        raise SettingsError(f"the range of tables {begin}..{end} is empty")
    return begin, end


def equal_rows(rows: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group equal rows of a matrix.

    Parameters
    ----------
    rows : uint32 array, shape (n, r)
        r >= 1.

    Returns
    -------
    order : int64 array, shape (n,)
        Row numbers, equal rows next to each other, ascending within a group.
    offsets : int64 array, shape (groups + 1,)
        Group ``g`` is ``order[offsets[g]:offsets[g + 1]]``.

    Notes
    -----
    Columns are sorted two at a time, as 64-bit numbers: exact, and half the sorts.
    """
    keys = []
    for column in range(0, rows.shape[1], 2):
        key = rows[:, column].astype(np.uint64) << np.uint64(32)
        if column + 1 < rows.shape[1]:
            key |= rows[:, column + 1]
        keys.append(key)
    order = keys[0].argsort(kind="stable") if len(keys) == 1 else np.lexsort(keys)
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = False
    for key in keys:
        ordered = key[order]
        starts[1:] |= ordered[1:] != ordered[:-1]
    return order, np.append(np.flatnonzero(starts), len(rows)).astype(np.int64)


def canonical_sets(
    multiplicities: NDArray[np.integer], offsets: NDArray[np.int64], items: NDArray[np.uint32]
) -> SetList:
    """Order sets and merge equal ones, adding their multiplicities.

    Parameters
    ----------
    multiplicities : integer array, shape (m,)
        >= 1.
    offsets : int64 array, shape (m + 1,)
    items : uint32 array, shape (nnz,)
        Strictly ascending within a set; no set is empty.

    Returns
    -------
    SetList

    Raises
    ------
    MalformedError
        When the sets are not as described.
    MiniaError
        When a multiplicity exceeds 2**32 - 1.
    """
    check_sets(multiplicities, offsets, items)
    sizes = np.diff(offsets)
    by_size = np.argsort(-sizes, kind="stable")
    bounds = np.flatnonzero(np.diff(sizes[by_size], prepend=-1, append=-1))
    chosen, counts = [], []
    for start, end in itertools.pairwise(bounds):
        members = by_size[start:end]
        size = int(sizes[members[0]])
        _, places = positions_of_rows(offsets, members)
        order, groups = _equal_sets(items[places].reshape(-1, size))
        chosen.append(members[order[groups[:-1]]])
        counts.append(np.add.reduceat(multiplicities[members[order]].astype(np.int64), groups[:-1]))
    none = np.zeros(0, dtype=np.int64)
    rows, totals = np.concatenate([none, *chosen]), np.concatenate([none, *counts])
    if totals.max(initial=0) > _U32_MAX:
        raise MiniaError(f"a set was found {totals.max()} times, more than {_U32_MAX}")
    new_offsets, places = positions_of_rows(offsets, rows)
    return SetList(totals.astype(np.uint32), new_offsets, items[places])


def merge_sets(parts: Iterable[SetList]) -> SetList:
    """Join the sets of several ranges of tables, adding the multiplicities of equal ones.

    Parameters
    ----------
    parts : iterable of SetList
        In any order; none gives no sets.

    Returns
    -------
    SetList
        What mining all the tables at once gives.
    """
    lists = list(parts)
    none = np.zeros(0, dtype=np.uint32)
    return canonical_sets(
        np.concatenate([none, *(part.multiplicities for part in lists)]),
        offsets_of(np.concatenate([none.astype(np.int64), *(part.sizes for part in lists)])),
        np.concatenate([none, *(part.items for part in lists)]),
    )


def _equal_sets(rows: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group equal rows, groups in lexicographic order: big-endian bytes compare as the rows do."""
    width = rows.shape[1] * 4
    packed = np.ascontiguousarray(rows.astype(">u4")).view(f"V{width}")[:, 0]
    order = np.argsort(packed, kind="stable")
    ordered = packed[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return order, np.append(starts, len(rows)).astype(np.int64)
