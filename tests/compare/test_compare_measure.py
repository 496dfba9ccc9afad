"""The measures, by hand and against slow twins."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.compare.measure import (
    agreeing,
    best_overlaps,
    coverage,
    neighbour_agreement,
    pair_agreement,
)


def members(*structures, images):
    found = np.zeros((len(structures), images), dtype=np.bool_)
    for row, chosen in enumerate(structures):
        found[row, list(chosen)] = True
    return sp.csr_array(found)


def rng():
    return np.random.default_rng(1)


class TestCoverage:
    def test_images_in_any_structure(self):
        found = coverage(members([0, 1], [1, 2], images=10), rng())
        assert found.value == pytest.approx(0.3)
        # of a binomial, the root of 0.3 times 0.7 by 10
        assert found.error == pytest.approx(0.145, abs=0.03)

    def test_no_structures_cover_nothing(self):
        assert coverage(members(images=5), rng()).value == 0

    def test_no_images(self):
        assert np.isnan(coverage(members(images=0), rng()).value)


class TestAgreeing:
    def test_a_structure_of_one_label_among_many(self):
        """20 of 100 images are a; ten of ten: (20 choose 10) / (100 choose 10), about 1e-8."""
        labels = np.array([0] * 20 + [1] * 80)
        mixed = [0, 1, *range(20, 28)]  # as in the collection
        assert agreeing(members(range(10), mixed, images=100), labels).tolist() == [True, False]

    def test_the_number_of_structures_counts(self):
        """Three of three of one fifth: p = 0.007; enough for one of two labels, not among ten."""
        labels = np.array([0] * 20 + [1] * 80)
        assert agreeing(members([0, 1, 2], images=100), labels).tolist() == [True]
        others = [[50 + i, 60 + i] for i in range(9)]
        assert not agreeing(members([0, 1, 2], *others, images=100), labels).any()

    def test_images_without_a_label_do_not_count(self):
        labels = np.array([0] * 20 + [1] * 80 + [-1] * 50)
        alone = agreeing(members(range(10), images=150), labels)
        beside = agreeing(members([*range(10), *range(100, 150)], images=150), labels)
        assert alone.tolist() == beside.tolist() == [True]

    def test_nothing_is_labelled(self):
        assert agreeing(members([0, 1], images=3), np.full(3, -1)).tolist() == [False]


def slow_pair_agreement(structures, labels):
    def share(images):
        pairs = list(combinations([i for i in images if labels[i] >= 0], 2))
        if not pairs:
            return None
        return sum(labels[i] == labels[j] for i, j in pairs) / len(pairs)

    expected = share(range(len(labels)))
    found = [(share(s), sum(labels[i] >= 0 for i in s)) for s in structures]
    found = [(value, size) for value, size in found if value is not None]
    if not found or expected is None or expected == 1:
        return None
    mean = sum(value * size for value, size in found) / sum(size for _, size in found)
    return (mean - expected) / (1 - expected)


class TestPairAgreement:
    def test_by_hand(self):
        """Two of three pairs differ; by chance 2 of 6 are the same: (1/3 - 1/3) / (2/3) = 0."""
        labels = np.array([0, 0, 1, 1])
        assert pair_agreement(members([0, 1, 2], images=4), labels, rng()).value == pytest.approx(0)
        assert pair_agreement(members([0, 1], images=4), labels, rng()).value == pytest.approx(1)

    @given(
        st.lists(st.integers(-1, 2), min_size=1, max_size=12).flatmap(
            lambda labels: st.tuples(
                st.just(labels),
                st.lists(st.sets(st.integers(0, len(labels) - 1)), max_size=4),
            )
        )
    )
    def test_as_counting_pairs(self, given):
        labels, structures = given
        found = pair_agreement(
            members(*structures, images=len(labels)), np.array(labels), rng(), repeats=2
        )
        wanted = slow_pair_agreement(structures, labels)
        if wanted is None:
            assert np.isnan(found.value)
        else:
            assert found.value == pytest.approx(wanted)

    def test_the_error_is_that_of_other_collections(self):
        """Structures that have nothing to do with labels: 0, within its error, and no bias."""
        draw = np.random.default_rng(3)
        values, errors = [], []
        for _ in range(30):
            labels = draw.integers(0, 3, 300)
            chosen = sp.csr_array(draw.random((5, 300)) < 0.1)
            found = pair_agreement(chosen, labels, draw, repeats=50)
            values.append(found.value)
            errors.append(found.error)
        assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(30))
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.6)


class TestNeighbourAgreement:
    def test_words_that_are_labels(self):
        """Word 0 or 1 tells the label; word 2, which all hold, weighs nothing."""
        labels = np.repeat([0, 1], 10)
        bags = sp.csr_array(np.column_stack([labels == 0, labels == 1, np.full(20, 5)]) * 1.0)
        assert neighbour_agreement(bags, labels, rng(), neighbours=9).value == pytest.approx(1)

    def test_as_by_chance(self):
        draw = np.random.default_rng(5)
        bags = sp.csr_array(draw.poisson(0.5, (400, 30)).astype(np.float64))
        found = neighbour_agreement(bags, draw.integers(0, 2, 400), draw)
        assert abs(found.value) < 4 * found.error + 0.02

    def test_images_without_words_or_label_are_left_out(self):
        labels = np.array([0] * 10 + [1] * 10 + [-1] * 5 + [0] * 5)
        words = [*([[1, 0]] * 10), *([[0, 1]] * 10), *([[1, 0]] * 5), *([[0, 0]] * 5)]
        found = neighbour_agreement(
            sp.csr_array(np.array(words, float)), labels, rng(), neighbours=9
        )
        assert found.value == pytest.approx(1)

    def test_too_few_images(self):
        bags = sp.csr_array(np.ones((15, 2)))
        assert np.isnan(neighbour_agreement(bags, np.zeros(15, np.int64), rng()).value)


def test_best_overlaps():
    left = members([0, 1, 2, 3], [4, 5], [], images=8)
    right = members([2, 3, 6], [0, 1, 2], images=8)
    assert best_overlaps(left, right).tolist() == [3 / 4, 0, 0]
    assert best_overlaps(left, members(images=8)).tolist() == [0, 0, 0]
