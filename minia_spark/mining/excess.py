"""What pairs of words share beyond the background, in the images and in decoys.

For words a and b, the sum over images of (X_a - P_a) (X_b - P_b), X being 1 where an image holds a
word and P its probability by the background, and the sum of P_a (1 - P_a) P_b (1 - P_b), its
variance by chance. All pairs are counted: a few thousand words have few pairs, and images of
hundreds of words hold most of them, so hash tables would leave out nothing. Sums are whole
numbers, so that they may be added up image by image, batch by batch, in any order.

A decoy is drawn image by image: each word is there with its probability by the background,
independently of all others. Its own numbers are then fitted like those of a real image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtri

from minia_spark.mining.background import PROBABILITY_ONE, Background, dense, spread_of
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.model import Structures
from minia_spark.mining.number import more_than_half
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.shuffle import bags_of
from minia_spark.smh.arrays import MAX_STRENGTH, Documents, WordLinks
from minia_spark.smh.hashing import fmix32

__all__ = ["MOST_WORDS", "Parts", "Support", "count_support", "link_by_excess", "numbers_of"]
__all__ += ["sum_part", "surprise_beyond", "upper_pairs"]

MOST_WORDS = 4096
"""With more words, all pairs are too many to be counted."""
_UNIT = float(PROBABILITY_ONE)
_EXPECTED_UNIT = 1 << 20
_CELLS = 1 << 20
_DECOY = 0x9E3779B97F4A7C15
_FOLD = np.uint32(0x85EBCA6B)
_LEFT_OUT = 8


@dataclass(frozen=True)
class Parts:
    """What is summed, part by part.

    Part 0 is the variances; 1 to `folds` are the images, divided by chance, so that a collection
    without one of the folds is known too (an eighth of the images, of many folds less; what is
    left is in the first); the rest are the decoys, all images of each.

    Parameters
    ----------
    folds, decoys : int
        >= 1, >= 0.
    seed : int
        Of the decoys, 0 to 2**32 - 1.
    """

    folds: int
    decoys: int
    seed: int

    def __len__(self) -> int:
        """Return the number of parts."""
        return 1 + self.folds + self.decoys

    @property
    def share_left(self) -> float:
        """Share of the images that is left without a fold, other than the first."""
        return 1 - 1 / max(_LEFT_OUT, self.folds)

    def seed_of(self, decoy: int) -> int:
        """Return the seed of a decoy, 0 to 2**64 - 1."""
        return (self.seed + (decoy + 1) * _DECOY) % 2**64


def upper_pairs(words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of places, first < second, in ascending order: int64 arrays."""
    first, second = np.triu_indices(words, k=1)
    return first, second


def _folds_of(keys: NDArray[np.uint32], folds: int) -> NDArray[np.uint32]:
    """Return the fold of each image: an eighth of them in each, the rest in fold 0."""
    drawn = fmix32(keys ^ _FOLD) % np.uint32(max(_LEFT_OUT, folds))
    return np.where(drawn < folds, drawn, np.uint32(0))


def _pieces(documents: Documents, words: int) -> Iterator[tuple[slice, Documents]]:
    step = max(1, _CELLS // max(1, words))
    for start in range(0, len(documents), step):
        stop = min(start + step, len(documents))
        offsets = documents.offsets[start : stop + 1]
        items = documents.items[offsets[0] : offsets[-1]]
        part = slice(start, stop)
        yield part, Documents(documents.keys[part], offsets - offsets[0], items)


def numbers_of(documents: Documents, background: Background) -> NDArray[np.int32]:
    """Return the numbers of documents by a background: int32 array, shape (n, k + 1)."""
    result = np.zeros((len(documents), background.rank + 1), dtype=np.int32)
    for part, some in _pieces(documents, len(background.words)):
        result[part] = background.numbers(dense(some, background.words))
    return result


def sum_part(
    documents: Documents,
    numbers: NDArray[np.int32],
    background: Background,
    part: int,
    parts: Parts,
) -> NDArray[np.int64]:
    """Sum a part over documents.

    Parameters
    ----------
    documents : Documents
        At most two million; those without a word are left out.
    numbers : int32 array, shape (n, k + 1)
        From :func:`numbers_of`.
    background : Background
    part : int
    parts : Parts

    Returns
    -------
    int64 array, shape (v (v - 1) / 2,)
        Of every pair of words, see :func:`upper_pairs`, in units of 2**-32.
    """
    kept = np.diff(documents.offsets) > 0
    if 1 <= part <= parts.folds:
        kept &= _folds_of(documents.keys, parts.folds) == part - 1
    words = len(background.words)
    total = np.zeros((words, words))
    for place, some in _pieces(documents, words):
        here = kept[place]
        if not here.any():
            continue
        own = numbers[place][here]
        if part > parts.folds:
            drawn, own = _decoy(background, own, some.keys[here], part, parts)
            held = drawn
        else:
            held = dense(some, background.words)[here]
        left = background.probabilities(own)
        if part == 0:
            left = np.floor(left * (_UNIT - left) / _UNIT)
        else:
            np.subtract(held * _UNIT, left, out=left)
        total += left.T @ left  # whole numbers below 2**53: exact
    return total[np.triu_indices(words, k=1)].astype(np.int64)


def _decoy(
    background: Background,
    numbers: NDArray[np.int32],
    keys: NDArray[np.uint32],
    part: int,
    parts: Parts,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Draw the images of a decoy, and fit their numbers."""
    seed = parts.seed_of(part - parts.folds - 1)
    drawn = background.draw(background.probabilities(numbers), keys, seed)
    return drawn, background.numbers(drawn, numbers)


def link_by_excess(
    background: Background,
    excess: NDArray[np.int64],
    variances: NDArray[np.int64],
    consensus: Consensus,
    *,
    images: int,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[WordLinks, float]:
    """Link words that share more images than the background explains.

    Parameters
    ----------
    background : Background
    excess, variances : int64 arrays, shape (v (v - 1) / 2,)
        Sums of all images, from :func:`sum_part`.
    consensus : Consensus
    images : int
        How many were summed over.
    kept : bool array, shape (v,), optional
        Words that may be linked; all by default.

    Returns
    -------
    links : WordLinks
        The strength is the correlation of what is left of two words, in units of 2**-20.
    spread : float
        Of z over all pairs, see :func:`minia_spark.mining.background.spread_of`.

    Notes
    -----
    With variance w and excess t, a pair is linked when a Poisson distribution of mean w exceeds
    w + t / max(1, spread) with a probability of at most ``partners_by_chance / (v - 1)``: of rare
    words that is what sharing by chance is distributed like, of frequent ones it is normal. The
    spread makes up for what the background does not explain (B. Efron, "Large-scale simultaneous
    hypothesis testing: the choice of a null hypothesis", JASA 99 (2004) 96-104).
    """
    first, second = upper_pairs(len(background.words))
    t, w = (sums.astype(np.float64) * 2.0**-32 for sums in (excess, variances))
    spread = spread_of(t, w)
    words = len(background.words) if kept is None else int(np.count_nonzero(kept))
    weak = min(0.5, consensus.partners_by_chance / max(1, words - 1))
    strong = min(weak, consensus.pairs_by_chance / max(1, words * (words - 1) // 2))
    t = t / max(1.0, spread)
    # a Poisson distribution has the longer tail: what is not enough for a normal one is not enough
    near = t > -0.9 * float(ndtri(weak)) * np.sqrt(w)
    if kept is not None:
        near &= kept[first] & kept[second]
    places = np.flatnonzero(near)
    by_chance = gammainc(w[places] + t[places], w[places])
    linked = by_chance <= weak
    places, by_chance = places[linked], by_chance[linked]
    correlation = t[places] / np.sqrt(w[places] * max(1, images))
    strength = np.clip(np.rint(correlation * MAX_STRENGTH), 1, MAX_STRENGTH).astype(np.int64)
    names = background.words
    links = WordLinks(names[first[places]], names[second[places]], strength, by_chance <= strong)
    return links, spread


def surprise_beyond(
    background: Background,
    structures: Structures,
    excess: NDArray[np.int64],
    variances: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How far the words of structures are together beyond the background; for q-values.

    Parameters
    ----------
    background : Background
    structures : Structures
        k structures, of at least two words each.
    excess, variances : int64 arrays, shape (v (v - 1) / 2,)
        As for :func:`link_by_excess`.

    Returns
    -------
    float64 array, shape (k,)
        The sum of the excess of all pairs of a structure's words over the root of the sum of their
        variances, and over the spread. Unlike the support it does not miss what words have in
        common that are in many images anyway.
    """
    t, w = (sums.astype(np.float64) * 2.0**-32 for sums in (excess, variances))
    spread, words = max(1.0, spread_of(t, w)), len(background.words)
    places = np.searchsorted(background.words, structures.items)
    found = np.zeros(len(structures))
    for row in range(len(structures)):
        own = np.sort(places[slice(*structures.offsets[row : row + 2].tolist())])
        a, b = (own[ends] for ends in upper_pairs(len(own)))
        pairs = a * (2 * words - a - 1) // 2 + b - a - 1
        found[row] = t[pairs].sum() / np.sqrt(w[pairs].sum()) / spread
    return found


@dataclass(frozen=True, eq=False)
class Support:
    """Where structures are found.

    Parameters
    ----------
    support : int64 array, shape (k,)
        Images that hold more than half of a structure's words.
    expected : float64 array, shape (k,)
        The same by the background.
    frequencies : int64 array, shape (nnz,)
        Of those images, how many hold each of the words.
    """

    support: NDArray[np.int64]
    expected: NDArray[np.float64]
    frequencies: NDArray[np.int64]

    @staticmethod
    def of_counts(counts: NDArray[np.int64], structures: Structures) -> Support:
        """Take apart what :func:`count_support` counted."""
        count = len(structures)
        support, expected, frequencies = np.split(counts, [count, 2 * count])
        return Support(support, expected / _EXPECTED_UNIT, frequencies)


def count_support(
    documents: Documents, *, background: Background, structures: Structures
) -> NDArray[np.int64]:
    """Count where structures are.

    Parameters
    ----------
    documents : Documents
    background : Background
    structures : Structures
        k structures.

    Returns
    -------
    int64 array, shape (2 k + nnz,)
        What :class:`Support` holds, one after the other, expectations in units of 2**-20; counts
        of parts of a collection add up.
    """
    count = len(structures)
    index = StructureIndex(structures, structure_counts="ones")
    columns = np.searchsorted(background.words, structures.items)
    total = np.zeros(2 * count + len(structures.items), dtype=np.int64)
    support, expected, frequencies = np.split(total, [count, 2 * count])  # views
    for _, some in _pieces(documents, len(background.words)):
        held = dense(some, background.words)
        numbers = background.numbers(held)
        full = held.any(axis=1)
        matches = index.search(bags_of(some))
        support += matches.support
        for row in range(count):
            part = slice(*structures.offsets[row : row + 2].tolist())
            images = matches.images[matches.structures == row]
            frequencies[part] += held[np.ix_(images, columns[part])].sum(axis=0).astype(np.int64)
            odds = background.probabilities(numbers[full], columns[part]) / _UNIT
            units = np.rint(more_than_half(odds) * _EXPECTED_UNIT)
            expected[row] += units.astype(np.int64).sum()
    return total
