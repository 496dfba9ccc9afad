import copy

import numpy as np
import pytest
from cases import batch

from minia_spark.smh.arrays import Documents, Links, MalformedError, SetList, Signatures


def u32(*values):
    return np.array(values, dtype=np.uint32)


def i64(*values):
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], i64(0, 0), u32()), "keys: expected an array of uint32, got list"),
        ((i64(1), i64(0, 0), u32()), "keys: expected an array of uint32, got int64"),
        ((u32(1, 2), i64(0, 0), u32()), r"keys: expected shape \(1,\), got \(2,\)"),
        ((u32(1), u32(0, 0), u32()), "offsets: expected an array of int64, got uint32"),
        ((u32(1), i64(0, 1), u32()), "offsets must run from 0 to the number of items, 0"),
        ((u32(1), i64(1, 1), u32(5)), "offsets must run from 0"),
        ((u32(1, 2, 3), i64(0, 2, 1, 2), u32(5, 6)), "offsets must not fall"),
        ((u32(1, 2), i64(0, 1, 3), u32(5, 7, 7)), r"holds item 7 twice \(row 1\)"),
        ((u32(1, 2), i64(0, 2, 5), u32(5, 3, 7, 5, 7)), r"holds item 7 twice \(row 1\)"),
        ((u32(1), i64(0, 1), u32(5), u32(0)), r"an item 0 times \(row 0\)"),
        ((u32(1), i64(0, 1), u32(5), u32(1, 1)), "frequencies: expected shape"),
    ],
)
def test_documents_refused(arguments, message):
    with pytest.raises(MalformedError, match=message):
        Documents(*arguments)


def test_documents_in_any_order_of_items():
    documents = Documents(u32(1, 1), i64(0, 3, 5), u32(9, 3, 7, 7, 3))
    assert len(documents) == 2


def test_joined_documents_keep_what_all_have():
    whole = batch([(1, {5: 2}, 0.5), (2, {}, 1.0), (3, {5: 1, 4: 3}, 2.0)])
    parts = [batch([(1, {5: 2}, 0.5), (2, {}, 1.0)]), batch([(3, {5: 1, 4: 3}, 2.0)])]
    joined = Documents.concatenate(parts)
    for name in ("keys", "offsets", "items", "frequencies"):
        assert getattr(joined, name).tolist() == getattr(whole, name).tolist()
    bare = Documents(u32(4), i64(0, 1), u32(5))
    mixed = Documents.concatenate([whole, bare])
    assert mixed.frequencies is None
    assert mixed.offsets.tolist() == [0, 1, 1, 3, 4]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"items": u32(4, 3)}, r"items do not ascend \(row 1\)"),
        ({"items": u32(3, 3)}, r"items do not ascend \(row 1\)"),
        ({"documents": u32(1, 0)}, r"at least one document .* \(row 1\)"),
        ({"occurrences": np.array([1, 1], np.uint64)}, r"as many occurrences \(row 1\)"),
        ({"minima": np.zeros((2, 5), np.uint32)}, r"minima: expected shape \(2, 6\)"),
        ({"minima": np.zeros((2, 6), np.float64)}, "minima: expected an array of uint32"),
        ({"tables": 0}, "must be >= 1"),
        ({"tables": 2**24}, "more than 16777216 permutations"),
    ],
)
def test_signatures_refused(changed, message):
    good = {
        "items": u32(3, 4),
        "documents": u32(1, 2),
        "occurrences": np.array([1, 2], np.uint64),
        "minima": np.zeros((2, 6), np.uint32),
        "tuple_size": 2,
        "tables": 3,
    }
    assert len(Signatures(**good)) == 2
    with pytest.raises(MalformedError, match=message):
        Signatures(**{**good, **changed})


def test_sets():
    sets = SetList(u32(2, 1, 5), i64(0, 3, 5, 7), u32(1, 2, 9, 1, 3, 1, 4))
    assert len(sets) == 3
    assert sets.sizes.tolist() == [3, 2, 2]
    assert sets.mined == 8
    with pytest.raises(MalformedError, match=r"multiplicities: expected shape \(1,\)"):
        SetList(u32(2, 1), i64(0, 1), u32(1))


@pytest.mark.parametrize("pair", [[-1, 0], [1, 1], [2, 1], [0, 2**32]])
def test_links_refused(pair):
    with pytest.raises(MalformedError, match=r"a link needs 0 <= a < b \(row 1\)"):
        Links(np.array([[0, 1], pair], dtype=np.int64))


def test_errors_survive_the_trip_from_a_worker():
    error = copy.copy(MalformedError("items do not ascend", 3))
    assert (str(error), error.message, error.row) == (
        "items do not ascend (row 3)",
        "items do not ascend",
        3,
    )
