"""The grid of a map, against loops and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.desom.grid import (
    batch_map,
    grid_distances,
    nearest_cells,
    neighbourhood,
    quantisation_error,
    settled_map,
    squared_distances,
    temperature,
    topographic_error,
)

SQUARE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
"""Prototypes of a map of 2 x 2 that lies flat."""


def test_distances_are_those_of_a_walk():
    found = grid_distances(3)
    for a in range(9):
        for b in range(9):
            assert found[a, b] == abs(a // 3 - b // 3) + abs(a % 3 - b % 3)


def test_the_temperature_falls_from_ten_to_a_tenth():
    assert temperature(0, 101) == 10
    assert temperature(50, 101) == pytest.approx(1)  # half way, as it falls exponentially
    assert temperature(100, 101) == pytest.approx(0.1)
    assert temperature(0, 1) == 10


def test_the_neighbourhood():
    np.testing.assert_allclose(
        neighbourhood(np.array([0, 1, 2]), 2.0), [1, np.exp(-0.25), np.exp(-1)]
    )


def test_of_two_equally_near_cells_the_first_counts():
    cells, distances = nearest_cells(np.array([[0.5, 0.0], [1.0, 0.9]]), SQUARE)
    np.testing.assert_array_equal(cells, [0, 3])
    np.testing.assert_allclose(distances, [0.5, 0.1])


def test_errors_by_hand():
    vectors = np.array([[0.1, 0.0], [0.0, 0.4]])
    assert quantisation_error(vectors, SQUARE) == pytest.approx(0.25)
    assert topographic_error(vectors, SQUARE, 2) == 0
    folded = SQUARE[[0, 3, 2, 1]]  # now (0, 0) and (0, 1) are in opposite corners
    assert topographic_error(vectors, folded, 2) == 0.5


def test_a_settled_map_lies_flat_where_the_vectors_do():
    rng = np.random.default_rng(5)
    plane = np.linalg.qr(rng.normal(size=(10, 2)))[0]
    vectors = rng.uniform(-1, 1, (3000, 2)) @ plane.T + 4 + rng.normal(0, 0.01, (3000, 10))
    found = settled_map(vectors, 8)
    assert len(set(nearest_cells(vectors, found)[0])) == 64
    assert topographic_error(vectors, found, 8) < 0.1
    # the middle of a point of a square of a quarter and its centre: 0.0957
    assert quantisation_error(vectors, found) < 0.11


def test_a_settled_map_of_equal_vectors_is_these():
    np.testing.assert_allclose(settled_map(np.full((5, 3), 7.0), 3), np.full((9, 3), 7.0))


def test_a_vector_s_cell_does_not_depend_on_the_others():
    rng = np.random.default_rng(2)
    vectors, prototypes = rng.normal(size=(50, 7)), rng.normal(size=(25, 7))
    together = nearest_cells(vectors, prototypes)
    alone = [nearest_cells(vector[None], prototypes) for vector in vectors]
    np.testing.assert_array_equal(together[0], np.concatenate([one[0] for one in alone]))
    np.testing.assert_array_equal(together[1], np.concatenate([one[1] for one in alone]))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.booleans())
def test_nearest_cells_against_all_distances(seed, number, ties):
    random = np.random.default_rng(seed)
    vectors, prototypes = random.normal(size=(number, 5)), random.normal(size=(9, 5))
    if ties:
        prototypes[3:6] = prototypes[1]
        vectors[: number // 2] = prototypes[5]
    cells, distances = nearest_cells(vectors, prototypes)
    every = squared_distances(vectors, prototypes)
    np.testing.assert_array_equal(cells, every.argmin(axis=1))
    np.testing.assert_array_equal(distances, np.sqrt(every[np.arange(number), cells]))


def test_cells_of_many_vectors_are_those_of_each_alone():
    random = np.random.default_rng(1)
    vectors, prototypes = random.normal(size=(5_000, 8)), random.normal(size=(16, 8))
    cells, distances = nearest_cells(vectors, prototypes)
    for row in (0, 2_047, 2_048, 4_999):
        alone = nearest_cells(vectors[row : row + 1], prototypes)
        assert (alone[0][0], alone[1][0]) == (cells[row], distances[row])


class TestBatchMap:
    def test_by_hand(self):
        """Vectors in cells 0 and 3 of 2 x 2, with weights 1, exp(-4) a cell away, exp(-16) two."""
        prototypes = np.array([[0.0], [5.0], [6.0], [10.0]])
        found = batch_map(np.array([[1.0], [8.5]]), prototypes, 0.5)
        near, far = np.exp(-4.0), np.exp(-16.0)
        np.testing.assert_allclose(found[0], (1 + 8.5 * far) / (1 + far))
        np.testing.assert_allclose(found[3], (8.5 + far) / (1 + far))
        np.testing.assert_allclose(found[1:3], 9.5 * near / (2 * near))

    def test_nothing_has_weight_there(self):
        prototypes = np.arange(25.0)[:, None]
        found = batch_map(np.array([[0.2]]), prototypes, 0.1)
        assert found[0] == 0.2
        np.testing.assert_array_equal(found[[12, 24]], prototypes[[12, 24]])

    def test_it_is_where_the_loss_is_least(self):
        random = np.random.default_rng(2)
        vectors, prototypes = random.normal(size=(50, 4)), random.normal(size=(9, 4))
        cells, _ = nearest_cells(vectors, prototypes)
        near = neighbourhood(grid_distances(3), 1.3)[cells]

        def loss(of):
            return (near * squared_distances(vectors, of)).sum()

        found = batch_map(vectors, prototypes, 1.3)
        assert loss(found) < loss(prototypes)
        for _ in range(20):
            assert loss(found) < loss(found + random.normal(size=found.shape) * 1e-3)
