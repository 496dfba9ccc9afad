"""Whether features lie alike: by hand, under every similarity, and by chance."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.geometry.alike import Placed, alike, sampled_pairs

SQUARE = np.array([[10, 10], [60, 10], [60, 60], [10, 60], [30, 45]], np.float32)


def placed(places, words=None, sizes=8.0, angles=-1.0):
    count = len(places)
    return Placed(
        np.arange(count) if words is None else np.array(words),
        np.asarray(places, np.float32),
        np.full(count, sizes, np.float32),
        np.full(count, angles, np.float32) % 360 if np.min(angles) >= 0 else np.full(count, -1.0),
    )


def moved(places, degrees=0.0, scale=1.0, shift=(0, 0)):
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return places @ matrix.T + np.array(shift)


def check(left, right, least=3, tolerance=0.5):
    return alike(left, right, least=least, tolerance=tolerance)


@given(st.floats(0, 360), st.floats(0.3, 3), st.floats(-100, 100), st.floats(-100, 100))
def test_any_shift_turn_and_scale(degrees, scale, x, y):
    left = placed(SQUARE, sizes=8, angles=20)
    there = moved(SQUARE, degrees, scale, (x, y))
    assert check(left, placed(there, sizes=8 * scale, angles=20 + degrees)) == 5


def test_a_mirror_image_is_not_alike():
    mirrored = SQUARE * np.array([-1, 1])
    assert check(placed(SQUARE), placed(mirrored)) < 5
    assert check(placed(SQUARE), placed(mirrored), least=4) == 0


def test_what_is_elsewhere_does_not_count():
    there = moved(SQUARE, 30, 1.5)
    there[4] += 40
    assert check(placed(SQUARE), placed(there, sizes=12)) == 4
    assert check(placed(SQUARE), placed(there, sizes=12), least=5) == 0


def test_sizes_and_orientations_must_follow():
    there = moved(SQUARE, 90, 1.0)
    assert check(placed(SQUARE, angles=10), placed(there, angles=100)) == 5
    assert check(placed(SQUARE, angles=10), placed(there, angles=10)) == 0
    assert check(placed(SQUARE, angles=10), placed(there)) == 5  # one has none
    assert check(placed(SQUARE, sizes=8), placed(there, sizes=16)) == 0


def test_only_features_of_the_same_word_are_matched():
    assert check(placed(SQUARE), placed(SQUARE, words=[0, 1, 2, 3, 4])) == 5
    assert check(placed(SQUARE), placed(SQUARE, words=[1, 2, 3, 4, 0])) < 5
    assert check(placed(SQUARE), placed(SQUARE, words=[5, 6, 7, 8, 9])) == 0


def test_several_features_of_a_place_count_once():
    twice = np.repeat(SQUARE[:2], 3, axis=0)
    words = [0, 0, 0, 1, 1, 1]
    assert check(placed(twice, words), placed(twice, words)) == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few(count):
    assert check(placed(SQUARE[:count]), placed(SQUARE)) == 0


def test_all_in_one_place():
    same = np.zeros((5, 2))
    assert check(placed(same), placed(same)) == 0


def test_sizes_of_zero_tell_nothing():
    assert check(placed(SQUARE, sizes=0), placed(SQUARE, sizes=0)) == 0


def test_by_chance_it_is_rare():
    draw = np.random.default_rng(2)
    found = 0
    for _ in range(300):
        sides = [
            placed(draw.uniform(0, 400, (8, 2)), sizes=8, angles=draw.uniform(0, 360)) for _ in "ab"
        ]
        found += check(*sides) > 0
    assert found <= 6


@given(st.integers(0, 30), st.integers(0, 60), st.integers(0, 3))
def test_pairs(images, wanted, seed):
    every = {tuple(pair) for pair in combinations(range(images), 2)}
    found = sampled_pairs(images, wanted, (seed, 1)).tolist()
    assert found == sorted(found)
    assert {tuple(pair) for pair in found} <= every
    assert len({tuple(pair) for pair in found}) == len(found) == min(wanted, len(every))


def test_pairs_of_very_many_images():
    found = sampled_pairs(3_000_000, 1000, (1, 2))
    assert (found[:, 0] < found[:, 1]).all()
    assert found.max() < 3_000_000
    assert found.min() >= 0
    assert sampled_pairs(3_000_000, 1000, (1, 2)).tolist() == found.tolist()
    assert sampled_pairs(3_000_000, 1000, (1, 3)).tolist() != found.tolist()
