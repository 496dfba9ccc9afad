"""Structures with words in common."""

from __future__ import annotations

import numpy as np

from minia_spark.gallery.related import related
from minia_spark.mining.model import Structures


def _structures(*sets):
    sizes = [len(one) for one in sets]
    items = np.array([w for one in sets for w in one], np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Structures(offsets, items, np.ones_like(items), np.ones(len(sets), np.int64))


def test_the_most_similar_first():
    found = related(_structures([1, 2, 3], [3, 4], [1, 2], [9], [2, 3]))
    assert found[0] == [[2, 0.6667], [4, 0.6667], [1, 0.25]]
    assert found[3] == []


def test_eight_at_most_and_none():
    assert len(related(_structures(*[[1, k] for k in range(2, 20)]))[0]) == 8
    assert related(_structures()) == []
