"""Maps beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.layout.quality import Measured
from minia_spark.layout.sweep import Trial, recommended, sweep
from minia_spark.layout.tsne import Fit, fit


def trial(perplexity, seed, trust, recall):
    return Trial(
        perplexity, seed, 1.0, Measured(trust, 0.01), Measured(recall, 0.01), Measured(0.1, 0.01)
    )


def test_every_perplexity_with_every_seed():
    vectors = np.random.default_rng(1).normal(size=(31, 5)).astype(np.float32)
    seen = []

    def record(vectors, **given):
        seen.append((given["perplexity"], given["seed"], given["neighbours"].positions.shape[1]))
        return Fit(vectors[:, :2].astype(float), "t-sne", given["perplexity"], 0.5)

    found = list(sweep(vectors, np.zeros(31, np.int64), [2, 5.5, 11], [8, 9], fit=record))
    assert seen == [(2, 8, 6), (2, 9, 6), (5.5, 8, 17), (5.5, 9, 17)]  # 11 is more than a third
    assert [(one.perplexity, one.seed) for one in found] == [one[:2] for one in seen]
    assert np.isnan(found[0].agreement.value)


def test_known_neighbours_change_nothing():
    vectors = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    made = []

    def record(vectors, **given):
        made.append(fit(vectors, iterations=40, **given).places)
        return Fit(made[-1], "t-sne", given["perplexity"], 0.5)

    list(sweep(vectors, np.zeros(40, np.int64), [3, 9], [8], fit=record))
    for places, perplexity in zip(made, (3, 9), strict=True):
        assert np.array_equal(fit(vectors, perplexity=perplexity, iterations=40).places, places)


class TestRecommended:
    def test_the_best(self):
        trials = [trial(5, 8, 0.8, 0.3), trial(20, 8, 0.8, 0.31), trial(50, 8, 0.9, 0.5)]
        best, why = recommended(trials, 20)
        assert best is trials[2]
        assert why.startswith("the best mean")

    def test_the_usual_one_where_seeds_differ_as_much(self):
        trials = [trial(20, 8, 0.8, 0.40), trial(20, 9, 0.8, 0.44), trial(50, 8, 0.8, 0.43)]
        best, why = recommended(trials, 20)
        assert best is trials[1]
        assert why == "no worse than 50 by more than the seeds differ (0.0200)"

    @pytest.mark.parametrize("usual", [20, 30])
    def test_one_alone(self, usual):
        assert recommended([trial(20, 8, 0.8, 0.4)], usual)[0].perplexity == 20
