"""What is expected of exposures, and when a batch is beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.exposures.drift import beyond, expected_of, held_out


def test_a_tenth_is_held_out_whatever_the_order():
    names = [f"e{number}" for number in range(40)]
    found = held_out(names, 1)
    assert len(found) == 4
    assert found == held_out([*reversed(names), *names], 1)
    assert found != held_out(names, 2)
    assert held_out(names[:9], 1) == set()


def test_expected_by_hand():
    errors, held = np.array([1.0, 1.0, 2.0, 4.0]), np.array([False, False, True, True])
    found = expected_of(errors, held)
    assert (found.error, found.deviation, found.exposures) == (3.0, 1.0, 2)
    assert expected_of(errors, np.zeros(4, bool)).error == 2.0
    assert expected_of(errors, np.zeros(4, bool)).exposures == 0


def row(**changes):
    return {
        "batch": "n2",
        "map": "cutouts",
        "exposures": 100,
        "error": 1.3,
        "expected_error": 1.0,
        "expected_deviation": 0.2,
        "expected_from": 100,
    } | changes


def test_a_batch_beyond():
    told = beyond(row(), 1.25)
    assert told is not None
    assert told.startswith("batch n2 is unlike what the map of cutouts was trained on")
    assert "is 1.3, expected is 1" in told


@pytest.mark.parametrize(
    "changes",
    [
        {"error": 1.2},  # within the ratio
        {"exposures": 2},  # 0.3 beyond, and 3 x 0.2 x sqrt(1/2 + 1/100) = 0.43
        {"expected_from": 0, "exposures": 2},
        {"error": None, "exposures": 0},
    ],
)
def test_a_batch_that_is_not(changes):
    assert beyond(row(**changes), 1.25) is None
