"""Circles: where they belong, of the size they have, in the colour of their word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.report.draw import MOST_CIRCLES, PALETTE, Circle, circles, colour_numbers


def drawn(*features, words=None, ranking=(7, 3), width=400, height=200):
    x, y, size = np.array(features, dtype=np.float32).reshape(-1, 3).T
    words = np.full(len(x), 7) if words is None else np.array(words)
    ranked = np.array(ranking, dtype=np.int32)
    return circles(x, y, size, words=words, ranking=ranked, width=width, height=height)


def test_a_circle_has_the_feature_s_place_and_size():
    # (0, 0) is the middle of the first pixel, half a pixel from the corner
    assert drawn((30, 60, 20)) == [Circle(30.5, 60.5, 10.0, 0)]
    assert drawn((0, 0, 20.26), width=100, height=100) == [Circle(0.5, 0.5, 10.13, 0)]
    assert drawn() == []


def test_a_circle_too_small_to_see_is_larger():
    assert drawn((30, 60, 1)) == [Circle(30.5, 60.5, 4.8, 0)]  # 1.2 % of 400 pixels


def test_small_circles_come_last():
    both = [(20, 20, 12), (20, 20, 40)]
    assert drawn(*both, words=(7, 3)) == drawn(*both[::-1], words=(3, 7))
    assert [circle.radius for circle in drawn(*both)] == [20, 6]


def test_of_too_many_the_most_frequent_words_stay_and_then_the_largest():
    many = [(20, 20, 20)] * MOST_CIRCLES
    # another word and a smaller one of the same word have to go, a larger one of it stays
    found = drawn(*many, (9, 9, 90), (8, 8, 14), words=[3] * MOST_CIRCLES + [5, 3])
    assert len(found) == MOST_CIRCLES
    assert {circle.radius for circle in found} == {10}
    found = drawn(*many, (9, 9, 90), words=[3] * (MOST_CIRCLES + 1))
    assert len(found) == MOST_CIRCLES
    assert found[0].radius == 45


@given(
    numbers=st.lists(
        st.tuples(*[st.floats(width=32, allow_nan=True, allow_infinity=True)] * 3), max_size=9
    )
)
def test_any_numbers_give_finite_circles_that_touch_the_image(numbers):
    for circle in drawn(*numbers, width=8, height=5):
        assert np.isfinite(circle).all()
        assert -circle.radius - 0.01 <= circle.x <= 8 + circle.radius + 0.01
        assert -circle.radius - 0.01 <= circle.y <= 5 + circle.radius + 0.01
        assert circle.radius <= 32


def test_features_outside_or_not_finite_are_left_out():
    outside = [
        (-500, 5, 3),
        (5, 500, 3),
        (np.nan, 5, 3),
        (5, np.inf, 3),
        (5, 5, np.inf),
        (5, 5, np.nan),
        (1e30, 1e30, 3),
        (5, 5, 4000),
    ]
    assert drawn(*outside) == []
    # a circle whose middle is outside but that reaches in is drawn
    assert drawn((-5, 100, 40)) == [Circle(-4.5, 100.5, 20, 0)]


def test_colours_go_by_the_ranking():
    ranking = np.arange(20, 32, dtype=np.int32)
    words = np.array([20, 27, 28, 31, 5, 99], np.int32)
    assert colour_numbers(words, ranking).tolist() == [0, 7, 8, 8, 8, 8]
    assert len(PALETTE) == 8
    assert colour_numbers(words, ranking[:0]).tolist() == [8] * 6
    assert colour_numbers(words[:0], ranking).tolist() == []
    assert [c.colour for c in drawn((9, 9, 9), (9, 9, 8), (9, 9, 7), words=(3, 8, 7))] == [1, 8, 0]


@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_colours_against_a_loop(count):
    rng = np.random.default_rng(count)
    ranking = rng.permutation(60)[:count].astype(np.int32)
    words = rng.integers(0, 60, 200).astype(np.int32)
    places = {word: place for place, word in enumerate(ranking.tolist())}
    expected = [min(places.get(word, 8), 8) for word in words.tolist()]
    assert colour_numbers(words, ranking).tolist() == expected
