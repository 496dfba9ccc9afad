"""A collection is mined, its decoys and itself again; structures are judged and ordered."""

import numpy as np
import pytest
from cases import ENGINES, needs_binary, same_structures
from minia_spark.mining.corpus import mine_corpus

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.mining.assess import (
    assess,
    decoy,
    decoy_collection,
    evaluate,
    miner,
    other_seed,
)
from minia_spark.mining.chance import Totals, fit_chance
from minia_spark.mining.model import Structures, best_matches
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine

from .test_model import rows


def pieces_of(corpus, count):
    """The documents of a corpus, dealt out in ranges."""
    bounds = np.linspace(0, len(corpus.keys), count + 1).astype(int)
    return [
        Documents(
            corpus.keys[a:b],
            corpus.offsets[a : b + 1] - corpus.offsets[a],
            corpus.items[corpus.offsets[a] : corpus.offsets[b]],
            corpus.freqs[corpus.offsets[a] : corpus.offsets[b]],
        )
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)  # noqa: RUF007
    ]


@pytest.fixture(scope="module")
def corpus():
    return planted_corpus(
        documents=800, items=200, structures=5, structure_size=(4, 8), frequency=0.05, seed=4
    )


def structures(*word_lists):
    offsets = np.cumsum([0, *map(len, word_lists)])
    items = np.array([word for words in word_lists for word in words], dtype=np.uint32)
    return Structures(
        offsets, items, np.ones_like(items), np.arange(len(word_lists), 0, -1, dtype=np.int64)
    )


def even_chance():
    """100 words, each in 100 of 1,000 images of 10 words."""
    return fit_chance(
        np.arange(100, dtype=np.uint32), np.full(100, 100), np.array([10]), np.array([1000])
    )


def test_significant_and_reproducible_structures_come_first():
    found = structures([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12])
    support = np.array([28, 500, 600, 700])
    again = structures([7, 8, 9], [10, 11, 12])
    result = evaluate(
        found,
        support,
        even_chance(),
        decoy_scores=[np.full(2, 3.0) for _ in range(20)],
        others=[again, structures([10, 11, 12])],
    )
    assert result.structures.items[::3].tolist() == [7, 10, 4, 1]
    assert result.structures.sets.tolist() == [2, 1, 3, 4]
    assert result.support.tolist() == [600, 700, 500, 28]
    assert result.stability.tolist() == [0.5, 1.0, 0.0, 0.0]
    assert result.significant.tolist() == [True, True, True, False]
    assert result.reproducible.tolist() == [True, True, False, False]
    assert result.lift == pytest.approx(result.support / result.expected_support)
    assert len(result) == 4


def test_without_decoys_and_seeds_nothing_is_claimed():
    result = evaluate(
        structures([1, 2, 3]), np.array([900]), even_chance(), decoy_scores=[], others=[]
    )
    assert np.isnan(result.q).all()
    assert np.isnan(result.stability).all()
    assert not result.significant.any()
    assert not result.reproducible.any()


@pytest.mark.parametrize("name", ["max_q", "min_stability"])
def test_limits_out_of_range(name):
    with pytest.raises(SettingsError, match=rf"{name} must be within 0\.\.1, got 1.5"):
        evaluate(
            structures([1, 2, 3]),
            np.array([1]),
            even_chance(),
            decoy_scores=[],
            others=[],
            **{name: 1.5},
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_structures_are_found_and_believed(corpus, engine):
    result = assess(
        lambda: pieces_of(corpus, 1),
        miner(engine, tuple_size=2, tables=300),
        decoys=4,
        seeds=2,
    )
    planted = rows(*(words.tolist() for words in corpus.structures))
    count = int((result.significant & result.reproducible).sum())
    ends = result.structures.offsets[: count + 1]
    kept = rows(
        *(
            result.structures.items[a:b].tolist()
            for a, b in zip(ends[:-1], ends[1:], strict=True)  # noqa: RUF007
        )
    )
    assert np.mean(best_matches(planted, kept)[1] >= 0.5) >= 0.8
    assert np.mean(best_matches(kept, planted)[1] < 0.5) <= 0.2


@needs_binary
def test_single_link_is_that_of_the_reference(corpus):
    engine = get_engine("native")
    options = {"tuple_size": 3, "tables": 500, "min_cluster_size": 5, "overlap": 0.8}
    result = assess(
        lambda: pieces_of(corpus, 2), miner(engine, link="single", **options), decoys=1, seeds=0
    )
    expected = mine_corpus(pieces_of(corpus, 1), engine, **options)
    assert sorted(result.structures.sets.tolist()) == sorted(expected.sets.tolist())
    assert sorted(result.structures.items.tolist()) == sorted(expected.items.tolist())
    assert len(result) > 0


@needs_binary
def test_pieces_change_only_the_decoys(corpus):
    mine = miner(get_engine("native"), tuple_size=2, tables=300)
    whole, parts = (
        assess(lambda count=count: pieces_of(corpus, count), mine, decoys=2, seeds=1)
        for count in (1, 3)
    )
    assert same_structures(whole.structures, parts.structures)
    assert whole.support.tolist() == parts.support.tolist()
    assert whole.expected_support.tolist() == parts.expected_support.tolist()
    assert whole.stability.tolist() == parts.stability.tolist()
    assert len(whole) >= 4


@needs_binary
def test_progress_and_reproduction(corpus):
    mine = miner(get_engine("native"), tuple_size=2, tables=100)
    told = []
    first = assess(
        lambda: pieces_of(corpus, 2),
        mine,
        decoys=2,
        seeds=1,
        progress=lambda *step: told.append(step),
    )
    again = assess(lambda: pieces_of(corpus, 2), mine, decoys=2, seeds=1)
    assert told == [("seeds", 1), ("decoys", 1), ("decoys", 2)]
    assert first.q.tolist() == again.q.tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("link", ["consensus", "single"])
def test_an_empty_collection_has_no_structures(engine, link):
    result = assess(list, miner(engine, link=link, tuple_size=2, tables=5), decoys=1, seeds=1)
    assert len(result) == 0


def test_wrong_numbers_of_runs_and_links():
    engine = get_engine("datasketch")
    with pytest.raises(SettingsError, match="must not be negative, got -1 and 3"):
        assess(list, miner(engine, tuple_size=2, tables=5), decoys=-1)
    with pytest.raises(SettingsError, match="'complete' is not one of consensus, single"):
        miner(engine, link="complete", tuple_size=2, tables=5)


def test_other_seeds_differ():
    seeds = {other_seed(12345678, number) for number in range(1000)} | {12345678}
    assert len(seeds) == 1001
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_decoys_keep_totals_and_differ(corpus):
    (documents,) = pieces_of(corpus, 1)
    first, again, other, elsewhere = (
        decoy(documents, seed=1, number=number, piece=piece)
        for number, piece in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert first.items.tolist() == again.items.tolist()
    for one in (other, elsewhere):
        assert first.items.tolist() != one.items.tolist()
    assert first.keys is documents.keys
    assert np.bincount(first.items).tolist() == np.bincount(documents.items).tolist()
    assert first.offsets.tolist() == documents.offsets.tolist()
    assert np.bincount(first.items, first.frequencies).tolist() == (
        np.bincount(documents.items, documents.frequencies).tolist()
    )


def test_a_single_piece_is_shuffled_once(corpus, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "minia_spark.mining.assess.decoy",
        lambda documents, *, piece, **_: calls.append(piece) or documents,
    )
    for count, expected in ((1, [0]), (2, [0, 1, 0, 1])):
        calls.clear()
        false = decoy_collection(lambda count=count: pieces_of(corpus, count), seed=1, number=0)
        assert [len(piece) for _ in range(2) for piece in false()] == [800 // count] * count * 2
        assert calls == expected


def test_totals_of_pieces_add_up(corpus):
    whole = Totals.of(Bags(corpus.offsets, corpus.items, corpus.freqs))
    parts = Totals.sum(map(Totals.of, pieces_of(corpus, 5)[::-1]))
    for name in ("words", "word_images", "image_sizes", "image_counts"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()
    assert whole.word_images.tolist() == np.bincount(corpus.items)[whole.words].tolist()
    assert len(Totals.sum([]).chance().words) == 0
