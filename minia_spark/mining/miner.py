"""Mining, written once: choose the tables, mine, mine again to see what is real, judge.

Where the documents are is a :class:`Collection`'s business: a corpus file on this machine
(:mod:`.local`) or a table that Spark reads (:mod:`.spark`). A collection shuffles itself into
decoys, mines sets, and counts over its documents; everything else is here and in the kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.mining.assess import Assessment, evaluate
from minia_spark.mining.auto import Choice, choose, sample_pairs
from minia_spark.mining.chance import Totals, expected_support
from minia_spark.mining.consensus import (
    Consensus,
    LinkLevels,
    consensus_structures,
    grow,
    link_words,
    plausible_pairs,
)
from minia_spark.mining.model import SingleLink, Structures, build_structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.pairs import WordPairs, meetings_of_pairs, shared_documents
from minia_spark.mining.significance import surprise
from minia_spark.smh.arrays import Links, SetList
from minia_spark.smh.engine import Engine
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = [
    "Collection",
    "Counter",
    "Progress",
    "Sketch",
    "Trials",
    "choose_tables",
    "mine",
]

_STEP = 0x9E3779B9
"""2**32 over the golden ratio, odd: the seeds of 2**32 runs are all different."""

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

Counter: TypeAlias = Callable[[Bags], NDArray[np.int64]]
"""Counts something of documents, an array of always the same shape (n,); counts of parts add up."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Sketch:
    """How documents become co-occurring sets; see :mod:`minia_spark.smh.twin`.

    Parameters
    ----------
    tuple_size, tables : int
        r and l.
    min_set_size : int
    expand : bool
    """

    tuple_size: int
    tables: int
    min_set_size: int = 3
    expand: bool = False


@dataclass(frozen=True)
class Trials:
    """What is mined: the collection itself, again under other seeds, and decoys.

    Parameters
    ----------
    seed : int
        Of the mining that is reported; decoys and the other seeds follow from it.
    seeds, decoys : int
        How many other seeds, and how many decoys, >= 0. With R decoys, k structures reach a q of
        at least 1 / (R k).
    max_q, min_stability : float
        As in :func:`minia_spark.mining.assess.evaluate`.

    Raises
    ------
    SettingsError
        When a number is negative.
    """

    seed: int = DEFAULT_SEED
    seeds: int = 3
    decoys: int = 10
    max_q: float = 0.05
    min_stability: float = 0.5

    def __post_init__(self) -> None:
        if self.decoys < 0 or self.seeds < 0:
            raise SettingsError(
                f"decoys and seeds must not be negative, got {self.decoys} and {self.seeds}"
            )

    def __len__(self) -> int:
        """Return the number of minings."""
        return 1 + self.seeds + self.decoys

    def seeds_of_images(self) -> list[int]:
        """Return the seed that is reported, then the others: 0 to 2**32 - 1, all different."""
        return [(self.seed + number * _STEP) % 2**32 for number in range(1 + self.seeds)]


class Collection(Protocol):
    """Documents, wherever they are, and their decoys, of which there are as many as needed.

    Work may be done anywhere and in any order: what it gives does not depend on that.
    """

    @property
    def parallelism(self) -> int:
        """How many things are done at the same time."""

    @property
    def progress(self) -> Progress:
        """To be told what is going on where the collection is not asked for anything."""

    @property
    def engine(self) -> Callable[[], Engine]:
        """Finds the engine on whatever machine it is called."""

    def totals(self) -> Totals:
        """Count in how many documents every word is, and how many words the documents have."""

    def sets(self, sketch: Sketch, trials: Trials) -> list[SetList]:
        """Mine: the documents for each of :meth:`Trials.seeds_of_images`, then each decoy."""

    def tallies(
        self, what: str, counters: Sequence[Counter | None]
    ) -> list[NDArray[np.int64] | None]:
        """Count over the documents (first counter) and over decoys 0, 1, ... (the next ones)."""

    def each(
        self, what: str, kernel: Callable[[_Work], _Result], work: Sequence[_Work], size: int
    ) -> list[_Result]:
        """Call a kernel for each piece of work.

        `size` says how many entries all the work has: little of it is not worth sending elsewhere,
        and with 0 it is always done in this process.
        """


def choose_tables(
    collection: Collection,
    link: Consensus | SingleLink,
    *,
    tuple_size: int | None = None,
    tables: int | None = None,
    seed: int = DEFAULT_SEED,
) -> Choice:
    """Choose tuple size and number of tables for a collection.

    Parameters
    ----------
    collection : Collection
        Its decoy 0 shows what chance does.
    link : Consensus or SingleLink
    tuple_size, tables : int, optional
        What is not to be chosen but taken as it is.
    seed : int
        Of the sample of pairs.

    Returns
    -------
    Choice

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    """
    chance = collection.totals().chance()
    pairs = sample_pairs(chance.words, seed=seed)
    counter = functools.partial(shared_documents, pairs=pairs)
    _, shared = collection.tallies("similarity by chance", [None, counter])
    assert shared is not None
    return choose(chance, pairs, shared, link, tuple_size=tuple_size, tables=tables)


def mine(
    collection: Collection, sketch: Sketch, link: Consensus | SingleLink, trials: Trials
) -> tuple[Assessment, SetList]:
    """Mine a collection, its decoys, and itself under other seeds.

    Parameters
    ----------
    collection : Collection
    sketch : Sketch
    link : Consensus or SingleLink
    trials : Trials

    Returns
    -------
    assessment : Assessment
        The structures, and how far each is to be believed.
    sets : SetList
        The sets that they are made of.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.
    """
    chance = collection.totals().chance()
    sets = collection.sets(sketch, trials)
    if isinstance(link, Consensus):
        levels = LinkLevels(chance, link)
        found = _by_consensus(
            collection, sets, levels, sketch, density=link.density, of_images=1 + trials.seeds
        )
    else:
        found = _by_single_link(collection, sets, link, trials.seed)
    judged = [found[0], *found[1 + trials.seeds :]]
    counters = [
        functools.partial(_support, StructureIndex(one)) if len(one) else None for one in judged
    ]
    supports = [
        np.zeros(0, dtype=np.int64) if support is None else support
        for support in collection.tallies("support", counters)
    ]
    scores = [
        surprise(support, expected_support(one, chance))
        for support, one in zip(supports[1:], judged[1:], strict=True)
    ]
    assessment = evaluate(
        found[0],
        supports[0],
        chance,
        decoy_scores=scores,
        others=found[1 : 1 + trials.seeds],
        max_q=trials.max_q,
        min_stability=trials.min_stability,
    )
    return assessment, sets[0]


def _support(index: StructureIndex, bags: Bags) -> NDArray[np.int64]:
    return index.search(bags).support


def _by_consensus(
    collection: Collection,
    sets: Sequence[SetList],
    levels: LinkLevels,
    sketch: Sketch,
    *,
    density: float,
    of_images: int,
) -> list[Structures]:
    """Make structures of the sets of each trial, of which the first `of_images` are no decoys."""
    kernel = functools.partial(_plausible, levels=levels, sketch=sketch)
    entries = sum(len(own.items) for own in sets)
    pairs = collection.each("pairs of words", kernel, sets, entries)
    # all seeds look at the same images: what they share is counted once
    together, places = WordPairs.union(pairs[:of_images])
    counters = [
        functools.partial(shared_documents, pairs=own) if len(own) else None
        for own in (together, *pairs[of_images:])
    ]
    none = np.zeros(0, dtype=np.int64)
    of_seeds, *of_decoys = (
        none if shared is None else shared
        for shared in collection.tallies("shared documents", counters)
    )
    shared = [*(of_seeds[place] for place in places), *of_decoys]
    work = list(zip(sets, pairs, shared, strict=True))
    group = functools.partial(
        _grouped,
        levels=levels,
        density=density,
        progress=collection.progress,
        engine=collection.engine,
    )
    return collection.each("structures", group, work, 0)


def _grouped(
    work: tuple[SetList, WordPairs, NDArray[np.int64]],
    *,
    levels: LinkLevels,
    density: float,
    progress: Progress,
    engine: Callable[[], Engine],
) -> Structures:
    sets, pairs, shared = work
    groups = grow(
        link_words(pairs, shared, levels),
        density=density,
        progress=functools.partial(progress, "strong links looked at"),
        engine=engine(),
    )
    return consensus_structures(sets, groups)


def _plausible(sets: SetList, *, levels: LinkLevels, sketch: Sketch) -> WordPairs:
    return WordPairs.concatenate(
        plausible_pairs(block, levels, tuple_size=sketch.tuple_size, tables=sketch.tables)
        for block in meetings_of_pairs(sets)
    )


def _by_single_link(
    collection: Collection, sets: Sequence[SetList], link: SingleLink, seed: int
) -> list[Structures]:
    """Cluster the sets of each trial, all with one seed; cluster tables are shared out too."""
    parts = max(1, -(-collection.parallelism // len(sets)))
    width = -(-link.tables // parts)
    ranges = [(n, min(n + width, link.tables)) for n in range(0, link.tables, width)]
    kernel = functools.partial(_links, engine=collection.engine, link=link, seed=seed)
    work = [(own, part) for own in sets for part in ranges]
    entries = sum(len(own.items) for own in sets) * link.tables
    forests = collection.each("clusters of sets", kernel, work, entries)
    return [
        build_structures(
            own,
            Links.concatenate(forests[number * len(ranges) : (number + 1) * len(ranges)]),
            min_cluster_size=link.min_cluster_size,
        )
        for number, own in enumerate(sets)
    ]


def _links(
    work: tuple[SetList, tuple[int, int]],
    *,
    engine: Callable[[], Engine],
    link: SingleLink,
    seed: int,
) -> Links:
    sets, part = work
    return engine().cluster(
        sets,
        tuple_size=link.tuple_size,
        tables=link.tables,
        overlap=link.overlap,
        seed=seed,
        table_range=part,
    )
