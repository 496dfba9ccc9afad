"""Mining, written once: choose the tables, mine, mine again to see what is real, judge.

Where the documents are is a :class:`Collection`'s business: a corpus file on this machine
(:mod:`.local`) or a table that Spark reads (:mod:`.spark`). A collection shuffles itself into
decoys, mines sets, and counts over its documents; everything else is here and in the kernels.

There are two ways. Where totals explain how words are together but for the patterns, hash tables
propose what to look at (:func:`mine`). Where images differ in broad ways, or hold many words, all
pairs of words are counted against a background (:func:`mine_beyond`, see :mod:`.background`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import offsets_of, row_numbers
from minia_spark.mining.assess import Assessment, evaluate
from minia_spark.mining.auto import Choice, choose, sample_pairs
from minia_spark.mining.background import ENOUGH, Background
from minia_spark.mining.chance import Totals, expected_support
from minia_spark.mining.consensus import (
    Consensus,
    LinkLevels,
    consensus_structures,
    grow,
    link_words,
    plausible_pairs,
)
from minia_spark.mining.excess import (
    MOST_WORDS,
    Parts,
    Support,
    count_support,
    link_by_excess,
    surprise_beyond,
)
from minia_spark.mining.model import (
    SingleLink,
    Structures,
    build_structures,
    order_of,
    ordered_structures,
)
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.pairs import WordPairs, meetings_of_pairs, shared_documents
from minia_spark.mining.shuffle import bags_of
from minia_spark.mining.significance import surprise
from minia_spark.smh.arrays import Documents, Links, SetList
from minia_spark.smh.engine import Engine
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = [
    "Collection",
    "Counter",
    "Look",
    "LookAt",
    "Progress",
    "Sketch",
    "Trials",
    "choose_way",
    "mine",
    "mine_beyond",
]

_STEP = 0x9E3779B9
"""2**32 over the golden ratio, odd: the seeds of 2**32 runs are all different."""

_MANY_WORDS = 50
"""In images of so many words, nearly all pairs meet in the hash tables anyway. Fewer words tell one
number of an image and not many: of these, factors would be the patterns themselves."""
_MOST_FACTORS = 64

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")

Counter: TypeAlias = Callable[[Documents], NDArray[np.int64]]
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


@dataclass(frozen=True, eq=False)
class Look:
    """What hash tables and links found in one trial.

    Parameters
    ----------
    structures : Structures
        k structures.
    support : int64 array, shape (k,)
        Images that hold more than half of a structure's words; empty where nobody asked for it.
    mined, different : int
        Number of sets, with and without repeats, that the structures are made of.
    """

    structures: Structures
    support: NDArray[np.int64]
    mined: int
    different: int

    @staticmethod
    def nothing() -> Look:
        """Return what is found where there are no documents."""
        none = np.zeros(0, dtype=np.int64)
        words = none.astype(np.uint32)
        return Look(Structures(offsets_of(none), words, words, none), none, 0, 0)


LookAt: TypeAlias = Callable[["Collection", Trials], list[Look]]
"""Looks at the trials of a collection, one look each."""


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

    @property
    def own_engine(self) -> Callable[[], Engine]:
        """Finds the engine for what :meth:`each` does in this process: with all its cores."""

    def totals(self) -> Totals:
        """Count in how many documents every word is, and how many words the documents have."""

    def looks(self, look_at: LookAt, sketch: Sketch, trials: Trials) -> list[Look]:
        """Look at all trials of the collection here, or at each trial where its documents are.

        The second is for documents so few, and signatures so small, that a task holds them all:
        `look_at` is given a collection of the documents, or of a decoy, and trials of one.
        """

    def sets(self, sketch: Sketch, trials: Trials) -> list[SetList]:
        """Mine: the documents for each of :meth:`Trials.seeds_of_images`, then each decoy."""

    def background(self, images: int, max_rank: int) -> Background:
        """Fit a background to a sample of so many documents in all, see :mod:`.background`."""

    def excess(self, background: Background, parts: Parts) -> Callable[[int], NDArray[np.int64]]:
        """Return what gives the sums of a part, see :func:`minia_spark.mining.excess.sum_part`."""

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


def choose_way(
    collection: Collection,
    link: Consensus | SingleLink,
    *,
    chance: Literal["auto", "totals", "background"] = "auto",
    tuple_size: int | None = None,
    tables: int | None = None,
    seed: int = DEFAULT_SEED,
) -> Choice:
    """Choose how a collection is mined: against a background, or by which hash tables.

    Parameters
    ----------
    collection : Collection
        Its decoy 0 shows what chance does.
    link : Consensus or SingleLink
    chance : {"auto", "totals", "background"}
        What is known of chance. ``auto``: a background where images differ in broad ways or hold
        many words, and the words are not too many; hash tables that are set are used in any case.
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
        When a parameter is out of range, or a background is asked for and cannot be.
    """
    totals = collection.totals()
    reasons: tuple[str, ...] = ()
    if chance != "totals":
        wrong = _no_background(totals, link)
        if chance == "background" and wrong:
            raise SettingsError(f"mining.chance: background is not possible, as {wrong}")
        if not wrong and (chance == "background" or (tuple_size, tables) == (None, None)):
            images = int(totals.image_counts.sum())
            words = float(totals.image_sizes @ totals.image_counts) / max(1, images)
            many = chance == "background" or words >= _MANY_WORDS
            background = collection.background(images, _MOST_FACTORS if many else 1)
            reasons = _why(background, words)
            if many or (background.rank and background.spread <= ENOUGH):
                return Choice(None, None, np.nan, np.nan, np.nan, reasons, background)
    fitted = totals.chance()
    pairs = sample_pairs(fitted.words, seed=seed)
    counter = functools.partial(shared_documents, pairs=pairs)
    _, shared = collection.tallies("similarity by chance", [None, counter])
    assert shared is not None
    choice = choose(fitted, pairs, shared, link, tuple_size=tuple_size, tables=tables)
    return replace(choice, reasons=(*reasons, *choice.reasons))


def _no_background(totals: Totals, link: Consensus | SingleLink) -> str:
    """Say why there can be no background; empty when there can be."""
    if not isinstance(link, Consensus):
        return "only consensus mines against one (mining.link)"
    if len(totals.words) > MOST_WORDS:
        return (
            f"there are {len(totals.words):,} words, and the pairs of at most {MOST_WORDS:,} "
            "are counted"
        )
    return "" if len(totals.words) > 1 else "there are no words"


def _why(background: Background, words: float) -> tuple[str, ...]:
    spread, rank = background.spreads, background.rank
    held = f"An image holds {words:.0f} words on average."
    if not spread[0]:
        told = "Too few pairs of words are common enough to tell whether images differ broadly"
        return (f"{held} {told}: totals are what chance is.",)
    if not rank:
        return (
            f"{held} Totals explain how often two words are together: the spread of what is left "
            f"is {spread[0]:.2f}, where chance alone gives 1.",
        )
    ways = "one broad way" if rank == 1 else f"{rank} broad ways"
    told = (
        f"{held} Images differ in {ways}: the spread of what two words share beyond chance is "
        f"{spread[0]:.2f} by totals alone and {background.spread:.2f} with the background, where "
        "chance alone gives 1."
    )
    if words >= _MANY_WORDS or background.spread <= ENOUGH:
        return (told,)
    return (told, "So few words cannot tell more of an image, so that totals are what chance is.")


def mine(
    collection: Collection, sketch: Sketch, link: Consensus | SingleLink, trials: Trials
) -> tuple[Assessment, Look]:
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
    look : Look
        What the collection itself gave.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.
    """
    chance = collection.totals().chance()
    levels = LinkLevels(chance, link) if isinstance(link, Consensus) else None
    look_at = functools.partial(_look_at, sketch=sketch, link=link, levels=levels)
    looks = collection.looks(look_at, sketch, trials)
    judged, others = looks[0], looks[1 : 1 + trials.seeds]
    scores = [
        surprise(decoy.support, expected_support(decoy.structures, chance))
        for decoy in looks[1 + trials.seeds :]
    ]
    assessment = evaluate(
        judged.structures,
        judged.support,
        chance,
        decoy_scores=scores,
        others=[other.structures for other in others],
        max_q=trials.max_q,
        min_stability=trials.min_stability,
    )
    return assessment, judged


def _look_at(
    collection: Collection,
    trials: Trials,
    *,
    sketch: Sketch,
    link: Consensus | SingleLink,
    levels: LinkLevels | None,
) -> list[Look]:
    """Find structures in each trial, and what supports those of the first one and of decoys."""
    sets = collection.sets(sketch, trials)
    if isinstance(link, Consensus):
        assert levels is not None
        found = _by_consensus(
            collection, sets, levels, sketch, density=link.density, of_images=1 + trials.seeds
        )
    else:
        found = _by_single_link(collection, sets, link, trials.seed)
    judged = [found[0], *found[1 + trials.seeds :]]
    counters = [
        functools.partial(_support, index=StructureIndex(one)) if len(one) else None
        for one in judged
    ]
    none = np.zeros(0, dtype=np.int64)
    supports = [
        none if support is None else support for support in collection.tallies("support", counters)
    ]
    supports[1:1] = [none] * trials.seeds  # nobody asks for those of other seeds
    return [
        Look(structures, support, own.mined, len(own))
        for structures, support, own in zip(found, supports, sets, strict=True)
    ]


def _support(documents: Documents, index: StructureIndex) -> NDArray[np.int64]:
    return index.search(bags_of(documents)).support


def mine_beyond(
    collection: Collection,
    background: Background,
    consensus: Consensus,
    trials: Trials,
    *,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[Assessment, float]:
    """Mine a collection for what is beyond its background, with decoys and left-out images.

    Parameters
    ----------
    collection : Collection
    background : Background
    consensus : Consensus
    trials : Trials
        Where other seeds look at the same images under other hash functions, here each leaves
        out another eighth of the images.
    kept : bool array, shape (v,), optional
        Words of the background that are mined; all by default.

    Returns
    -------
    assessment : Assessment
        A structure's ``sets`` is its support, and the frequency of a word the number of images of
        the structure that hold it.
    spread : float
        What the background leaves, see :func:`minia_spark.mining.background.spread_of`.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.
    """
    totals = collection.totals()
    images = int(totals.image_counts.sum())
    parts = Parts(1 + trials.seeds, trials.decoys, trials.seed)
    look = _looks(collection, background, consensus, parts, images=images, kept=kept)
    looks = range(parts.folds + parts.decoys)
    seen = collection.each("collections looked at for structures", look, looks, 0)
    found = [one.structures for one in seen]
    counter = functools.partial(count_support, background=background, structures=found[0])
    (counts,) = collection.tallies("support", [counter])
    assert counts is not None
    known = Support.of_counts(counts, found[0])
    structures, order = _measured(found[0], known)
    assessment = evaluate(
        structures,
        known.support[order],
        totals.chance(),
        beyond=known.expected[order],
        scores=seen[0].surprise[order],
        decoy_scores=[one.surprise for one in seen[parts.folds :]],
        others=found[1 : parts.folds],
        max_q=trials.max_q,
        min_stability=trials.min_stability,
    )
    return assessment, seen[0].spread


@dataclass(frozen=True, eq=False)
class _Seen:
    structures: Structures
    spread: float
    surprise: NDArray[np.float64]


def _looks(
    collection: Collection,
    background: Background,
    consensus: Consensus,
    parts: Parts,
    *,
    images: int,
    kept: NDArray[np.bool_] | None,
) -> Callable[[int], _Seen]:
    """Return what finds structures: in the images (0), without a fold of them, in decoys."""
    sums = collection.excess(background, parts)
    variances = sums(0)
    folds = [sums(1 + fold) for fold in range(parts.folds)]
    every = np.asarray(np.sum(folds, axis=0, dtype=np.int64))
    fewer = np.rint(variances * parts.share_left).astype(np.int64)
    progress = functools.partial(collection.progress, "strong links looked at")

    def look(number: int) -> _Seen:
        excess, wide, seen = every, variances, images
        if 0 < number < parts.folds:
            excess, wide, seen = every - folds[number], fewer, round(images * parts.share_left)
        elif number:
            excess = sums(1 + number)
        links, spread = link_by_excess(background, excess, wide, consensus, images=seen, kept=kept)
        engine = collection.own_engine()
        groups = grow(links, density=consensus.density, engine=engine, progress=progress)
        structures = _unmeasured(groups)
        return _Seen(structures, spread, surprise_beyond(background, structures, excess, wide))

    return look


def _unmeasured(groups: list[NDArray[np.uint32]]) -> Structures:
    """Return groups of words as structures of which nothing is counted yet."""
    items = np.concatenate([np.zeros(0, dtype=np.uint32), *groups])
    sizes = np.array([len(group) for group in groups], dtype=np.int64)
    ones = np.ones(len(items), dtype=np.uint32)
    return Structures(offsets_of(sizes), items, ones, np.zeros(len(groups), dtype=np.int64))


def _measured(structures: Structures, support: Support) -> tuple[Structures, NDArray[np.int64]]:
    """Give structures their counts and their order; return also where each one was."""
    rows = row_numbers(structures.offsets)
    frequencies = np.maximum(1, support.frequencies)
    order = np.lexsort((structures.items, -frequencies, rows))
    counted = Structures(
        structures.offsets,
        structures.items[order],
        frequencies[order].astype(np.uint32),
        support.support,
    )
    return ordered_structures(counted), order_of(counted)


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
        engine=collection.own_engine,
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
