"""Structures of one pattern: by hand, against a slow twin, planted and by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.features.turns import TURNS, turns_of
from minia_spark.mining.model import Structures
from minia_spark.structures.classes import stands_out, typical
from minia_spark.structures.patterns import leaders, likeness, patterns, strength


def structures(*sets):
    sizes = [len(one) for one in sets]
    items = np.array([w for one in sets for w in one], np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Structures(offsets, items, np.ones_like(items), np.ones(len(sets), np.int64))


def images(*sets):
    return [np.array(one, np.int64) for one in sets]


def sift_like(rng, count):
    """Descriptors with few large numbers, as SIFT's."""
    return np.rint(255 * rng.random((count, 128)) ** 4)


NO_TURNS = turns_of("")


@pytest.mark.parametrize(
    ("lift", "surprise", "told"),
    [
        (3.0, 9.0, "strong"),
        (2.99, 9.0, "moderate"),
        (1.5, 2.0, "moderate"),
        (1.49, 9.0, "weak"),
        (50.0, 1.9, "weak"),
        (50.0, None, "strong"),
        (None, 9.0, "weak"),
    ],
)
def test_strength(lift, surprise, told):
    assert strength(lift, surprise) == told


def test_those_in_much_the_same_images_join_the_first():
    found = images(
        [0, 1, 2, 3],
        [2, 3, 4, 5],  # 2 of 6 in both: a third
        [4, 5, 6, 7],  # 2 of 6 with the one before, which leads nobody
        [0, 1, 8, 9, 10],  # 2 of 7
        [],
        [6, 7],
        [6, 7],
    )
    assert leaders(found, [False] * 7) == [None, 0, None, None, None, 2, 2]
    assert leaders(found, [True] + [False] * 6) == [None, None, 1, None, None, None, 5]
    assert leaders([], []) == []


def test_words_that_look_alike():
    # 200 words on a line: two are near to each, itself included; words 2k and 2k + 1 are a pair
    centres = np.array([[10 * (k // 2) + k % 2] for k in range(200)], float)
    found = likeness(structures([0, 2, 4], [1, 3, 90], [100, 102], [1, 3, 5]), centres, NO_TURNS)
    assert found.of(0) == [(1, pytest.approx(2 / 3)), (3, 1.0)]
    assert found.of(2) == []
    assert found.turn(0, 3) == ""
    assert found.turn(0, 2) is None
    assert found.of(1) == [(0, pytest.approx(2 / 3)), (3, pytest.approx(2 / 3))]


@pytest.mark.parametrize("turn", range(8))
def test_a_turned_structure(turn):
    rng = np.random.default_rng(turn)
    first = sift_like(rng, 5)
    row = turns_of("sift")[turn]
    centres = np.concatenate([first, first[:, row] + rng.integers(-3, 4, (5, 128))])
    centres = np.concatenate([centres, sift_like(rng, 400)])
    found = likeness(structures(range(5), range(5, 10)), centres, turns_of("sift"))
    assert found.of(0) == [(1, 1.0)]
    assert found.turn(0, 1) == TURNS[turn]
    # the reverse of a quarter turn is the other quarter turn, of all others the turn itself
    assert found.turn(1, 0) == TURNS[{1: 3, 3: 1}.get(turn, turn)]


def slow_likeness(sets, centres, turns):
    nearest = max(1, len(centres) // 100)

    def near(word, row):
        apart = [(np.sum(np.square(centres[word][row] - centre))) for centre in centres]
        return {k for k, one in enumerate(apart) if one <= sorted(apart)[nearest - 1]}

    shares = np.zeros((len(sets), len(sets)))
    for row in turns:
        close = {word: near(word, row) for one in sets for word in one}
        for a, one in enumerate(sets):
            for b, other in enumerate(sets):
                held = sum(any(v in close[w] for v in other) for w in one) / len(one)
                holding = sum(any(v in close[w] for w in one) for v in other) / len(other)
                share = min(held, holding)
                if a != b and share >= 2 / 3 - 1e-9:
                    shares[a, b] = max(shares[a, b], share)
    return np.minimum(shares, shares.T)


@given(seed=st.integers(0, 2**32 - 1))
def test_as_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    turns = turns_of("sift")[[0, 4]]
    few = sift_like(rng, 6)
    # half of the words are others, mirrored and not, with some noise
    noise = rng.integers(-9, 10, (60, 128))
    centres = few[rng.integers(0, 6, 60)][:, turns[0]] + noise
    centres[::2] = centres[::2][:, turns[1]]
    sets = [rng.choice(60, rng.integers(2, 5), replace=False).tolist() for _ in range(6)]
    found = likeness(structures(*sets), centres, turns)
    assert np.allclose(found.shares.toarray(), slow_likeness(sets, centres, turns))


def test_chance_hardly_makes_any():
    rng = np.random.default_rng(1)
    centres = sift_like(rng, 2000)
    sets = [rng.choice(2000, rng.integers(3, 10), replace=False) for _ in range(90)]
    found = likeness(structures(*sets), centres, turns_of("sift"))
    pairs = 90 * 89
    assert found.shares.nnz <= 0.004 * pairs


def alike(count, pairs):
    """A likeness of some pairs."""

    class Told:
        def of(self, number):
            rows = [(b, s) for a, b, s in pairs if a == number]
            return sorted(rows + [(a, s) for a, b, s in pairs if b == number])

    return Told()


def joined(pairs, same=None, order=None, strong=(), apart=(), count=6):
    same = [None if same is None else same.get(k) for k in range(count)]
    sure, left = ([k in those for k in range(count)] for those in (strong, apart))
    order = order or list(range(count))
    return patterns(alike(count, pairs), same, order, strong=sure, apart=left)


def test_one_joins_the_first_of_a_pattern_and_not_through_another():
    assert joined([(0, 1, 0.75), (1, 2, 0.9), (2, 3, 0.9)]) == [None, 0, None, 2, None, None]
    assert joined([(0, 1, 0.7)]) == [None] * 6


def test_strong_ones_join_through_each_other_and_others_any_of_them():
    pairs = [(0, 2, 0.7), (1, 2, 0.7), (1, 3, 0.75), (3, 4, 0.9), (1, 5, 0.7)]
    assert joined(pairs, strong={0, 1, 2}) == [None, 0, 0, 0, None, None]


def test_the_most_alike_and_of_equal_ones_the_first():
    pairs = [(0, 2, 0.75), (1, 2, 0.8), (0, 3, 0.75), (1, 3, 0.75)]
    assert joined(pairs)[2:4] == [1, 0]


def test_images_before_words_and_through_another():
    pairs = [(0, 1, 0.8), (3, 2, 1.0)]
    assert joined(pairs, same={2: 1, 4: 2}) == [None, 0, 0, None, 0, None]


def test_strong_ones_in_the_same_images_bring_patterns_together():
    assert joined([(1, 2, 0.7)], same={2: 0}, strong={0, 1, 2}) == [None, 0, 0] + [None] * 3


def test_the_order_says_who_is_first():
    assert joined([(0, 5, 0.8)], order=[5, 4, 3, 2, 1, 0]) == [5, None, None, None, None, None]


def test_those_apart_neither_begin_nor_join():
    pairs = [(0, 1, 1.0), (1, 2, 1.0)]
    assert joined(pairs, apart={1}) == [None] * 6
    assert joined(pairs, strong={0, 1, 2}, apart={1}) == [None] * 6


def test_none():
    empty = likeness(structures(), np.zeros((0, 0)), NO_TURNS)
    assert empty.shares.shape == (0, 0)
    assert patterns(empty, [], [], strong=[], apart=[]) == []


def test_a_class_that_stands_out():
    assert typical([("a", 30, 0.5), ("b", 20, 0.1), ("c", 3, 0.001)]) == ("b", 20, 0.1)
    assert typical([("a", 50, 0.9)]) is None
    assert typical([]) is None
    assert not stands_out(4, 50, 0.001)  # less than a tenth
    assert not stands_out(12, 100, 0.1)  # 10 by chance, give or take 3
