"""Quality of a map: by hand, against scikit-learn, and what is advised."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from minia_spark.layout.quality import Measured, advice, agreement, judge, mean


def random_map(images=120):
    random = np.random.default_rng(2)
    vectors = random.normal(size=(images, 6)).astype(np.float32)
    return vectors, vectors[:, :2] + random.normal(0, 0.7, (images, 2))


class TestJudge:
    @pytest.mark.parametrize("neighbours", [1, 5, 15])
    def test_trustworthiness_is_scikit_learns(self, neighbours):
        vectors, places = random_map()
        found = judge(
            vectors, places, np.zeros(120, np.int64), np.arange(120), neighbours=neighbours
        )
        wanted = trustworthiness(vectors, places, n_neighbors=neighbours)
        assert found.trust.mean() == pytest.approx(wanted, abs=1e-9)

    def test_recall_against_all_distances(self):
        vectors, places = random_map()
        found = judge(vectors, places, np.zeros(120, np.int64), np.arange(120), neighbours=7)
        for i in (0, 50, 119):
            near = [
                set(np.argsort(np.linalg.norm(of - of[i], axis=1), kind="stable")[1:8])
                for of in (vectors.astype(float), places)
            ]
            assert found.recall[i] == pytest.approx(len(near[0] & near[1]) / 7)

    def test_a_perfect_map(self):
        places = np.array([[0.0, 0], [1, 0], [3, 0], [7, 0], [15, 0]])
        found = judge(
            places.astype(np.float32),
            places,
            np.array([0, 0, 1, 1, -1]),
            np.arange(5),
            neighbours=2,
        )
        assert found.trust.tolist() == [1] * 5
        assert found.recall.tolist() == [1] * 5
        assert found.same_on_map[:4].tolist() == [0.5, 0.5, 0, 0.5][:2] + [0, 0.5][0:2]
        assert np.isnan(found.same_on_map[4])

    def test_images_in_one_place(self):
        found = judge(
            np.ones((9, 2), np.float32),
            np.zeros((9, 2)),
            np.zeros(9, np.int64),
            np.arange(9),
            neighbours=3,
        )
        assert found.same_on_map.tolist() == [1] * 9

    def test_only_those_that_are_asked(self):
        vectors, places = random_map()
        labels = np.arange(120) % 3
        every = judge(vectors, places, labels, np.arange(120))
        some = judge(vectors, places, labels, np.array([7, 100]))
        assert some.recall.tolist() == every.recall[[7, 100]].tolist()
        assert some.trust == pytest.approx(every.trust[[7, 100]])

    @pytest.mark.parametrize("images", [1, 2])
    def test_too_few(self, images):
        found = judge(
            np.ones((images, 2), np.float32),
            np.zeros((images, 2)),
            np.zeros(images, np.int64),
            np.arange(images),
        )
        assert found.neighbours == 0
        assert np.isnan(found.recall).all()


class TestAgreement:
    def test_corrected_for_chance(self):
        labels = np.array([0, 0, 1, 1])  # two images have one label with chance 1/3
        rng = np.random.default_rng(1)
        assert agreement(np.ones(4), labels, rng).value == pytest.approx(1)
        assert agreement(np.full(4, 1 / 3), labels, rng).value == pytest.approx(0)

    @pytest.mark.parametrize("labels", [[-1, -1, -1], [0, 0, 0], [0]])
    def test_nothing_to_compare(self, labels):
        found = agreement(np.ones(len(labels)), np.array(labels), np.random.default_rng(1))
        assert np.isnan(found.value)

    def test_the_error_is_that_of_the_mean(self):
        values = np.random.default_rng(3).normal(size=400)
        found = mean(values, np.random.default_rng(1))
        assert found.value == pytest.approx(values.mean())
        assert found.error == pytest.approx(values.std() / 20, rel=0.2)


class TestAdvice:
    def test_a_batch_that_is_placed_badly(self):
        told = advice("b2", Measured(0.1, 0.01), Measured(0.4, 0.01), 0.7)
        assert told.startswith("the images of batch b2 are placed badly: 0.10")
        assert "'minia map refit'" in told

    @pytest.mark.parametrize(
        "recall", [Measured(0.3, 0.001), Measured(0.2, 0.05), Measured(np.nan, np.nan)]
    )
    def test_good_enough_or_not_known(self, recall):
        assert advice("b2", recall, Measured(0.4, 0.01), 0.7) is None
