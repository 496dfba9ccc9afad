"""How often words meet, in sets and in documents."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from cases import set_list
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.mining.pairs import WordPairs, shared_documents
from minia_spark.mining.pairs import meetings_of_pairs as blocks_of_pairs
from minia_spark.smh.arrays import MalformedError, empty_sets
from minia_spark.smh.sets import merge_sets

U32_MAX = 2**32 - 1


def meetings_of_pairs(sets, **options):
    return WordPairs.concatenate(blocks_of_pairs(sets, **options))


def word_pairs(*triples):
    """Pairs of (first, second, meetings)."""
    first, second, meetings = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    return WordPairs(first.astype(np.uint32), second.astype(np.uint32), meetings)


def bags(*rows):
    items = np.array([item for row in rows for item in sorted(row)], dtype=np.uint32)
    return Bags(np.cumsum([0, *map(len, rows)]), items, np.ones_like(items))


def triples(pairs):
    return list(
        zip(pairs.first.tolist(), pairs.second.tolist(), pairs.meetings.tolist(), strict=True)
    )


SETS = st.dictionaries(
    st.frozensets(st.sampled_from([0, 1, 2, 3, 7, U32_MAX]), min_size=1), st.integers(1, 5)
)


def canonical(found):
    rows = [(tuple(sorted(items)), times) for items, times in found.items()]
    return set_list(sorted(rows, key=lambda row: (-len(row[0]), row[0])))


def test_multiplicities_of_common_sets_add_up():
    sets = set_list([((1, 2, 3), 4), ((2, 3, U32_MAX), 1)])
    assert triples(meetings_of_pairs(sets, min_meetings=1)) == [
        (1, 2, 4),
        (1, 3, 4),
        (2, 3, 5),
        (2, U32_MAX, 1),
        (3, U32_MAX, 1),
    ]
    assert triples(meetings_of_pairs(sets, min_meetings=5)) == [(2, 3, 5)]


def test_no_sets_no_pairs():
    assert len(meetings_of_pairs(empty_sets())) == 0


@given(SETS, st.integers(1, 4))
def test_meetings_are_those_of_a_loop_over_all_pairs(found, least):
    expected = Counter()
    for items, times in found.items():
        for pair in combinations(sorted(items), 2):
            expected[pair] += times
    pairs = meetings_of_pairs(canonical(found), min_meetings=least)
    assert triples(pairs) == [(*pair, n) for pair, n in sorted(expected.items()) if n >= least]


def test_blocks_of_words_are_put_together(monkeypatch):
    sets = canonical({frozenset(range(n, n + 5)): n + 1 for n in range(40)})
    whole = triples(meetings_of_pairs(sets))
    assert len(list(blocks_of_pairs(sets))) == 1
    monkeypatch.setattr("minia_spark.mining.pairs._PRODUCTS", 1)
    assert len(list(blocks_of_pairs(sets))) == 44
    assert triples(meetings_of_pairs(sets)) == whole


def test_large_sets_are_cut_and_counted_right_on_average():
    """200 sets of 400 of 800 words: every pair of words meets in about 50 of them."""
    random = np.random.default_rng(1)
    sets = canonical(
        {frozenset(random.choice(800, 400, replace=False).tolist()): 1 for _ in range(200)}
    )
    exact = meetings_of_pairs(sets, min_meetings=1)
    cut = meetings_of_pairs(sets, min_meetings=1, max_products=4_000_000)
    assert cut.meetings.sum() == pytest.approx(
        exact.meetings.sum(), rel=0.02
    )  # 8.14, as a whole number 8
    assert len(cut) > 0.99 * len(exact)
    # a pair is together in a part of 50 words with probability 49/399: binomial of 50, times 8
    assert np.std(cut.meetings) == pytest.approx(np.sqrt(50 * 49 / 399) * 8, rel=0.15)


def test_how_a_set_is_cut_does_not_depend_on_other_sets():
    """The same set as part of a longer list, with the same limit: the same pairs."""
    large = {frozenset(range(64)): 1}
    others = {frozenset(range(100, 164)): 1}
    alone = triples(meetings_of_pairs(canonical(large), min_meetings=1, max_products=64 * 16))
    both = meetings_of_pairs(canonical(large | others), min_meetings=1, max_products=2 * 64 * 16)
    assert [triple for triple in triples(both) if triple[1] < 64] == alone
    assert len(alone) == 4 * 16 * 15 // 2


def test_ranges_of_tables_give_the_same_pairs_in_any_order():
    parts = [
        canonical({frozenset([1, 2, 3]): 2, frozenset([3, 4]): 1}),
        canonical({frozenset([3, 4]): 6}),
    ]
    forward, backward = merge_sets(parts), merge_sets(parts[::-1])
    assert triples(meetings_of_pairs(forward)) == triples(meetings_of_pairs(backward))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_meetings": 0}, "must be at least 1, got 0"),
        ({"max_products": 0}, "must be at least 1, got 2, 0"),
    ],
)
def test_wrong_bounds(options, message):
    with pytest.raises(SettingsError, match=message):
        meetings_of_pairs(empty_sets(), **options)


def test_documents_that_hold_both():
    documents = bags({1, 2, 3}, {1, 2}, {2, 3}, set(), {U32_MAX, 1})
    pairs = word_pairs((1, 2, 1), (1, 3, 1), (1, U32_MAX, 1), (2, U32_MAX, 1), (5, 6, 1))
    assert shared_documents(documents, pairs).tolist() == [2, 1, 1, 0, 0]


def test_no_pairs_and_no_documents():
    assert shared_documents(bags({1, 2}), word_pairs()).shape == (0,)
    assert shared_documents(bags(), word_pairs((1, 2, 1))).tolist() == [0]


@given(
    st.lists(st.frozensets(st.integers(0, 6)), max_size=150),
    st.lists(st.integers(0, 150), max_size=3),
)
def test_counts_of_pieces_add_up_to_those_of_a_loop(rows, cuts):
    every = list(combinations(range(7), 2))
    pairs = word_pairs(*((a, b, 1) for a, b in every))
    bounds = sorted([0, *(min(cut, len(rows)) for cut in cuts), len(rows)])
    pieces = [bags(*rows[a:b]) for a, b in pairwise(bounds)]
    total = sum(shared_documents(piece, pairs) for piece in pieces)
    assert total.tolist() == [sum({a, b} <= row for row in rows) for a, b in every]


def test_blocks_of_documents_and_pairs_are_put_together(monkeypatch):
    random = np.random.default_rng(2)
    rows = [set(random.choice(30, 9, replace=False).tolist()) for _ in range(300)]
    pairs = word_pairs(*((a, b, 1) for a, b in combinations(range(30), 2)))
    whole = shared_documents(bags(*rows), pairs)
    monkeypatch.setattr("minia_spark.mining.pairs._DOCUMENTS", 70)
    monkeypatch.setattr("minia_spark.mining.pairs._WORDS_OF_BITS", 5)
    assert shared_documents(bags(*rows), pairs).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("triple_list", "message"),
    [
        ([(2, 2, 1)], r"first < second \(row 0\)"),
        ([(1, 2, 1), (1, 2, 1)], r"do not ascend \(row 1\)"),
        ([(1, 2, 1), (1, 3, 0)], r"never met \(row 1\)"),
    ],
)
def test_malformed_pairs(triple_list, message):
    with pytest.raises(MalformedError, match=message):
        word_pairs(*triple_list)
    word_pairs((1, 2, 1), (1, 3, 1))


def test_malformed_arrays_of_pairs():
    words = np.array([1], dtype=np.uint32)
    with pytest.raises(MalformedError, match="must be uint32"):
        WordPairs(words.astype(np.int64), words + 1, np.ones(1, np.int64))
    with pytest.raises(MalformedError, match="do not fit together"):
        WordPairs(words, words + 1, np.ones(2, np.int64))


class TestUnion:
    def pairs(self, *rows):
        first, second, meetings = np.array(rows, dtype=np.int64).reshape(-1, 3).T
        return WordPairs(first.astype(np.uint32), second.astype(np.uint32), meetings)

    def test_by_hand(self):
        largest = 2**32 - 1
        one = self.pairs((1, 2, 5), (3, largest, 1))
        other = self.pairs((0, 9, 1), (1, 2, 2))
        union, places = WordPairs.union([one, other])
        assert union.first.tolist() == [0, 1, 3]
        assert union.second.tolist() == [9, 2, largest]
        assert union.meetings.tolist() == [1, 7, 1]
        assert [p.tolist() for p in places] == [[1, 2], [0, 1]]

    def test_of_none(self):
        union, places = WordPairs.union([self.pairs(), self.pairs()])
        assert len(union) == 0
        assert [len(p) for p in places] == [0, 0]
        assert WordPairs.union([])[1] == []
