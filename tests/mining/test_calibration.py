"""Planted structures are told from chance; where there is nothing, nothing is reported."""

import numpy as np
import pytest
from cases import needs_binary

from minia_spark.base.bags import Bags
from minia_spark.mining.chance import expected_support, fit_chance
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.miner import Sketch, Trials, mine
from minia_spark.mining.model import SingleLink, best_matches
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.shuffle import decoy, shuffled
from minia_spark.mining.significance import q_values, stability, surprise
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine

from .test_miner import collection_of
from .test_model import rows

pytestmark = needs_binary  # eleven minings a corpus: seconds with it, minutes without
DECOYS = 10


def mined(bags, seed=12345678):
    keys = np.arange(len(bags), dtype=np.uint32)
    documents = Documents(keys, bags.offsets, bags.items)
    one = collection_of([documents], get_engine("native"))
    trials = Trials(seed=seed, seeds=0, decoys=0)
    return mine(one, Sketch(3, 500), SingleLink(), trials)[0].structures


def reported(bags):
    """Structures and which of them have q <= 0.05."""
    totals = np.bincount(bags.items)
    words = np.flatnonzero(totals).astype(np.uint32)
    sizes, counts = np.unique(np.diff(bags.offsets), return_counts=True)
    chance = fit_chance(words, totals[words], sizes[sizes > 0], counts[sizes > 0])

    def scores(structures, images):
        support = StructureIndex(structures).search(images).support
        return surprise(support, expected_support(structures, chance))

    found = mined(bags)
    decoys = [shuffled(bags, seed=seed) for seed in range(DECOYS)]
    q = q_values(scores(found, bags), [scores(mined(decoy), decoy) for decoy in decoys])
    return found, q <= 0.05


def listed(structures, chosen):
    return [
        structures.items[structures.offsets[i] : structures.offsets[i + 1]].tolist()
        for i in np.flatnonzero(chosen)
    ]


def test_planted_structures_are_reported_and_little_else():
    corpus = planted_corpus(documents=4000, items=1000, structures=20, seed=3)
    bags = Bags(corpus.offsets, corpus.items, corpus.freqs)
    found, significant = reported(bags)
    planted = rows(*(structure.tolist() for structure in corpus.structures))
    kept = rows(*listed(found, significant))
    assert np.mean(best_matches(planted, kept)[1] >= 0.5) >= 0.95
    assert np.mean(best_matches(kept, planted)[1] < 0.5) <= 0.1
    stable = stability(found, [mined(bags, seed=other) for other in (1, 2, 3)])
    assert np.mean(stable[significant]) >= 0.9


def test_nothing_is_reported_where_nothing_is():
    corpus = planted_corpus(documents=4000, items=1000, structures=20, seed=3)
    nothing = shuffled(Bags(corpus.offsets, corpus.items, corpus.freqs), seed=100)
    _, significant = reported(nothing)
    assert not significant.any()


@pytest.mark.parametrize("noise", [0.1, 0.4])
def test_consensus_finds_what_is_planted_and_nothing_else(noise):
    corpus = planted_corpus(documents=4000, items=1000, structures=20, noise=noise, seed=3)
    documents = Documents(corpus.keys, corpus.offsets, corpus.items)

    def mined(documents, **trials):
        one = collection_of([documents], get_engine("native"), cores=2)
        return mine(one, Sketch(2, 1000), Consensus(), Trials(**trials))[0]

    result = mined(documents, decoys=2, seeds=2)
    planted = rows(*(structure.tolist() for structure in corpus.structures))
    kept = rows(*listed(result.structures, result.significant & result.reproducible))
    assert np.mean(best_matches(planted, kept)[1] >= 0.5) >= 0.95
    assert np.mean(best_matches(kept, planted)[1] < 0.5) <= 0.1
    assert np.mean(result.stability) >= 0.9
    nothing = decoy(documents, seed=1, number=100, piece=0)
    assert not mined(nothing, decoys=2, seeds=0).significant.any()
