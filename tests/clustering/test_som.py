"""Self-organising maps: passes in parts, lattices by hand, order on the map."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.clustering.som import (
    Lattice,
    Sums,
    add,
    errors,
    grid_of,
    initial_units,
    on_grid,
    pass_sums,
    radius_at,
    trained,
    updated,
)

RNG = np.random.default_rng(5)
CLOUD = RNG.normal(size=(600, 4)) * (3, 2, 0.3, 0.1)


def test_lattices_by_hand():
    square, hexagons = Lattice(3, 3), Lattice(3, 3, "hexagonal")
    assert square.neighbours().sum(axis=1).tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3]
    assert hexagons.neighbours().sum(axis=1).tolist() == [2, 4, 3, 5, 6, 3, 2, 4, 3]
    assert hexagons.places()[4].tolist() == pytest.approx([1.5, np.sqrt(0.75)])
    assert np.allclose(hexagons.squared_distances()[hexagons.neighbours()], 1)


def test_a_pass_as_a_slow_twin_has_it():
    units = on_grid(CLOUD[:9], 1000.0)
    data = on_grid(CLOUD, 1000.0)
    found = pass_sums(data, units)
    sums, counts = np.zeros((9, 4)), np.zeros(9)
    for row in data:
        nearest = int(((units - row) ** 2).sum(axis=1).argmin())
        sums[nearest] += row
        counts[nearest] += 1
    assert np.array_equal(found.vectors, sums)
    assert np.array_equal(found.counts, counts)
    lattice = Lattice(3, 3)
    weights = np.exp(-lattice.squared_distances() / 2)
    slow = [(w[:, None] * sums).sum(axis=0) / (w * counts).sum() for w in weights]
    assert np.abs(updated(found, units, lattice, 1.0) - slow).max() <= 0.5


@settings(max_examples=20)
@given(st.lists(st.integers(0, 600), max_size=5), st.randoms())
def test_parts_in_any_order_give_the_same_bits(cuts, random):
    data = on_grid(CLOUD, grid_of(20.0))
    units = data[::50]
    order = list(range(600))
    random.shuffle(order)
    edges = [0, *sorted(cuts), 600]
    total = Sums(np.zeros_like(units), np.zeros(len(units)))
    for a, b in itertools.pairwise(edges):
        total = add(pass_sums(data[order][a:b], units), total)
    whole = pass_sums(data, units)
    assert np.array_equal(total.vectors, whole.vectors)
    assert np.array_equal(total.counts, whole.counts)


@pytest.mark.parametrize("shape", ["rectangular", "hexagonal"])
def test_a_map_keeps_order_and_is_near_its_data(shape):
    lattice = Lattice(6, 8, shape)
    units = trained(CLOUD, lattice, 12)
    quantisation, topographic = errors(CLOUD, units, lattice)
    start = initial_units(np.zeros(4), np.diag([3.0, 2, 0.3, 0.1])[:2], lattice)
    assert quantisation < 0.6 * errors(CLOUD, start * 0, lattice)[0]
    assert quantisation < errors(CLOUD, start, lattice)[0]
    assert topographic < 0.1
    shuffled = RNG.permutation(units)
    assert errors(CLOUD, shuffled, lattice)[1] > 0.5
    assert np.array_equal(trained(CLOUD[::-1], lattice, 12), units)


def test_errors_by_hand():
    lattice = Lattice(1, 4)
    units = np.array([[0.0], [10.0], [1.0], [11.0]])  # neighbours on the map are far apart
    assert errors(np.array([[0.0], [10.5]]), units, lattice) == (0.25, 1.0)
    assert errors(np.array([[3.0]]), np.array([[1.0]]), Lattice(1, 1)) == (2.0, 0.0)
    assert np.isnan(errors(np.empty((0, 1)), units, lattice)).all()


def test_the_neighbourhood_shrinks():
    lattice = Lattice(10, 20)
    radii = [radius_at(step, 5, lattice) for step in range(5)]
    assert radii[0] == 10
    assert radii[-1] == pytest.approx(0.5)
    assert radii == sorted(radii, reverse=True)
    assert radius_at(0, 1, lattice) == 10


def test_a_unit_that_nothing_is_near_to_stays():
    units = np.array([[0.0], [900.0]])
    sums = Sums(np.array([[8.0], [0.0]]), np.array([2.0, 0.0]))
    assert updated(sums, units, Lattice(1, 2), 0.1).tolist() == [[4.0], [900.0]]


def test_what_has_no_grid():
    assert grid_of(0.0) == 1.0
    with pytest.raises(ValueError, match="no finite number"):
        grid_of(np.nan)
