"""Signatures and sets as rows: nothing is lost, and where a batch ends does not show."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.mining import rows
from minia_spark.mining.rows import (
    bags_of_words,
    documents_of_words,
    groups_of_rows,
    joined_tables,
    labelled,
    merge_sorted_rows,
    rows_of_documents,
    rows_of_numbers,
    rows_of_sets,
    rows_of_signatures,
    sets_of_rows,
    signatures_of_rows,
    slice_rows,
    table_ranges,
)
from minia_spark.smh.arrays import Documents, SetList, Signatures
from minia_spark.smh.hashing import document_key
from minia_spark.smh.sets import canonical_sets
from minia_spark.smh.twin import DatasketchEngine, merge_signatures

SHAPE = {"tuple_size": 2, "tables": 3}
ENGINE = DatasketchEngine()


def corpus(*bags: list[int], first: int = 0) -> Documents:
    return Documents(
        np.arange(first, first + len(bags), dtype=np.uint32),
        np.cumsum([0, *map(len, bags)]).astype(np.int64),
        np.array([item for bag in bags for item in bag], dtype=np.uint32),
    )


def same(one: Signatures, other: Signatures) -> bool:
    names = ("items", "documents", "occurrences", "minima")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def sketch(documents: Documents) -> Signatures:
    return ENGINE.sketch([documents], **SHAPE)


CORPORA = st.lists(st.sets(st.integers(0, 9)).map(sorted), max_size=8)


def test_an_image_without_words_has_no_numbers():
    words = pa.array([[3, 5], [], None], pa.list_(pa.int32()))
    names = pa.array(["x", "y", "z"])
    images = pa.RecordBatch.from_pydict({"batch": names, "image_id": names, "words": words})
    numbers = np.array([[7, 1, -2], [-9, 3, 4], [-9, 3, 4]], np.int32)
    none = {"total": None, "scores": None}
    assert rows_of_numbers(images, numbers).to_pylist() == [
        {"batch": "x", "image_id": "x", "total": 7, "scores": [1, -2]},
        {"batch": "y", "image_id": "y", **none},
        {"batch": "z", "image_id": "z", **none},
    ]
    without = rows_of_numbers(images, numbers[:, :1])
    assert without["scores"].to_pylist() == [[], None, None]
    assert without.schema.field("scores").type == pa.list_(pa.int32())


class TestSignatures:
    @given(CORPORA, st.integers(1, 4))
    def test_there_and_back(self, bags, at_once):
        wanted = sketch(corpus(*bags))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows, "_ROWS_AT_ONCE", at_once)
            batches = list(rows_of_signatures(wanted))
        assert all(batch.num_rows <= at_once for batch in batches)
        if bags and any(bags):
            assert same(signatures_of_rows(batches, tuple_size=2), wanted)
        else:
            assert batches == []

    def test_the_row_of_an_item(self):
        (batch,) = rows_of_signatures(sketch(corpus([7], [7, 8])))
        row = batch.to_pylist()[0]
        assert (row["item"], row["documents"], row["occurrences"]) == (7, 2, 2)
        assert len(row["minima"]) == 2 * 3 * 4

    def test_the_largest_item_keeps_its_number(self):
        """2^32 - 1 needs a long in Spark, which has no unsigned numbers."""
        wanted = sketch(corpus([2**32 - 1, 2**31]))
        batches = list(rows_of_signatures(wanted))
        assert batches[0]["item"].to_pylist() == [2**31, 2**32 - 1]
        assert same(signatures_of_rows(batches, tuple_size=2), wanted)


class TestMergeSortedRows:
    @given(CORPORA, st.data())
    def test_any_split_of_the_documents_and_any_batches(self, bags, data):
        """Spark: partial signatures of partitions, sorted by item, cut into batches anywhere."""
        cuts = sorted(data.draw(st.lists(st.integers(0, len(bags)), max_size=3)))
        bounds = [0, *cuts, len(bags)]
        parts = [sketch(corpus(*bags[a:b], first=a)) for a, b in itertools.pairwise(bounds)]
        table = pa.concat_tables(
            [pa.Table.from_batches([b]) for part in parts for b in rows_of_signatures(part)]
            or [pa.table({"item": pa.array([], pa.int64())})]
        ).sort_by("item")
        size = data.draw(st.integers(1, 6))
        merged = list(merge_sorted_rows(table.combine_chunks().to_batches(max_chunksize=size)))
        if not any(bags):
            assert merged == []
            return
        found = signatures_of_rows(merged, tuple_size=2)
        assert same(found, merge_signatures(parts))
        assert same(found, sketch(corpus(*bags)))

    def test_empty_batches_between(self):
        (batch,) = rows_of_signatures(sketch(corpus([1, 2], [2])))
        pieces = [batch.slice(0, 0), batch.slice(0, 1), batch.slice(1, 0), batch.slice(1, 1)]
        found = signatures_of_rows(merge_sorted_rows(pieces), tuple_size=2)
        assert same(found, sketch(corpus([1, 2], [2])))

    def test_nothing(self):
        assert list(merge_sorted_rows([])) == []


class TestSliceRows:
    @given(CORPORA.filter(any))
    def test_ranges_of_tables_are_mined_as_the_whole(self, bags):
        whole = sketch(corpus(*bags))
        cut = [
            piece
            for batch in rows_of_signatures(whole)
            for piece in slice_rows(batch, tuple_size=2, ranges=[(0, 1), (1, 3)], trial=7)
        ]
        assert {piece["trial"][0].as_py() for piece in cut} == {7}
        for begin, end in ((0, 1), (1, 3)):
            own = [p for p in cut if p["first_table"][0].as_py() == begin]
            part = signatures_of_rows(own, tuple_size=2)
            assert np.array_equal(part.minima, whole.minima[:, 2 * begin : 2 * end])
            found = ENGINE.mine(part, min_set_size=1)
            wanted = ENGINE.mine(whole, min_set_size=1, table_range=(begin, end))
            assert np.array_equal(found.items, wanted.items)
            assert np.array_equal(found.multiplicities, wanted.multiplicities)

    @given(CORPORA.filter(any))
    def test_signatures_that_are_a_range_themselves(self, bags):
        documents, whole = corpus(*bags), sketch(corpus(*bags))
        part = ENGINE.sketch([documents], **SHAPE, table_range=(1, 3))
        (batch,) = rows_of_signatures(part)
        first, second = slice_rows(batch, tuple_size=2, ranges=[(1, 2), (2, 3)])
        assert second["first_table"][0].as_py() == 2
        for piece, begin in ((first, 1), (second, 2)):
            found = signatures_of_rows([piece], tuple_size=2)
            assert np.array_equal(found.minima, whole.minima[:, 2 * begin : 2 * begin + 2])


def test_ranges_of_tables():
    assert table_ranges(7, 3) == [(0, 3), (3, 6), (6, 7)]
    assert table_ranges(3, 3) == [(0, 3)]
    assert table_ranges(2, 9) == [(0, 2)]


class TestDocuments:
    BATCH = pa.RecordBatch.from_pydict(
        {
            "image_id": ["a.png", "b.png", "c.png"],
            "words": pa.array([[3, 5], [], [5]], pa.list_(pa.int32())),
            "weights": pa.array([[1, 4], [], [2]], pa.list_(pa.int32())),
        }
    )

    def test_of_words(self):
        found = documents_of_words([self.BATCH.slice(0, 1), self.BATCH.slice(1)])
        assert found.keys.tolist() == [document_key(name) for name in ("a.png", "b.png", "c.png")]
        assert found.offsets.tolist() == [0, 2, 2, 3]
        assert found.items.tolist() == [3, 5, 5]
        assert found.frequencies.tolist() == [1, 4, 2]

    def test_words_that_are_left_out(self):
        found = documents_of_words([self.BATCH], kept=np.array([1, 1, 1, 1, 1, 0], dtype=bool))
        assert found.offsets.tolist() == [0, 1, 1, 1]
        assert found.items.tolist() == [3]
        assert found.frequencies.tolist() == [1]

    @pytest.mark.parametrize("at_once", [1, 2, 3])
    def test_there_and_back(self, at_once, monkeypatch):
        monkeypatch.setattr(rows, "_ROWS_AT_ONCE", at_once)
        documents = documents_of_words([self.BATCH])
        batches = list(rows_of_documents(self.BATCH["image_id"], documents))
        assert len(batches) == -(-3 // at_once)
        assert pa.Table.from_batches(batches).combine_chunks() == pa.table(self.BATCH)


class TestGroups:
    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))), st.integers(1, 4))
    def test_any_batches(self, keys, size):
        keys = sorted(keys)
        table = pa.table(
            {
                "a": pa.array([a for a, _ in keys], pa.int32()),
                "b": pa.array([b for _, b in keys], pa.int32()),
                "row": pa.array(range(len(keys)), pa.int64()),
            }
        )
        found = {
            key: [row for batch in group for row in batch["row"].to_pylist()]
            for key, group in groups_of_rows(table.to_batches(max_chunksize=size), "a", "b")
        }
        wanted = {}
        for row, key in enumerate(keys):
            wanted.setdefault(key, []).append(row)
        assert found == wanted

    def test_labels(self):
        batch = pa.RecordBatch.from_pydict({"x": [7, 8]})
        found = labelled(batch, trial=3, range=4)
        assert found.to_pydict() == {"trial": [3, 3], "range": [4, 4], "x": [7, 8]}


SETS = st.lists(
    st.tuples(
        st.sets(st.sampled_from([0, 1, 255, 256, 65536, 2**31, 2**32 - 1]), min_size=1),
        st.integers(1, 5),
    ),
    max_size=12,
)


def canonical(sets: list[tuple[set[int], int]]) -> SetList:
    return canonical_sets(
        np.array([m for _, m in sets], dtype=np.uint32),
        np.cumsum([0, *(len(s) for s, _ in sets)]).astype(np.int64),
        np.array([item for s, _ in sets for item in sorted(s)], dtype=np.uint32),
    )


class TestSets:
    @given(SETS, st.randoms())
    def test_there_and_back_in_any_order(self, sets, random):
        wanted = canonical(sets)
        batches = [batch.slice(i, 1) for batch in rows_of_sets(wanted) for i in range(len(batch))]
        random.shuffle(batches)
        found = sets_of_rows(batches)
        for name in ("multiplicities", "offsets", "items"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))

    @given(SETS)
    def test_bytes_sort_as_the_canonical_order_does(self, sets):
        """By falling size, then by bytes: numbers are big-endian for that."""
        data = [i for batch in rows_of_sets(canonical(sets)) for i in batch["items"].to_pylist()]
        assert data == sorted(data, key=lambda item: (-len(item), item))
        assert len(set(data)) == len(data)

    @given(SETS, SETS)
    def test_equal_sets_of_several_ranges_are_merged(self, one, other):
        batches = [*rows_of_sets(canonical(one)), *rows_of_sets(canonical(other))]
        found, wanted = sets_of_rows(batches), canonical(one + other)
        assert np.array_equal(found.multiplicities, wanted.multiplicities)
        assert np.array_equal(found.items, wanted.items)

    def test_in_pieces(self, monkeypatch):
        monkeypatch.setattr(rows, "_ROWS_AT_ONCE", 1)
        sets = canonical([({n, n + 1, n + 2}, n + 1) for n in range(200)])
        batches = list(rows_of_sets(sets))
        assert [batch.num_rows for batch in batches] == [64, 64, 64, 8]
        assert np.array_equal(sets_of_rows(batches).items, sets.items)

    def test_none(self):
        assert len(sets_of_rows([])) == 0
        assert list(rows_of_sets(sets_of_rows([]))) == []


def test_bags_of_words():
    batch = pa.RecordBatch.from_pydict(
        {
            "words": pa.array([[1, 5], [], None], pa.list_(pa.int32())),
            "counts": pa.array([[2, 3], [], None], pa.list_(pa.int32())),
        }
    )
    bags = bags_of_words(batch, "counts")
    assert bags.offsets.tolist() == [0, 2, 2, 2]
    assert bags.items.tolist() == [1, 5]
    assert bags.counts.tolist() == [2, 3]
    assert bags.items.dtype == bags.counts.dtype == np.uint32


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_ranges_of_tables_join_to_the_whole(cut):
    documents = corpus([1, 2, 3], [2, 9], [1])
    bounds = [(0, 3)] if cut == 0 else [(0, cut), (cut, 3)]
    parts = [ENGINE.sketch([documents], **SHAPE, table_range=bound) for bound in bounds]
    joined = joined_tables(parts)
    assert same(joined, sketch(documents))
    assert (joined.tuple_size, joined.tables) == (2, 3)
