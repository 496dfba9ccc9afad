"""Principal components of pixels: exact sums, and the same in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from minia_spark.embedding.pca import fit, moments, project, scaled


@pytest.fixture(scope="module")
def rows():
    random = np.random.default_rng(1)
    kinds = random.integers(0, 256, (6, 75))
    mixed = kinds[random.integers(0, 6, 300)] * random.random((300, 1))
    return np.clip(mixed + random.normal(0, 9, (300, 75)), 0, 255).astype(np.uint8)


class TestScaled:
    def test_the_middle_of_a_wide_image(self):
        pixels = np.zeros((4, 8), np.uint8)
        pixels[:, 2:6] = 100
        assert scaled(pixels, 2).tolist() == [[[100] * 3] * 2] * 2

    def test_a_part_of_it(self):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[2:6, 2:6] = (1, 2, 3)
        assert (scaled(pixels, 4, 0.5) == (1, 2, 3)).all()

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (300, 2)])
    def test_tiny_images(self, shape):
        assert scaled(np.full(shape, 7, np.uint8), 5).tolist() == [[[7] * 3] * 5] * 5


class TestMoments:
    @given(st.integers(0, 300), st.integers(0, 2**32 - 1))
    def test_parts_add_up_to_the_whole(self, cut, seed):
        random = np.random.default_rng(seed)
        rows = random.integers(0, 256, (300, 7)).astype(np.uint8)
        parts = moments(rows[:cut]) + moments(rows[cut:])
        every = moments(random.permutation(rows))
        assert parts.images == every.images == 300
        assert np.array_equal(parts.total, every.total)
        assert np.array_equal(parts.products, every.products)


class TestFit:
    def test_as_scikit_learn_does(self, rows):
        ours, theirs = fit(moments(rows), 10), PCA(10, svd_solver="full").fit(rows)
        assert ours.variances == pytest.approx(theirs.explained_variance_ * 299 / 300)
        alike = np.abs((ours.matrix * theirs.components_.T).sum(axis=0))
        assert alike == pytest.approx(np.ones(10), abs=1e-6)
        assert np.abs(project(rows, ours)) == pytest.approx(
            np.abs(theirs.transform(rows)), abs=1e-2
        )

    def test_one_image_has_one_number(self):
        rows = np.array([[3, 4]], np.uint8)
        found = fit(moments(rows), 5)
        assert found.matrix.shape == (2, 1)
        assert project(rows, found).tolist() == [[0]]

    def test_equal_images_lie_in_one_place(self):
        rows = np.full((9, 4), 200, np.uint8)
        assert not project(rows, fit(moments(rows), 3)).any()


def test_projections_are_exact(rows):
    """In any order, in any company: the sums are of whole numbers below 2^53."""
    found = fit(moments(rows), 10)
    every = project(rows, found)
    order = np.random.default_rng(2).permutation(300)
    assert np.array_equal(project(rows[order], found), every[order])
    alone = [project(rows[i : i + 1], found) for i in range(300)]
    assert np.array_equal(np.concatenate(alone), every)
    grid = np.round(found.matrix * 2**28).astype(int).tolist()
    exact = sum(int(pixel) * grid[k][0] for k, pixel in enumerate(rows[0])) / 2**28
    shift = np.einsum("i,ij->j", found.mean, found.matrix)[0]
    assert every[0, 0] == np.float32(exact - shift)
