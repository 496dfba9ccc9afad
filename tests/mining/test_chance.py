"""Chance by hand, against all outcomes, and against shuffled collections."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from minia_spark.base.bags import Bags
from minia_spark.mining import chance
from minia_spark.mining.chance import expected_support, fit_chance
from minia_spark.mining.number import number_held
from minia_spark.mining.shuffle import shuffled
from minia_spark.smh.arrays import MalformedError

from .test_model import rows


def i64(*values):
    return np.array(values, dtype=np.int64)


def u32(*values):
    return np.array(values, dtype=np.uint32)


def bags(*counted):
    return Bags(
        np.cumsum([0, *map(len, counted)], dtype=np.int64),
        u32(*(item for bag in counted for item in bag)),
        u32(*(count for bag in counted for count in bag.values())),
    )


def of_images(*images):
    """Chance with the totals of images, sets of words."""
    totals = Counter(word for image in images for word in image)
    sizes = Counter(map(len, images))
    words = sorted(totals)
    return fit_chance(
        u32(*words),
        i64(*(totals[word] for word in words)),
        i64(*sorted(sizes)),
        i64(*(sizes[size] for size in sorted(sizes))),
    )


def probabilities(found):
    return 1 / (1 + np.exp(-(found.image_logits[:, None] + found.word_logits)))


def test_equal_totals_give_equal_probabilities():
    """4 images of 2 out of 4 words: every probability is 1/2."""
    found = fit_chance(u32(3, 4, 5, 9), i64(2, 2, 2, 2), i64(2), i64(4))
    assert probabilities(found).tolist() == [pytest.approx([0.5] * 4, rel=1e-6)]


@given(st.lists(st.sets(st.integers(0, 6), min_size=1), min_size=1, max_size=8))
def test_expected_totals_are_the_totals(images):
    found = of_images(*images)
    totals = Counter(word for image in images for word in image)
    held = probabilities(found)
    bound = 2 * found.error + 1e-9  # small, unless a total leaves no choice and the rounds run out
    assert bound < 0.05
    expected = found.image_counts @ held
    assert expected == pytest.approx([totals[word] for word in sorted(totals)], rel=bound)
    assert held.sum(axis=1) == pytest.approx(found.image_sizes, rel=bound)


def test_words_that_are_everywhere():
    """Word 1 in all of 3 images, words 2, 3, 4 in one each: probabilities 1 and 1/3."""
    found = fit_chance(u32(1, 2, 3, 4), i64(3, 1, 1, 1), i64(2), i64(3))
    assert probabilities(found)[0] == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3], abs=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((u32(1), i64(2), i64(1), i64(3)), "words occur in 2 images, images hold 3 words"),
        ((u32(1, 2), i64(3, 1), i64(2), i64(2)), "a word is in more images, .* than exist"),
        ((u32(1), i64(2), i64(2), i64(1)), "an image holds more words, than exist"),
        ((u32(1), i64(0), i64(1), i64(1)), "totals of words must be at least 1, got 0"),
        ((u32(1), i64(1), i64(0, 1), i64(1, 1)), "totals of sizes must be at least 1, got 0"),
        ((u32(1), i64(1), i64(1), i64(1, 1)), "1 image sizes for 2 counts"),
    ],
)
def test_contradicting_totals(arguments, message):
    with pytest.raises(MalformedError, match=message):
        fit_chance(*arguments)


def test_chance_of_nothing():
    empty = fit_chance(u32(), i64(), i64(), i64())
    assert expected_support(rows([1, 2]), empty).tolist() == [0.0]
    assert expected_support(rows(), empty).tolist() == []


# ---------------------------------------------------------------------------- support


def test_expected_support_by_hand():
    """Images of 3 out of 6 equally frequent words: of 20, 10 hold two or three of words 0, 1, 2;
    4 hold both 0 and 1; half hold word 0. Words 77 and 78 are nowhere: never two of three.
    """
    found = of_images(*itertools.combinations(range(6), 3))
    structures = rows([0, 1, 2], [0, 1], [0], [0, 77, 78], [0, 1, 77])
    assert expected_support(structures, found) == pytest.approx([10, 4, 10, 0, 4], rel=1e-4)


def test_structure_of_all_words():
    """4 of 6 words are always more than half, 3 never."""
    everything = rows(list(range(6)))
    four = of_images(*itertools.combinations(range(6), 4))
    three = of_images(*itertools.combinations(range(6), 3))
    assert expected_support(everything, four) == pytest.approx([15])
    assert expected_support(everything, three) == pytest.approx([0], abs=1e-6)


def test_no_choice():
    """Every image holds every word."""
    found = of_images({1, 2, 3}, {1, 2, 3})
    assert expected_support(rows([1, 2], [3], [1, 2, 9]), found) == pytest.approx([2, 2, 2])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8))
def test_number_of_words_held_against_all_outcomes(shares):
    expected = np.zeros(len(shares) + 1)
    for outcome in itertools.product((0, 1), repeat=len(shares)):
        expected[sum(outcome)] += math.prod(
            p if held else 1 - p for held, p in zip(outcome, shares, strict=True)
        )
    found = number_held(np.array([shares]))
    assert found[0] == pytest.approx(expected, rel=1e-9)


def test_equally_frequent_words_are_hypergeometric():
    """Images of 10 out of 1,000 words; down to all ten from a structure of 18: 1e-19, not 0."""
    words = np.arange(1000, dtype=np.uint32)
    found = fit_chance(words, np.full(1000, 100), i64(10), i64(10_000))
    for count in (1, 2, 3, 6, 18):
        expected = 10_000 * hypergeom.sf(count // 2, 1000, count, 10)
        assert expected_support(rows(list(range(count))), found) == pytest.approx([expected], 1e-3)
    assert expected_support(rows(list(range(20))), found).tolist() == [0]  # 11 do not fit into 10


def test_many_words_are_taken_as_normal(monkeypatch):
    random = np.random.default_rng(5)
    images = [set(random.choice(700, 350, replace=False).tolist()) for _ in range(50)]
    found = of_images(*images)
    structures = rows(list(range(400)), list(range(100, 300)))
    exact = expected_support(structures, found)
    monkeypatch.setattr(chance, "_EXACT_WORDS", 100)
    assert expected_support(structures, found) == pytest.approx(exact, rel=0.02)


def test_expected_support_is_what_shuffling_gives():
    """200 decoys of 60 images: mean supports within 4 standard errors of the expectation."""
    random = np.random.default_rng(1)
    words = [sorted(random.choice(12, random.integers(2, 7), replace=False)) for _ in range(60)]
    images = bags(*(dict.fromkeys(map(int, bag), 1) for bag in words))
    totals = np.bincount(images.items, minlength=12)
    sizes, counts = np.unique(np.diff(images.offsets), return_counts=True)
    model = fit_chance(np.arange(12, dtype=np.uint32), totals, sizes, counts)
    structures = [[0, 1], [2, 3, 4], [5, 6, 7, 8]]
    expected = expected_support(rows(*structures), model)
    supports = []
    for seed in range(200):
        decoy = shuffled(images, seed=seed)
        held = [set(decoy.items[a:b].tolist()) for a, b in itertools.pairwise(decoy.offsets)]
        supports.append([sum(2 * len(h & set(s)) > len(s) for h in held) for s in structures])
    error = np.std(supports, axis=0) / math.sqrt(200)
    assert np.all(np.abs(np.mean(supports, axis=0) - expected) < 4 * error + 0.02 * expected)
