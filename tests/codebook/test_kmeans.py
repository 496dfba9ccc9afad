"""Exact k-means passes against sums that can be done by hand and a slow twin in Python integers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minia_spark.codebook import kmeans
from minia_spark.codebook.kmeans import (
    ClusterSums,
    NearestCentre,
    add_sums,
    empty_sums,
    grid_scale,
    thinned,
    to_grid,
    updated_centres,
)

SMALL, LARGE = 255, 27_000_000  # of 4 numbers: exact in float32; only in float64

NONE = np.zeros(0, np.int64)  # costs, where they do not matter


def whole(rows: list[list[int]], dtype: type = np.int32) -> np.ndarray:
    return np.array(rows, dtype=dtype)


def slow_nearest(descriptors: np.ndarray, centres: np.ndarray) -> list[tuple[int, int]]:
    """(nearest centre, squared distance) in Python's integers, which never overflow."""
    found = []
    for row in descriptors.tolist():
        distances = [
            sum((a - b) ** 2 for a, b in zip(row, centre, strict=True))
            for centre in centres.tolist()
        ]
        found.append((distances.index(min(distances)), min(distances)))
    return found


def matrices(largest: int, *, rows: st.SearchStrategy[int]):
    # few different values: ties are common
    values = st.sampled_from([0, 1, 2, largest // 2, largest - 1, largest])
    return rows.flatmap(lambda n: hnp.arrays(np.int32, (n, 4), elements=values))


class TestNearestCentre:
    def test_by_hand(self):
        centres = whole([[0, 0], [10, 0], [0, 10]])
        nearest, squared = NearestCentre(centres).find(whole([[1, 2], [9, 1], [3, 8], [10, 0]]))
        assert nearest.tolist() == [0, 1, 2, 1]
        assert squared.tolist() == [5, 2, 13, 0]
        assert nearest.dtype == np.int32
        assert squared.dtype == np.int64

    def test_ties_go_to_the_lowest_word(self):
        centres = whole([[4, 0], [0, 0], [0, 0], [2, 2]])
        nearest, squared = NearestCentre(centres).find(whole([[2, 0], [0, 0], [1, 1]]))
        assert nearest.tolist() == [0, 1, 1]
        assert squared.tolist() == [4, 0, 2]

    def test_no_descriptors(self):
        nearest, squared = NearestCentre(whole([[1, 2]])).find(whole([]).reshape(0, 2))
        assert nearest.shape == squared.shape == (0,)

    def test_bytes_of_sift_are_taken_as_they_are(self):
        descriptors = whole([[255] * 128, [0] * 128], np.uint8)
        nearest, squared = NearestCentre(whole([[0] * 128, [254] * 128])).find(descriptors)
        assert nearest.tolist() == [1, 0]
        assert squared.tolist() == [128, 0]

    @given(matrices(SMALL, rows=st.integers(0, 12)), matrices(SMALL, rows=st.integers(1, 6)))
    def test_exact_in_float32(self, descriptors, centres):
        nearest, squared = NearestCentre(centres).find(descriptors)
        twin = slow_nearest(descriptors, centres)
        assert list(zip(nearest.tolist(), squared.tolist(), strict=True)) == twin

    @pytest.mark.parametrize("huge", ["descriptors", "centres", "both"])
    @given(data=st.data())
    def test_exact_in_float64(self, huge, data):
        """Distances that differ by 1 in 10^15: float32 would see ties, and the wrong winner."""
        sizes = {"descriptors": (LARGE, SMALL), "centres": (SMALL, LARGE), "both": (LARGE, LARGE)}
        first, second = sizes[huge]
        descriptors = data.draw(matrices(first, rows=st.integers(1, 8)))
        centres = data.draw(matrices(second, rows=st.integers(1, 5)))
        nearest, squared = NearestCentre(centres).find(descriptors)
        twin = slow_nearest(descriptors, centres)
        assert list(zip(nearest.tolist(), squared.tolist(), strict=True)) == twin

    @pytest.mark.parametrize("value", [2**26, 2**31 - 1, -(2**31), 2**62])
    @pytest.mark.parametrize("where", ["descriptors", "centres"])
    def test_values_beyond_float64_are_refused(self, value, where):
        """Also where a square would wrap round in 64 bits and look small."""
        big, small = whole([[value, 0, 0, 0]], np.int64), whole([[1, 2, 3, 4]])
        descriptors, centres = (big, small) if where == "descriptors" else (small, big)
        with pytest.raises(OverflowError, match="too large for exact distances"):
            NearestCentre(centres).find(descriptors)

    @pytest.mark.parametrize("shape", [(3,), (3, 3), (1, 2, 2)])
    def test_other_dimensions_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"descriptors \(.*\) for centres of 2 numbers"):
            NearestCentre(whole([[1, 2]])).find(np.zeros(shape, np.int32))

    @pytest.mark.parametrize("rows", [1, 2, 3, 7, 8])
    def test_blocks_do_not_show(self, monkeypatch, rows):
        generator = np.random.default_rng(rows)
        descriptors = generator.integers(0, 256, (7, 5), dtype=np.uint8)
        kernel = NearestCentre(generator.integers(0, 256, (3, 5)))
        whole_result, whole_sums = kernel.find(descriptors), kernel.sums(descriptors)
        monkeypatch.setattr(kmeans, "_BLOCK_ROWS", (1, max(1, rows // 2)))
        monkeypatch.setattr(kmeans, "_GROUP_ROWS", rows)
        for one, other in zip(kernel.find(descriptors), whole_result, strict=True):
            assert np.array_equal(one, other)
        assert equal(kernel.sums(descriptors), whole_sums)


def equal(left: ClusterSums, right: ClusterSums) -> bool:
    return (
        np.array_equal(left.sums, right.sums)
        and np.array_equal(left.counts, right.counts)
        and np.array_equal(left.costs, right.costs)
    )


class TestSums:
    def test_by_hand(self):
        found = NearestCentre(whole([[0, 0], [10, 0], [99, 99]])).sums(
            whole([[1, 2], [9, 1], [11, 0], [0, 1]])
        )
        assert found.sums.tolist() == [[1, 3], [20, 1], [0, 0]]
        assert found.counts.tolist() == [2, 2, 0]
        assert found.costs.tolist() == [5 + 1, 2 + 1, 0]
        assert found.cost == 9

    @pytest.mark.parametrize("largest", [SMALL, LARGE])
    def test_against_python_integers(self, largest):
        generator = np.random.default_rng(1)
        descriptors = generator.integers(-largest, largest, (3000, 4))
        centres = generator.integers(-largest, largest, (7, 4))
        found = NearestCentre(centres).sums(descriptors)
        twin = slow_nearest(descriptors, centres)
        assert found.cost == sum(distance for _, distance in twin)
        for word in range(7):
            own = [d for d, (w, _) in zip(descriptors.tolist(), twin, strict=True) if w == word]
            assert found.counts[word] == len(own)
            assert found.costs[word] == sum(distance for w, distance in twin if w == word)
            assert found.sums[word].tolist() == [sum(column) for column in zip(*own, strict=True)]

    def test_a_full_block_of_largest_bytes(self):
        """8,192 x 255: the largest sum of one group of SIFT."""
        found = NearestCentre(whole([[0, 0]])).sums(np.full((9000, 2), 255, np.uint8))
        assert found.sums.tolist() == [[9000 * 255] * 2]

    @given(st.permutations(range(9)), st.integers(0, 9), st.integers(0, 9))
    def test_any_order_and_any_parts_give_the_same(self, order, one, other):
        descriptors = np.random.default_rng(2).integers(0, 4, (9, 3))
        kernel = NearestCentre(whole([[0, 0, 0], [3, 3, 3], [0, 3, 0]]))
        shuffled = descriptors[list(order)]
        low, high = sorted((one, other))
        parts = [shuffled[high:], shuffled[:low], shuffled[low:high]]
        total = empty_sums(3, 3)
        for part in parts:
            total = add_sums(total, kernel.sums(part))
        assert equal(total, kernel.sums(descriptors))

    def test_the_cost_of_a_survey_does_not_wrap_round(self):
        huge = ClusterSums(np.zeros((3, 1), np.int64), np.zeros(3, np.int64), np.full(3, 2**61))
        assert add_sums(add_sums(huge, huge), huge).cost == 9 * 2**61


class TestUpdatedCentres:
    def test_means_are_rounded_half_up(self):
        found = ClusterSums(whole([[3, 4, 5, -1, -3]], np.int64), np.array([2]), NONE)
        centres, dead = updated_centres(whole([[9] * 5]), found)
        assert centres.tolist() == [[2, 2, 3, 0, -1]]  # of 1.5, 2, 2.5, -0.5, -1.5
        assert dead == 0

    def test_a_dead_word_takes_half_of_the_largest(self):
        found = ClusterSums(
            whole([[10, 10, 10], [0, 0, 0], [40, 40, 40]], np.int64), np.array([1, 0, 4]), NONE
        )
        centres, dead = updated_centres(whole([[9] * 3] * 3), found)
        assert centres.tolist() == [[10, 10, 10], [11, 9, 11], [9, 11, 9]]
        assert dead == 1

    def test_several_dead_words_take_from_the_largest_left(self):
        """8 and 5 features: the first dead word takes 4 of 8, the second 2 of 5."""
        found = ClusterSums(
            whole([[0, 0], [80, 80], [0, 0], [250, 250]], np.int64), np.array([0, 8, 0, 5]), NONE
        )
        centres, dead = updated_centres(whole([[1, 1]] * 4), found)
        assert centres.tolist() == [[11, 9], [9, 11], [51, 49], [49, 51]]
        assert dead == 2

    def test_words_with_one_feature_are_not_split(self):
        found = ClusterSums(whole([[5, 5], [0, 0]], np.int64), np.array([1, 0]), NONE)
        centres, dead = updated_centres(whole([[1, 1], [7, 7]]), found)
        assert centres.tolist() == [[5, 5], [7, 7]]
        assert dead == 1

    def test_halves_of_a_split_word_share_its_features_in_the_next_pass(self):
        descriptors = whole([[0, 0], [1, 0], [0, 1], [1, 1], [9, 9]])
        centres = whole([[0, 0], [50, 50], [9, 9]])
        for _ in range(2):
            centres, _ = updated_centres(centres, NearestCentre(centres).sums(descriptors))
        assert (NearestCentre(centres).sums(descriptors).counts > 0).all()

    def test_lloyd_never_raises_the_cost_by_more_than_rounding(self):
        generator = np.random.default_rng(3)
        descriptors = generator.integers(0, 256, (400, 8))
        centres = descriptors[:10].copy()
        costs = []
        for _ in range(8):
            found = NearestCentre(centres).sums(descriptors)
            costs.append(found.cost)
            centres, _ = updated_centres(centres, found)
        slack = 400 * 8 / 4  # half a grid unit a dimension
        assert all(after <= before + slack for before, after in pairwise(costs))
        assert costs[-1] < 0.9 * costs[0]


class TestGrid:
    def test_whole_numbers_stay(self):
        assert grid_scale(500.0, whole_numbers=True) == 1.0
        sift = whole([[0, 255]], np.uint8)
        assert to_grid(sift, 1.0) is sift

    def test_nothing_to_scale(self):
        assert grid_scale(0.0, whole_numbers=False) == 1.0

    @pytest.mark.parametrize(("norm", "scale"), [(1.0, 2048), (2048.0, 1), (3.0, 512), (0.5, 4096)])
    def test_a_power_of_two_that_keeps_the_largest_norm_below_2048(self, norm, scale):
        assert grid_scale(norm, whole_numbers=False) == scale

    @given(st.floats(1e-6, 1e6))
    def test_scaled_norms_lie_within_an_octave(self, norm):
        assert 1024 < grid_scale(norm, whole_numbers=False) * norm <= 2048

    def test_halves_are_rounded_up(self):
        descriptors = np.array([[0.5, -0.5, 1.25, -1.25]], dtype=np.float32)
        assert to_grid(descriptors, 2.0).tolist() == [[1, -1, 3, -2]]
        assert to_grid(descriptors, 1.0).tolist() == [[1, 0, 1, -1]]


class TestThinned:
    def draws(self, size: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).random((size, 6))

    def test_one_of_each_heap(self):
        """Six centres in three heaps far apart."""
        centres = whole([[0, 0], [1, 0], [100, 0], [101, 0], [0, 100], [0, 101]])
        for seed in range(10):
            kept = thinned(centres, np.full(6, 5), 3, self.draws(3, seed))
            assert {tuple(row // 50) for row in kept} == {(0, 0), (2, 0), (0, 2)}

    def test_all_of_them(self):
        centres = whole([[0, 0], [7, 0], [0, 9]])
        kept = thinned(centres, np.array([3, 1, 1]), 3, self.draws(3))
        assert sorted(map(tuple, kept)) == sorted(map(tuple, centres))

    def test_centres_of_nothing_and_equal_ones_come_last(self):
        centres = whole([[5, 5], [9, 9], [9, 9], [3, 3]])
        weights = np.array([0, 2, 2, 2])
        kept = thinned(centres, weights, 2, self.draws(2))
        assert sorted(map(tuple, kept)) == [(3, 3), (9, 9)]
        kept = thinned(centres, weights, 4, self.draws(4))
        assert sorted(map(tuple, kept)) == [(3, 3), (5, 5), (9, 9), (9, 9)]

    @given(st.data())
    def test_against_the_twin(self, data):
        """The same in Python's integers."""
        centres = data.draw(matrices(SMALL, rows=st.integers(1, 9)))
        weights = data.draw(hnp.arrays(np.int64, len(centres), elements=st.integers(0, 5)))
        size = data.draw(st.integers(1, len(centres)))
        draws = self.draws(size, data.draw(st.integers(0, 99)))
        assert thinned(centres, weights, size, draws).tolist() == slow_thinned(
            centres.tolist(), weights.tolist(), draws.tolist()
        )


def slow_thinned(centres, weights, draws):
    chosen, left = [], [1] * len(centres)
    for number, row in enumerate(draws):
        shares = [w * d for w, d in zip(weights, left, strict=True)]
        if not sum(shares):
            chosen.append(next(n for n in range(len(centres)) if n not in chosen))
            continue
        best = None
        for draw in row:
            target, place = int(draw * sum(shares)), 0
            while target >= shares[place]:
                target -= shares[place]
                place += 1
            near = [
                sum((a - b) ** 2 for a, b in zip(c, centres[place], strict=True)) for c in centres
            ]
            if number:
                near = [min(a, b) for a, b in zip(near, left, strict=True)]
            rest = sum(w * d for w, d in zip(weights, near, strict=True))
            if best is None or rest < best[0]:
                best = (rest, place, near)
        chosen.append(best[1])
        left = best[2]
    return [centres[n] for n in chosen]
