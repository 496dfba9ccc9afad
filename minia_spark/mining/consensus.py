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
collection, piece by piece; :func:`link_words`, :func:`grow`, :func:`consensus_structures`. One
after the other they are :func:`minia_spark.mining.corpus.mine_consensus`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, poisson

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.ragged import offsets_of, row_numbers
from minia_spark.mining.chance import Chance, expected_sharing
from minia_spark.mining.model import Structures, incidence, ordered_structures
from minia_spark.mining.pairs import WordPairs
from minia_spark.smh.arrays import MalformedError, SetList

__all__ = [
    "WordLinks",
    "consensus_structures",
    "grow",
    "link_words",
    "plausible_pairs",
]

_CONFIDENCE = 0.999
"""A pair is given up when its true similarity is too low with this probability."""
_STRENGTH = 1 << 20
"""Jaccard similarity 1 as an integer: sums of integers do not depend on their order."""
_ENTRIES = 1 << 22
"""Members of sets looked at once."""


@dataclass(frozen=True, eq=False)
class WordLinks:
    """Links between words that share more documents than chance explains.

    Parameters
    ----------
    first, second : uint32 arrays, shape (e,)
        Ascending pairs, ``first < second``.
    strength : int64 array, shape (e,)
        Jaccard similarity of the words' documents in units of 2**-20.
    strong : bool array, shape (e,)
        Whether a structure may start here.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    strength: NDArray[np.int64]
    strong: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of links."""
        return len(self.first)


def plausible_pairs(
    pairs: WordPairs,
    chance: Chance,
    *,
    tuple_size: int,
    tables: int,
    partners_by_chance: float = 0.1,
    min_lift: float = 2.0,
) -> WordPairs:
    """Drop pairs that met so rarely that they cannot be linked.

    Parameters
    ----------
    pairs : WordPairs
        From all tables.
    chance : Chance
        Of the collection.
    tuple_size, tables : int
        With which the sets were mined.
    partners_by_chance, min_lift : float
        As in :func:`link_words`.

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
    expected = expected_sharing(pairs.first, pairs.second, chance)
    left, right = _images(pairs, chance)
    distinct, at = np.unique(pairs.meetings, return_inverse=True)
    most = (chi2.ppf(_CONFIDENCE, 2 * (distinct + 1)) / 2)[at]
    jaccard = np.minimum(1.0, most / tables) ** (1.0 / tuple_size)
    shared = np.minimum(
        np.ceil(jaccard / (1 + jaccard) * (left + right)), np.minimum(left, right)
    ).astype(np.int64)
    weak = _weak(chance, partners_by_chance)
    return pairs.take(_above_chance(shared, expected, weak, min_lift))


def link_words(
    pairs: WordPairs,
    shared: NDArray[np.int64],
    chance: Chance,
    *,
    partners_by_chance: float = 0.1,
    pairs_by_chance: float = 1.0,
    min_lift: float = 2.0,
) -> WordLinks:
    """Link words that share more documents than chance explains.

    Parameters
    ----------
    pairs : WordPairs
    shared : int64 array, shape (p,)
        Documents that hold both words, of the whole collection.
    chance : Chance
    partners_by_chance : float
        How many links a word may have by chance, on average (> 0): this sets the largest
        probability of a link, which is Poisson's ``P(X >= shared)``.
    pairs_by_chance : float
        How many strong links there may be by chance in the whole collection (> 0).
    min_lift : float
        A link needs this many times the documents that chance explains; in a large collection
        differences are beyond chance that mean nothing.

    Returns
    -------
    WordLinks

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MalformedError
        When `shared` does not fit, or a word of a pair occurs in no image.
    """
    if shared.shape != pairs.first.shape:
        raise MalformedError(f"{len(shared)} numbers of shared documents for {len(pairs)} pairs")
    if pairs_by_chance <= 0:
        raise SettingsError(f"pairs_by_chance must be above 0, got {pairs_by_chance}")
    weak = _weak(chance, partners_by_chance)
    strong = min(weak, pairs_by_chance / _all_pairs(chance))
    expected = expected_sharing(pairs.first, pairs.second, chance)
    kept = _above_chance(shared, expected, weak, min_lift)
    linked, shared, expected = pairs.take(kept), shared[kept], expected[kept]
    left, right = _images(linked, chance)
    strength = shared * _STRENGTH // (left + right - shared)
    return WordLinks(
        linked.first,
        linked.second,
        strength,
        _above_chance(shared, expected, strong, min_lift),
    )


def _images(pairs: WordPairs, chance: Chance) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    left = chance.word_images[np.searchsorted(chance.words, pairs.first)]
    return left, chance.word_images[np.searchsorted(chance.words, pairs.second)]


def _all_pairs(chance: Chance) -> int:
    return max(1, len(chance.words) * (len(chance.words) - 1) // 2)


def _weak(chance: Chance, partners_by_chance: float) -> float:
    """Largest probability of a link: a word makes a pair with each of the others."""
    if partners_by_chance <= 0:
        raise SettingsError(f"partners_by_chance must be above 0, got {partners_by_chance}")
    return min(0.5, partners_by_chance / max(1, len(chance.words) - 1))


def _above_chance(
    shared: NDArray[np.int64], expected: NDArray[np.float64], probability: float, min_lift: float
) -> NDArray[np.bool_]:
    rare = poisson.logsf(shared - 1, expected) <= np.log(probability)
    result: NDArray[np.bool_] = rare & (shared >= min_lift * expected)
    return result


def grow(
    links: WordLinks, *, density: float = 0.5, min_size: int = 3, max_similarity: float = 0.5
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

    Returns
    -------
    list of uint32 arrays
        Ascending words of each group; groups overlap.

    Raises
    ------
    SettingsError
        When a parameter is out of range.

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
    neighbours = _neighbours(links)
    covered: set[tuple[int, int]] = set()
    groups = []
    starts = np.flatnonzero(links.strong)
    # stable: equally strong ones stay in ascending order
    starts = starts[np.argsort(-links.strength[starts], kind="stable")]
    for first, second in zip(
        links.first[starts].tolist(), links.second[starts].tolist(), strict=True
    ):
        if (first, second) in covered:
            continue
        members = _grown(neighbours, first, second, density)
        covered.update(
            (word, other)
            for word in members
            for other in neighbours[word]
            if word < other and other in members
        )
        if len(members) >= min_size:
            groups.append(np.array(sorted(members), dtype=np.uint32))
    return _distinct(groups, max_similarity)


def _neighbours(links: WordLinks) -> dict[int, dict[int, int]]:
    neighbours: dict[int, dict[int, int]] = {}
    for first, second, strength in zip(
        links.first.tolist(), links.second.tolist(), links.strength.tolist(), strict=True
    ):
        neighbours.setdefault(first, {})[second] = strength
        neighbours.setdefault(second, {})[first] = strength
    return neighbours


def _grown(
    neighbours: dict[int, dict[int, int]], first: int, second: int, density: float
) -> set[int]:
    members: set[int] = set()
    inward: dict[int, tuple[int, int]] = {}
    """Number and sum of the links into the group, of every word that has one."""

    def move(word: int, sign: int) -> None:
        for other, strength in neighbours[word].items():
            number, total = inward.get(other, (0, 0))
            inward[other] = number + sign, total + sign * strength

    def rank(word: int) -> tuple[int, int, int]:
        return *inward[word], -word

    for word in (first, second):
        members.add(word)
        move(word, 1)
    while True:
        needed = max(2.0, density * len(members))
        able = [w for w, (n, _) in inward.items() if n >= needed and w not in members]
        if not able:
            break
        best = max(able, key=rank)
        members.add(best)
        move(best, 1)
    while True:
        needed = density * (len(members) - 1)
        loose = [word for word in members if inward[word][0] < needed]
        if not loose:
            return members
        worst = min(loose, key=rank)
        members.remove(worst)
        move(worst, -1)


def _distinct(groups: list[NDArray[np.uint32]], max_similarity: float) -> list[NDArray[np.uint32]]:
    kept: list[NDArray[np.uint32]] = []
    holders: dict[int, list[int]] = {}
    for group in groups:
        common: dict[int, int] = {}
        for word in group.tolist():
            for number in holders.get(word, ()):
                common[number] = common.get(number, 0) + 1
        if any(
            shared >= max_similarity * (len(group) + len(kept[number]) - shared)
            for number, shared in common.items()
        ):
            continue
        for word in group.tolist():
            holders.setdefault(word, []).append(len(kept))
        kept.append(group)
    return kept


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
