"""Decoys keep all totals, reach every matrix that has them, and forget where they began."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from minia_spark.base.bags import Bags, invert
from minia_spark.base.errors import SettingsError
from minia_spark.mining import shuffle
from minia_spark.mining.shuffle import shuffled
from minia_spark.sky.corpus import planted_corpus

from .test_chance import bags

TOP = 2**32 - 1
collections = st.lists(st.dictionaries(st.integers(0, 6), st.integers(1, 9)), max_size=9)


def plain(*images):
    return bags(*(dict.fromkeys(image, 1) for image in images))


def listed(images):
    return [images.items[a:b].tolist() for a, b in itertools.pairwise(images.offsets)]


@given(collections, st.integers(0, 2**64 - 1))
def test_all_totals_are_kept(counted, seed):
    images = bags(*counted)
    decoy = shuffled(images, seed=seed)
    assert decoy.offsets.tolist() == images.offsets.tolist()
    assert Counter(decoy.items.tolist()) == Counter(images.items.tolist())
    for words in listed(decoy):
        assert words == sorted(set(words))
    # a word keeps its counts, wherever they go
    before, after = invert(images, rows=7), invert(decoy, rows=7)
    for word in range(7):
        span = slice(before.offsets[word], before.offsets[word + 1])
        assert sorted(before.counts[span]) == sorted(after.counts[span])
    again = shuffled(images, seed=seed)
    assert again.items.tolist() == decoy.items.tolist()
    assert again.counts.tolist() == decoy.counts.tolist()


def test_what_both_have_stays_and_the_rest_is_dealt_out():
    """Word 5 is in both images, with counts of their own; 1, 2, 3 are dealt out as 1 + 2."""
    images = bags({5: 7, 1: 10}, {2: 20, 3: 30, 5: 9})
    found = {tuple(map(tuple, listed(shuffled(images, seed=s, rounds=1)))) for s in range(50)}
    assert found == {((1, 5), (2, 3, 5)), ((2, 5), (1, 3, 5)), ((3, 5), (1, 2, 5))}
    for seed in range(10):
        decoy = shuffled(images, seed=seed, rounds=1)
        assert decoy.counts[decoy.items == 5].tolist() == [7, 9]
        assert all(decoy.counts[decoy.items == word] == 10 * word for word in (1, 2, 3))


def test_numbers_at_their_limits():
    images = bags({TOP: TOP, 0: 1}, {TOP - 1: TOP, 7: 2}, {})
    seen = set()
    for seed in range(40):
        decoy = shuffled(images, seed=seed)
        held = dict(zip(decoy.items.tolist(), decoy.counts.tolist(), strict=True))
        assert held == {TOP: TOP, 0: 1, TOP - 1: TOP, 7: 2}
        assert decoy.items.dtype == decoy.counts.dtype == np.uint32
        seen.add(tuple(decoy.items.tolist()))
    assert len(seen) == 6


@pytest.mark.parametrize("images", [(), ([],), ([], [], []), ([4, 9],), ([1, 2], [1, 2])])
def test_nothing_to_exchange(images):
    decoy = shuffled(plain(*images), seed=1)
    assert listed(decoy) == list(images)
    assert decoy.offsets.dtype == np.int64


def matrices(images):
    """All collections with the totals of this one, by trying every choice for every image."""
    totals = Counter(images.items.tolist())
    choices = (itertools.combinations(sorted(totals), len(words)) for words in listed(images))
    for chosen in itertools.product(*choices):
        if Counter(itertools.chain(*chosen)) == totals:
            yield tuple(itertools.chain(*chosen))


@pytest.mark.parametrize(
    ("images", "number"),
    [
        (([0], [1], [2]), 6),
        (([0, 1], [0, 1], [2, 3], [2, 3]), 90),
        (([0, 1, 2], [0, 1], [0], [2], [3]), 58),  # uneven totals, an odd number of images
    ],
)
def test_every_matrix_is_as_frequent_as_the_others(images, number):
    """Chi-squared over all matrices with these totals; wrong once in 10,000 changes of seeds."""
    start = plain(*images)
    possible = set(matrices(start))
    assert len(possible) == number
    runs = 12 * number
    decoys = (shuffled(start, seed=seed, rounds=8) for seed in range(runs))
    seen = Counter(tuple(decoy.items.tolist()) for decoy in decoys)
    assert set(seen) == possible
    statistic = sum((times - 12) ** 2 / 12 for times in seen.values())
    assert statistic < chi2.isf(1e-4, number - 1)


def test_one_round_is_symmetric():
    """As often from one matrix to another as back: 13 matrices of uneven totals, 6,500 rounds."""
    start = plain([0, 1, 2], [0, 3], [0], [1])
    states = sorted(set(matrices(start)))
    number = {state: place for place, state in enumerate(states)}
    moves = np.zeros((len(states), len(states)))
    runs = 500
    for state in states:
        images = Bags(start.offsets, np.array(state, np.uint32), start.counts)
        for seed in range(runs):
            there = tuple(shuffled(images, seed=seed, rounds=1).items.tolist())
            moves[number[state], number[there]] += 1
    above = np.triu(np.ones_like(moves, dtype=bool), 1) & (moves + moves.T > 0)
    there, back = moves[above], moves.T[above]
    statistic = np.sum((there - back) ** 2 / (there + back))
    assert statistic < chi2.isf(1e-4, np.count_nonzero(above))


def test_nothing_is_left_of_the_original():
    """As many occurrences are in their place as between two decoys; words have parted."""
    corpus = planted_corpus(documents=1000, items=400, structures=10, seed=1)
    images = Bags(corpus.offsets, corpus.items, corpus.freqs)
    held = [set(words) for words in listed(images)]

    def in_place(decoy, others):
        pairs = zip(listed(decoy), others, strict=True)
        return sum(len(own & set(words)) for words, own in pairs) / len(decoy.items)

    decoys = [shuffled(images, seed=seed) for seed in range(8)]
    chance = [
        in_place(one, [set(words) for words in listed(other)])
        for one, other in itertools.pairwise(decoys)
    ]
    left = [in_place(decoy, held) for decoy in decoys]
    assert np.mean(left) == pytest.approx(np.mean(chance), abs=5 * np.std(chance) / np.sqrt(7))
    assert np.mean(in_place(shuffled(images, seed=1, rounds=2), held)) > 2 * np.mean(left)


def test_words_that_occur_together_part():
    """Ten words always together in 100 of 1,000 images, among 990 others."""
    random = np.random.default_rng(3)
    images = plain(
        *(
            sorted({*(range(10) if i < 100 else ()), *random.integers(10, 1000, 20).tolist()})
            for i in range(1000)
        )
    )
    decoy = shuffled(images, seed=1)
    held = [int(np.sum(decoy.items[a:b] < 10)) for a, b in itertools.pairwise(decoy.offsets)]
    assert sum(held) == 1000
    assert max(held) < 7
    assert np.mean(held[:100]) < 2  # 10 before; 1.5 when all images are alike but for their size


def test_equal_keys_are_drawn_again():
    """Half of 3 with the keys 5, 5, 5 cannot be told; with 9, 1, 5 it is the second."""

    class Generator:
        drawn = iter([[[5, 5, 5, 0]], [[9, 1, 5, 0]]])

        def integers(self, high, *, size, dtype):
            return np.array(next(self.drawn), dtype=dtype).reshape(size)

    real = np.array([[True, True, True, False]])
    parts = shuffle._smallest(real, np.array([[1]]), Generator())
    assert parts.tolist() == [[False, True, False, False]]


def test_no_rounds():
    images = bags({3: 1, 1: 2}, {})
    assert shuffled(images, seed=1, rounds=0).items.tolist() == [1, 3]
    assert shuffled(images, seed=1, rounds=0).counts.tolist() == [2, 1]
    with pytest.raises(SettingsError, match="rounds must not be negative, got -1"):
        shuffled(images, seed=1, rounds=-1)
