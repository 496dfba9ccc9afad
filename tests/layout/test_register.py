"""A map laid onto another: what a similarity takes away, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.layout.register import similarity


@given(
    st.floats(0.1, 10),
    st.floats(0, 7),
    st.booleans(),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
def test_turned_mirrored_scaled_and_shifted(scale, angle, is_mirrored, shift):
    places = np.random.default_rng(1).normal(size=(20, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if is_mirrored:
        turn[0] *= -1
    target = scale * places @ turn + shift
    found = similarity(places, target)
    assert found(places) == pytest.approx(target, abs=1e-9 * (1 + scale))
    assert found.error == pytest.approx(0, abs=1e-7)


def test_of_two_different_maps_the_rest_is_told():
    random = np.random.default_rng(1)
    found = similarity(random.normal(size=(500, 3)), random.normal(size=(500, 3)))
    assert 0.9 < found.error <= 1


def test_a_point_by_itself():
    places = np.random.default_rng(1).normal(size=(20, 2))
    found = similarity(places, places[::-1])
    assert np.array_equal(found(places[3:4])[0], found(places)[3])


@pytest.mark.parametrize("places", [np.zeros((0, 2)), np.ones((2, 2)), np.ones((9, 2))])
def test_nothing_to_go_by(places):
    assert similarity(places, places) is None
