"""Purity and balanced accuracy, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from minia_spark.exposures.measure import balanced_accuracy, purity


def test_purity_by_hand():
    assert purity([(1, "a"), (1, "a"), (1, "b"), (2, "b")]) == 3 / 4
    assert purity([(5, "a")]) == 1


def test_balanced_accuracy_by_hand():
    """All three a are found, of two b one, and a c that has no flag is not."""
    pairs = [("a", "a")] * 3 + [("b", "b"), ("b", "a"), ("c", None)]
    assert balanced_accuracy(pairs) == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_against_scikit_learn():
    random = np.random.default_rng(1)
    truth, found = (random.choice(["a", "b", "c"], 50) for _ in range(2))
    assert balanced_accuracy(list(zip(truth, found, strict=True))) == pytest.approx(
        balanced_accuracy_score(truth, found)
    )
