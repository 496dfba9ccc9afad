"""Arrow columns to arrays and back; slices and nulls are where views go wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base import arrow
from minia_spark.base.arrow import binary_block, from_lists, lists_or_nan, to_lists

ROWS = st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=6)


def packed(rows: list[list[int]], kind: str, column: pa.DataType) -> pa.Array:
    return pa.array([np.array(row, kind).tobytes() for row in rows], column)


def split(values: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [values[a:b].tolist() for a, b in itertools.pairwise(offsets)]


class TestBinaryBlock:
    def test_by_hand(self):
        column = pa.array([b"\1\2\3\4", b"", b"\5\6"], pa.binary())
        vectors, offsets = binary_block(column, np.uint8, 2)
        assert vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
        assert offsets.tolist() == [0, 2, 2, 3]

    def test_null_is_none(self):
        vectors, offsets = binary_block(pa.array([None, b"\1", None], pa.binary()), np.uint8, 1)
        assert vectors.tolist() == [[1]]
        assert offsets.tolist() == [0, 0, 1, 1]

    @pytest.mark.parametrize("rows", [[], [None], [b""], [b"", None, b""]])
    def test_nothing(self, rows):
        vectors, offsets = binary_block(pa.array(rows, pa.binary()), np.float32, 3)
        assert vectors.shape == (0, 3)
        assert offsets.tolist() == [0] * (len(rows) + 1)

    @pytest.mark.parametrize("column", [pa.binary(), pa.large_binary()])
    @given(rows=ROWS, start=st.integers(0, 6), length=st.integers(0, 6))
    def test_slices_of_any_type(self, column, rows, start, length):
        whole = packed(rows, "<i4", column)
        vectors, offsets = binary_block(whole.slice(start, length), "<i4", 1)
        assert split(vectors[:, 0], offsets) == rows[start : start + length]

    def test_a_slice_that_begins_between_two_numbers(self):
        """Rows before the slice may be of another width: what is read is then not aligned."""
        column = pa.array([b"\7", np.array([1.5, 2.5], "<f4").tobytes()], pa.binary())
        vectors, _ = binary_block(column.slice(1), "<f4", 2)
        assert vectors.tolist() == [[1.5, 2.5]]

    def test_no_whole_number_of_vectors(self):
        with pytest.raises(ValueError, match="a row is no whole number of vectors of 4 bytes"):
            binary_block(pa.array([b"1234", b"123"], pa.binary()), np.uint16, 2)

    def test_is_a_view(self):
        column = pa.array([b"12"], pa.binary())
        vectors, _ = binary_block(column, np.uint8, 1)
        assert np.shares_memory(vectors, np.frombuffer(column.buffers()[2], np.uint8))


class TestLists:
    def test_by_hand(self):
        values, offsets = to_lists(pa.array([[1, 2], [], None, [3]], pa.list_(pa.int32())))
        assert values.tolist() == [1, 2, 3]
        assert values.dtype == np.int32
        assert offsets.tolist() == [0, 2, 2, 2, 3]

    @pytest.mark.parametrize("column", [pa.list_(pa.int64()), pa.large_list(pa.int64())])
    @given(
        rows=st.lists(st.none() | st.lists(st.integers(-5, 5), max_size=4), max_size=6),
        start=st.integers(0, 6),
        length=st.integers(0, 6),
    )
    def test_slices_of_any_type(self, column, rows, start, length):
        values, offsets = to_lists(pa.array(rows, column).slice(start, length))
        assert split(values, offsets) == [row or [] for row in rows[start : start + length]]

    @given(ROWS)
    def test_there_and_back(self, rows):
        offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        values = np.array([v for row in rows for v in row], dtype=np.int32)
        column = from_lists(values, offsets)
        assert column.to_pylist() == rows
        again, starts = to_lists(column)
        assert np.array_equal(again, values)
        assert np.array_equal(starts, offsets)

    def test_more_than_one_arrow_batch_holds(self):
        arrow._check_count(2**31 - 1)
        with pytest.raises(OverflowError, match="2147483648 values do not fit one Arrow batch"):
            from_lists(np.zeros(0, np.int32), np.array([0, 2**31]))


def test_vectors_of_which_some_are_missing():
    column = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32()))
    found = lists_or_nan(column)
    assert found.dtype == np.float64
    assert np.array_equal(found, [[1, 2], [np.nan, np.nan], [3, 4]], equal_nan=True)
    chunked = pa.chunked_array([column[:1], column[1:]])
    assert np.array_equal(lists_or_nan(chunked, 2), found, equal_nan=True)
    none = column[1:2]
    assert lists_or_nan(none, 3).shape == (1, 3)
    assert lists_or_nan(none).shape == (1, 1)
    assert lists_or_nan(column[:0], 2).shape == (0, 2)
