"""Chance from names."""

from __future__ import annotations

import argparse

import pytest

from minia_spark.delf.draw import MOST_SEED, fractions, rank, seed


def test_an_order_is_of_seed_and_purpose():
    names = [str(i) for i in range(50)]

    def ordered(number, purpose):
        return sorted(names, key=lambda name: rank(number, purpose, name))

    assert ordered(1, "a") == ordered(1, "a")
    assert len({tuple(o) for o in (ordered(1, "a"), ordered(2, "a"), ordered(1, "b"), names)}) == 4
    assert ordered(MOST_SEED, "a") != ordered(0, "a")


def test_fractions_are_spread_evenly():
    found = [f for i in range(1000) for f in fractions(0, "x", str(i), 3)]
    assert all(0 <= f < 1 for f in found)
    assert abs(sum(found) / len(found) - 0.5) < 0.02
    assert fractions(0, "x", "1", 8)[:3] != fractions(0, "y", "1", 8)[:3]


def test_seeds():
    assert seed("0") == 0
    for text in ("-1", str(MOST_SEED + 1)):
        with pytest.raises(argparse.ArgumentTypeError, match=f"must be from 0 to {MOST_SEED}"):
            seed(text)
