"""The number of visual words by collections whose best number is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.codebook.size import LARGEST, SMALLEST, choose_size, expectation

COUNTS = st.integers(0, 10**10)


class TestChooseSize:
    @pytest.mark.parametrize(
        ("images", "features", "size"),
        [
            (0, 0, SMALLEST),
            (50, 1385, 86),
            (100, 3147, 190),
            (200, 7708, 470),
            (400, 14_732, 650),
            (921, 34_024, 1000),
            (6664, 246_000, LARGEST),
            (10**7, 10**9, LARGEST),
        ],
    )
    def test_known_collections(self, images, features, size):
        assert choose_size(images, features)[0] == size

    def test_reason(self):
        assert choose_size(921, 34_024)[1] == (
            "1,000 words for 34,024 features of 921 images: 34 features a word."
        )

    @given(COUNTS, COUNTS, COUNTS)
    def test_more_features_never_give_fewer_words(self, images, one, other):
        few, many = sorted((one, other))
        sizes = [choose_size(images, features)[0] for features in (few, many)]
        assert SMALLEST <= sizes[0] <= sizes[1] <= LARGEST


class TestExpectation:
    def test_nothing_to_say(self):
        assert expectation(921, 34_024, 1000) is None

    def test_few_images(self):
        told = expectation(50, 1385, 86)
        assert told.startswith("50 images are too few to tell structure from chance")

    def test_some_images(self):
        assert "about every tenth image" in expectation(200, 7708, 470)

    def test_too_many_words_come_with_a_number_to_try(self):
        told = expectation(500, 15_000, 5000)
        assert told == (
            "3.0 features a word are few: one detail is split over several words; try "
            "codebook.size=660"
        )

    def test_too_few_words_too(self):
        told = expectation(5000, 200_000, 100)
        assert "are many: one word mixes unlike details; try codebook.size=2000" in told

    @given(COUNTS, COUNTS)
    def test_the_chosen_number_is_never_blamed(self, images, features):
        told = expectation(images, features, choose_size(images, features)[0])
        assert told is None or "codebook.size" not in told
