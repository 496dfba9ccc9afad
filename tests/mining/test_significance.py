import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from minia_spark.errors import SettingsError
from minia_spark.mining import significance
from minia_spark.mining.arrays import MalformedError
from minia_spark.mining.significance import (
    expected_support,
    fit_chance,
    lift,
    q_values,
    shuffled,
    stability,
    surprise,
)
from minia_spark.words.formats import Bags

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


# ---------------------------------------------------------------------------- chance


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
    found = significance._number_held(np.array([shares]))
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
    monkeypatch.setattr(significance, "_EXACT_WORDS", 100)
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


def test_lift_and_surprise():
    support, expected = i64(6, 0, 3, 0), np.array([2.0, 2.0, 0.0, 0.0])
    found = lift(support, expected)
    assert found[:3].tolist() == [3.0, 0.0, math.inf]
    assert math.isnan(found[3])
    tail = 1 - math.exp(-2) * sum(2**i / math.factorial(i) for i in range(6))
    scores = surprise(support, expected)
    assert scores[0] == pytest.approx(-math.log10(tail), rel=1e-9)
    assert scores[1:].tolist() == [0.0, math.inf, 0.0]


# ---------------------------------------------------------------------------- q-values


def test_q_values_by_hand():
    """Two decoy collections with scores 5, 3 and 3.

    At 9 and 8: (0 + 1) / 2 / 1 and (0 + 1) / 2 / 2; at 5: (1 + 1) / 2 / 3; at 1: (3 + 1) / 2 / 4.
    The rate at 9 is that at 8, which reports more at less.
    """
    found = q_values(np.array([5.0, 9.0, 1.0, 8.0]), [np.array([5.0, 3.0]), np.array([3.0])])
    assert found.tolist() == [pytest.approx(1 / 3), 1 / 4, 1 / 2, 1 / 4]


def test_q_values_without_decoys_found():
    found = q_values(np.array([2.0, math.inf]), [np.zeros(0)] * 10)
    assert found.tolist() == [1 / 20, 1 / 20]
    assert q_values(np.zeros(0), [np.ones(3)]).tolist() == []


def test_q_values_refused():
    with pytest.raises(SettingsError, match="need at least one decoy collection"):
        q_values(np.ones(2), [])
    with pytest.raises(MalformedError, match="a score is not a number"):
        q_values(np.array([1.0, math.nan]), [np.ones(2)])


numbers = st.lists(st.integers(0, 6).map(float), max_size=8)


@given(numbers, st.lists(numbers, min_size=1, max_size=3))
def test_q_values_against_the_definition(scores, decoys):
    def rate(threshold):
        wrong = sum(score >= threshold for decoy in decoys for score in decoy)
        return min(1.0, (wrong + 1) / len(decoys) / sum(s >= threshold for s in scores))

    found = q_values(np.array(scores), [np.array(decoy, dtype=np.float64) for decoy in decoys])
    expected = [min(rate(t) for t in scores if t <= score) for score in scores]
    assert found.tolist() == pytest.approx(expected)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_false_discoveries_stay_below_q(seed):
    """500 true scores from a better distribution, 500 false ones from that of the decoys."""
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(4, 1, 500), random.normal(0, 1, 500)])
    found = q_values(scores, [random.normal(0, 1, 500) for _ in range(10)])
    reported = found <= 0.1
    assert np.sum(reported[:500]) > 400
    assert np.sum(reported[500:]) / np.sum(reported) < 0.15


# ---------------------------------------------------------------------------- stability


def test_stability_by_hand():
    ours = rows([1, 2, 3], [4, 5, 6])
    runs = [rows([1, 2, 3], [4]), rows([2, 3, 9]), rows([1], [4, 5, 6, 7]), rows()]
    assert stability(ours, runs).tolist() == [2 / 4, 1 / 4]
    assert stability(ours, runs, jaccard=0.8).tolist() == [1 / 4, 0]
    assert np.isnan(stability(ours, [])).tolist() == [True, True]
