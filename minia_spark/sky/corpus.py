"""Bags of words in which a few sets of words recur, with the truth: for mining without images.

A document is *background* (words drawn from a Zipf distribution, a repeated word raising its
frequency) and, with a probability for every planted structure, the structure's words, each of which
is missing with the probability `noise`. Background words may be a structure's words too: planted
words are no rarer in the background than others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError

__all__ = ["PlantedCorpus", "planted_corpus"]

# Documents are drawn in blocks of this size, each from its own seed: the temporary arrays stay
# small, and the first documents of a longer corpus are those of a shorter one.
_BLOCK = 16_384


@dataclass(frozen=True)
class PlantedCorpus:
    """A corpus in compressed rows, and what was planted.

    Document d has the words ``items[offsets[d]:offsets[d + 1]]``, ascending and distinct, with
    ``freqs`` at the same places.
    """

    keys: NDArray[np.uint32]
    """Shape (documents,): the document's number, its key for hashing."""
    offsets: NDArray[np.int64]
    """Shape (documents + 1,)."""
    items: NDArray[np.uint32]
    """Shape (postings,)."""
    freqs: NDArray[np.uint32]
    """Shape (postings,), 1 or more."""
    structures: tuple[NDArray[np.uint32], ...]
    """The words of every planted structure, ascending."""
    members: tuple[NDArray[np.int64], ...]
    """The documents that every structure was planted in, ascending."""


def planted_corpus(
    *,
    documents: int,
    items: int,
    structures: int = 20,
    structure_size: tuple[int, int] = (5, 15),
    frequency: float = 0.02,
    noise: float = 0.1,
    background_words: float = 24.0,
    zipf_exponent: float = 0.8,
    seed: int = 1,
) -> PlantedCorpus:
    """Draw a corpus with planted structures.

    Parameters
    ----------
    documents : int
        Number of documents, 0 or more.
    items : int
        Number of words in the codebook, 1 or more; not all need occur.
    structures : int
        Number of planted structures; 0 plants nothing.
    structure_size : (int, int)
        Smallest and largest number of words of a structure. Structures share no words as long as
        `items` allows it.
    frequency : float
        Share of the documents that hold a given structure; structures are independent.
    noise : float
        Probability of a structure's word to be missing from a document that holds the structure.
    background_words : float
        Mean number of background draws in a document (Poisson); repeated draws of a word count as
        its frequency, so the number of distinct words is lower.
    zipf_exponent : float
        The word of rank k is drawn with probability proportional to ``k**-zipf_exponent``; 0 is
        uniform. Ranks are spread over the word ids at random.
    seed : int
        0 or more; the same arguments give the same corpus, and more documents extend it.

    Returns
    -------
    PlantedCorpus

    Raises
    ------
    SettingsError
        A value is out of its range.

    Examples
    --------
    The corpus of the benchmarks (50,000 x 2,000, 5.3 million postings):
    ``planted_corpus(documents=50_000, items=2_000, structures=100, background_words=93.5,
    zipf_exponent=0.5)``
    """
    smallest, largest = structure_size
    checks = (
        (documents >= 0, f"documents is {documents}, must be 0 or more"),
        (1 <= items <= 2**32, f"items is {items}, must be in [1, 2**32]"),
        (structures >= 0, f"structures is {structures}, must be 0 or more"),
        (
            1 <= smallest <= largest <= items,
            f"structure_size is {structure_size}, must be ascending and within [1, {items}]",
        ),
        (0 <= frequency <= 1, f"frequency is {frequency}, must be in [0, 1]"),
        (0 <= noise < 1, f"noise is {noise}, must be in [0, 1)"),
        (background_words >= 0, f"background_words is {background_words}, must be 0 or more"),
        (zipf_exponent >= 0, f"zipf_exponent is {zipf_exponent}, must be 0 or more"),
        (seed >= 0, f"seed is {seed}, must be 0 or more"),
    )
    wrong = [message for holds, message in checks if not holds]
    if wrong:
        raise SettingsError(f"planted corpus: {'; '.join(wrong)}")

    rng = np.random.default_rng(seed)
    sets = _draw_structures(rng, items, rng.integers(smallest, largest + 1, size=structures))
    by_rank = rng.permutation(items).astype(np.uint32)
    cumulative = np.cumsum(np.arange(1, items + 1, dtype=np.float64) ** -zipf_exponent)
    cumulative /= cumulative[-1]

    blocks, members = [], []
    for number in range(-(-documents // _BLOCK)):
        block = np.random.default_rng((seed, number))
        # Always a whole block is drawn, so that its documents don't depend on the corpus's length.
        holds = block.random((structures, _BLOCK)) < frequency
        words_per_document = block.poisson(background_words, _BLOCK)
        background = by_rank[
            np.searchsorted(cumulative, block.random(int(words_per_document.sum())), side="right")
        ]
        pairs = [_pair(np.repeat(np.arange(_BLOCK), words_per_document), background, items)]
        for words, row in zip(sets, holds, strict=True):
            there = np.flatnonzero(row)
            present = block.random((len(there), len(words))) >= noise
            at, which = np.nonzero(present)
            pairs.append(_pair(there[at], words[which], items))
        postings, freqs = np.unique(np.concatenate(pairs), return_counts=True)
        blocks.append(_cut(postings, freqs, items, min(_BLOCK, documents - number * _BLOCK)))
        members.append(holds[:, : documents - number * _BLOCK])

    held = np.concatenate(members, axis=1) if members else np.zeros((structures, 0), dtype=bool)
    sizes = np.concatenate([size for size, _, _ in blocks]) if blocks else np.zeros(0, np.int64)
    return PlantedCorpus(
        keys=np.arange(documents, dtype=np.uint32),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        items=np.concatenate([np.zeros(0, np.uint32), *(words for _, words, _ in blocks)]),
        freqs=np.concatenate([np.zeros(0, np.uint32), *(counts for _, _, counts in blocks)]),
        structures=tuple(sets),
        members=tuple(np.flatnonzero(row) for row in held),
    )


def _draw_structures(
    rng: np.random.Generator, items: int, sizes: NDArray[np.int64]
) -> list[NDArray[np.uint32]]:
    """Distinct words for every structure; disjoint where the codebook is large enough."""
    if sizes.sum() <= items:
        words = rng.choice(items, size=int(sizes.sum()), replace=False)
        drawn = np.split(words, np.cumsum(sizes)[:-1]) if len(sizes) else []
    else:
        drawn = [rng.choice(items, size=size, replace=False) for size in sizes]
    return [np.sort(words).astype(np.uint32) for words in drawn]


def _pair(document: NDArray[np.int64], item: NDArray[np.uint32], items: int) -> NDArray[np.int64]:
    """One number for a (document, item) pair: its order is that of documents, then items."""
    return document.astype(np.int64) * items + item


def _cut(
    postings: NDArray[np.int64], freqs: NDArray[np.int64], items: int, documents: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Sizes, items and frequencies of the first `documents` documents of a block."""
    document, item = np.divmod(postings, items)
    sizes = np.bincount(document, minlength=documents)[:documents]
    end = int(sizes.sum())
    return sizes.astype(np.int64), item[:end].astype(np.uint32), freqs[:end].astype(np.uint32)
