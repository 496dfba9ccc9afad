"""Lift, q-values and stability by hand and against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import SettingsError
from minia_spark.mining.significance import lift, q_values, stability, surprise
from minia_spark.smh.arrays import MalformedError

from .test_model import rows


def i64(*values):
    return np.array(values, dtype=np.int64)


def test_lift_and_surprise():
    support, expected = i64(6, 0, 3, 0), np.array([2.0, 2.0, 0.0, 0.0])
    found = lift(support, expected)
    assert found[:3].tolist() == [3.0, 0.0, math.inf]
    assert math.isnan(found[3])
    tail = 1 - math.exp(-2) * sum(2**i / math.factorial(i) for i in range(6))
    scores = surprise(support, expected)
    assert scores[0] == pytest.approx(-math.log10(tail), rel=1e-9)
    assert scores[1:].tolist() == [0.0, math.inf, 0.0]


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


def test_stability_by_hand():
    ours = rows([1, 2, 3], [4, 5, 6])
    runs = [rows([1, 2, 3], [4]), rows([2, 3, 9]), rows([1], [4, 5, 6, 7]), rows()]
    assert stability(ours, runs).tolist() == [2 / 4, 1 / 4]
    assert stability(ours, runs, jaccard=0.8).tolist() == [1 / 4, 0]
    assert np.isnan(stability(ours, [])).tolist() == [True, True]


@pytest.mark.parametrize(
    ("support", "expected"), [(200, 2.0), (500, 25.8), (14_000, 10_000.0), (5, 1e-80)]
)
def test_surprise_beyond_what_a_float_holds(support, expected):
    """Against the sum of the terms, each with its logarithm."""
    first = support * math.log(expected) - expected - math.lgamma(support + 1)
    terms = np.cumprod(expected / np.arange(support + 1, support + 5_000))
    exact = -(first + math.log1p(terms.sum())) / math.log(10)
    assert surprise(np.array([support]), np.array([expected])) == pytest.approx(exact, rel=1e-7)
