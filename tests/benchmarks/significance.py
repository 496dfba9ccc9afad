"""Single link against consensus: structures beyond chance, stability, coherence, calibration.

Corpora with a known truth (20 planted, of different noise, sizes and frequencies of structures),
the same shuffled, and ap.dat where it is found beside the source tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.bags import Bags, read_bags
from minia_spark.mining.assess import Assessment
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.local import LocalCollection, numbered_documents
from minia_spark.mining.miner import Sketch, Trials, choose_way, mine
from minia_spark.mining.model import SingleLink, Structures, best_matches, incidence
from minia_spark.mining.shuffle import decoy
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine
from tests.benchmarks.figures import Figure, timed

TEXT = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "words" / "ap.dat"
TABLES = (432, 1000, 2000, 4000, 8000)
CORPORA = 20
LINKS = {"single": SingleLink(), "consensus": Consensus()}


def collection_of(documents: Documents) -> LocalCollection:
    """Return documents as a collection that one core mines."""
    return LocalCollection(
        lambda: [documents], lambda threads: get_engine("native", threads=threads)
    )


def npmi(structures: Structures, documents: Documents, top: int = 10) -> float:
    """Mean normalised pointwise mutual information of pairs of the `top` most frequent words.

    ``log(p(a, b) / (p(a) p(b))) / -log p(a, b)``, -1 for words that are never together (G. Bouma,
    "Normalized (pointwise) mutual information in collocation extraction", 2009). The mean of the
    structures' means.
    """
    words = np.unique(structures.items)
    held = incidence(documents, words).tocsc()
    count = len(documents)
    means = []
    for start, stop in zip(structures.offsets[:-1], structures.offsets[1:], strict=True):
        own = held[:, np.searchsorted(words, structures.items[start : min(stop, start + top)])]
        both = (own.T @ own).toarray() / count
        a, b = np.triu_indices(len(both), k=1)
        together, apart = both[a, b], both[a, a] * both[b, b]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(together / apart) / -np.log(together)
        means.append(np.where(together > 0, values, -1.0).mean())
    return float(np.mean(means)) if means else float("nan")


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    if TEXT.is_file():
        with TEXT.open("rb") as lines:
            text = Documents.concatenate(list(numbered_documents(read_bags(lines))))
        for tables in TABLES:
            for link in ("single", "consensus"):
                if tables <= max(TABLES[0], TABLES[-1] * scale):
                    yield from _text(text, link, tables)
    yield from _calibration(max(1, round(CORPORA * scale)))


def _text(text: Documents, link: str, tables: int) -> Iterator[Figure]:
    # single link's thousands of structures need few repetitions, and its minings take minutes
    decoys, seeds = (5, 3) if link == "consensus" or tables == TABLES[0] else (1, 1)
    trials = Trials(decoys=decoys, seeds=seeds)
    seconds, (found, _) = timed(
        lambda: mine(collection_of(text), Sketch(2, tables), LINKS[link], trials)
    )
    name = f"ap.dat r2 l{tables} {link}"
    yield Figure(f"{name}: structures", len(found))
    yield Figure(f"{name}: of these q <= 0.05", int(found.significant.sum()))
    goal = 0.9 if link == "consensus" else None
    yield Figure(f"{name}: stability", float(found.stability.mean()), at_least=goal)
    yield Figure(f"{name}: NPMI", npmi(found.structures, text))
    yield Figure(f"{name}: a mining", seconds / (1 + decoys + seeds), "s")


def _calibration(corpora: int) -> Iterator[Figure]:
    random = np.random.default_rng(1)
    kinds = [
        {
            "noise": float(random.uniform(0.05, 0.4)),
            "structure_size": tuple(sorted(random.integers(4, 16, 2).tolist())),
            "frequency": float(random.uniform(0.01, 0.04)),
        }
        for _ in range(corpora)
    ]
    for link, sketch in (
        ("single", Sketch(3, 500)),
        ("consensus", Sketch(2, 1000)),
        ("consensus", None),
    ):
        planted = [_planted(link, sketch, seed, kind) for seed, kind in enumerate(kinds, start=1)]
        found, reported, false, stable, empty = np.sum(planted, axis=0)
        name = f"{corpora} planted, {link}" + (", chosen tables" if sketch is None else "")
        wanted = link == "consensus"
        yield Figure(
            f"{name}: found with q <= 0.05", found / corpora, at_least=0.95 if wanted else None
        )
        yield Figure(
            f"{name}: false of these", false / max(1, reported), at_most=0.1 if wanted else None
        )
        yield Figure(f"{name}: stability", stable / corpora, at_least=0.9 if wanted else None)
        yield Figure(f"{name}: shuffled ones that report anything", empty, at_most=1)


def _planted(
    link: str, sketch: Sketch | None, seed: int, kind: dict[str, object]
) -> tuple[float, float, float, float, float]:
    """Share found, reported, false, mean stability; whether the shuffled one reports anything."""
    corpus = planted_corpus(documents=4000, items=1000, structures=20, seed=seed, **kind)
    documents = Documents(corpus.keys, corpus.offsets, corpus.items)
    truth = rows_of_lists(corpus.structures)
    result = _assessed(documents, link, sketch)
    kept = rows_of_lists(listed(result, result.significant))
    nothing = decoy(documents, seed=seed, number=1000, piece=0)
    recall = float(np.mean(best_matches(truth, kept)[1] >= 0.5))
    false = int(np.sum(best_matches(kept, truth)[1] < 0.5))
    stable = result.stability[result.significant]
    return (
        recall,
        len(kept.offsets) - 1,
        false,
        float(stable.mean()) if len(stable) else 0.0,
        bool(_assessed(nothing, link, sketch).significant.any()),
    )


def _assessed(documents: Documents, link: str, sketch: Sketch | None) -> Assessment:
    collection = collection_of(documents)
    if sketch is None:
        choice = choose_way(collection, LINKS[link], chance="totals")
        assert choice.tuple_size is not None
        assert choice.tables is not None
        sketch = Sketch(choice.tuple_size, choice.tables)
    return mine(collection, sketch, LINKS[link], Trials(decoys=5, seeds=3))[0]


def listed(result: Assessment, chosen: NDArray[np.bool_]) -> list[NDArray[np.uint32]]:
    """Return the words of the chosen structures."""
    offsets = result.structures.offsets
    return [
        result.structures.items[offsets[i] : offsets[i + 1]]
        for i in np.flatnonzero(chosen).tolist()
    ]


def rows_of_lists(lists: list[NDArray[np.uint32]]) -> Bags:
    """Return lists of words as rows."""
    sizes = [len(own) for own in lists]
    items = np.concatenate([np.zeros(0, np.uint32), *lists]).astype(np.uint32)
    return Bags(np.cumsum([0, *sizes]).astype(np.int64), items, np.ones_like(items))
