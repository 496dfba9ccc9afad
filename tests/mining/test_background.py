"""What images would hold if totals and broad differences were all."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from minia_spark.mining import background
from minia_spark.mining.background import (
    PROBABILITY_ONE,
    Background,
    dense,
    fit_background,
    in_sample,
    spread_of,
)
from minia_spark.mining.chance import Totals
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.excess import (
    Parts,
    Support,
    count_support,
    link_by_excess,
    numbers_of,
    sum_part,
    surprise_beyond,
    upper_pairs,
)
from minia_spark.mining.model import Structures
from minia_spark.mining.number import more_than_half, number_held
from minia_spark.mining.rows import background_of_rows, rows_of_background
from minia_spark.smh.arrays import Documents

GRID = 1024


def documents_of(held):
    held = np.asarray(held, dtype=bool)
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int64)
    keys = (np.arange(len(held), dtype=np.uint64) * 2654435761 % 2**32).astype(np.uint32)
    return Documents(keys, offsets, np.nonzero(held)[1].astype(np.uint32))


def broad(seed, *, images=2000, words=150, rank=2, share=0.2, strength=1.0):
    """Images that differ in `rank` broad ways, and nothing else."""
    random = np.random.default_rng(seed)
    logits = np.log(share / (1 - share)) + random.normal(0, 0.8, words)
    loadings = random.normal(0, strength, (words, rank))
    odds = expit(logits + random.normal(size=(images, rank)) @ loadings.T)
    return random.random((images, words)) < odds


def background_by_hand(logits, loadings=()):
    logits = np.array(logits)
    loadings = np.array(loadings, dtype=float).reshape(len(logits), -1)
    return Background(
        np.arange(len(logits), dtype=np.uint32),
        np.rint(logits * GRID).astype(np.int32),
        np.rint(loadings * GRID).astype(np.int32),
        np.ones(loadings.shape[1] + 1),
    )


# ---------------------------------------------------------------------------- probabilities


def test_probabilities_by_hand():
    """Of words with odds 1:1, 1:3 and 3:1, for an image with a = 0 and one that doubles odds."""
    own = background_by_hand([0.0, -np.log(3), np.log(3)])
    numbers = np.array([[0], [round(np.log(2) * GRID)]], dtype=np.int32)
    found = own.probabilities(numbers) / PROBABILITY_ONE
    assert found == pytest.approx(
        np.array([[1 / 2, 1 / 4, 3 / 4], [2 / 3, 2 / 5, 6 / 7]]), abs=2e-3
    )
    assert (
        own.probabilities(numbers, np.array([2])).tolist()
        == own.probabilities(numbers)[:, 2:].tolist()
    )


def test_probabilities_are_whole_numbers_and_never_certain():
    own = background_by_hand([-16.0, 0.0, 16.0])
    found = own.probabilities(np.array([[-(2**14)], [2**14]], dtype=np.int32))
    assert found.min() == 1
    assert found.max() == PROBABILITY_ONE - 1
    assert np.array_equal(found, np.rint(found))


def test_numbers_of_an_image_are_where_its_posterior_is_largest():
    held = broad(3, images=20, words=60)
    own = fit_background(documents_of(broad(3, words=60)), np.arange(60, dtype=np.uint32))
    numbers = own.numbers(held.astype(float))
    offsets, loadings = own.offsets / GRID, own.loadings / GRID

    def posterior(row, image):
        logits = row[0] + loadings @ row[1:] + offsets
        likely = np.sum(held[image] * logits - np.logaddexp(0, logits))
        return likely - 0.5 * np.sum(row[1:] ** 2) - 0.5e-3 * row[0] ** 2

    for image, row in enumerate(numbers / GRID):
        best = posterior(row, image)
        for step in np.eye(len(row)) * 0.01:
            assert posterior(row + step, image) < best
            assert posterior(row - step, image) < best


def test_numbers_do_not_depend_on_the_company():
    held = broad(5).astype(float)
    own = fit_background(documents_of(held), np.arange(150, dtype=np.uint32))
    whole = own.numbers(held[:300])
    assert np.array_equal(whole[7:9], own.numbers(held[7:9]))
    order = np.random.default_rng(0).permutation(300)
    assert np.array_equal(whole[order], own.numbers(held[order]))


# ---------------------------------------------------------------------------- the fit


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_the_right_rank_shows_itself(rank):
    held = broad(rank + 1, rank=rank, words=300)
    own = fit_background(documents_of(held), np.arange(300, dtype=np.uint32))
    assert own.rank == rank
    assert own.spread == pytest.approx(1.0, abs=0.06)
    if rank:
        assert own.spreads[0] > 1.3
        sizes = np.linalg.norm(own.loadings, axis=0)
        assert (np.diff(sizes) < 0).all()


def test_a_factor_after_which_nothing_can_be_told_is_not_taken(monkeypatch):
    """Spreads 1.93, 1.10, 1.09, and then too few pairs: one factor, as a second gains little."""
    told = iter([1.93, 1.10, 1.09, 0.0])
    settled = background._settled

    def as_told(fit):
        residuals, variances, _ = settled(fit)
        return residuals, variances, next(told)

    monkeypatch.setattr(background, "_settled", as_told)
    held = broad(1, images=300, words=40)
    fitted = fit_background(documents_of(held), np.arange(40, dtype=np.uint32))
    assert fitted.rank == 1
    assert fitted.spreads.tolist() == [1.93, 1.10, 1.09]


def test_fitted_probabilities_are_those_that_images_were_drawn_with():
    random = np.random.default_rng(1)
    logits, loadings = random.normal(-1.5, 0.7, 200), random.normal(0, 1, (200, 1))
    odds = expit(logits + random.normal(size=(3000, 1)) @ loadings.T)
    held = random.random(odds.shape) < odds
    own = fit_background(documents_of(held), np.arange(200, dtype=np.uint32))
    found = own.probabilities(own.numbers(held.astype(float))) / PROBABILITY_ONE
    # an image's own numbers are known as well as 200 words tell them
    assert np.abs(found - odds).mean() < 0.035
    assert np.corrcoef(found.ravel(), odds.ravel())[0, 1] > 0.96


def test_without_factors_it_is_the_chance_of_totals():
    """The bipartite configuration model: an independent fit of the same."""
    held = broad(7, rank=0, words=60)
    held = held[held.any(axis=1)]
    documents = documents_of(held)
    chance = Totals.of(documents).chance()
    own = fit_background(documents, np.arange(60, dtype=np.uint32), max_rank=0)
    found = own.probabilities(own.numbers(held.astype(float))) / PROBABILITY_ONE
    at = np.searchsorted(chance.image_sizes, held.sum(axis=1))
    wanted = expit(chance.image_logits[at][:, None] + chance.word_logits)
    assert np.abs(found - wanted).max() < 0.01


def test_threads_do_not_show():
    held, words = documents_of(broad(2, words=60)), np.arange(60, dtype=np.uint32)
    one, three = (fit_background(held, words, threads=n, max_rank=1) for n in (1, 3))
    for name in ("offsets", "loadings", "spreads"):
        assert np.array_equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 5), (5, 1), (3, 3)])
def test_tiny_collections(shape):
    documents = documents_of(np.ones(shape, dtype=bool))
    own = fit_background(documents, np.arange(shape[1], dtype=np.uint32))
    assert own.rank == 0
    numbers = numbers_of(documents, own)
    assert numbers.shape == (shape[0], 1)
    assert (
        len(sum_part(documents, numbers, own, 0, Parts(1, 0, 0))) == shape[1] * (shape[1] - 1) // 2
    )


def test_rows_and_back():
    own = fit_background(documents_of(broad(2)), np.arange(150, dtype=np.uint32))
    batches = list(rows_of_background(own))[::-1]
    again = background_of_rows(
        [batch.take(pa.array(range(batch.num_rows)[::-1])) for batch in batches]
    )
    for name in ("words", "offsets", "loadings", "spreads"):
        assert np.array_equal(getattr(own, name), getattr(again, name))
    assert background_of_rows([]).rank == 0


def test_the_sample_is_about_as_large_as_wanted():
    keys = np.arange(100_000, dtype=np.uint32)
    chosen = in_sample(keys, 1_000_000, 1000)
    assert chosen.mean() == pytest.approx(8389 / 1_000_000, rel=0.15)
    assert in_sample(keys, 5000, 1000).all()


# ---------------------------------------------------------------------------- decoys


def test_decoys_are_drawn_with_the_probabilities():
    own = background_by_hand([np.log(1 / 9), 0.0, np.log(4)])
    odds = own.probabilities(np.zeros((20_000, 1), dtype=np.int32))
    keys = np.arange(20_000, dtype=np.uint32)
    drawn = own.draw(odds, keys, 7)
    assert drawn.mean(axis=0) == pytest.approx([0.1, 0.5, 0.8], abs=0.012)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.03
    other = own.draw(odds, keys, 8)
    assert abs(np.corrcoef(drawn[:, 1], other[:, 1])[0, 1]) < 0.03
    assert np.array_equal(drawn[5:9], own.draw(odds[5:9], keys[5:9], 7))


def test_what_is_drawn_of_a_word_does_not_depend_on_the_other_words():
    few = Background(
        np.array([3, 70], np.uint32), np.zeros(2, np.int32), np.zeros((2, 0), np.int32), np.ones(1)
    )
    many = background_by_hand(np.zeros(80))
    keys = np.arange(50, dtype=np.uint32)
    numbers = np.zeros((50, 1), dtype=np.int32)
    some, every = (b.draw(b.probabilities(numbers), keys, 1) for b in (few, many))
    assert np.array_equal(some, every[:, [3, 70]])


# ---------------------------------------------------------------------------- sums


def slow_sums(held, background, keys, part, parts):
    """Image by image, word by word, with Python's whole numbers."""
    words = held.shape[1]
    total = dict.fromkeys(zip(*(a.tolist() for a in upper_pairs(words)), strict=True), 0)
    for row, key in zip(held, keys, strict=True):
        if not row.any():
            continue
        numbers = background.numbers(row[None].astype(float))
        odds = background.probabilities(numbers)
        if part > parts.folds:
            seed = parts.seed_of(part - parts.folds - 1)
            held_by = background.draw(odds, key[None], seed)[0]
            odds = background.probabilities(background.numbers(held_by[None], numbers))
        else:
            held_by = row
        p = [int(value) for value in odds[0]]
        if part == 0:
            left = [value * (PROBABILITY_ONE - value) // PROBABILITY_ONE for value in p]
        else:
            left = [int(x) * PROBABILITY_ONE - value for x, value in zip(held_by, p, strict=True)]
        for a, b in total:
            total[a, b] += left[a] * left[b]
    return list(total.values())


def test_sums_against_a_slow_twin():
    held = broad(4, images=25, words=12)
    held[3] = False
    documents = documents_of(held)
    own = fit_background(
        documents_of(broad(4, words=12)), np.arange(12, dtype=np.uint32), max_rank=1
    )
    parts = Parts(2, 2, 5)
    numbers = numbers_of(documents, own)
    sums = [sum_part(documents, numbers, own, part, parts).tolist() for part in range(len(parts))]
    for part in (0, 3, 4):
        assert sums[part] == slow_sums(held, own, documents.keys, part, parts)
    whole = Parts(1, 0, 5)
    every = sum_part(documents, numbers, own, 1, whole).tolist()
    assert every == slow_sums(held, own, documents.keys, 1, whole)
    assert every == [a + b for a, b in zip(sums[1], sums[2], strict=True)]
    assert sums[1] != sums[2]


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 60), max_size=4), seed=st.integers(0, 99))
def test_sums_of_pieces_in_any_order_add_up(cuts, seed):
    held = broad(seed, images=60, words=20, rank=1)
    own = fit_background(
        documents_of(broad(1, words=20)), np.arange(20, dtype=np.uint32), max_rank=1
    )
    documents, parts = documents_of(held), Parts(2, 1, 3)
    structures = Structures(
        np.array([0, 3]),
        np.array([2, 5, 7], np.uint32),
        np.ones(3, np.uint32),
        np.zeros(1, np.int64),
    )
    bounds = sorted({0, 60, *cuts})
    pieces = [np.arange(60)[a:b] for a, b in itertools.pairwise(bounds)][::-1]
    masks = [np.isin(np.arange(60), piece) for piece in pieces]
    for part in range(len(parts)):
        whole = sum_part(documents, numbers_of(documents, own), own, part, parts)
        some = [documents.take(mask) for mask in masks]
        added = sum(sum_part(one, numbers_of(one, own), own, part, parts) for one in some)
        assert np.array_equal(whole, added)
    counts = [
        count_support(one, background=own, structures=structures) for one in (documents, *some)
    ]
    assert np.array_equal(counts[0], sum(counts[1:]))


# ---------------------------------------------------------------------------- links


def test_planted_words_are_linked_and_no_others():
    held = broad(6, rank=3, images=3000, words=300)
    random = np.random.default_rng(0)
    chosen = random.choice(3000, 120, replace=False)
    held[np.ix_(chosen, [10, 20, 30, 40])] |= random.random((120, 4)) < 0.9
    documents = documents_of(held)
    own = fit_background(documents, np.arange(300, dtype=np.uint32))
    parts = Parts(1, 1, 5)
    numbers = numbers_of(documents, own)
    variances, excess, decoy = (sum_part(documents, numbers, own, part, parts) for part in range(3))
    links, spread = link_by_excess(own, excess, variances, Consensus(), images=3000)
    assert spread == pytest.approx(1.0, abs=0.08)
    ends = links.first[links.strong].tolist(), links.second[links.strong].tolist()
    strong = set(zip(*ends, strict=True))
    assert strong == {(10, 20), (10, 30), (10, 40), (20, 30), (20, 40), (30, 40)}
    by_chance, spread = link_by_excess(own, decoy, variances, Consensus(), images=3000)
    assert spread == pytest.approx(1.0, abs=0.08)
    assert not by_chance.strong.any()
    kept = np.ones(300, dtype=bool)
    kept[20] = False
    fewer, _ = link_by_excess(own, excess, variances, Consensus(), images=3000, kept=kept)
    assert 20 not in {*fewer.first.tolist(), *fewer.second.tolist()}
    assert len(fewer) >= 3


def test_spread_by_hand():
    """Half of z within +-0.6745 is a spread of 1; rare pairs are not looked at."""
    z = np.tile([-2.0, -0.6745, -0.6745, 0.6745, 0.6745, 2.0], 500)
    assert spread_of(z * 2.0, np.full(3000, 4.0)) == pytest.approx(1.0, abs=1e-3)
    assert spread_of(np.concatenate([z, z * 50]), np.repeat([1.0, 0.9], 3000)) == pytest.approx(
        1.0, abs=1e-3
    )
    assert spread_of(z[:900], np.ones(900)) == 0.0


# ---------------------------------------------------------------------------- support


def test_support_by_hand():
    """Two of three words are more than half; all words are there with probability 1/2."""
    held = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    own = background_by_hand(np.zeros(4))
    structures = Structures(
        np.array([0, 3]),
        np.array([0, 1, 2], np.uint32),
        np.ones(3, np.uint32),
        np.zeros(1, np.int64),
    )
    counts = count_support(documents_of(held), background=own, structures=structures)
    found = Support.of_counts(counts, structures)
    assert found.support.tolist() == [2]
    assert found.frequencies.tolist() == [2, 2, 1]
    # images of two, three and two of four words: odds of 1/2, 3/4 and 1/2 for each word
    assert found.expected[0] == pytest.approx(0.5 + (3 * 9 / 64 + 27 / 64) + 0.5, abs=0.01)


def test_number_of_words_held():
    odds = np.array([[0.5, 0.25]])
    assert number_held(odds)[0] == pytest.approx([3 / 8, 4 / 8, 1 / 8])
    assert more_than_half(odds)[0] == pytest.approx(1 / 8)
    assert more_than_half(np.full((1, 99), 0.5)) == pytest.approx(0.5)
    assert more_than_half(np.full((1, 101), 0.5)) == pytest.approx(0.5, abs=1e-6)
    assert more_than_half(np.array([[1.0] * 101, [0.0] * 101])).tolist() == [1.0, 0.0]


def test_words_that_are_not_known_are_left_out():
    words = np.array([2, 5], dtype=np.uint32)
    documents = Documents(np.zeros(1, np.uint32), np.array([0, 3]), np.array([1, 5, 9], np.uint32))
    assert dense(documents, words).tolist() == [[0.0, 1.0]]
    assert dense(documents, words[:0]).shape == (1, 0)


def test_surprise_by_hand():
    """Pairs (0, 1), (0, 2), (1, 2) are 5 + 3 + 1 beyond, with a variance of 4 + 4 + 1."""
    own = background_by_hand(np.zeros(4))
    structures = Structures(
        np.array([0, 3, 5]),
        np.array([2, 0, 1, 3, 1], np.uint32),
        np.ones(5, np.uint32),
        np.zeros(2, np.int64),
    )
    excess = np.array([5, 3, 0, 1, 4, 0], dtype=np.int64) << 32
    variances = np.array([4, 4, 9, 1, 16, 9], dtype=np.int64) << 32
    found = surprise_beyond(own, structures, excess, variances)
    assert found.tolist() == [9 / 3, 4 / 4]
