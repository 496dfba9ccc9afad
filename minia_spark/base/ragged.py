"""Rows of unequal length in one flat array: ``values[offsets[i]:offsets[i + 1]]`` is row ``i``.

Bags of words, co-occurring sets and structures all have this form; what they do alike is here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_difference", "offsets_of", "positions_of_rows", "row_numbers"]


def offsets_of(sizes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Offsets of rows with the given sizes.

    Parameters
    ----------
    sizes : integer array, shape (n,)
        The length of each row, >= 0.

    Returns
    -------
    int64 array, shape (n + 1,)
        Starts at 0; the last value is the number of entries.
    """
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


def row_numbers(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row number of every entry: int64 array, shape (offsets[-1] - offsets[0],)."""
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))


def positions_of_rows(
    offsets: NDArray[np.int64], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of the chosen rows lie, row after row.

    Parameters
    ----------
    offsets : int64 array, shape (n + 1,)
    rows : integer array, shape (k,)
        Row numbers in any order; a row may be asked for several times.

    Returns
    -------
    new_offsets : int64 array, shape (k + 1,)
        Offsets of the chosen rows in ``positions``.
    positions : int64 array, shape (new_offsets[-1],)
        Indices into the flat array, so that ``values[positions]`` are the chosen rows.
    """
    starts = offsets[rows]
    new_offsets = offsets_of(offsets[np.asarray(rows) + 1] - starts)
    shift = np.repeat(starts - new_offsets[:-1], np.diff(new_offsets))
    return new_offsets, np.arange(new_offsets[-1], dtype=np.int64) + shift


def first_difference(
    offsets: NDArray[np.int64],
    values: NDArray[np.uint32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.int8]:
    """Compare pairs of rows of equal size lexicographically.

    Parameters
    ----------
    offsets, values
        The rows.
    left, right : int64 arrays, shape (k,)
        Row numbers; ``left[i]`` and ``right[i]`` have the same size, at least 1.

    Returns
    -------
    int8 array, shape (k,)
        -1 where the left row comes first, 0 where the rows are equal, 1 where the right one does.
    """
    if len(left) == 0:
        return np.zeros(0, dtype=np.int8)
    starts, at_left = positions_of_rows(offsets, left)
    _, at_right = positions_of_rows(offsets, right)
    ours, theirs = values[at_left], values[at_right]
    places = np.arange(len(ours), dtype=np.int64)
    places[ours == theirs] = len(ours)
    first = np.minimum.reduceat(places, starts[:-1])
    differs = first < len(ours)
    where = first[differs]
    result = np.zeros(len(left), dtype=np.int8)
    result[differs] = np.where(ours[where] < theirs[where], -1, 1)
    return result
