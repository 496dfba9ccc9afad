"""Arrow columns as NumPy arrays and back, without copying where Arrow allows it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

__all__ = ["binary_block", "from_lists", "to_lists"]


def binary_block(
    column: pa.Array, dtype: DTypeLike, dim: int
) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return all rows of a binary column as one matrix.

    Parameters
    ----------
    column : pyarrow binary array of m rows
        Each row holds any number of vectors, `dim` numbers of type `dtype` each; null is none.
    dtype : numpy dtype
    dim : int

    Returns
    -------
    vectors : array, shape (n, dim)
        Of all rows, one after another; a view of Arrow's memory, not to be written.
    offsets : int64 array, shape (m + 1,)
        Row i holds ``vectors[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    ValueError
        A row's bytes are no whole number of vectors.
    """
    kind = np.dtype(dtype)
    if column.null_count:
        column = column.fill_null(b"")
    width = kind.itemsize * dim
    starts = _offsets(column, np.int64 if pa.types.is_large_binary(column.type) else np.int32)
    if np.any((starts - starts[0]) % width):
        raise ValueError(f"a row is no whole number of vectors of {width} bytes")
    data = column.buffers()[2]
    raw = np.frombuffer(data if data is not None else b"", dtype=np.uint8)
    block = raw[starts[0] : starts[-1]]
    if starts[0] % kind.itemsize:  # a slice that begins between two numbers
        block = block.copy()
    return block.view(kind).reshape(-1, dim), (starts - starts[0]) // width


def to_lists(column: pa.Array) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return a list column of m rows as (values, offsets of shape (m + 1,)); null is empty."""
    if column.null_count:
        empty = pa.scalar([], type=column.type)
        column = column.fill_null(empty)
    starts = _offsets(column, np.int64 if pa.types.is_large_list(column.type) else np.int32)
    values = column.values.slice(starts[0], starts[-1] - starts[0])
    return values.to_numpy(zero_copy_only=False), starts - starts[0]


def lists_or_nan(column: pa.Array | pa.ChunkedArray, dims: int = 0) -> NDArray[np.float64]:
    """Return the vectors of a list column of m rows, shape (m, D): NaN for those that are null.

    Parameters
    ----------
    column : list array
    dims : int
        D; 0: that of the vectors that are there, and where there are none 1.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values, offsets = to_lists(whole)
    size = dims or int(np.diff(offsets).max(initial=0)) or 1
    found = np.full((len(whole), size), np.nan)
    found[whole.is_valid().to_numpy(zero_copy_only=False)] = values.reshape(-1, size)
    return found


def from_lists(values: NDArray[np.generic], offsets: NDArray[np.int64]) -> pa.Array:
    """Return a list column: row i holds ``values[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    OverflowError
        More than 2^31 - 1 values: one Arrow batch cannot hold them.
    """
    _check_count(int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def _check_count(count: int) -> None:
    """Raise OverflowError when 32-bit offsets cannot reach `count` values."""
    if count > np.iinfo(np.int32).max:
        raise OverflowError(f"{count} values do not fit one Arrow batch; make batches smaller")


def _offsets(column: pa.Array, kind: DTypeLike) -> NDArray[np.int64]:
    buffer = column.buffers()[1]
    if buffer is None or len(column) == 0:
        return np.zeros(len(column) + 1, dtype=np.int64)
    raw = np.frombuffer(buffer, dtype=kind)
    return raw[column.offset : column.offset + len(column) + 1].astype(np.int64)
