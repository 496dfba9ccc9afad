"""Structures with words in common."""

from __future__ import annotations

import numpy as np

from minia_spark.gallery.related import counterparts, related
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


def _images(*sets):
    return [np.array(one, np.int64) for one in sets]


def test_counterparts_have_most_nearly_the_same_images():
    own = _images([0, 1, 2, 3], [7], [])
    others = _images([9], [0, 1, 2], [3], [0, 1, 2, 3, 4, 5], [3, 8])
    found = counterparts(own, others)
    assert found[0] == [[1, 0.75, 3], [3, 0.6667, 4], [2, 0.25, 1]]  # the fourth is left out
    assert found[1:] == [[], []]
    assert counterparts([], others) == []
    assert counterparts(own, []) == [[], [], []]
