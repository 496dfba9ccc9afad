"""Structures that converge as the number of tables grows: ``--link consensus``.

Single link chains sets that were seen once, and under another seed others were seen. Here the
tables only propose: words that met in tables are candidates, their shared documents are counted,
and two words are linked when they share more documents than chance explains, corrected for the
number of all pairs. More tables find more of the candidates and change nothing else, so the
result tends to a function of the collection alone. Structures are then grown from strong links,
by average link, through weaker ones (the two thresholds of J. Canny's edges, IEEE PAMI 8 (1986)
679-698). A word may be in several structures.

The steps: :func:`minia_spark.mining.pairs.meetings_of_pairs` of the mined sets and, block by
block, :func:`plausible_pairs`; :func:`minia_spark.mining.pairs.shared_documents` over the
collection, piece by piece; :func:`link_words`, :func:`grow`, :func:`consensus_structures`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import offsets_of, row_numbers
from minia_spark.mining.chance import Chance, Kinds, PairKinds, log_tail, numbered
from minia_spark.mining.model import Structures, incidence, ordered_structures
from minia_spark.mining.pairs import WordPairs
from minia_spark.smh.arrays import MAX_STRENGTH, MalformedError, SetList, WordLinks
from minia_spark.smh.growth import grow_groups
from minia_spark.smh.interface import Engine

__all__ = [
    "Consensus",
    "LinkLevels",
    "consensus_structures",
    "grow",
    "link_words",
    "plausible_pairs",
]

_KINDS = 1 << 19
"""Up to so many kinds of pairs have their levels in a table."""
_CONFIDENCE = 0.999
"""A pair is given up when its true similarity is too low with this probability."""
_ENTRIES = 1 << 22
"""Members of sets looked at once."""


@dataclass(frozen=True)
class Consensus:
    """How words become structures by consensus.

    Parameters
    ----------
    partners_by_chance : float
        How many links a word may have by chance, on average (> 0).
    pairs_by_chance : float
        How many strong links there may be by chance in the whole collection (> 0).
    min_lift : float
        A link needs this many times the documents that chance explains; in a large collection
        differences are beyond chance that mean nothing.
    density : float
        As in :func:`grow`.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    """

    partners_by_chance: float = 0.1
    pairs_by_chance: float = 1.0
    min_lift: float = 2.0
    density: float = 0.5

    def __post_init__(self) -> None:
        for name in ("partners_by_chance", "pairs_by_chance"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} must be above 0, got {getattr(self, name)}")


class LinkLevels:
    """From how many shared documents on two words are linked.

    Parameters
    ----------
    chance : Chance
        Of the collection.
    consensus : Consensus

    Notes
    -----
    A link needs ``P(X >= shared)``, X Poisson-distributed about what chance explains, to be at
    most ``partners_by_chance / (words - 1)``, and a strong one at most ``pairs_by_chance`` over
    all pairs of words; and it needs ``min_lift`` times what chance explains.
    """

    def __init__(self, chance: Chance, consensus: Consensus) -> None:
        others = max(1, len(chance.words) - 1)
        weak = min(0.5, consensus.partners_by_chance / others)
        every = max(1, len(chance.words) * (len(chance.words) - 1) // 2)
        self._limits = (weak, min(weak, consensus.pairs_by_chance / every))
        self._min_lift = consensus.min_lift
        self._kinds = Kinds(chance)
        self._table = None
        if self._kinds.number <= _KINDS:
            self._table = self._of(np.arange(self._kinds.number))

    def of(self, pairs: WordPairs) -> tuple[NDArray[np.int64], _Levels]:
        """Return which kind each pair is, and the levels of the kinds.

        Raises
        ------
        MalformedError
            When a word of a pair occurs in no image.
        """
        codes = self._kinds.codes(pairs.first, pairs.second)
        if self._table is not None:
            return codes, self._table
        distinct, which = numbered(codes, self._kinds.number)
        return which, self._of(distinct)

    def _of(self, codes: NDArray[np.int64]) -> _Levels:
        kinds = self._kinds.of(codes)
        weak, strong = (_needed(kinds, limit, self._min_lift) for limit in self._limits)
        return _Levels(kinds.fewer + kinds.more, kinds.fewer, weak, strong)


@dataclass(frozen=True, eq=False)
class _Levels:
    """Of each kind of pairs, int64 arrays of shape (k,)."""

    together: NDArray[np.int64]
    """Documents of both words, those with both counted twice."""
    fewer: NDArray[np.int64]
    """Documents of the rarer word."""
    weak: NDArray[np.int64]
    strong: NDArray[np.int64]
    """Fewest shared documents of a link, and of a strong one; above `fewer` where none can be."""


def _needed(kinds: PairKinds, probability: float, min_lift: float) -> NDArray[np.int64]:
    """Fewest shared documents that are beyond chance, at most one more than can be shared.

    With L = -ln(probability) and t = L/3 + sqrt(L**2 / 9 + 2 L expected), the expectation and t
    are enough (Bernstein's inequality); from there it is halved down.
    """
    expected, limit = kinds.expected, np.log(probability)
    most = expected - limit / 3 + np.sqrt(limit**2 / 9 - 2 * limit * expected)
    low = np.minimum(np.ceil(min_lift * expected).astype(np.int64), kinds.fewer + 1)
    high = np.clip(np.ceil(most).astype(np.int64) + 1, low, kinds.fewer + 1)
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        enough = log_tail(middle, expected[open_]) <= limit
        high[open_[enough]] = middle[enough]
        low[open_[~enough]] = middle[~enough] + 1
    return low


def plausible_pairs(
    pairs: WordPairs, levels: LinkLevels, *, tuple_size: int, tables: int
) -> WordPairs:
    """Drop pairs that met so rarely that they cannot be linked.

    Parameters
    ----------
    pairs : WordPairs
        From all tables.
    levels : LinkLevels
        Of the collection.
    tuple_size, tables : int
        With which the sets were mined.

    Returns
    -------
    WordPairs
        Those whose shared documents, were the similarity as high as the number of meetings
        allows (upper bound of 99.9 %, Poisson), would be enough for a link.

    Raises
    ------
    MalformedError
        When a word of a pair occurs in no image.
    """
    which, kinds = levels.of(pairs)
    most = gammaincinv(np.arange(pairs.meetings.max(initial=0) + 1) + 1.0, _CONFIDENCE)
    jaccard = np.minimum(1.0, most / tables) ** (1.0 / tuple_size)
    shared = np.ceil((jaccard / (1 + jaccard))[pairs.meetings] * kinds.together[which])
    return pairs.take(np.minimum(shared, kinds.fewer[which]) >= kinds.weak[which])


def link_words(pairs: WordPairs, shared: NDArray[np.int64], levels: LinkLevels) -> WordLinks:
    """Link words that share more documents than chance explains.

    Parameters
    ----------
    pairs : WordPairs
    shared : int64 array, shape (p,)
        Documents that hold both words, of the whole collection.
    levels : LinkLevels
        Of the collection.

    Returns
    -------
    WordLinks

    Raises
    ------
    MalformedError
        When `shared` does not fit, or a word of a pair occurs in no image.
    """
    if shared.shape != pairs.first.shape:
        raise MalformedError(f"{len(shared)} numbers of shared documents for {len(pairs)} pairs")
    which, kinds = levels.of(pairs)
    kept = shared >= kinds.weak[which]
    linked, which, shared = pairs.take(kept), which[kept], shared[kept]
    strength = shared * MAX_STRENGTH // (kinds.together[which] - shared)
    return WordLinks(linked.first, linked.second, strength, shared >= kinds.strong[which])


def grow(
    links: WordLinks,
    *,
    density: float = 0.5,
    min_size: int = 3,
    max_similarity: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
    engine: Engine | None = None,
) -> list[NDArray[np.uint32]]:
    """Grow groups of words from strong links, by average link.

    Parameters
    ----------
    links : WordLinks
    density : float
        A word joins when it has links to at least this share of the group, 0 to 1, and to at
        least two of its words.
    min_size : int
        Groups of fewer words are dropped, >= 3.
    max_similarity : float
        A group whose Jaccard similarity with an earlier one is this or more is dropped.
    progress : callable, optional
        Called now and then with how many starts are done and how many there are.
    engine : Engine, optional
        Does the work; without it NumPy does, :func:`minia_spark.smh.growth.grow_groups`.

    Returns
    -------
    list of uint32 arrays
        Ascending words of each group; groups overlap.

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MiniaError
        When an engine fails.

    Notes
    -----
    Starts are the strong links in the order of their strength, but for those that lie within a
    group already. To a group is added, one by one, the word with most links into it (then the
    largest sum of strengths, then the smallest number) as long as it has enough; in the end those
    that have too few now leave again, least links first. A group depends on its own surroundings
    only: what is found elsewhere, or not found, does not change it.
    """
    if not 0.0 <= density <= 1.0 or min_size < 3 or not 0.0 < max_similarity <= 1.0:
        raise SettingsError(
            "density must be within 0..1, min_size at least 3 and max_similarity within (0, 1], "
            f"got {density}, {min_size}, {max_similarity}"
        )
    run = grow_groups if engine is None else engine.grow
    return run(
        links,
        density=density,
        min_size=min_size,
        max_similarity=max_similarity,
        progress=progress,
    )


def consensus_structures(sets: SetList, groups: list[NDArray[np.uint32]]) -> Structures:
    """Make structures of groups of words.

    Parameters
    ----------
    sets : SetList
        Of all tables.
    groups : list of uint32 arrays
        Ascending words, any two of which are a group's own; from :func:`grow`.

    Returns
    -------
    Structures
        A structure's sets are those that hold two or more of its words; a word's frequency is the
        number of those that hold it, with multiplicities, and at least 1.

    Raises
    ------
    MiniaError
        When a frequency exceeds 2**32 - 1.
    """
    offsets = offsets_of(np.array([len(group) for group in groups], dtype=np.int64))
    items = np.concatenate([np.zeros(0, dtype=np.uint32), *groups])
    unranked = Structures(
        offsets, items, np.ones(len(items), np.uint32), np.zeros(len(groups), np.int64)
    )
    words = np.unique(items)
    holders = incidence(unranked, words).T.tocsr()
    frequencies = np.zeros(len(items), dtype=np.int64)
    totals = np.zeros(len(groups), dtype=np.int64)
    own = incidence(unranked, words).tocsr()
    own.sort_indices()
    member = incidence(sets, words)
    step = max(1, int(_ENTRIES // max(1.0, member.nnz / max(1, len(sets)))))
    for start in range(0, len(sets), step):
        some = member[start : start + step]
        held = (some @ holders).tocsr()  # sets x structures: how many of its words a set holds
        held.data = (held.data >= 2).astype(np.int64)
        held.eliminate_zeros()
        times = sets.multiplicities[start : start + step].astype(np.int64)
        totals += held.T @ times
        held.data *= times[row_numbers(held.indptr.astype(np.int64))]
        counted = (held.T @ some).multiply(own.astype(bool)).tocsr()
        counted.sort_indices()
        rows = row_numbers(counted.indptr.astype(np.int64))
        width = len(words)
        ours = row_numbers(own.indptr.astype(np.int64)) * width + own.indices
        at = np.searchsorted(ours, rows * width + counted.indices)
        frequencies[at] += counted.data.astype(np.int64)
    frequencies = np.maximum(frequencies, 1)
    if frequencies.max(initial=0) > np.iinfo(np.uint32).max:
        raise MiniaError(f"a word is in {frequencies.max()} sets, more than can be counted")
    order = np.lexsort((items, -frequencies, row_numbers(offsets)))
    return ordered_structures(
        Structures(offsets, items[order], frequencies[order].astype(np.uint32), totals)
    )
