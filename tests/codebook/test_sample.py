"""A sample that depends on names alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.codebook.sample import feature_hashes, hash_limit

LARGEST = 2**63 - 1
MASK = 2**64 - 1


def slow_hash(image_id: str, number: int, seed: int) -> int:
    """SplitMix64 as its authors print it, in Python's integers."""
    salt = seed.to_bytes(8, "little")
    start = hashlib.blake2b(image_id.encode(), digest_size=8, salt=salt).digest()
    z = (int.from_bytes(start, "little") + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (z ^ (z >> 31)) >> 1


class TestFeatureHashes:
    def test_published_numbers_of_splitmix64(self):
        """The sequence from seed 1234567, as printed with the reference code."""
        assert [slow_from(1234567, n) for n in range(3)] == [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
        ]

    @given(st.text(max_size=8), st.integers(0, 20), st.integers(0, 2**64 - 1))
    def test_against_the_twin(self, image_id, count, seed):
        found = feature_hashes(image_id, count, seed)
        assert found.dtype == np.int64
        assert found.tolist() == [slow_hash(image_id, n, seed) for n in range(count)]

    def test_more_features_do_not_change_the_first(self):
        few, many = feature_hashes("a.jpg", 3, 1), feature_hashes("a.jpg", 300, 1)
        assert np.array_equal(few, many[:3])

    def test_images_and_seeds_differ(self):
        first = feature_hashes("a.jpg", 100, 1)
        for other in (feature_hashes("b.jpg", 100, 1), feature_hashes("a.jpg", 100, 2)):
            assert not np.isin(first, other).any()

    def test_spread_evenly(self):
        hashes = np.concatenate([feature_hashes(f"{n}.jpg", 1000, 1) for n in range(100)])
        shares = np.histogram(hashes, bins=16, range=(0, 2.0**63))[0] / len(hashes)
        # 100,000 draws: a share of 1/16 has a standard deviation of 0.00077
        assert np.abs(shares - 1 / 16).max() < 5 * 0.00077


def slow_from(state: int, number: int) -> int:
    z = (state + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class TestHashLimit:
    @pytest.mark.parametrize(("wanted", "total"), [(5, 5), (6, 5), (1, 0), (10, 11), (100, 160)])
    def test_all(self, wanted, total):
        """Also where the margin reaches the total: 100 + 6 x 10 + 10 of 160."""
        assert hash_limit(wanted, total) == LARGEST

    def test_by_hand(self):
        assert hash_limit(100, 1700) == pytest.approx(LARGEST / 10)

    @pytest.mark.parametrize("wanted", [1, 10, 1000])
    def test_finds_enough_and_not_many_more(self, wanted):
        for seed in range(20):
            hashes = feature_hashes("x", 20_000, seed)
            chosen = int((hashes < hash_limit(wanted, 20_000)).sum())
            assert wanted <= chosen <= wanted + 12 * wanted**0.5 + 40
