import math

import numpy as np
import pytest
from cases import listed, same_sets, set_list
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.mining.model import (
    Structures,
    best_matches,
    build_structures,
    cross_recall,
)
from minia_spark.smh.arrays import Links, MalformedError
from minia_spark.smh.sets import canonical_sets, merge_sets


def links(*pairs):
    return Links(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def rows(*bags):
    """Structures of the given items, each with frequency and number of sets 1."""
    sizes = [len(bag) for bag in bags]
    items = np.array([item for bag in bags for item in bag], dtype=np.uint32)
    return Structures(
        np.cumsum([0, *sizes], dtype=np.int64),
        items,
        np.ones(len(items), dtype=np.uint32),
        np.ones(len(bags), dtype=np.int64),
    )


# ---------------------------------------------------------------------------- sets


@given(
    st.lists(st.tuples(st.frozensets(st.integers(0, 2**32 - 1), min_size=1), st.integers(1, 5))),
    st.integers(0, 5),
)
def test_sets_are_ordered_and_merged(entries, cut):
    """However sets are listed and in however many lists, the canonical list is one."""

    def raw(part):
        members = [sorted(items) for items, _ in part]
        return canonical_sets(
            np.array([count for _, count in part], dtype=np.int64),
            np.cumsum([0, *map(len, members)], dtype=np.int64),
            np.array([item for items in members for item in items], dtype=np.uint32),
        )

    totals = {}
    for items, count in entries:
        key = tuple(sorted(items))
        totals[key] = totals.get(key, 0) + count
    whole = raw(entries)
    assert listed(whole) == sorted(totals.items(), key=lambda e: (-len(e[0]), e[0]))
    assert same_sets(merge_sets([raw(entries[cut:]), raw(entries[:cut])]), whole)


def test_merging_no_lists_gives_no_sets():
    assert len(merge_sets([])) == 0


def test_sets_refused():
    with pytest.raises(MalformedError, match=r"the items of a set do not ascend \(row 1\)"):
        canonical_sets(
            np.array([1, 1]), np.array([0, 2, 4], np.int64), np.array([1, 2, 4, 3], np.uint32)
        )
    with pytest.raises(MiniaError, match="found 8589934590 times, more than 4294967295"):
        canonical_sets(
            np.full(2, 2**32 - 1), np.array([0, 1, 2], np.int64), np.array([7, 7], np.uint32)
        )


# ---------------------------------------------------------------------------- structures


def test_structure_of_linked_sets():
    """Sets {1,2,3} x2 and {2,3,4} x1 linked; {7,8,9} x2 alone has too few sets."""
    sets = set_list([((1, 2, 3), 2), ((2, 3, 4), 1), ((7, 8, 9), 2)])
    found = build_structures(sets, links((0, 1)))
    assert len(found) == 1
    assert found.items.tolist() == [2, 3, 1, 4]
    assert found.frequencies.tolist() == [3, 3, 2, 1]
    assert found.sets.tolist() == [3]
    both = build_structures(sets, links((0, 1)), min_cluster_size=2)
    assert both.sizes.tolist() == [4, 3]
    with pytest.raises(SettingsError, match="min_cluster_size must be at least 1, got 0"):
        build_structures(sets, links(), min_cluster_size=0)


def test_order_of_structures():
    """By sets, then by number of items, then by the items as listed."""
    sets = set_list([((1, 2, 3, 4), 3), ((1, 2, 5), 3), ((1, 2, 256), 3), ((9, 10, 11), 4)])
    found = build_structures(sets, links())
    assert found.sets.tolist() == [4, 3, 3, 3]
    assert found.items.tolist() == [9, 10, 11, 1, 2, 3, 4, 1, 2, 5, 1, 2, 256]


def test_no_sets_no_structures():
    found = build_structures(set_list([]), links())
    assert (len(found), found.offsets.tolist()) == (0, [0])


def test_structures_refused():
    with pytest.raises(MalformedError, match="do not fit together"):
        Structures(np.array([0, 2]), np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(1))


# ---------------------------------------------------------------------------- comparison


def test_best_match():
    ours = rows([1, 2, 3, 4], [5, 6], [8])
    theirs = rows([1, 2, 3], [4, 3, 2], [5, 6, 7, 9])
    match, similarity = best_matches(ours, theirs)
    assert match.tolist() == [0, 2, -1]  # of two equal matches the first
    assert similarity.tolist() == [3 / 4, 2 / 4, 0]
    assert cross_recall(ours, theirs) == pytest.approx(2 / 3)
    assert cross_recall(ours, theirs, jaccard=0.75) == pytest.approx(1 / 3)
    assert cross_recall(theirs, ours) == 1.0


def test_comparison_with_nothing():
    assert best_matches(rows([1, 2]), rows())[0].tolist() == [-1]
    assert best_matches(rows(), rows([1, 2]))[0].tolist() == []
    assert cross_recall(rows([1, 2]), rows()) == 0.0
    assert math.isnan(cross_recall(rows(), rows([1, 2])))


bags = st.lists(st.frozensets(st.integers(0, 12), min_size=1), max_size=6)


@given(bags, bags)
def test_best_match_against_all_pairs(ours, theirs):
    match, similarity = best_matches(rows(*map(sorted, ours)), rows(*map(sorted, theirs)))
    for bag, found, value in zip(ours, match.tolist(), similarity.tolist(), strict=True):
        every = [len(bag & other) / len(bag | other) for other in theirs]
        best = max(every, default=0)
        assert value == best
        assert found == (every.index(best) if best > 0 else -1)
