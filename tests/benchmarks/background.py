"""Dense documents: structures beyond broad differences, in corpora with a known truth.

Documents of 100 to 500 of 1,000 words that differ in 1 to 8 broad ways, with 20 planted structures
of 5 to 15 words in 2 to 5 % of the documents, and the same without structures; and what a large
corpus takes. A structure in a few documents that hold half of all words anyway cannot be told by
anyone: the mean size is at most 250 words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from minia_spark.mining.assess import Assessment
from minia_spark.mining.local import LocalCollection
from minia_spark.mining.methods import consensus_of
from minia_spark.mining.miner import Trials, choose_way, mine_beyond
from minia_spark.mining.model import best_matches
from minia_spark.mining.settings import MiningSettings
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine
from tests.benchmarks.figures import Figure, timed
from tests.benchmarks.significance import listed, rows_of_lists

CORPORA = 20
LINK = consensus_of(MiningSettings(), beyond=True)


@dataclass(frozen=True)
class Kind:
    """What a corpus is like."""

    seed: int
    documents: int = 5000
    words: int = 1000
    sizes: tuple[int, int] = (150, 250)
    rank: int = 4
    rarity: float = 0.8
    """Standard deviation of the words' logits."""
    strength: float = 1.0
    """Standard deviation of a document's logits by broad differences."""
    structures: int = 20


def dense_corpus(kind: Kind) -> tuple[Documents, list[NDArray[np.uint32]]]:
    """Return documents and the words of what is planted in them."""
    random = np.random.default_rng(kind.seed)
    common = random.normal(0, kind.rarity, kind.words)
    loadings = random.normal(0, kind.strength / np.sqrt(kind.rank), (kind.words, kind.rank))
    planted = [
        np.sort(random.choice(kind.words, random.integers(5, 16), replace=False))
        for _ in range(kind.structures)
    ]
    count = (kind.documents * random.uniform(0.02, 0.05, kind.structures)).astype(int)
    chosen = [np.sort(random.choice(kind.documents, n, replace=False)) for n in count]
    items, sizes = [], []
    for start in range(0, kind.documents, 1000):
        rows = min(1000, kind.documents - start)
        wanted = random.integers(kind.sizes[0], kind.sizes[1] + 1, rows)
        logits = common + random.normal(size=(rows, kind.rank)) @ loadings.T
        own = np.full(rows, -2.0)
        for _ in range(20):  # Newton's method for the size of every document
            odds = expit(logits + own[:, None])
            slope = np.maximum((odds * (1 - odds)).sum(axis=1), 1e-9)
            own += np.clip((wanted - odds.sum(axis=1)) / slope, -1, 1)
        held = random.random(odds.shape) < odds
        for words, documents in zip(planted, chosen, strict=True):
            here = documents[(documents >= start) & (documents < start + rows)] - start
            held[np.ix_(here, words)] |= random.random((len(here), len(words))) < 0.9
        items.append(np.nonzero(held)[1].astype(np.uint32))
        sizes.append(held.sum(axis=1))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    keys = np.arange(kind.documents, dtype=np.uint32)
    documents = Documents(keys, offsets, np.concatenate(items))
    return documents, [words.astype(np.uint32) for words in planted]


def assessed(documents: Documents, decoys: int, cores: int = 1) -> tuple[int, Assessment]:
    """Choose a background and mine against it; return the number of factors too."""
    collection = LocalCollection(
        lambda: [documents], lambda threads: get_engine("native", threads=threads), cores=cores
    )
    background = choose_way(collection, LINK, chance="background").background
    assert background is not None
    trials = Trials(decoys=decoys, seeds=3)
    return background.rank, mine_beyond(collection, background, LINK, trials)[0]


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    random = np.random.default_rng(1)
    found = reported = false = stable = right = 0.0
    empty, corpora = 0, max(1, round(CORPORA * scale))
    for number in range(corpora):
        least = int(np.exp(random.uniform(np.log(100), np.log(200))))
        kind = Kind(
            seed=number,
            sizes=(least, int(min(500, least * random.uniform(1, 2), 500 - least))),
            rank=int(random.integers(1, 9)),
            rarity=float(random.uniform(0.5, 1.5)),
            strength=float(random.uniform(0.5, 1.5)),
        )
        documents, planted = dense_corpus(kind)
        rank, result = assessed(documents, 10)
        right += rank == kind.rank
        kept = rows_of_lists(listed(result, result.significant))
        truth = rows_of_lists(planted)
        found += float(np.mean(best_matches(truth, kept)[1] >= 0.5))
        reported += len(kept.offsets) - 1
        false += int(np.sum(best_matches(kept, truth)[1] < 0.5))
        own = result.stability[result.significant]
        stable += float(own.mean()) if len(own) else 0.0
        nothing, _ = dense_corpus(Kind(**{**kind.__dict__, "structures": 0}))
        empty += bool(assessed(nothing, 10)[1].significant.any())
    name = f"{corpora} dense corpora"
    yield Figure(f"{name}: number of factors as planted", right / corpora)
    yield Figure(f"{name}: found with q <= 0.05", found / corpora, at_least=0.97)
    yield Figure(f"{name}: not planted of these", false / max(1, reported), at_most=0.03)
    yield Figure(f"{name}: stability", stable / corpora, at_least=0.95)
    yield Figure(f"{name}: without structures, report anything", empty, at_most=1)
    large = Kind(
        seed=1, documents=max(2000, round(50_000 * scale)), words=2000, sizes=(195, 205), rank=4
    )
    documents, planted = dense_corpus(large)
    cores = len(os.sched_getaffinity(0))
    seconds, (_, result) = timed(lambda: assessed(documents, 10, cores))
    kept = rows_of_lists(listed(result, result.significant))
    recall = float(np.mean(best_matches(rows_of_lists(planted), kept)[1] >= 0.5))
    yield Figure(f"{len(documents):,} documents x 200 of 2,000 words: found", recall)
    yield Figure(f"the same, {cores} cores", seconds, "s", at_most=120)
