"""Chance with a background: what images would hold if totals and broad differences were all.

Images differ in broad ways: size, brightness, noise, how full the field is. Most words follow
these, so that in images of many words nearly every pair of words is together more often than
totals explain, and none of it is a pattern. Here the probability that an image holds a word is::

    logit P = a_image + b_word + u_image . v_word

with a few numbers u an image and v a word, the *factors* (logistic principal components). Without
factors it is the chance of :mod:`.chance`. How many factors there are shows itself: with enough of
them, what two words share beyond the expectation is standard normal for nearly all pairs, and
with too few it is far wider.

The numbers of the words are fitted once, to a sample, and then stay; those of an image depend on
these and on the image alone. All are kept on a grid, so that what is summed over images is whole
numbers, which may be added up in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from minia_spark.base.ragged import row_numbers
from minia_spark.smh.arrays import Documents
from minia_spark.smh.hashing import fmix32

__all__ = [
    "ENOUGH",
    "PROBABILITY_ONE",
    "Background",
    "dense",
    "fit_background",
    "in_sample",
    "spread_of",
]

PROBABILITY_ONE = 1 << 16
"""Probabilities are whole numbers of this."""
_GRID = 1 << 10
"""Steps of a number of an image or of a word."""
_LARGEST_LOGIT = 16.0
_STEPS_A_LOGIT = 1 << 8
_TABLE = np.clip(
    np.rint(
        PROBABILITY_ONE
        / (1 + np.exp(-(np.arange(-16 * 256, 16 * 256 + 1, dtype=np.float64) / _STEPS_A_LOGIT)))
    ),
    1,
    PROBABILITY_ONE - 1,
)
_SHIFT = 12
"""A product of two numbers on the grid, to a step of the table."""

_CELLS = 1 << 18
"""Probabilities held at once: what fits the cache."""
_LONGEST_STEP = 2.0
_OF_TOTALS, _OF_FACTORS = 1e-3, 1.0
"""Weights that keep the numbers finite: u is normal with variance 1, a and b are nearly free."""
_STEPS_OF_AN_IMAGE = 12
_STEPS_OF_A_DECOY = 3  # from where the image that it was drawn from stands
_ROUNDS, _MOST_REPEATS, _SETTLED = 5, 5, 0.005
"""A fit is refined so many rounds, and again until the spread settles."""
_FEWEST_TESTED = 1000
"""Pairs of words that must be common enough for the spread to be told."""
ENOUGH, _TOTALS_ENOUGH = 1.08, 1.06
"""A background, or totals alone, are good enough when the spread they leave is at most this."""
_LOOKAHEAD, _GAIN = 4, 1.05
_SAMPLE_CELLS = 1 << 23
"""Images x words of the sample that the numbers of the words are fitted to."""
_SAMPLE = np.uint32(0xC2B2AE35)


def in_sample(keys: NDArray[np.uint32], images: int, words: int) -> NDArray[np.bool_]:
    """Tell which images the numbers of the words are fitted to: some 8,000 for 1,000 words.

    Parameters
    ----------
    keys : uint32 array, shape (n,)
        Of some of the images; what is chosen depends on each key alone.
    images, words : int
        Of the whole collection.
    """
    wanted = max(1, _SAMPLE_CELLS // max(1, words))
    limit = min(2**32, wanted * 2**32 // max(1, images))
    return fmix32(keys ^ _SAMPLE) < limit if limit < 2**32 else np.ones(len(keys), dtype=np.bool_)


def dense(documents: Documents, words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return which documents hold each word, 0 or 1: float64 array, shape (n, v).

    Words of documents that are not among `words` (ascending) are left out.
    """
    result = np.zeros((len(documents), len(words)))
    at = np.searchsorted(words, documents.items)
    at[at == len(words)] = 0
    known = words[at] == documents.items if len(words) else np.zeros(len(at), dtype=np.bool_)
    result[row_numbers(documents.offsets)[known], at[known]] = 1.0
    return result


@dataclass(frozen=True, eq=False)
class Background:
    """Numbers of the words, from which those of any image follow.

    Parameters
    ----------
    words : uint32 array, shape (v,)
        Ascending.
    offsets : int32 array, shape (v,)
        b, in units of 1 / 1024.
    loadings : int32 array, shape (v, k)
        v, in units of 1 / 1024; the factor that explains most is first.
    spreads : float64 array, shape (at least k + 1,)
        Robust standard deviation of z over all pairs of words, without factors, with one, ...;
        see :func:`spread_of`.
    """

    words: NDArray[np.uint32]
    offsets: NDArray[np.int32]
    loadings: NDArray[np.int32]
    spreads: NDArray[np.float64]

    @property
    def rank(self) -> int:
        """Number of factors, k."""
        return int(self.loadings.shape[1])

    @property
    def spread(self) -> float:
        """The spread that is left with the factors."""
        return float(self.spreads[self.rank])

    def _basis(self) -> NDArray[np.float64]:
        ones = np.full((len(self.words), 1), float(_GRID))
        return np.concatenate([ones, self.loadings], axis=1)

    def numbers(
        self, held: NDArray[np.float64], start: NDArray[np.int32] | None = None
    ) -> NDArray[np.int32]:
        """Fit the numbers of images.

        Parameters
        ----------
        held : float64 array, shape (n, v)
            From :func:`dense`.
        start : int32 array, shape (n, k + 1), optional
            Numbers that are nearly right.

        Returns
        -------
        int32 array, shape (n, k + 1)
            a and u of every image, in units of 1 / 1024: the maximum of the posterior, u being
            normal with variance 1 beforehand.
        """
        basis = self._basis() / _GRID
        fixed = self.offsets[None, :] / _GRID
        if start is None:
            share = (held.sum(axis=1) + 0.5) / (len(self.words) + 1.0)
            mean = np.log(share / (1 - share)) - float(np.mean(fixed)) if len(self.words) else 0.0
            rows = np.zeros((len(held), self.rank + 1))
            rows[:, 0] = np.clip(mean, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        else:
            rows = start / _GRID
        for _ in range(_STEPS_OF_AN_IMAGE if start is None else _STEPS_OF_A_DECOY):
            rows = _newton(held, basis, fixed, rows)
        return np.rint(rows * _GRID).astype(np.int32)

    def probabilities(
        self, numbers: NDArray[np.int32], columns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the probability that each image holds each word.

        Parameters
        ----------
        numbers : int32 array, shape (n, k + 1)
            From :meth:`numbers`.
        columns : int64 array, shape (w,), optional
            Words to look at, as places among `words`; all by default.

        Returns
        -------
        float64 array, shape (n, w)
            Whole numbers from 1 to 65,535, in units of 2**-16.
        """
        basis, fixed = self._basis(), self.offsets.astype(np.float64) * _GRID
        if columns is not None:
            basis, fixed = basis[columns], fixed[columns]
        # products and sums of whole numbers below 2**53: exact in whatever order
        logits = numbers.astype(np.float64) @ basis.T + fixed
        return _probabilities_on_grid(logits)

    def draw(
        self, probabilities: NDArray[np.float64], keys: NDArray[np.uint32], seed: int
    ) -> NDArray[np.float64]:
        """Draw images that differ from the given ones by chance alone.

        Parameters
        ----------
        probabilities : float64 array, shape (n, v)
            From :meth:`probabilities`, of all words.
        keys : uint32 array, shape (n,)
            Of the images; what is drawn depends on key, seed and probabilities.
        seed : int
            0 to 2**64 - 1.

        Returns
        -------
        float64 array, shape (n, v)
            0 or 1.
        """
        return (_random_parts(keys, self.words, seed) < probabilities).astype(np.float64)


def _probabilities_on_grid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.floor(logits * 2.0**-_SHIFT).astype(np.int32)
    np.clip(steps, -16 * _STEPS_A_LOGIT, 16 * _STEPS_A_LOGIT, out=steps)
    steps += 16 * _STEPS_A_LOGIT
    return _TABLE[steps]


def _random_parts(
    keys: NDArray[np.uint32], words: NDArray[np.uint32], seed: int
) -> NDArray[np.uint16]:
    """Random numbers of 16 bits for every image and word: shape (n, v).

    SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014) of a counter that starts where image and seed say, four words to a number.
    """
    quarter = words >> np.uint32(2)
    blocks, at = np.unique(quarter, return_inverse=True)
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        start = _mixed(_mixed(np.array([seed], dtype=np.uint64)) ^ keys.astype(np.uint64))
        counters = start[:, None] + (blocks.astype(np.uint64) + np.uint64(1)) * golden
        drawn = _mixed(counters)
    parts = drawn.astype("<u8", copy=False).view("<u2").reshape(len(keys), len(blocks), 4)
    return parts.reshape(len(keys), -1)[:, at * 4 + (words & np.uint32(3))]


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def spread_of(excess: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    """Robust standard deviation of z over pairs of words: inter-quartile range / 1.349.

    Parameters
    ----------
    excess : float64 array, shape (p,)
        Of every pair, the sum over images of (X_a - P_a) (X_b - P_b), X being 1 where an image
        holds a word.
    variances : float64 array, shape (p,)
        Sum over images of P_a (1 - P_a) P_b (1 - P_b).

    Returns
    -------
    float
        z = excess / sqrt(variance), over pairs with a variance of at least 1: rarer ones are far
        from normal. 0 where there are fewer than 1,000 of these.
    """
    common = variances >= 1.0
    if np.count_nonzero(common) < _FEWEST_TESTED:
        return 0.0
    z = excess[common] / np.sqrt(variances[common])
    low, high = np.percentile(z, [25, 75])
    return float(high - low) / 1.349


def _odds(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn logits into probabilities, in place."""
    np.clip(logits, -30.0, 30.0, out=logits)
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    logits += 1.0
    np.reciprocal(logits, out=logits)
    return logits


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, start + step)


def _newton(
    held: NDArray[np.float64],
    basis: NDArray[np.float64],
    fixed: NDArray[np.float64],
    rows: NDArray[np.float64],
    threads: int = 1,
) -> NDArray[np.float64]:
    """One step of Newton's method for every row: logits are rows . basis + fixed.

    Shapes: held (n, m), basis (m, d), fixed (1, m) or (n, 1), rows (n, d).
    """
    size = basis.shape[1]
    ridge = np.full(size, _OF_FACTORS)
    ridge[0] = _OF_TOTALS
    upper = np.triu_indices(size)
    products = basis[:, upper[0]] * basis[:, upper[1]]
    result = np.empty_like(rows)

    def solve(part: slice) -> None:
        own = rows[part]
        offset = fixed if fixed.shape[0] == 1 else fixed[part]
        odds = _odds(own @ basis.T + offset)
        slope = (held[part] - odds) @ basis - ridge * own
        odds *= 1.0 - odds
        flat = odds @ products
        curve = np.empty((len(own), size, size))
        curve[:, upper[0], upper[1]] = flat
        curve[:, upper[1], upper[0]] = flat
        curve += np.diag(ridge)
        step = np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        # a logarithm of odds is nearly quadratic within a step of this length, and not farther
        longest = np.abs(step @ basis.T).max(axis=1, initial=_LONGEST_STEP)
        result[part] = own + step * (_LONGEST_STEP / longest)[:, None]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(solve, _blocks(*held.shape)))
    np.clip(result[:, 0], -_LARGEST_LOGIT, _LARGEST_LOGIT, out=result[:, 0])
    return result


class _Fit:
    """Numbers of images and words while they are fitted to each other."""

    def __init__(self, held: NDArray[np.float64], threads: int) -> None:
        self.threads = threads
        self.held, self.turned = held, np.ascontiguousarray(held.T)
        entries = np.sqrt(max(1.0, held.sum()))
        # a word that the sample lacks is taken to be in half an image
        self.images = np.log((held.sum(axis=1) + 0.5) / entries)[:, None]
        self.words = np.log((held.sum(axis=0) + 0.5) / entries)[:, None]

    def refine(self, rounds: int) -> None:
        """Fit images to words, words to images, in turn."""
        for _ in range(rounds):
            basis = np.concatenate([np.ones((len(self.words), 1)), self.words[:, 1:]], axis=1)
            self.images = _newton(
                self.held, basis, self.words[:, 0][None, :], self.images, self.threads
            )
            basis = np.concatenate([np.ones((len(self.images), 1)), self.images[:, 1:]], axis=1)
            self.words = _newton(
                self.turned, basis, self.images[:, 0][None, :], self.words, self.threads
            )
            self._normalise()

    def _normalise(self) -> None:
        """Give u mean 0 and variance 1, without a correlation between factors."""
        scores = self.images[:, 1:]
        if not scores.shape[1]:
            return
        mean = scores.mean(axis=0)
        self.words[:, 0] += self.words[:, 1:] @ mean
        scores = scores - mean
        spread = np.linalg.cholesky(
            scores.T @ scores / len(scores) + 1e-9 * np.eye(scores.shape[1])
        )
        self.images[:, 1:] = np.linalg.solve(spread, scores.T).T
        self.words[:, 1:] = self.words[:, 1:] @ spread

    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return residuals and variances of all pairs of words."""
        v = len(self.words)
        residuals, variances = np.zeros((2, v, v))
        basis = np.concatenate([np.ones((v, 1)), self.words[:, 1:]], axis=1)
        step = max(256, _CELLS // max(1, v))
        for start in range(0, len(self.held), step):
            part = slice(start, start + step)
            odds = _odds(self.images[part] @ basis.T + self.words[:, 0])
            left = self.held[part] - odds
            residuals += left.T @ left
            odds *= 1.0 - odds
            variances += odds.T @ odds
        return residuals, variances

    def add(self, residuals: NDArray[np.float64], variances: NDArray[np.float64]) -> None:
        """Add the factor that explains most of what is left."""
        scale = 1.0 / np.sqrt(np.maximum(np.diag(residuals), 1e-9))
        left = residuals * scale[:, None] * scale
        last = len(left) - 1
        _, vectors = eigh(left, subset_by_index=[last, last])
        loading = vectors * np.sqrt(len(left)) * 0.5
        self.words = np.concatenate([self.words, loading], axis=1)
        self.images = np.concatenate([self.images, np.zeros((len(self.images), 1))], axis=1)


def fit_background(
    documents: Documents,
    words: NDArray[np.uint32],
    *,
    max_rank: int = 64,
    threads: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Background:
    """Fit the numbers of the words to a sample, with as many factors as it takes.

    Parameters
    ----------
    documents : Documents
        n documents; those without words tell nothing.
    words : uint32 array, shape (v,)
        Ascending.
    max_rank : int
        Most factors, >= 0.
    threads : int
        >= 1; the result does not depend on it.
    progress : callable, optional
        Called with what is being done, how much of it is done, and how much there is.

    Returns
    -------
    Background
        With the fewest factors for which the spread is at most 1.08 (none: 1.06), or for which
        four more, or as many as can be judged, would not make it smaller by 5 %.

    Notes
    -----
    Newton's method for images and words in turn; a factor is added in the direction that explains
    most of what is left. In the end factors are turned so that the first explains most.
    """
    held = dense(documents, words)
    held = held[held.sum(axis=1) > 0]
    fit = _Fit(held, threads)
    spreads: list[float] = []
    states: list[NDArray[np.float64]] = []
    chosen = 0
    most = max(0, min(max_rank, min(held.shape) - 1))
    while len(held):
        residuals, variances, spread = _settled(fit)
        if spreads and not spread:  # a factor more, and too few pairs are left to tell by
            while spreads[chosen] / spreads[-1] >= _GAIN:
                chosen += 1
            break
        spreads.append(spread)
        states.append(fit.words)  # a step gives new arrays
        rank = len(spreads) - 1
        if progress is not None:
            progress("factors of the background", rank, most)
        if spreads[rank] <= (ENOUGH if rank else _TOTALS_ENOUGH) or rank == most:
            chosen = rank
            break
        if rank - chosen == _LOOKAHEAD:
            if spreads[chosen] / spreads[rank] < _GAIN:
                break
            chosen += 1
        fit.add(residuals, variances)
    if not states:
        none = np.zeros((len(words), 0), dtype=np.int32)
        return Background(words, np.zeros(len(words), np.int32), none, np.zeros(1))
    return _on_grid(words, states[chosen], np.array(spreads))


def _settled(fit: _Fit) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Refine a fit until the spread it leaves does not change; return its sums and the spread."""
    spread = np.inf
    for _ in range(_MOST_REPEATS):
        fit.refine(_ROUNDS)
        residuals, variances = fit.sums()
        upper = np.triu_indices(len(residuals), k=1)
        before, spread = spread, spread_of(residuals[upper], variances[upper])
        if abs(before - spread) <= _SETTLED * spread:
            break
    return residuals, variances, spread


def _on_grid(
    words: NDArray[np.uint32],
    state: NDArray[np.float64],
    spreads: NDArray[np.float64],
) -> Background:
    loadings = state[:, 1:]
    # u has variance 1, so the lengths of v's directions say what a factor explains
    turned, sizes, _ = np.linalg.svd(loadings, full_matrices=False)
    loadings = turned * sizes
    if loadings.shape[1]:
        largest = np.abs(loadings).argmax(axis=0)
        loadings = loadings * np.sign(loadings[largest, np.arange(loadings.shape[1])])
    return Background(words, _rounded(state[:, 0]), _rounded(loadings), spreads)


def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.int32]:
    largest = _LARGEST_LOGIT * _GRID
    return np.rint(np.clip(numbers * _GRID, -largest, largest)).astype(np.int32)
