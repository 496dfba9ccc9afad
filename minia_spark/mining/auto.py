"""Choose tuple size and number of tables from what chance does in a collection.

Words are alike by chance: the more so the more frequent they are, or the rarer (of words in two
images each, few pairs that meet at all are unlike). Tables are to find what lies above that, and
as little as possible of what does not. How similar words are by chance is measured in a decoy
(:func:`minia_spark.mining.shuffle.decoy`) on a sample of all pairs of words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrik

from minia_spark.base.errors import SettingsError
from minia_spark.mining.background import Background
from minia_spark.mining.chance import Chance, Kinds, PairKinds, numbered
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.model import SingleLink
from minia_spark.mining.pairs import WordPairs
from minia_spark.smh.arrays import MalformedError
from minia_spark.smh.hashing import DEFAULT_SEED, MAX_PERMUTATIONS

__all__ = ["Choice", "choose", "sample_pairs"]

_SAMPLE = 300_000
"""Pairs of words in a sample."""
_TUPLE_SIZES = (2, 3, 4, 5, 6)
"""With 1, words meet as often as they are alike, by chance or not."""
_FOUND = 3.89
"""Meetings to expect of a pair that is to meet twice with a probability of 90 % (Poisson)."""
_LEAST = 500
"""Fewest tables for consensus: more images tell weaker similarities, and the choice stays."""
_LOWEST = 0.05
"""Consensus finds the pairs whose least telling similarity is above this quantile."""
_HASH_COST, _GROUP_COST, _PAIR_COST = 0.1, 50.0, 100.0
"""Nanoseconds (one core) for a minimum, an item in a table, a pair in a set: orders of magnitude,
of which only the ratios matter."""


@dataclass(frozen=True)
class Choice:
    """Settings of the mining, and why.

    Parameters
    ----------
    tuple_size, tables : int or None
        r and l; None where a background is mined against.
    eta : float
        Jaccard similarity of words that the tables are made for.
    chance_median, chance_high : float
        Similarity of two words by chance: the median, and what one pair in 1,000 exceeds.
    reasons : tuple of str
        The same in sentences, to be printed and recorded.
    background : Background or None
        What chance is beside totals.
    """

    tuple_size: int | None
    tables: int | None
    eta: float
    chance_median: float
    chance_high: float
    reasons: tuple[str, ...]
    background: Background | None = None


def sample_pairs(
    words: NDArray[np.uint32], *, size: int = _SAMPLE, seed: int = DEFAULT_SEED
) -> WordPairs:
    """Draw different pairs of words, each as likely as any other.

    Parameters
    ----------
    words : uint32 array, shape (v,)
        Ascending.
    size : int
        About how many (drawn twice counts once); all pairs where there are not more, >= 1.
    seed : int
        >= 0.

    Returns
    -------
    WordPairs
        With one meeting each.
    """
    count = len(words)
    if count * (count - 1) // 2 <= size:
        first, second = np.triu_indices(count, k=1)
    else:
        drawn = np.random.default_rng(seed).integers(count, size=(2, size))
        low, high = drawn.min(axis=0), drawn.max(axis=0)
        codes = np.unique((low * count + high)[low != high])
        first, second = codes // count, codes % count
    return WordPairs(words[first], words[second], np.ones(len(first), dtype=np.int64))


def choose(
    chance: Chance,
    pairs: WordPairs,
    shared: NDArray[np.int64],
    link: Consensus | SingleLink,
    *,
    tuple_size: int | None = None,
    tables: int | None = None,
    max_tables: int = 20_000,
    max_bytes: int = 4 << 30,
) -> Choice:
    """Choose settings from totals and a sample of what chance does.

    Parameters
    ----------
    chance : Chance
        Of the collection.
    pairs : WordPairs
        A sample of all pairs, from :func:`sample_pairs`.
    shared : int64 array, shape (p,)
        Documents of a decoy that hold both words; sums over its pieces.
    link : Consensus or SingleLink
        What the sets are mined for.
    tuple_size, tables : int, optional
        What is not to be chosen but taken as it is.
    max_tables : int
        Most tables that are chosen, >= 1.
    max_bytes : int
        Largest signatures, words x tuple size x tables x 4 bytes, for which tables are chosen,
        >= 1.

    Returns
    -------
    Choice

    Raises
    ------
    SettingsError
        When a parameter is out of range.
    MalformedError
        When `shared` does not fit.

    Notes
    -----
    *Consensus* tests every pair that tables propose, so eta is the similarity from which on tests
    can succeed: for each pair the fewest shared documents that make a link give a similarity, and
    eta is the 5 % quantile of these. There are as many tables as let a pair of similarity eta meet
    twice with a probability of 90 %, and r is what makes that cheapest: a small one hashes less, a
    large one has fewer meetings by chance. There are at least 500: the choice is kept while the
    collection grows, and more documents tell weaker similarities.

    *Single* link has no test, so eta lies above chance: of the V - 1 others, a word has on average
    one more similar than eta by chance. ``l = int(ln 0.5 / ln(1 - eta**r))``, and r is the
    smallest with which a word meets, in all tables together, on average at most one that is less
    similar than eta by chance, or the largest with which l is at most `max_tables`.
    """
    if max_tables < 1 or max_bytes < 1:
        raise SettingsError(
            f"max_tables and max_bytes must be at least 1, got {max_tables} and {max_bytes}"
        )
    if shared.shape != pairs.first.shape:
        raise MalformedError(f"{len(shared)} numbers of shared documents for {len(pairs)} pairs")
    left = chance.word_images[np.searchsorted(chance.words, pairs.first)]
    right = chance.word_images[np.searchsorted(chance.words, pairs.second)]
    similar = shared / np.maximum(1, left + right - shared)
    median, high = (float(np.quantile(similar, q)) if len(pairs) else 0.0 for q in (0.5, 0.999))
    words = len(chance.words)
    reasons = [
        f"By chance two words have a Jaccard similarity of {median:.3f} (median), and one pair in "
        f"1,000 is above {high:.3f} ({words} words, a decoy, {len(pairs)} pairs)."
    ]
    sizes = _TUPLE_SIZES if tuple_size is None else (tuple_size,)
    if isinstance(link, Consensus):
        kinds = Kinds(chance)
        codes, which = numbered(kinds.codes(pairs.first, pairs.second), kinds.number)
        probability = link.partners_by_chance / max(1, words - 1)
        eta = _least_telling(kinds.of(codes), which, probability, link.min_lift)
        if eta < 1:
            tuple_size, wanted = _cheapest(eta, similar, chance, sizes)
            reasons.append(
                f"Sharing of documents can be told from chance from a similarity of {eta:.3f} on; "
                f"with tuples of {tuple_size}, {wanted} tables let such a pair meet twice with a "
                "probability of 90 %" + (", at the least cost." if len(sizes) > 1 else ".")
            )
        else:
            tuple_size, wanted = sizes[0], 0
            reasons.append("These documents are too few to tell any sharing from chance.")
        if wanted < _LEAST:
            wanted = _LEAST
            reasons.append(f"{wanted} tables are made, to be of use for more documents too.")
    else:
        eta = float(np.quantile(similar, 1 - 1 / max(2, words))) if len(pairs) else 0.0
        eta = min(0.99, max(eta, 0.01))
        tuple_size, wanted = _steepest(eta, similar, words, max_tables, sizes)
        reasons.append(
            f"A word has one other that is more similar than {eta:.3f} by chance; with tuples of "
            f"{tuple_size}, {wanted} tables let such a pair meet with a probability of 50 % and "
            "few that are less similar."
        )
    if tables is not None:
        reasons.append(f"{tables} tables are set.")
        return Choice(tuple_size, tables, eta, median, high, tuple(reasons))
    most = min(max_tables, max_bytes // (4 * tuple_size * max(1, words)))
    most = max(1, min(most, MAX_PERMUTATIONS // tuple_size))
    if wanted > most:
        reasons.append(f"Cut down to {most} tables, the most that max_tables and max_bytes allow.")
    return Choice(tuple_size, min(wanted, most), eta, median, high, tuple(reasons))


def _least_telling(
    kinds: PairKinds, which: NDArray[np.int64], probability: float, min_lift: float
) -> float:
    """Return the similarity from which on pairs can be linked; 1 where none can be."""
    needed = np.maximum(
        _quantile(1 - min(0.5, probability), kinds.expected) + 1, min_lift * kinds.expected
    )
    chosen = which[(needed <= kinds.fewer)[which]]
    needed, union = needed[chosen], (kinds.fewer + kinds.more)[chosen] - needed[chosen]
    similar = np.minimum(1.0, needed / union)
    return float(np.quantile(similar, _LOWEST)) if len(chosen) else 1.0


def _quantile(probability: float, expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest number that a Poisson-distributed one is at most with this probability."""
    above = np.ceil(pdtrik(probability, expected))
    below = np.maximum(above - 1, 0)
    return np.asarray(np.where(pdtr(below, expected) >= probability, below, above))


def _cheapest(
    eta: float, similar: NDArray[np.float64], chance: Chance, tuple_sizes: Sequence[int]
) -> tuple[int, int]:
    words = len(chance.words)
    postings = float(chance.image_sizes @ chance.image_counts)
    pairs = words * (words - 1) / 2
    costs = []
    for tuple_size in tuple_sizes:
        tables = math.ceil(_FOUND / eta**tuple_size)
        meetings = pairs * float(np.mean(similar**tuple_size)) if len(similar) else 0.0
        table = _HASH_COST * tuple_size * postings + _GROUP_COST * words + _PAIR_COST * meetings
        costs.append((tables * table, tuple_size, tables))
    return min(costs)[1:]


def _steepest(
    eta: float,
    similar: NDArray[np.float64],
    words: int,
    max_tables: int,
    tuple_sizes: Sequence[int],
) -> tuple[int, int]:
    below = similar[similar < eta]
    share = len(below) / max(1, len(similar))
    chosen = (tuple_sizes[0], 0)
    for tuple_size in tuple_sizes:
        tables = max(1, int(math.log(0.5) / math.log1p(-(eta**tuple_size))))
        if tables > max_tables and chosen[1]:
            break
        chosen = tuple_size, tables
        met = 1 - (1 - below**tuple_size) ** tables
        if len(below) == 0 or (words - 1) * share * float(met.mean()) <= 1:
            break
    return chosen
