"""Fates of structures, on lists that the reader sees."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from commands import SMALL, chosen, rows_of, table_of
from conftest import run_stage
from hypothesis import given
from hypothesis import strategies as st

import minia_spark
from minia_spark.base.bags import Bags
from minia_spark.mining.tables import STRUCTURES
from minia_spark.structures.lineage import Event, Fate, compose, inherited, mapped, returned, trace
from minia_spark.structures.names import publish_names
from minia_spark.warehouse.warehouse import Warehouse


def rows(*structures):
    """Return structures as rows of items."""
    items = np.array([w for s in structures for w in sorted(s)], dtype=np.uint32)
    offsets = np.cumsum([0, *map(len, structures)]).astype(np.int64)
    return Bags(offsets, items, np.ones(len(items), dtype=np.uint32))


def events(older, newer):
    return [(f.event, f.older, f.newer) for f in trace(rows(*older), rows(*newer))]


def test_same_grown_shrunk_changed():
    older = [{1, 2, 3}, {10, 11, 12}, {20, 21, 22}, {30, 31, 32}]
    newer = [{1, 2, 3}, {10, 11, 12, 13}, {20, 21}, {30, 31, 39}]
    assert trace(rows(*older), rows(*newer)) == [
        Fate(Event.SAME, 0, 0, 0, 0),
        Fate(Event.GROWN, 1, 1, 1, 0),
        Fate(Event.SHRUNK, 2, 2, 0, 1),
        Fate(Event.CHANGED, 3, 3, 1, 1),
    ]


def test_born_and_gone():
    assert events([{1, 2, 3}], [{7, 8, 9}]) == [(Event.BORN, None, 0), (Event.GONE, 0, None)]


def test_split_keeps_the_more_similar_half():
    assert events([{1, 2, 3, 4, 5, 6, 7}], [{1, 2, 3}, {4, 5, 6, 7}]) == [
        (Event.SPLIT, 0, 0),
        (Event.SHRUNK, 0, 1),
    ]


def test_merged_ends_in_the_one_that_goes_on():
    assert events([{1, 2, 3}, {4, 5, 6, 7}], [{1, 2, 3, 4, 5, 6, 7}]) == [
        (Event.GROWN, 1, 0),
        (Event.MERGED, 0, 0),
    ]


def test_half_of_the_words_is_no_relation():
    assert events([{1, 2, 3, 4}], [{3, 4, 5, 6}]) == [(Event.BORN, None, 0), (Event.GONE, 0, None)]


def test_nothing_on_either_side():
    assert trace(rows(), rows()) == []
    assert events([], [{1, 2}]) == [(Event.BORN, None, 0)]
    assert events([{1, 2}], []) == [(Event.GONE, 0, None)]


structures = st.lists(st.sets(st.integers(0, 15), min_size=1, max_size=6), max_size=8)


@given(structures, structures)
def test_every_structure_has_one_fate(older, newer):
    fates = trace(rows(*older), rows(*newer))
    assert [f.newer for f in fates[: len(newer)]] == list(range(len(newer)))
    went_on = [f.older for f in fates[: len(newer)] if f.event not in (Event.BORN, Event.SPLIT)]
    ended = [f.older for f in fates[len(newer) :]]
    assert sorted(went_on + ended) == list(range(len(older)))
    for fate in fates:
        if fate.event in (Event.SAME, Event.GROWN, Event.SHRUNK, Event.CHANGED):
            old, new = older[fate.older], newer[fate.newer]
            assert (fate.gained, fate.lost) == (len(new - old), len(old - new))


@given(structures)
def test_with_itself_everything_stays_the_same(found):
    distinct = [set(s) for s in {frozenset(s) for s in found}]
    fates = trace(rows(*distinct), rows(*distinct))
    assert [(f.event, f.older, f.newer) for f in fates] == [
        (Event.SAME, i, i) for i in range(len(distinct))
    ]


class TestAnotherCodebook:
    def test_the_same_structures_in_new_words(self):
        older, newer = [{0, 1, 2}, {3, 4, 5}], [{7, 8, 9}, {1, 2, 3}]
        word_map = np.array([1, 2, 3, 9, 8, 7])
        assert trace(rows(*older), rows(*newer), word_map) == [
            Fate(Event.SAME, 1, 0, 0, 0),
            Fate(Event.SAME, 0, 1, 0, 0),
        ]

    def test_words_that_became_one_count_once(self):
        """Four old words are three new ones, of which the newer structure has lost one."""
        (fate,) = trace(rows({0, 1, 2, 3}), rows({5, 6}), np.array([5, 5, 6, 7]))
        assert fate == Fate(Event.SHRUNK, 0, 0, 0, 1)

    def test_mapped(self):
        found = mapped(rows({0, 1}, set(), {2}, {1, 2}), np.array([4, 4, 0]))
        assert found.offsets.tolist() == [0, 1, 1, 2, 4]
        assert found.items.tolist() == [4, 0, 0, 4]
        assert mapped(rows(), np.array([1])).offsets.tolist() == [0]

    def test_a_word_beyond_the_map(self):
        with pytest.raises(ValueError, match="word 3 in a map of 3 words"):
            trace(rows({1, 3}), rows({1}), np.arange(3))

    @given(st.permutations(range(6)), st.lists(st.sets(st.integers(0, 5), min_size=1), max_size=6))
    def test_other_names_of_words_change_nothing(self, order, structures):
        renamed = [{order[word] for word in structure} for structure in structures]
        known = trace(rows(*structures), rows(*structures))
        assert trace(rows(*structures), rows(*renamed), np.array(order)) == known


MAPS = {
    ("a", "b"): np.array([1, 0, 2]),
    ("b", "c"): np.array([5, 6, 7]),
    ("c", "a"): np.array([0, 0, 0, 0, 0, 2, 1, 0]),
    ("b", "d"): np.array([0, 0, 0]),
}


class TestCompose:
    def test_one_and_two_steps(self):
        assert compose(MAPS, "a", "b").tolist() == [1, 0, 2]
        assert compose(MAPS, "a", "c").tolist() == [6, 5, 7]
        assert compose(MAPS, "b", "a").tolist() == [2, 1, 0]  # through c

    def test_the_shortest_way(self):
        maps = MAPS | {("a", "c"): np.array([9, 9, 9])}
        assert compose(maps, "a", "c").tolist() == [9, 9, 9]

    def test_no_way(self):
        assert compose(MAPS, "d", "a") is None
        assert compose({}, "a", "b") is None
        assert compose(MAPS, "a", "x") is None


def test_ids_stay_with_structures():
    older = rows({1, 2, 3, 4}, {10, 11, 12}, {20, 21, 22}, {30, 31, 32, 33})
    newer = rows({20, 21, 22, 23}, {1, 2, 3, 4}, {50, 51, 52}, {30, 31, 32}, {30, 31, 33})
    fates = trace(older, newer)
    found = [(f.event, f.newer, i) for f, i in zip(fates, inherited(fates, "abcd", 7), strict=True)]
    assert found == [
        (Event.GROWN, 0, "c"),
        (Event.SAME, 1, "a"),
        (Event.BORN, 2, "7.2"),
        (Event.SHRUNK, 3, "d"),
        (Event.SPLIT, 4, "7.4"),
        (Event.GONE, None, "b"),
    ]


class TestReturned:
    def test_by_its_words(self):
        """Of three that had ended one is born again, one splits off, one stays away."""
        ended = rows({1, 2, 3, 4}, {7, 8}, {21, 22, 23})
        older, newer = rows({20, 21, 22, 23, 24}), rows({20, 24}, {1, 2, 3}, {21, 22, 23}, {9})
        fates = returned(trace(older, newer), ended, newer)
        assert fates == [
            Fate(Event.SPLIT, 0, 0, 2, 0),
            Fate(Event.RETURNED, 0, 1, 0, 1),
            Fate(Event.SHRUNK, 0, 2, 0, 2),
            Fate(Event.BORN, None, 3, 1, 0),
        ]
        assert inherited(fates, ["1.0"], 7, ["2.0", "3.1", "4.4"]) == ["7.0", "2.0", "1.0", "7.3"]

    def test_what_went_on_is_not_what_had_ended(self):
        older, newer = rows({1, 2, 3}), rows({1, 2, 3, 4})
        fates = returned(trace(older, newer), rows({1, 2, 3, 4}), newer)
        assert [fate.event for fate in fates] == [Event.GROWN]

    def test_only_one_is_the_same(self):
        newer = rows({1, 2, 3}, {1, 2, 3, 4, 5})
        fates = returned(trace(rows(), newer), rows({1, 2, 3, 4}), newer)
        assert [(fate.event, fate.newer) for fate in fates] == [
            (Event.BORN, 0),
            (Event.RETURNED, 1),
        ]

    @given(structures, structures, structures)
    def test_every_newer_structure_has_one_fate_and_one_id(self, older, ended, newer):
        before = trace(rows(*older), rows(*newer))
        fates = returned(before, rows(*ended), rows(*newer))
        assert [f.newer for f in fates] == [f.newer for f in before]
        ids = inherited(
            fates, [f"1.{i}" for i in range(len(older))], 3, [f"2.{i}" for i in range(len(ended))]
        )
        assert len(set(ids)) == len(ids)
        for fate, was in zip(fates, before, strict=True):
            assert fate == was or was.event in (Event.BORN, Event.SPLIT)
        if not ended:
            assert fates == before


def test_a_structure_that_returns_has_its_id_and_its_name(own_warehouse, context):
    """It is missing in two states, the codebook being the same, and comes back with fewer words."""
    warehouse = Warehouse(str(own_warehouse))
    everything = warehouse.rows_of(warehouse.require().of_table("structures")).sort_by(
        "structure_id"
    )
    first, *others = everything.drop_columns("variant").to_pylist()
    fewer = {**first, "words": first["words"][:-1], "frequencies": first["frequencies"][:-1]}

    def publish(*structures):
        mined = context(own_warehouse, "mine")
        numbered = [row | {"structure_id": place} for place, row in enumerate(structures)]
        mined.write_rows(STRUCTURES, pa.Table.from_pylist(numbered, STRUCTURES.arrow_schema()))
        made = context(own_warehouse, "lineage")
        made.view = made.view.with_entries(mined.entries)
        run_stage(made)
        entries = made.view.with_entries(made.entries).entries
        made.warehouse.commit(made.published, made.run, entries, "")
        return rows_of(own_warehouse, "lineage", "lineage_id", "structure_id", "event")

    said = {"name": "ring", "kind": None, "note": None}
    publish_names(warehouse, "sift", "1.0", said, command="x", say=print)
    assert ("1.0", None, "merged") in publish(*others)  # some of its words are another's too
    assert rows_of(own_warehouse, "ended_structures", "lineage_id", "ended_state", "words") == [
        ("1.0", 3, tuple(sorted(first["words"])))
    ]
    assert ("1.1", 0, "same") in publish(*others)
    assert ("1.0", len(others), "returned") in publish(*others, fewer)
    assert rows_of(own_warehouse, "ended_structures", "lineage_id") == []
    (told,) = minia_spark.open(own_warehouse).structure_names().to_dict("records")
    assert (told["name"], told["lineage_id"]) == ("ring", "1.0")
    assert {event for _, _, event in publish()} == {"gone"}
    assert {event for _, _, event in publish(*others)} == {"returned"}
    assert rows_of(own_warehouse, "lineage", "older_state") == [(6,)] * len(others)


def test_ids_from_run_to_run(minia, own_warehouse):
    """The first structures are all born; later ones go on, split, end, as the diff says."""
    ids = rows_of(own_warehouse, "lineage", "structure_id", "lineage_id", "event")
    assert ids == [(n, f"1.{n}", "born") for n in range(len(ids))]
    assert len(ids) > 0
    other = chosen("mining.seed=5", "mining.tables=400")
    minia("run", "--warehouse", own_warehouse, *SMALL, *other).expect(0)
    table = table_of(own_warehouse, "lineage")
    told = minia("structures", "diff", "1", "2", "--warehouse", own_warehouse).expect(0).out
    assert told.splitlines()[1:-1] == [
        f"{row.event:<9}  {name(row.older_structure_id):<6}  {name(row.structure_id):<6}  "
        f"{row.words_gained:>12,}  {row.words_lost:>4,}"
        for row in table.itertuples()
        if row.event != "merged"
    ] + [line for line in told.splitlines() if line.startswith("merged")]
    for row in table.itertuples():
        new = row.event in ("born", "split")
        number = row.structure_id if new else row.older_structure_id
        assert row.lineage_id == f"{2 if new else 1}.{number:.0f}"
        assert new or row.older_state == 1
    assert len({row.lineage_id for row in table.itertuples()}) == len(table)


def name(structure):
    return "-" if np.isnan(structure) else f"s{structure:04.0f}"
