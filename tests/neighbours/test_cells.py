"""The inverted file: by hand, against a slow twin, and where there is little to divide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from minia_spark.engine.cost import Sizes
from minia_spark.neighbours.cells import cells_for, fit, search, searched
from minia_spark.neighbours.cost import cost
from minia_spark.neighbours.nearest import Lists, prepared
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.rooms import HOUSE


def on_a_line(*numbers):
    return np.array(numbers, np.float32)[:, None]


def none_known(images, count):
    return Lists(np.full((images, count), -1, np.int64), np.full((images, count), np.inf))


def slow(vectors, cells, probes, count, distance="euclidean"):
    """Every distance by itself, to the cells and to their members."""
    to_cells = [[np.sqrt(((v.astype(float) - c) ** 2).sum()) for c in cells] for v in vectors]
    near = [sorted(range(len(cells)), key=lambda c: (row[c], c))[:probes] for row in to_cells]
    found = none_known(len(vectors), count)
    for i, vector in enumerate(vectors):
        seen = []
        for j, other in enumerate(vectors):
            if j != i and near[j][0] in near[i]:
                difference = vector.astype(np.float64) - other
                square = np.einsum("ij,ij->i", difference[None], difference[None])[0]
                seen.append((square / 2 if distance == "cosine" else np.sqrt(square), j))
        for place, (far, j) in enumerate(sorted(seen)[:count]):
            found.positions[i, place], found.distances[i, place] = j, far
    return found


def members(vectors, own, at_once):
    """Yield all cells in parts of some vectors."""
    for cell in range(int(own.max()) + 1):
        here = np.flatnonzero(own == cell)
        for first in range(0, len(here), at_once):
            part = here[first : first + at_once]
            yield cell, part, vectors[part]


class TestSearch:
    def test_who_lies_in_a_cell_that_is_not_searched_is_not_found(self):
        vectors, cells = on_a_line(0, 4, 6, 10), on_a_line(1, 9)
        probes = searched(vectors, cells, 1)
        assert probes.tolist() == [[0], [0], [1], [1]]
        parts = [(0, np.array([0, 1]), vectors[:2]), (1, np.array([2, 3]), vectors[2:])]
        options = {"own": np.arange(4), "known": none_known(4, 2)}
        found = search(vectors, probes, parts, 2, **options)
        assert found.positions.tolist() == [[1, -1], [0, -1], [3, -1], [2, -1]]
        both = search(vectors, searched(vectors, cells, 2), parts, 2, **options)
        assert both.positions.tolist() == [[1, 2], [2, 0], [1, 3], [2, 1]]
        assert both.distances.tolist() == [[4, 6], [2, 4], [2, 4], [4, 6]]

    def test_of_equally_near_cells_the_smaller_number_is_the_own_one(self):
        assert searched(on_a_line(5), on_a_line(9, 1, 9), 2).tolist() == [[0, 1]]

    def test_no_more_cells_than_there_are(self):
        assert searched(on_a_line(4, 0), on_a_line(9, 1), 7).tolist() == [[1, 0], [1, 0]]

    def test_a_cell_without_members(self):
        vectors, cells = on_a_line(0, 1), on_a_line(0, -9, 99)
        probes = searched(vectors, cells, 2)
        assert probes.tolist() == [[0, 1], [0, 1]]
        found = search(
            *(vectors, probes, [(0, np.arange(2), vectors)], 1),
            own=np.arange(2),
            known=none_known(2, 1),
        )
        assert found.positions.tolist() == [[1], [0]]

    @settings(max_examples=40)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([1, 3, 17]))
    def test_any_vectors(self, seed, probes, numbers):
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(random.integers(1, 70), numbers)).astype(np.float32)
        vectors[random.integers(0, len(vectors), len(vectors) // 3)] = vectors[0]  # copies
        if seed % 3 == 0:
            vectors = np.round(vectors)  # many are equally near
        distance = "cosine" if seed % 2 else "euclidean"
        vectors = prepared(vectors, distance)
        cells = random.normal(size=(random.integers(1, 9), numbers)).astype(np.float32)
        near = searched(vectors, cells, probes)
        found = search(
            *(vectors, near, members(vectors, near[:, 0], int(random.integers(1, 40))), 5),
            own=np.arange(len(vectors)),
            known=none_known(len(vectors), 5),
            distance=distance,
        )
        wanted = slow(vectors, cells, probes, 5, distance)
        assert np.array_equal(found.positions, wanted.positions)
        assert np.array_equal(found.distances, wanted.distances)


class TestFit:
    def test_two_heaps(self):
        found = fit(on_a_line(0, 1, 2, 100, 101, 102), 2)
        assert np.sort(found[:, 0]) == pytest.approx([1, 101], abs=0.05)

    def test_the_same_whatever_all_have_in_common(self):
        random = np.random.default_rng(1)
        sample = np.round(random.normal(size=(400, 3)) * 64).astype(np.float32)
        far = fit(sample + np.float32(65536), 20)
        assert far - np.float32(65536) == pytest.approx(fit(sample, 20), abs=0.5)

    def test_one_that_is_far_away_spoils_nothing(self):
        random = np.random.default_rng(2)
        sample = random.normal(size=(2000, 2)).astype(np.float32)
        sample[77] = 1e9
        sizes = np.bincount(searched(sample, fit(sample, 20), 1)[:, 0], minlength=20)
        assert sizes.max() < 400

    def test_fewer_that_differ_than_cells(self):
        assert fit(on_a_line(3, 3, 8, 3, 8), 4).ravel().tolist() == [3, 8]
        assert fit(on_a_line(3, 3, 3), 2).tolist() == [[3]]

    def test_about_the_square_root(self):
        assert [cells_for(n) for n in (0, 1, 5, 100, 1_000_000)] == [1, 1, 2, 10, 1000]


class TestSettings:
    def test_probes_that_would_have_no_effect(self):
        with pytest.raises(ValidationError, match="probes would have no effect"):
            NeighboursSettings(exact_up_to=None, probes=8)
        assert NeighboursSettings(exact_up_to=None).exact_up_to is None

    def test_the_cost_knows_the_way(self):
        def seconds(images, *changes):
            chosen = HOUSE.load_settings(None, list(changes))
            return cost(Sizes(images, 0, 0, 1, chosen, "words")).core_seconds

        assert seconds(4_000_000) < 0.05 * seconds(4_000_000, "neighbours.exact_up_to=null")
        assert seconds(900_000) == seconds(900_000, "neighbours.exact_up_to=null")
