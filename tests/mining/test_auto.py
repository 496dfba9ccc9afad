"""Tuple size and number of tables from what chance does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import SettingsError
from minia_spark.mining.auto import choose, sample_pairs
from minia_spark.mining.chance import fit_chance
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.miner import choose_way
from minia_spark.mining.model import SingleLink
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents, MalformedError

from .test_miner import collection_of, pieces_of

LINKS = [Consensus(), SingleLink()]


def chance_of(words, images, size):
    """Each word in images * size / words images of `size` words."""
    return fit_chance(
        np.arange(words, dtype=np.uint32),
        np.full(words, images * size // words),
        np.array([size]),
        np.array([images]),
    )


def chosen(shared, *, words=100, images=1000, size=10, link=LINKS[0], **options):
    """Every pair of words shares `shared` documents in the decoy."""
    chance = chance_of(words, images, size)
    pairs = sample_pairs(chance.words)
    return choose(chance, pairs, np.full(len(pairs), shared), link, **options)


def test_consensus_starts_where_links_do():
    """100 images a word, 10 shared by chance; 22 make a link: 22 / 178. r = 2: 3.89 / 0.0153."""
    choice = chosen(10)
    assert choice.eta == pytest.approx(22 / 178)
    assert (choice.tuple_size, choice.tables) == (2, 500)
    assert choice.chance_median == choice.chance_high == pytest.approx(10 / 190)
    assert choice.reasons == (
        "By chance two words have a Jaccard similarity of 0.053 (median), and one pair in 1,000 is "
        "above 0.053 (100 words, a decoy, 4950 pairs).",
        "Sharing of documents can be told from chance from a similarity of 0.124 on; with tuples "
        "of 2, 255 tables let such a pair meet twice with a probability of 90 %, at the least "
        "cost.",
        "500 tables are made, to be of use for more documents too.",
    )


def test_more_tables_than_the_least():
    """500 images a word, 25 shared by chance; about 52 make a link: 52 / 948, 3.89 / 0.0030."""
    choice = chosen(25, words=2000, images=10_000, size=100)
    assert choice.tables == math.ceil(3.89 / choice.eta**choice.tuple_size) > 500
    assert not any("of use for more" in reason for reason in choice.reasons)


def test_too_few_documents_to_tell_anything():
    """Every word is in all of five documents: whatever they share is chance."""
    choice = chosen(5, words=10, images=5, size=10)
    assert (choice.tuple_size, choice.tables, choice.eta) == (2, 500, 1.0)
    assert choice.reasons[1] == "These documents are too few to tell any sharing from chance."


def test_frequent_words_want_longer_tuples():
    """Words in 300 of 1,000 images: by chance 90 / 510, and every table would be full of pairs."""
    rare = chosen(0, words=2000, images=1000, size=20)
    frequent = chosen(90, words=2000, images=1000, size=600)
    assert rare.tuple_size == 2
    assert frequent.tuple_size > 2
    assert frequent.eta > frequent.chance_high


def test_single_link_starts_above_chance():
    """All pairs are 10 / 190 alike but one in fifty, 40 / 160: the 99 % quantile of 100 words."""
    chance = chance_of(100, 1000, 10)
    pairs = sample_pairs(chance.words)
    shared = np.where(np.arange(len(pairs)) % 50 == 0, 40, 10)
    choice = choose(chance, pairs, shared, SingleLink())
    assert choice.eta == pytest.approx(0.25)
    r, tables = choice.tuple_size, choice.tables
    assert tables == int(np.log(0.5) / np.log(1 - 0.25**r))
    assert 99 * 0.98 * (1 - (1 - (10 / 190) ** r) ** tables) <= 1
    shorter = int(np.log(0.5) / np.log(1 - 0.25 ** (r - 1)))
    assert 99 * 0.98 * (1 - (1 - (10 / 190) ** (r - 1)) ** shorter) > 1


@pytest.mark.parametrize("link", LINKS)
def test_bounds_are_kept_and_told(link):
    free = chosen(10, link=link)
    cut = chosen(10, link=link, max_tables=free.tables - 1)
    assert cut.tables == free.tables - 1
    assert cut.reasons[-1] == (
        f"Cut down to {free.tables - 1} tables, the most that max_tables and max_bytes allow."
    )
    small = chosen(10, link=link, max_bytes=4 * 100 * free.tuple_size * 7)
    assert small.tables == min(7, free.tables)


@pytest.mark.parametrize("link", LINKS)
@given(words=st.integers(1, 30), size=st.integers(1, 30), share=st.floats(0, 1))
def test_any_collection_gets_settings_within_bounds(link, words, size, share):
    size = min(size, words)
    shared = round(share * 10 * size)
    choice = chosen(shared, words=words, images=10 * words, size=size, link=link, max_tables=500)
    assert 2 <= choice.tuple_size <= 6
    assert 1 <= choice.tables <= 500
    assert 0 < choice.eta <= 1
    assert len(choice.reasons) >= 2


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("documents", [0, 1, 3])
def test_tiny_collections(link, documents):
    corpus = planted_corpus(documents=documents, items=20, structures=0)
    choice = choose_way(collection_of(pieces_of(corpus, 1)), link)
    assert choice.tables >= 1


def test_pieces_and_repetition_change_nothing_but_the_decoy():
    corpus = planted_corpus(documents=600, items=100, structures=5, seed=2)
    one, again, parts = (
        choose_way(collection_of(pieces_of(corpus, count), cores=count), Consensus())
        for count in (1, 1, 3)
    )
    assert one == again
    assert parts.eta == one.eta
    assert parts.chance_high == pytest.approx(one.chance_high, rel=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tables": 0}, "must be at least 1, got 0"),
        ({"max_bytes": 0}, "must be at least 1, got 20000 and 0"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(SettingsError, match=message):
        chosen(1, **options)


def test_counts_must_fit():
    chance = chance_of(10, 10, 2)
    with pytest.raises(MalformedError, match="2 numbers of shared documents for 45 pairs"):
        choose(chance, sample_pairs(chance.words), np.zeros(2, np.int64), Consensus())


def test_small_codebooks_are_sampled_whole():
    words = np.array([3, 5, 9], dtype=np.uint32)
    pairs = sample_pairs(words)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        (3, 5),
        (3, 9),
        (5, 9),
    ]


def test_samples_are_even():
    """2,000 of 4,950 pairs: each word in about 40 of them."""
    pairs = sample_pairs(np.arange(100, dtype=np.uint32), size=2000)
    assert 1600 <= len(pairs) <= 2000
    times = np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=100)
    assert times.min() > 15
    assert times.max() < 65


@pytest.mark.parametrize("link", LINKS)
def test_what_is_set_is_obeyed(link):
    free = chosen(10, link=link)
    size = chosen(10, link=link, tuple_size=free.tuple_size)
    assert (size.tuple_size, size.tables) == (free.tuple_size, free.tables)
    other = chosen(10, link=link, tuple_size=4)
    assert other.tuple_size == 4
    tables = chosen(10, link=link, tables=123_456, max_tables=5)
    assert (tables.tuple_size, tables.tables) == (free.tuple_size, 123_456)
    assert tables.reasons[-1] == "123456 tables are set."


@pytest.mark.parametrize(
    ("words", "rank", "chance"),
    [(20, 0, "totals"), (20, 1, "background"), (20, 4, "totals"), (80, 0, "background")],
)
def test_a_background_is_chosen_where_images_can_tell_it(words, rank, chance):
    """Of few words in an image one factor is told, of many words as many as there are."""
    random = np.random.default_rng(3)
    logits = np.log(words / (300 - words)) - 0.5 * rank + random.normal(0, 0.3, 300)
    loadings = random.normal(0, 1, (300, rank))
    odds = 1 / (1 + np.exp(-(logits + random.normal(size=(1500, rank)) @ loadings.T)))
    held = random.random((1500, 300)) < odds
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int64)
    items = np.nonzero(held)[1].astype(np.uint32)
    keys = np.arange(1500, dtype=np.uint32)
    pieces = [Documents(keys, offsets, items, np.ones_like(items))]
    choice = choose_way(collection_of(pieces), Consensus())
    assert (choice.background is None) == (chance == "totals")
    if choice.background is not None:
        assert choice.background.rank == rank
        assert (choice.tuple_size, choice.tables) == (None, None)
    assert "broad way" in choice.reasons[0] or "Totals explain" in choice.reasons[0]
    given = choose_way(collection_of(pieces), Consensus(), tables=50)
    assert (given.background, given.tables) == (None, 50)


def test_a_background_that_cannot_be():
    corpus = planted_corpus(documents=600, items=100, structures=5, seed=2)
    pieces = pieces_of(corpus, 1)
    with pytest.raises(SettingsError, match=r"background is not possible, as only consensus"):
        choose_way(collection_of(pieces), SingleLink(), chance="background")
    wide = Documents(np.zeros(1, np.uint32), np.array([0, 5000]), np.arange(5000, dtype=np.uint32))
    with pytest.raises(SettingsError, match=r"5,000 words, and the pairs of at most 4,096"):
        choose_way(collection_of([wide]), Consensus(), chance="background")
    assert choose_way(collection_of([wide]), Consensus()).background is None
