"""Chance: what images would hold if only totals mattered.

In such a collection every word keeps its number of images and every image its number of words, and
nothing else is kept. Here it is probabilities; as collections to mine it is in :mod:`.shuffle`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, ndtr, pdtrc

from minia_spark.base.bags import Bags
from minia_spark.mining.model import ItemRows
from minia_spark.mining.number import number_held
from minia_spark.smh.arrays import MalformedError

__all__ = [
    "Chance",
    "Kinds",
    "PairKinds",
    "Totals",
    "expected_sharing",
    "expected_support",
    "fit_chance",
    "log_tail",
    "numbered",
]

_EXACT_WORDS = 1000
"""Above this number of words the distribution of how many are held is taken as normal."""
_LARGEST_LOGIT = 40.0
"""Of a word that is in every image, or an image that holds every word."""
_CELLS = 1 << 20
"""Probabilities of pairs in images of one size that are held at once."""
_TABLE = 1 << 20
"""Codes are numbered with a table of all that are possible up to here, or to 4 a code."""
_TINY = 1e-9
"""Smallest mean and share of a binomial distribution; below, it is a Poisson distribution."""


@dataclass(frozen=True, eq=False)
class Chance:
    """Probability that an image holds a word when only totals matter.

    Images with the same number of words, and words with the same number of images, are alike:
    ``p = 1 / (1 + exp(-(image_logits[size] + word_logits[word])))``.

    Parameters
    ----------
    words : uint32 array, shape (v,)
        Ascending.
    word_images : int64 array, shape (v,)
        In how many images each word is.
    word_logits : float64 array, shape (v,)
    image_sizes : int64 array, shape (d,)
        Distinct numbers of words of an image.
    image_logits : float64 array, shape (d,)
    image_counts : int64 array, shape (d,)
        Number of images of that size.
    error : float
        Largest relative difference between a total and its expectation.
    """

    words: NDArray[np.uint32]
    word_images: NDArray[np.int64]
    word_logits: NDArray[np.float64]
    image_sizes: NDArray[np.int64]
    image_logits: NDArray[np.float64]
    image_counts: NDArray[np.int64]
    error: float

    def size_variances(self) -> NDArray[np.float64]:
        """Variance of an image's number of words, were it not fixed: float64 array, shape (d,)."""
        logits, number = np.unique(self.word_logits, return_counts=True)
        held = expit(self.image_logits[:, None] + logits)
        return np.asarray((held * (1 - held)) @ number)


@dataclass(frozen=True, eq=False)
class Totals:
    """How many images each word is in, and how many words the images have.

    Parameters
    ----------
    words : uint32 array, shape (v,)
        Ascending; words that occur.
    word_images : int64 array, shape (v,)
        In how many images each word is.
    image_sizes : int64 array, shape (d,)
        Distinct numbers of words of an image, ascending, >= 1.
    image_counts : int64 array, shape (d,)
        Number of images of each size.
    """

    words: NDArray[np.uint32]
    word_images: NDArray[np.int64]
    image_sizes: NDArray[np.int64]
    image_counts: NDArray[np.int64]

    @staticmethod
    def of(images: ItemRows) -> Totals:
        """Count a piece of a collection; images without words are left out."""
        words, word_images = np.unique(images.items, return_counts=True)
        sizes = np.diff(images.offsets)
        image_sizes, image_counts = np.unique(sizes[sizes > 0], return_counts=True)
        return Totals(words, word_images, image_sizes, image_counts)

    @staticmethod
    def sum(parts: Iterable[Totals]) -> Totals:
        """Put the pieces of a collection together, in any order; none gives an empty one."""
        total = Totals.of(Bags(np.zeros(1, np.int64), *np.zeros((2, 0), np.uint32)))
        for part in parts:
            total = Totals(
                *_sums(total.words, total.word_images, part.words, part.word_images),
                *_sums(total.image_sizes, total.image_counts, part.image_sizes, part.image_counts),
            )
        return total

    def chance(self) -> Chance:
        """Fit the probabilities that these totals leave; see :func:`fit_chance`."""
        return fit_chance(self.words, self.word_images, self.image_sizes, self.image_counts)


_Keys = TypeVar("_Keys", NDArray[np.uint32], NDArray[np.int64])


def _sums(
    keys: _Keys, values: NDArray[np.int64], other_keys: _Keys, other_values: NDArray[np.int64]
) -> tuple[_Keys, NDArray[np.int64]]:
    """Add up the values of equal keys."""
    distinct, at = np.unique(np.concatenate([keys, other_keys]), return_inverse=True)
    added = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(added, at, np.concatenate([values, other_values]))
    return distinct, added


def fit_chance(
    words: NDArray[np.uint32],
    word_images: NDArray[np.int64],
    image_sizes: NDArray[np.int64],
    image_counts: NDArray[np.int64],
    *,
    tolerance: float = 1e-6,
    max_rounds: int = 2000,
) -> Chance:
    """Fit the distribution of largest entropy that has the given totals as expectations.

    Parameters
    ----------
    words : uint32 array, shape (v,)
        Ascending; words that occur.
    word_images : int64 array, shape (v,)
        In how many images each word is, >= 1.
    image_sizes : int64 array, shape (d,)
        Distinct numbers of different words, >= 1. Images without words are left out: they can
        hold nothing.
    image_counts : int64 array, shape (d,)
        Number of images of each size, >= 1.
    tolerance : float
        Largest relative error of an expected total at which the iteration ends.
    max_rounds : int
        Rounds after which it ends in any case; the result says how good it is.

    Returns
    -------
    Chance

    Raises
    ------
    MalformedError
        When the totals contradict each other, or no matrix of zeros and ones can have them
        because one is too large.

    Notes
    -----
    The bipartite configuration model: F. Saracco et al., "Randomizing bipartite networks: the case
    of the World Trade Web", Scientific Reports 5 (2015) 10595, equations 6-8, solved by
    Newton's method for words and images in turn. Words with equal totals are solved once.
    """
    totals, alike = np.unique(word_images, return_inverse=True)
    number = np.bincount(alike, minlength=len(totals))
    _check_totals(totals, number, image_sizes, image_counts)
    if len(words) == 0:
        none = np.zeros(0, dtype=np.float64)
        return Chance(words, word_images, none, image_sizes, none, image_counts, 0.0)
    entries = float(np.sqrt(image_sizes @ image_counts))
    of_words, of_images = np.log(totals / entries), np.log(image_sizes / entries)
    error = np.inf
    for _ in range(max_rounds):
        held = expit(of_images[:, None] + of_words[None, :])
        misfit = np.abs(held @ number / image_sizes - 1), np.abs(image_counts @ held / totals - 1)
        error = max(float(misfit[0].max()), float(misfit[1].max()))
        if error <= tolerance:
            break
        of_images = _step(of_images, image_sizes - held @ number, (held * (1 - held)) @ number)
        held = expit(of_images[:, None] + of_words[None, :])
        variance = image_counts @ (held * (1 - held))
        of_words = _step(of_words, totals - image_counts @ held, variance)
    return Chance(words, word_images, of_words[alike], image_sizes, of_images, image_counts, error)


def _step(
    logits: NDArray[np.float64], missing: NDArray[np.float64], slope: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Newton's step of every logit by itself; at most 1, where the slope tells enough."""
    step = np.clip(missing / np.maximum(slope, np.finfo(np.float64).tiny), -1.0, 1.0)
    return np.clip(logits + step, -_LARGEST_LOGIT, _LARGEST_LOGIT)


def _check_totals(
    totals: NDArray[np.int64],
    number: NDArray[np.int64],
    image_sizes: NDArray[np.int64],
    image_counts: NDArray[np.int64],
) -> None:
    if len(image_sizes) != len(image_counts):
        raise MalformedError(f"{len(image_sizes)} image sizes for {len(image_counts)} counts")
    for name, values in (("words", totals), ("sizes", image_sizes), ("counts", image_counts)):
        if values.min(initial=1) < 1:
            raise MalformedError(f"totals of {name} must be at least 1, got {values.min()}")
    by_words, by_images = int(totals @ number), int(image_sizes @ image_counts)
    if by_words != by_images:
        raise MalformedError(f"words occur in {by_words} images, images hold {by_images} words")
    if totals.max(initial=0) > image_counts.sum() or image_sizes.max(initial=0) > number.sum():
        raise MalformedError("a word is in more images, or an image holds more words, than exist")


@dataclass(frozen=True, eq=False)
class PairKinds:
    """Kinds of pairs of words: pairs whose words have equal totals are alike.

    Parameters
    ----------
    fewer, more : int64 arrays, shape (k,)
        Images that hold the rarer word of such a pair, and the other one.
    expected : float64 array, shape (k,)
        Images that hold both by chance.
    """

    fewer: NDArray[np.int64]
    more: NDArray[np.int64]
    expected: NDArray[np.float64]


class Kinds:
    """Sorts pairs of words by kind.

    Parameters
    ----------
    chance : Chance
        Of the collection.
    """

    def __init__(self, chance: Chance) -> None:
        self._words = chance.words
        self._totals, place, self._alike = np.unique(
            chance.word_images, return_index=True, return_inverse=True
        )
        self._held = expit(chance.image_logits + chance.word_logits[place, None])
        self._image_counts = chance.image_counts

    @property
    def number(self) -> int:
        """How many codes there may be."""
        return len(self._totals) ** 2

    def codes(self, first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the kind of each pair as a code from 0 to `number`, words in whatever order.

        Raises
        ------
        MalformedError
            When a word occurs in no image.
        """
        alike = []
        for words in (first, second):
            places = np.searchsorted(self._words, words)
            known = places < len(self._words)
            known[known] = self._words[places[known]] == words[known]
            if not known.all():
                raise MalformedError("a word of a pair occurs in no image")
            alike.append(self._alike[places])
        return np.asarray(np.minimum(*alike) * len(self._totals) + np.maximum(*alike))

    def of(self, codes: NDArray[np.int64]) -> PairKinds:
        """Return what is known of the kinds of these codes."""
        low, high = np.divmod(codes, max(1, len(self._totals)))
        expected = np.empty(len(codes), dtype=np.float64)
        step = max(1, _CELLS // max(1, self._held.shape[1]))
        for start in range(0, len(codes), step):
            part = slice(start, start + step)
            both = self._held[low[part]] * self._held[high[part]]
            expected[part] = both @ self._image_counts
        left, right = self._totals[low], self._totals[high]
        return PairKinds(np.minimum(left, right), np.maximum(left, right), expected)


def numbered(codes: NDArray[np.integer], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number different codes, as np.unique does, without a sort where few are possible.

    Parameters
    ----------
    codes : integer array, shape (n,)
        0 to `bound`, exclusive.

    Returns
    -------
    distinct : int64 array, shape (k,)
        Ascending.
    which : int64 array, shape (n,)
        ``codes == distinct[which]``.
    """
    if bound > max(_TABLE, 4 * len(codes)):
        distinct, which = np.unique(codes, return_inverse=True)
        return distinct.astype(np.int64), which
    there = np.zeros(bound, dtype=np.bool_)
    there[codes] = True
    distinct = np.flatnonzero(there)
    number = np.zeros(bound, dtype=np.int64)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[codes]


def log_tail(counts: NDArray[np.integer], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of ``P(X >= count)``, X Poisson-distributed: float64 array, any shape.

    Minus infinity where nothing is expected. A probability below what a float64 can hold, which
    the first term ``P(X = count)`` makes up nearly alone, is taken from that and from a geometric
    series that is a little larger than the others.
    """
    k, mean = np.broadcast_arrays(np.maximum(counts, 1), expected)
    with np.errstate(divide="ignore"):
        tail: NDArray[np.float64] = np.array(np.log(pdtrc(k - 1, mean)))
    deep = np.isneginf(tail) & (mean > 0)
    k, mean = k[deep], mean[deep]
    tail[deep] = k * np.log(mean) - mean - gammaln(k + 1) - np.log1p(-mean / (k + 1))
    return np.where(counts > 0, tail, 0.0)


def expected_sharing(
    first: NDArray[np.uint32], second: NDArray[np.uint32], chance: Chance
) -> NDArray[np.float64]:
    """Number of images that would hold both words of each pair by chance.

    Parameters
    ----------
    first, second : uint32 arrays, shape (p,)
        Different words; all of them occur.
    chance : Chance

    Returns
    -------
    float64 array, shape (p,)

    Raises
    ------
    MalformedError
        When a word occurs in no image.
    """
    kinds = Kinds(chance)
    codes, which = numbered(kinds.codes(first, second), kinds.number)
    return kinds.of(codes).expected[which]


def expected_support(structures: ItemRows, chance: Chance) -> NDArray[np.float64]:
    """Number of images that would hold more than half of a structure's words by chance.

    Parameters
    ----------
    structures : ItemRows
        k structures; words that occur in no image are never held.
    chance : Chance

    Returns
    -------
    float64 array, shape (k,)
        Comparable with :attr:`minia_spark.mining.overlap.Matches.support`.

    Notes
    -----
    Words are independent but for the size of the image, which is fixed: a word that is there
    leaves less room for others, and half as many images of 24 words hold six given rare words as
    independence would have it. The number of the structure's words is Poisson-binomial, that of
    all other words is taken as binomial with the same mean and variance (exact when words are
    equally frequent), and their sum is the image's size. Above 1,000 words the normal
    distribution, conditioned in the same way, takes their place.
    """
    known = np.isin(structures.items, chance.words)
    at = np.searchsorted(chance.words, structures.items[known])
    logits = np.full(len(structures.items), -np.inf)
    logits[known] = chance.word_logits[at]
    variances = chance.size_variances()
    result = np.zeros(len(structures.offsets) - 1, dtype=np.float64)
    for row, (start, end) in enumerate(
        zip(structures.offsets[:-1].tolist(), structures.offsets[1:].tolist(), strict=True)
    ):
        held = expit(chance.image_logits[:, None] + logits[None, start:end])
        tail = _tail_of_many if end - start > _EXACT_WORDS else _tail
        result[row] = tail(held, chance.image_sizes, variances) @ chance.image_counts
    return result


def _tail(
    held: NDArray[np.float64], sizes: NDArray[np.int64], variances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability of more than n / 2 of n words in an image of given size: (d, n) to (d,)."""
    words = held.shape[1]
    numbers = number_held(held)
    rest = sizes[:, None] - np.arange(words + 1)
    mean = sizes - held.sum(axis=1)
    variance = variances - np.sum(held * (1 - held), axis=1)
    joint = numbers * _binomial(rest, mean, variance)
    total = joint.sum(axis=1)
    # where rounding leaves no possible number, size tells nothing more
    possible = total > 0
    joint[~possible] = numbers[~possible]
    total[~possible] = 1.0
    return np.asarray(joint[:, words // 2 + 1 :].sum(axis=1) / total)


def _binomial(
    values: NDArray[np.int64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Binomial probabilities of each row's values, given mean and variance, up to a factor.

    The number of trials is not a whole number in general; the factor is one a row.
    """
    mean = np.maximum(mean, _TINY)
    share = np.clip(1 - variance / mean, _TINY, 1 - _TINY)[:, None]
    trials = mean[:, None] / share
    possible = (values >= 0) & (trials - values > -0.5)
    values = np.where(possible, values, 0)
    logarithm = (
        -gammaln(values + 1.0)
        - gammaln(trials - values + 1.0)
        + values * (np.log(share) - np.log1p(-share))
    )
    logarithm[~possible] = -np.inf
    highest = logarithm.max(axis=1, keepdims=True)
    return np.asarray(np.exp(logarithm - np.where(np.isfinite(highest), highest, 0.0)))


def _tail_of_many(
    held: NDArray[np.float64], sizes: NDArray[np.int64], variances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same as :func:`_tail` from the normal distribution with continuity correction."""
    own = np.sum(held * (1 - held), axis=1)
    free = np.clip(1 - own / np.maximum(variances, _TINY), 0.0, 1.0)
    needed = held.shape[1] // 2 + 1
    above = np.minimum(held.sum(axis=1), sizes) - (needed - 0.5)
    deviation = np.sqrt(own * free)
    certain = np.where(above > 0, np.inf, -np.inf)
    return np.asarray(ndtr(np.divide(above, deviation, out=certain, where=deviation > 0)))
