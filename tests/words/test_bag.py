"""Bags of words by hand and against a slow twin."""

from __future__ import annotations

from collections import defaultdict
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.words.bag import bag_words, outlier_bounds


def bags(*images: list[tuple[int, float]]):
    """Bag images given as lists of (word, size); return a dict an image."""
    words = np.array([w for image in images for w, _ in image], dtype=np.int32)
    sizes = np.array([s for image in images for _, s in image], dtype=np.float32)
    offsets = np.cumsum([0, *map(len, images)]).astype(np.int64)
    found = bag_words(words, sizes, offsets)
    assert (found.words.dtype, found.counts.dtype, found.sizes.dtype) == (np.dtype(np.int32),) * 3
    assert found.offsets.dtype == np.int64
    assert len(found.offsets) == len(images) + 1
    return [
        list(
            zip(
                found.words[a:b].tolist(),
                found.counts[a:b].tolist(),
                found.sizes[a:b].tolist(),
                strict=True,
            )
        )
        for a, b in zip(found.offsets, found.offsets[1:], strict=False)
    ]


class TestBagWords:
    def test_by_hand(self):
        assert bags([(7, 2.0), (3, 1.5), (7, 4.2)], [(7, 1.0)]) == [
            [(3, 1, 2), (7, 2, 6)],
            [(7, 1, 1)],
        ]

    def test_images_without_words_keep_their_place(self):
        assert bags([], [(0, 3.0)], [], []) == [[], [(0, 1, 3)], [], []]
        assert bags([], []) == [[], []]
        assert bags() == []

    @pytest.mark.parametrize(
        ("size", "rounded"), [(0.1, 1), (0.5, 1), (1.49, 1), (1.5, 2), (2.5, 3), (3.5, 4)]
    )
    def test_sizes_are_rounded_half_up_and_never_zero(self, size, rounded):
        assert bags([(0, size)]) == [[(0, 1, rounded)]]

    def test_sizes_are_summed_before_they_are_rounded(self):
        assert bags([(0, 0.4)] * 5) == [[(0, 5, 2)]]

    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 6), st.integers(1, 400).map(lambda n: n / 8))),
            max_size=6,
        )
    )
    def test_against_the_twin(self, images):
        twin = []
        for image in images:
            counts, sizes = defaultdict(int), defaultdict(float)
            for word, size in image:
                counts[word] += 1
                sizes[word] += size  # eighths: exact
            twin.append([(w, counts[w], max(1, floor(sizes[w] + 0.5))) for w in sorted(counts)])
        assert bags(*images) == twin

    def test_the_largest_words_of_many_images(self):
        """image x codebook passes 32 bits."""
        last = 2**31 - 2
        assert bags(*[[(last, 1.0), (0, 1.0)]] * 5) == [[(0, 1, 1), (last, 1, 1)]] * 5


class TestOutlierBounds:
    def test_by_hand(self):
        """Mean 4, population standard deviation 2."""
        counts = np.array([2, 2, 6, 6])
        assert outlier_bounds(counts, 2.0) == (0.0, 8.0)
        assert outlier_bounds(counts, 0.5) == (3.0, 5.0)

    def test_equal_counts_are_no_outliers(self):
        assert outlier_bounds(np.array([5, 5, 5]), 2.0) == (5.0, 5.0)

    def test_no_words(self):
        assert outlier_bounds(np.zeros(0, np.int64), 2.0) == (0.0, 0.0)
