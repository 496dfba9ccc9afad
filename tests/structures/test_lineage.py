"""Fates of structures, on lists that the reader sees."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.structures.lineage import Event, Fate, trace
from minia_spark.words.formats import Bags


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
