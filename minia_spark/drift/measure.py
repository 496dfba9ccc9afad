"""How a batch differs from the descriptors that the codebook was made from.

Four measures: the quantisation error, the divergence of the word histogram, words that are missing
and words that are too frequent. Each is compared with what a batch of the same kind would have, so
that a small batch is not taken for a different one:

- A codebook fits its own descriptors better than others. What others of the same kind would have
  is estimated by leaving one out: without it, the centre of its word, the mean of m descriptors,
  lies m / (m - 1) times as far away.
- Two samples of one histogram differ by chance. How much is computed for a random split of the
  features of both, with the words' totals held fixed.
- Features come in images, and those of one image are alike: n of them say as much as n / d
  independent ones. The design effect d (Kish 1965, Survey Sampling, 8.2; over all words as in Rao &
  Scott 1981, J. Am. Stat. Assoc. 76:221) is measured on the batch.

Counts and distances come as whole numbers: nothing here depends on how they were added up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Drift", "WordSums", "advice", "beyond", "divergence", "expected_divergence"]
__all__ += ["measure", "unseen_error"]

_DEVIATIONS = 3.0  # of chance, before a measure counts as beyond its limit
_FALSE_WORDS = 1e-3  # how many words a batch without drift has among dead and over-full ones
_OVERFULL = 2.0
_NAMED = 5  # batches that advice names
_NORMAL_FROM = 100.0  # variance of a binomial from which its square has the normal's moments
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class WordSums:
    """Sums over the images of a batch, all of them whole numbers.

    Attributes
    ----------
    occurrences : int64 array, shape (K,)
        How often each word occurs.
    squares : int64 array, shape (K,)
        Sum over the images of the square of how often the word occurs in it.
    images : int
        Images with at least one feature.
    squared_features : int
        Sum over the images of the square of their number of features.
    error, squared_error, error_times_features : int
        Sum over the images of e, e^2 and e n, where e is the sum of squared distances of its n
        features to their words, in squared grid units.
    """

    occurrences: NDArray[np.int64]
    squares: NDArray[np.int64]
    images: int
    squared_features: int
    error: int
    squared_error: int
    error_times_features: int


@dataclass(frozen=True)
class Drift:
    """What was measured of a batch; None where it has too little to measure.

    Attributes
    ----------
    images, features : int
        Images with at least one feature, and their features.
    words : int
        Words of the codebook, K.
    error, error_deviation : float or None
        Mean squared distance of a feature to its word, in squared units of the descriptor, and its
        standard error over images (infinite for a single image).
    expected_error : float or None
        What unseen features of the codebook's own kind would have.
    divergence : float or None
        Of the batch's words from the codebook's, see :func:`divergence`; in bits, in [0, 1].
    expected_divergence, divergence_deviation : float or None
        Its mean and standard deviation in a batch of this size that does not differ.
    dead_words, overfull_words : tuple of int
        Words that are missing though expected; words more than twice as frequent as expected.
        Both so clearly that chance gives a thousandth of a word in all, ascending.
    """

    images: int
    features: int
    words: int
    error: float | None
    error_deviation: float | None
    expected_error: float | None
    divergence: float | None
    expected_divergence: float | None
    divergence_deviation: float | None
    dead_words: tuple[int, ...]
    overfull_words: tuple[int, ...]

    @property
    def error_ratio(self) -> float | None:
        """The error by the expected one."""
        return self._by_expected(self.error)

    @property
    def error_ratio_deviation(self) -> float | None:
        """Standard error of :attr:`error_ratio`."""
        return self._by_expected(self.error_deviation)

    def _by_expected(self, value: float | None) -> float | None:
        return value / self.expected_error if value is not None and self.expected_error else None


def measure(
    batch: WordSums,
    *,
    training: NDArray[np.int64],
    training_errors: NDArray[np.float64],
    scale: float,
) -> Drift:
    """Return how a batch differs from what the codebook was made from.

    Parameters
    ----------
    batch : WordSums
        Over K words; may have no features.
    training : int64 array, shape (K,)
        How often each word occurs in the features the codebook was made from; at least one does.
    training_errors : float array, shape (K,)
        Mean squared distance of these to their word, in squared units of the descriptor; not read
        where the word does not occur.
    scale : float
        Grid units in a unit of the descriptor.
    """
    features = int(batch.occurrences.sum())
    expected_error = unseen_error(training, training_errors)
    if features == 0:
        nothing = (None, None, expected_error, None, None, None, (), ())
        return Drift(batch.images, 0, len(training), *nothing)
    error, deviation = _error(batch, features)
    effect = _design_effect(batch, features)
    both = batch.occurrences + training
    expected, spread = expected_divergence(
        both, features=features, training_features=int(training.sum()), design_effect=effect
    )
    dead, overfull = _odd_words(batch.occurrences, training, effect)
    return Drift(
        images=batch.images,
        features=features,
        words=len(training),
        error=error / scale**2,
        error_deviation=deviation / scale**2,
        expected_error=expected_error,
        divergence=divergence(batch.occurrences, training),
        expected_divergence=expected,
        divergence_deviation=spread,
        dead_words=tuple(dead.tolist()),
        overfull_words=tuple(overfull.tolist()),
    )


def unseen_error(occurrences: NDArray[np.int64], errors: NDArray[np.float64]) -> float | None:
    """Return the mean squared distance that unseen features of the same kind would have.

    Every feature is left out once (Stone 1974, J. R. Stat. Soc. B 36:111): its word's centre, the
    mean of m features, is then m / (m - 1) times as far from it. That another word may be nearer
    now, and that a feature alone in its word has none left, is not counted.

    Parameters
    ----------
    occurrences : int64 array, shape (K,)
    errors : float array, shape (K,)
        Mean squared distance of each word's features; not read where there are none.

    Returns
    -------
    float or None
        None when no word has two features.
    """
    several = occurrences > 1
    counts = occurrences[several].astype(np.float64)
    if not len(counts):
        return None
    return float((counts * errors[several] * (counts / (counts - 1)) ** 2).sum() / counts.sum())


def _error(batch: WordSums, features: int) -> tuple[float, float]:
    """Return the error of a feature and its deviation, in squared grid units.

    The mean is a ratio of sums over images, of which the deviation is that of the linearised ratio
    (Cochran 1977, Sampling Techniques, 2.11); exact fractions, as the terms nearly cancel.
    """
    mean = Fraction(batch.error, features)
    scatter = (
        batch.squared_error
        - 2 * mean * batch.error_times_features
        + mean * mean * batch.squared_features
    )
    if batch.images < 2:
        return float(mean), math.inf
    corrected = scatter * Fraction(batch.images, batch.images - 1)
    return float(mean), math.sqrt(float(corrected)) / features


def _design_effect(batch: WordSums, features: int) -> float:
    """Return how many features count as one, in [1, features]: sums over words of variances.

    The variance over images of a word's share p is that of the ratio x_i / n_i; summed over the
    words, each divided by what independent features would give, it is this closed form.
    """
    present = batch.occurrences > 0
    freedom = int(present.sum()) - 1
    if batch.images < 2:
        return float(features)
    if freedom < 1:
        return 1.0
    shares = batch.occurrences[present] / features
    scatter = float((batch.squares[present] / shares).sum()) - batch.squared_features
    effect = scatter / (features * freedom) * batch.images / (batch.images - 1)
    return float(min(max(effect, 1.0), features))


def divergence(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon divergence of two histograms in bits.

    ``JS(P, Q) = (KL(P | M) + KL(Q | M)) / 2`` with ``M = (P + Q) / 2``, logarithms to base 2 and
    0 log 0 = 0: 0 for equal shares, 1 for histograms that have no word in common (Lin 1991, IEEE
    Trans. Inf. Theory 37:145).

    Parameters
    ----------
    left, right : int64 arrays, shape (K,)
        Occurrences of every word; each with at least one.
    """
    return float(_terms(left, right, int(left.sum()), int(right.sum())).sum())


def _terms(
    left: NDArray[np.floating] | NDArray[np.integer],
    right: NDArray[np.floating] | NDArray[np.integer],
    left_total: int,
    right_total: int,
) -> NDArray[np.float64]:
    """Return what every word adds to the divergence."""
    p, q = left / left_total, right / right_total
    middle = (p + q) / 2
    # rel_entr is x log(x / y), and 0 for x = 0
    return np.asarray(special.rel_entr(p, middle) + special.rel_entr(q, middle)) / (2 * math.log(2))


def expected_divergence(
    both: NDArray[np.int64], *, features: int, training_features: int, design_effect: float
) -> tuple[float, float]:
    """Return mean and standard deviation of the divergence of a batch that does not differ.

    Under that hypothesis the batch is a random part of all features. With the totals t of the
    words held fixed, a word's occurrences in a batch of n of n + N features are binomial, and the
    divergence is a sum over words of functions of them. Features come in groups of d, the design
    effect, so that t / d groups (at least one) fall into the batch or not. Deviations of words are
    taken as independent.

    Parameters
    ----------
    both : int64 array, shape (K,)
        Occurrences of every word in the batch and in the training features together.
    features, training_features : int
        n and N, each at least 1.
    design_effect : float
        At least 1.

    Returns
    -------
    mean, deviation : float
        In bits.
    """
    chance = features / (features + training_features)
    totals = both[both > 0].astype(np.float64)
    groups = np.maximum(1, np.rint(totals / design_effect))
    kinds, inverse = np.unique(groups, return_inverse=True)
    means, variances = _moments(kinds, chance, features, training_features)
    # a word's term is proportional to its total, at equal shares
    mean = float((totals * means[inverse]).sum())
    variance = float((totals**2 * variances[inverse]).sum())
    return mean, math.sqrt(variance)


def _moments(
    groups: NDArray[np.float64], chance: float, features: int, training_features: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of one feature's term when its word has so many groups.

    Many groups: the term is a square of nearly normal deviations. Few: the binomial itself, within
    ten deviations of its middle.
    """
    variances = groups * chance * (1 - chance)
    unit = (1 / features + 1 / training_features) / (8 * math.log(2))
    means = unit / groups
    squares = 2 * means**2
    few = np.flatnonzero(variances < _NORMAL_FROM)
    reach = math.ceil(10 * math.sqrt(_NORMAL_FROM)) + 10
    for start in range(0, len(few), _ROWS_AT_ONCE):
        rows = few[start : start + _ROWS_AT_ONCE]
        count = groups[rows][:, None]
        first = np.maximum(0, np.floor(count * chance) - reach)
        number = first + np.arange(2 * reach + 1)
        weights = np.where(
            number <= count, _binomial(np.minimum(number, count), count, chance), 0.0
        )
        share = np.minimum(number / count, 1.0)
        terms = _terms(share, 1 - share, features, training_features)
        means[rows] = (weights * terms).sum(axis=1)
        squares[rows] = (weights * terms**2).sum(axis=1) - means[rows] ** 2
    return means, np.maximum(squares, 0.0)


def _binomial(
    number: NDArray[np.float64], count: NDArray[np.float64], chance: float
) -> NDArray[np.float64]:
    """Return the probability of so many out of a count; scipy.stats, with it, takes a second."""
    ways = special.gammaln(count + 1) - special.gammaln(number + 1)
    ways -= special.gammaln(count - number + 1)
    odds = special.xlogy(number, chance) + special.xlog1py(count - number, -chance)
    return np.asarray(np.exp(ways + odds))


def _odd_words(
    occurrences: NDArray[np.int64], training: NDArray[np.int64], design_effect: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the dead and the over-full words.

    With a word's total held fixed, its occurrences in the batch are binomial: so many groups of
    features, each in the batch with the batch's share of all features. Groups need not be whole:
    the tail of the binomial is an incomplete beta function.
    """
    features, known = int(occurrences.sum()), int(training.sum())
    chance = features / (features + known)
    level = _FALSE_WORDS / (2 * len(training))
    ours, total = occurrences / design_effect, (occurrences + training) / design_effect
    dead = (occurrences == 0) & (total * math.log1p(-chance) < math.log(level))
    more = occurrences * known > _OVERFULL * training * features
    tail = np.ones(len(training))
    tail[more] = special.betainc(ours[more], total[more] - ours[more] + 1, chance)
    return np.flatnonzero(dead), np.flatnonzero(more & (tail < level))


def beyond(
    drift: Drift,
    *,
    max_error_ratio: float,
    max_divergence: float,
    max_dead_share: float,
    max_overfull_share: float,
) -> list[str]:
    """Return a clause for every limit that a batch exceeds, beyond what chance explains.

    Error and divergence count when they exceed their limit by three of their own deviations.

    Parameters
    ----------
    drift : Drift
    max_error_ratio : float
        Of the error to the expected one.
    max_divergence : float
        Bits beyond the expected ones.
    max_dead_share, max_overfull_share : float
        Of the words.
    """
    found = []
    if drift.error_ratio is not None and drift.error_ratio_deviation is not None:
        surely = drift.error_ratio - _DEVIATIONS * drift.error_ratio_deviation
        if surely > max_error_ratio:
            found.append(
                f"its quantisation error is {drift.error_ratio:.2f} times the expected one"
            )
    if drift.divergence is not None:
        assert drift.expected_divergence is not None
        assert drift.divergence_deviation is not None
        excess = drift.divergence - drift.expected_divergence
        if excess - _DEVIATIONS * drift.divergence_deviation > max_divergence:
            found.append(
                f"its words diverge by {drift.divergence:.3f} bits where chance makes "
                f"{drift.expected_divergence:.3f}"
            )
    for words, limit, what in (
        (drift.dead_words, max_dead_share, "missing"),
        (drift.overfull_words, max_overfull_share, "far more frequent than expected"),
    ):
        if len(words) > limit * drift.words:
            found.append(f"{len(words):,} of {drift.words:,} words are {what}")
    return found


def advice(clauses: Mapping[str, Sequence[str]], warehouse: str) -> str | None:
    """Return a sentence on the batches that are beyond limits, and what to do.

    Parameters
    ----------
    clauses : mapping
        Batch -> what :func:`beyond` found of it; only of batches that the codebook was not made
        from, as re-fitting changes nothing about the others.
    warehouse : str
        Its location, for the command.

    Returns
    -------
    str or None
        None when nothing is beyond its limit.
    """
    found = {batch: told for batch, told in clauses.items() if told}
    if not found:
        return None
    if len(found) == 1:
        ((batch, told),) = found.items()
        what = f"Batch {batch} is unlike what the codebook was made from: {'; '.join(told)}."
    else:
        named = ", ".join(list(found)[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        what = f"{len(found):,} batches ({named}) are unlike what the codebook was made from."
    return f"{what} 'minia codebook refit --warehouse {warehouse}' fits a new one to all batches."
