"""Folds and copies: nothing that validates, and no copy of it, ever teaches."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.classify.folds import augmented, balanced, rotated, split_folds, unchanged

RNG = np.random.default_rng(0)


@settings(max_examples=30)
@given(st.lists(st.integers(2, 9), min_size=2, max_size=5), st.integers(2, 20), st.integers(0, 99))
def test_copies_stay_in_the_fold_of_their_original(sizes, per_class, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    validated = []
    for teach, check in split_folds(labels, 2, seed):
        assert not set(teach.tolist()) & set(check.tolist())
        copies = balanced(labels, teach, per_class, np.random.default_rng(seed))
        assert not set(copies.sources.tolist()) & set(check.tolist())  # fails if one leaks
        assert set(copies.sources.tolist()) <= set(teach.tolist())
        counts = np.bincount(labels[copies.sources], minlength=len(sizes))
        assert counts.tolist() == [per_class] * len(sizes)
        originals = copies.sources[copies.degrees == 0]
        assert len(set(originals.tolist())) == len(originals)  # each once as it is
        validated += check.tolist()
    assert sorted(validated) == list(range(len(labels)))


def test_a_small_class_is_made_up_by_copies_a_large_one_is_cut():
    labels = np.array([0] * 10 + [1] * 2)
    copies = balanced(labels, np.arange(12), 5, RNG)
    assert (copies.degrees[labels[copies.sources] == 0] == 0).all()
    small = labels[copies.sources] == 1
    assert (copies.degrees[small] == 0).sum() == 2
    assert (copies.degrees[small] != 0).sum() == 3
    assert unchanged(np.array([3, 5])).degrees.tolist() == [0, 0]


def test_rotation():
    pixels = RNG.integers(0, 256, (33, 33, 3)).astype(np.uint8)
    assert rotated(pixels, 0) is pixels
    assert np.abs(rotated(pixels, 90.0).astype(int) - np.rot90(pixels)).max() <= 1
    assert (rotated(pixels, 45.0) != pixels).mean() > 0.5


def test_augmentation_keeps_what_a_galaxy_is():
    y, x = np.mgrid[:64, :64] - 31.5
    disc = np.repeat((200 * (x**2 + y**2 < 400))[:, :, None], 3, axis=2).astype(np.uint8)
    light = disc.mean()
    for seed in range(10):
        found = augmented(disc, np.random.default_rng(seed), mirrors=True)
        assert found.shape == disc.shape
        assert 0.6 * light < found.mean() < 1.5 * light
    one, other = (augmented(disc, np.random.default_rng(3), mirrors=True) for _ in range(2))
    assert np.array_equal(one, other)


def test_mirrors_are_made_only_where_wanted():
    # a red, a green and a blue spot: seen from the red one, green comes before or after blue
    pixels = np.zeros((64, 64, 3), np.uint8)
    for colour, (y, x) in enumerate(((32, 20), (22, 40), (44, 36))):
        pixels[y - 2 : y + 3, x - 2 : x + 3, colour] = 255

    def hand(found):
        red, green, blue = (np.argwhere(found[..., c] > 100).mean(axis=0) for c in range(3))
        return np.sign(np.linalg.det([green - red, blue - red]))

    rngs = [np.random.default_rng(seed) for seed in range(20)]
    assert {hand(augmented(pixels, rng, mirrors=False)) for rng in rngs} == {hand(pixels)}
    assert {hand(augmented(pixels, rng, mirrors=True)) for rng in rngs} == {-1.0, 1.0}
