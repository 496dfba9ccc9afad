"""Mine a collection and say of every structure how far it is to be believed.

What :mod:`minia_spark.mining.significance` computes, put together: the collection is mined, its
decoys with the same settings, and itself again under other seeds. Pieces of the collection are
drawn as often as needed and never kept, so memory is that of one mining and one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import positions_of_rows
from minia_spark.mining.chance import Chance, Totals, expected_support
from minia_spark.mining.corpus import Collection, Progress, mine_consensus, mine_corpus
from minia_spark.mining.model import Structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.shuffle import shuffled
from minia_spark.mining.significance import lift, q_values, stability, surprise
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import Engine
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = [
    "Assessment",
    "Miner",
    "assess",
    "decoy",
    "decoy_collection",
    "evaluate",
    "miner",
    "other_seed",
]

Miner: TypeAlias = Callable[[Collection, int], Structures]
"""Mines a collection, or a decoy of it, under a seed."""

_STEP = 0x9E3779B9
"""2**32 over the golden ratio, odd: the seeds of 2**32 runs are all different."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """Structures with what is known about them, the most trustworthy first.

    Structures that are both significant and reproducible come first, then those that are
    significant, then the rest; within each, the order of :class:`Structures`.

    Parameters
    ----------
    structures : Structures
        k structures; their ``sets`` need not fall from one to the next.
    support : int64 array, shape (k,)
        Images that hold more than half of the structure's words.
    expected_support : float64 array, shape (k,)
        The same if only totals mattered.
    lift : float64 array, shape (k,)
        Support over expected support.
    q : float64 array, shape (k,)
        Estimated rate of false discoveries among the structures that are as surprising or more
        so; NaN when there are no decoys.
    stability : float64 array, shape (k,)
        Share of the other seeds under which the structure reappears; NaN when there are none.
    significant, reproducible : bool arrays, shape (k,)
        Whether q is small enough (false without decoys), and the stability large enough (false
        without other seeds).
    """

    structures: Structures
    support: NDArray[np.int64]
    expected_support: NDArray[np.float64]
    lift: NDArray[np.float64]
    q: NDArray[np.float64]
    stability: NDArray[np.float64]
    significant: NDArray[np.bool_]
    reproducible: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.structures)


def evaluate(
    structures: Structures,
    support: NDArray[np.int64],
    chance: Chance,
    *,
    decoy_scores: Sequence[NDArray[np.float64]],
    others: Sequence[Structures],
    max_q: float = 0.05,
    min_stability: float = 0.5,
) -> Assessment:
    """Judge structures by decoys and other runs.

    Parameters
    ----------
    structures : Structures
    support : int64 array, shape (k,)
        Of the whole collection.
    chance : Chance
        Of the collection; decoys have the same.
    decoy_scores : sequence of float64 arrays
        For each decoy the :func:`~minia_spark.mining.significance.surprise` of what was found in
        it, of its support there.
    others : sequence of Structures
        What other seeds gave.
    max_q, min_stability : float
        From where on a structure is called significant, and reproducible; 0 to 1.

    Returns
    -------
    Assessment

    Raises
    ------
    SettingsError
        When a limit is out of range.
    """
    for name, value in (("max_q", max_q), ("min_stability", min_stability)):
        if not 0.0 <= value <= 1.0:
            raise SettingsError(f"{name} must be within 0..1, got {value}")
    expected = expected_support(structures, chance)
    q = np.full(len(structures), np.nan)
    if decoy_scores:
        q = q_values(surprise(support, expected), decoy_scores)
    stable = stability(structures, others)
    significant, reproducible = q <= max_q, stable >= min_stability
    believed = 2 * significant.astype(np.int8) + (significant & reproducible)
    order = np.argsort(-believed, kind="stable")
    offsets, places = positions_of_rows(structures.offsets, order)
    ordered = Structures(
        offsets,
        structures.items[places],
        structures.frequencies[places],
        structures.sets[order],
    )
    return Assessment(
        ordered,
        support[order],
        expected[order],
        lift(support, expected)[order],
        q[order],
        stable[order],
        significant[order],
        reproducible[order],
    )


def assess(
    collection: Collection,
    mine: Callable[[Chance], Miner],
    *,
    decoys: int = 10,
    seeds: int = 3,
    seed: int = DEFAULT_SEED,
    max_q: float = 0.05,
    min_stability: float = 0.5,
    progress: Progress | None = None,
) -> Assessment:
    """Mine a collection, its decoys, and itself under other seeds.

    Parameters
    ----------
    collection : Collection
        Its pieces are shuffled one by one, so a piece should be a random part of it, and at least
        some hundred documents.
    mine : callable
        Gives the miner for a collection of these totals; see :func:`miner`.
    decoys, seeds : int
        How many decoys, and how many other seeds, >= 0. With R decoys, k structures reach a q of
        at least 1 / (R k).
    seed : int
        Of the mining that is reported; decoys and the other seeds follow from it.
    max_q, min_stability : float
        As in :func:`evaluate`.
    progress : callable, optional
        Called with "decoys" and "seeds" and how many are done.

    Returns
    -------
    Assessment

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.
    """
    if decoys < 0 or seeds < 0:
        raise SettingsError(f"decoys and seeds must not be negative, got {decoys} and {seeds}")
    report: Progress = progress or (lambda _what, _count: None)
    chance = Totals.sum(map(Totals.of, collection())).chance()
    run = mine(chance)
    structures = run(collection, seed)
    others = []
    for number in range(seeds):
        others.append(run(collection, other_seed(seed, number)))
        report("seeds", number + 1)
    scores = []
    for number in range(decoys):
        false = decoy_collection(collection, seed=seed, number=number)
        found = run(false, seed)
        scores.append(surprise(_support(found, false), expected_support(found, chance)))
        report("decoys", number + 1)
    return evaluate(
        structures,
        _support(structures, collection),
        chance,
        decoy_scores=scores,
        others=others,
        max_q=max_q,
        min_stability=min_stability,
    )


def miner(
    engine: Engine,
    *,
    link: Literal["consensus", "single"] = "consensus",
    tuple_size: int,
    tables: int,
    min_set_size: int = 3,
    partners_by_chance: float = 0.1,
    pairs_by_chance: float = 1.0,
    min_lift: float = 2.0,
    density: float = 0.5,
    cluster_tuple_size: int = 3,
    cluster_tables: int = 255,
    overlap: float = 0.7,
    min_cluster_size: int = 3,
    expand: bool = False,
    weighted: bool = False,
    progress: Progress | None = None,
) -> Callable[[Chance], Miner]:
    """Choose how :func:`assess` mines.

    Parameters
    ----------
    engine : Engine
    link : {"consensus", "single"}
        :func:`~minia_spark.mining.corpus.mine_consensus`, or
        :func:`~minia_spark.mining.corpus.mine_corpus`.
    tuple_size, tables, min_set_size, expand, weighted
        Of the mining.
    partners_by_chance, pairs_by_chance, min_lift, density
        Of consensus; single link has no use for them.
    cluster_tuple_size, cluster_tables, overlap, min_cluster_size
        Of single link; consensus has no use for them.
    progress : callable, optional
        For every mining, see :data:`~minia_spark.mining.corpus.Progress`.

    Returns
    -------
    callable

    Raises
    ------
    SettingsError
        When `link` is neither.
    """
    if link not in ("consensus", "single"):
        raise SettingsError(f"link {link!r} is not one of consensus, single")

    def consensus(chance: Chance) -> Miner:
        return lambda collection, seed: mine_consensus(
            collection,
            engine,
            chance,
            tuple_size=tuple_size,
            tables=tables,
            min_set_size=min_set_size,
            partners_by_chance=partners_by_chance,
            pairs_by_chance=pairs_by_chance,
            min_lift=min_lift,
            density=density,
            seed=seed,
            expand=expand,
            weighted=weighted,
            progress=progress,
        )

    def single(_chance: Chance) -> Miner:
        return lambda collection, seed: mine_corpus(
            collection(),
            engine,
            tuple_size=tuple_size,
            tables=tables,
            min_set_size=min_set_size,
            cluster_tuple_size=cluster_tuple_size,
            cluster_tables=cluster_tables,
            overlap=overlap,
            min_cluster_size=min_cluster_size,
            seed=seed,
            expand=expand,
            weighted=weighted,
            progress=progress,
        )

    return consensus if link == "consensus" else single


def other_seed(seed: int, number: int) -> int:
    """Seed of a repetition: 0 to 2**32 - 1, different for each number and from `seed`."""
    return (seed + (number + 1) * _STEP) % 2**32


def decoy(documents: Documents, *, seed: int, number: int, piece: int) -> Documents:
    """Shuffle a piece of a collection, see :func:`minia_spark.mining.shuffle.shuffled`.

    Parameters
    ----------
    documents : Documents
    seed, number, piece : int
        Seed of the run, number of the decoy and of the piece, >= 0; the decoy depends on these
        and the documents in their order.

    Returns
    -------
    Documents
        The same keys and weights; frequencies, where there are any, went with their words.
    """
    drawn = np.random.SeedSequence([seed, number, piece]).generate_state(1, np.uint64)
    mixed = shuffled(_bags(documents), seed=int(drawn[0]))
    return Documents(
        documents.keys,
        mixed.offsets,
        mixed.items,
        None if documents.frequencies is None else mixed.counts,
        documents.weights,
    )


def decoy_collection(collection: Collection, *, seed: int, number: int) -> Collection:
    """Shuffle a collection piece by piece, whenever a piece is drawn.

    Parameters
    ----------
    collection : Collection
    seed, number : int
        As in :func:`decoy`.

    Returns
    -------
    Collection
        The last piece is kept, so that a collection of a single piece is shuffled once only.
    """
    kept: dict[int, Documents] = {}

    def pieces() -> Iterator[Documents]:
        for piece, documents in enumerate(collection()):
            mixed = kept.get(piece)
            if mixed is None:
                kept.clear()
                mixed = decoy(documents, seed=seed, number=number, piece=piece)
                kept[piece] = mixed
            yield mixed

    return pieces


def _bags(documents: Documents) -> Bags:
    counts = documents.frequencies
    if counts is None:
        counts = np.ones_like(documents.items)
    return Bags(documents.offsets, documents.items, counts)


def _support(structures: Structures, collection: Collection) -> NDArray[np.int64]:
    total = np.zeros(len(structures), dtype=np.int64)
    if len(structures):
        index = StructureIndex(structures)
        for documents in collection():
            total += index.search(_bags(documents)).support
    return total
