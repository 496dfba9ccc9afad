"""Close-ups by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.report.closeup import CloseUp, close_up


def of(x, y, size, angle=None, width=1000, height=800):
    angle = np.full(len(x), -1.0) if angle is None else angle
    arrays = (np.array(one, np.float32) for one in (x, y, size, angle))
    return close_up(*arrays, width=width, height=height)


def test_most_features_are_in_it_and_a_few_may_lie_elsewhere():
    # the middle is 200, 100; of five features the farthest is passed over
    found = of([100, 200, 300, 200, 900], [100, 100, 100, 100, 100], [20] * 5)
    assert found == CloseUp(200.5, 100.5, 2 * (100 + 10), 0.0)


@pytest.mark.parametrize(("size", "half"), [(1, 120), (5000, 500)])
def test_it_is_neither_a_dot_nor_more_than_the_image(size, half):
    assert of([10], [10], [size]).half == half


@pytest.mark.parametrize(
    ("angle", "turn"),
    [
        ([30, 30, 30], 30),
        ([30, 30, 31], 0),  # each feature has its own
        ([-1, -1, -1], 0),
        ([np.nan] * 3, 0),
    ],
)
def test_it_is_turned_as_the_image_was(angle, turn):
    assert of([1, 2, 3], [1, 2, 3], [1] * 3, angle).turn == turn
    assert of([1], [1], [1], angle[:1]).turn == 0  # one alone tells nothing of the image


def test_a_galaxy_is_in_its_close_up_too():
    # in the middle of the image, at 500, 400: 200 pixels from the features
    found = of([699.5] * 2, [399.5] * 2, [10, 10], [45, 45])
    assert found == CloseUp(700, 400, 400, 45)
    assert of([499.5] * 2, [399.5] * 2, [10, 10], [45, 45]).half == 160


def test_without_features_there_is_none():
    assert of([], [], []) is None
    assert of([np.nan], [1], [1]) is None
    assert of([np.nan, 5], [1, 5], [1, 1]) == of([5], [5], [1])


@given(
    st.lists(st.tuples(*[st.floats(width=32)] * 4), min_size=1, max_size=9),
    st.integers(1, 50_000),
)
def test_any_numbers_give_a_square_within_bounds(rows, longer):
    found = close_up(*np.array(rows, np.float32).T, width=longer, height=1)
    if found is not None:
        assert np.isfinite(found[:3]).all()
        assert 0.119 * longer <= found.half <= 0.501 * longer
