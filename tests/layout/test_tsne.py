"""The map and new images on it: few images, the same in any company, nothing moves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from minia_spark.layout.tsne import fit, fitting_perplexity, place, principal


def clusters(images: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(6, 12)) * 4
    kinds = random.integers(0, 6, images)
    return (centres[kinds] + random.normal(size=(images, 12))).astype(np.float32), kinds


@pytest.fixture(scope="module")
def vectors():
    return clusters(240)[0]


@pytest.fixture(scope="module")
def made(vectors):
    return fit(vectors, iterations=350, exaggerated_iterations=100)


class TestFit:
    def test_a_third_of_the_images(self):
        assert fitting_perplexity(20, 1000) == 20
        assert fitting_perplexity(20, 31) == 10
        assert fitting_perplexity(20, 2) == 1

    def test_who_is_near_stays_near(self, vectors, made):
        assert made.method == "t-sne"
        assert made.perplexity == 20
        assert 0 < made.kl_divergence < 2
        assert trustworthiness(vectors, made.places, n_neighbors=10) > 0.9

    def test_the_middle_of_its_box_is_zero(self, made):
        assert made.places.max(axis=0) + made.places.min(axis=0) == pytest.approx([0, 0], abs=1e-9)

    def test_twice_the_same(self, vectors, made):
        again = fit(vectors, iterations=350, exaggerated_iterations=100)
        assert np.array_equal(again.places, made.places)

    def test_another_seed_another_map(self, vectors):
        maps = [fit(vectors[:60], iterations=50, seed=seed).places for seed in (1, 2)]
        assert not np.allclose(*maps)

    @pytest.mark.parametrize("images", [1, 2, 3, 4])
    def test_too_few_lie_by_their_principal_components(self, vectors, images):
        found = fit(vectors[:images])
        assert found.method == "pca"
        assert found.kl_divergence is None
        assert found.places.shape == (images, 2)
        if images == 2:
            far = np.linalg.norm(vectors[0].astype(float) - vectors[1])
            assert np.linalg.norm(found.places[0] - found.places[1]) == pytest.approx(far)

    @pytest.mark.parametrize("images", [5, 6, 12])
    def test_few(self, vectors, images):
        found = fit(vectors[:images], iterations=60)
        assert found.method == "t-sne"
        assert found.perplexity == pytest.approx((images - 1) / 3)
        assert np.isfinite(found.places).all()

    def test_equal_images(self):
        found = fit(np.ones((40, 3), np.float32), iterations=60)
        assert np.isfinite(found.places).all()

    def test_three_dimensions(self, vectors):
        found = fit(vectors[:60], dimensions=3, iterations=60)
        assert found.places.shape == (60, 3)
        assert place(vectors[60:63], vectors[:60], found.places).shape == (3, 3)

    def test_cosine(self, vectors):
        found, longer = (
            fit(some, iterations=60, distance="cosine").places
            for some in (vectors[:60], vectors[:60] * 4)
        )
        assert np.array_equal(found, longer)


class TestPrincipal:
    def test_of_a_line(self):
        found = principal(np.array([[0, 0], [3, 4], [6, 8]], np.float32), 2)
        assert found == pytest.approx(np.array([[-5, 0], [0, 0], [5, 0]]))


class TestPlace:
    def test_new_images_land_among_their_kind(self, vectors, made):
        kinds = clusters(240)[1]
        new, theirs = clusters(60, seed=9)
        found = place(new, vectors, made.places)
        nearest = np.linalg.norm(found[:, None] - made.places, axis=2).argmin(axis=1)
        assert (kinds[nearest] == theirs).mean() > 0.95

    def test_each_by_itself(self, vectors, made):
        new = clusters(40, seed=9)[0]
        every = place(new, vectors, made.places)
        assert np.array_equal(place(new[::-1], vectors, made.places)[::-1], every)
        for i in (0, 20, 39):
            assert np.array_equal(place(new[i : i + 1], vectors, made.places)[0], every[i])

    def test_the_map_does_not_move(self, vectors, made):
        """openTSNE's own transform shifts the map that it is called on."""
        shift = np.array([100.0, -30.0])
        shifted = made.places + shift
        before = shifted.copy()
        new = clusters(5, seed=9)[0]
        found = place(new, vectors, shifted)
        assert np.array_equal(shifted, before)
        assert found == pytest.approx(place(new, vectors, made.places) + shift, abs=0.5)

    @pytest.mark.parametrize("images", [1, 2, 4, 5, 20])
    def test_on_a_map_of_few(self, vectors, images):
        places = fit(vectors[:images], iterations=60).places
        found = place(vectors[100:103], vectors[:images], places)
        assert found.shape == (3, 2)
        assert np.isfinite(found).all()

    def test_none(self, vectors, made):
        assert place(vectors[:0], vectors, made.places).shape == (0, 2)
