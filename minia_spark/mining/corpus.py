"""The whole pipeline on one machine, without Spark: documents in, structures out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import InputError
from minia_spark.mining.chance import Chance
from minia_spark.mining.consensus import (
    consensus_structures,
    grow,
    link_words,
    plausible_pairs,
)
from minia_spark.mining.model import Structures, build_structures
from minia_spark.mining.pairs import WordPairs, meetings_of_pairs, shared_documents
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import Engine
from minia_spark.smh.hashing import DEFAULT_SEED

__all__ = ["Collection", "Progress", "mine_consensus", "mine_corpus", "numbered_documents"]

Collection: TypeAlias = Callable[[], Iterable[Documents]]
"""Gives the pieces of a collection from the first to the last, whenever it is called."""

Progress: TypeAlias = Callable[[str, int], None]
"""Called with what was made and how many there are now: documents (after every batch), items,
sets (with multiplicities), distinct sets, structures."""

_U32_MAX = 2**32 - 1


def numbered_documents(
    pieces: Iterable[Bags], *, weights: NDArray[np.float64] | None = None
) -> Iterator[Documents]:
    """Turn the bags of a corpus file into documents whose keys are their numbers, from 0.

    Parameters
    ----------
    pieces : iterable of Bags
        The file, piece by piece.
    weights : float64 array, shape (number of documents,), optional

    Yields
    ------
    Documents
        One batch a piece.

    Raises
    ------
    InputError
        When there are more documents than 2**32, or not as many as weights.
    """
    first = 0
    for bags in pieces:
        end = first + len(bags)
        if end - 1 > _U32_MAX:
            raise InputError(f"a corpus holds at most {_U32_MAX + 1} documents")
        if weights is not None and end > len(weights):
            raise InputError(f"{len(weights)} weights for more documents: one each is needed")
        keys = np.arange(first, end, dtype=np.int64).astype(np.uint32)
        own = None if weights is None else weights[first:end]
        yield Documents(keys, bags.offsets, bags.items, bags.counts, own)
        first = end
    if weights is not None and first != len(weights):
        raise InputError(f"{len(weights)} weights for {first} documents: one each is needed")


def mine_corpus(
    batches: Iterable[Documents],
    engine: Engine,
    *,
    tuple_size: int,
    tables: int,
    min_set_size: int = 3,
    cluster_tuple_size: int = 3,
    cluster_tables: int = 255,
    overlap: float = 0.7,
    min_cluster_size: int = 3,
    seed: int = DEFAULT_SEED,
    expand: bool = False,
    weighted: bool = False,
    progress: Progress | None = None,
) -> Structures:
    """Mine the structures of a corpus.

    Parameters
    ----------
    batches : iterable of Documents
        Drawn once, one after the other; none of them is kept, so memory is bounded by the
        signatures (items x tuple_size x tables x 4 bytes) and what the engine buffers.
    engine : Engine
    tuple_size, tables, min_set_size, cluster_tuple_size, cluster_tables, overlap, \
min_cluster_size, seed, expand, weighted
        As in :mod:`minia_spark.smh.twin` and
        :func:`minia_spark.mining.model.build_structures`.
    progress : callable, optional
        See :data:`Progress`.

    Returns
    -------
    Structures
        Of an empty corpus: none.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.
    """
    report: Progress = progress or (lambda _what, _count: None)
    signatures = engine.sketch(
        _counted(batches, report),
        tuple_size=tuple_size,
        tables=tables,
        seed=seed,
        expand=expand,
        weighted=weighted,
    )
    report("items", len(signatures))
    sets = engine.mine(signatures, min_set_size=min_set_size)
    del signatures
    report("sets", sets.mined)
    report("distinct sets", len(sets))
    links = engine.cluster(
        sets, tuple_size=cluster_tuple_size, tables=cluster_tables, overlap=overlap, seed=seed
    )
    structures = build_structures(sets, links, min_cluster_size=min_cluster_size)
    report("structures", len(structures))
    return structures


def mine_consensus(
    collection: Collection,
    engine: Engine,
    chance: Chance,
    *,
    tuple_size: int,
    tables: int,
    min_set_size: int = 3,
    partners_by_chance: float = 0.1,
    pairs_by_chance: float = 1.0,
    min_lift: float = 2.0,
    density: float = 0.5,
    seed: int = DEFAULT_SEED,
    expand: bool = False,
    weighted: bool = False,
    progress: Progress | None = None,
) -> Structures:
    """Mine structures that converge as the number of tables grows.

    Parameters
    ----------
    collection : Collection
        Drawn twice: for the sketch, and to count the documents that candidate pairs share. No
        piece is kept.
    engine : Engine
    chance : Chance
        Of the collection, see :class:`minia_spark.mining.chance.Totals`.
    tuple_size, tables, min_set_size, seed, expand, weighted
        As in :func:`mine_corpus`.
    partners_by_chance, pairs_by_chance, min_lift, density : float
        As in :func:`minia_spark.mining.consensus.link_words` and
        :func:`minia_spark.mining.consensus.grow`.
    progress : callable, optional
        See :data:`Progress`; moreover pairs and links.

    Returns
    -------
    Structures
        Of an empty collection: none.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MalformedError
        When `chance` is that of another collection.
    MiniaError
        When an engine fails.
    """
    report: Progress = progress or (lambda _what, _count: None)
    signatures = engine.sketch(
        _counted(collection(), report),
        tuple_size=tuple_size,
        tables=tables,
        seed=seed,
        expand=expand,
        weighted=weighted,
    )
    report("items", len(signatures))
    sets = engine.mine(signatures, min_set_size=min_set_size)
    del signatures
    report("sets", sets.mined)
    report("distinct sets", len(sets))
    pairs = WordPairs.concatenate(
        plausible_pairs(
            block,
            chance,
            tuple_size=tuple_size,
            tables=tables,
            partners_by_chance=partners_by_chance,
            min_lift=min_lift,
        )
        for block in meetings_of_pairs(sets)
    )
    report("pairs", len(pairs))
    shared = np.zeros(len(pairs), dtype=np.int64)
    for piece in collection():
        shared += shared_documents(piece, pairs)
    links = link_words(
        pairs,
        shared,
        chance,
        partners_by_chance=partners_by_chance,
        pairs_by_chance=pairs_by_chance,
        min_lift=min_lift,
    )
    report("links", len(links))
    structures = consensus_structures(sets, grow(links, density=density))
    report("structures", len(structures))
    return structures


def _counted(batches: Iterable[Documents], report: Progress) -> Iterator[Documents]:
    total = 0
    for batch in batches:
        yield batch
        total += len(batch)
        report("documents", total)
