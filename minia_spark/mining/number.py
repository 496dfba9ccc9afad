"""How many of a structure's words an image holds by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

__all__ = ["more_than_half", "number_held"]

_EXACT_WORDS = 100
"""Above this number of words the number that is held is taken as normal."""


def number_held(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution of how many of independent words an image holds (Poisson-binomial).

    Parameters
    ----------
    odds : float64 array, shape (d, n)
        Probability of each word in each image.

    Returns
    -------
    float64 array, shape (d, n + 1)
        Only positive terms are added, so small probabilities keep their relative precision.
    """
    rows, words = odds.shape
    numbers = np.zeros((rows, words + 1))
    numbers[:, 0] = 1.0
    for word in range(words):
        success = odds[:, word, None]
        moved = numbers[:, :-1] * success
        numbers *= 1 - success
        numbers[:, 1:] += moved
    return numbers


def more_than_half(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that an image holds more than half of independent words.

    Parameters
    ----------
    odds : float64 array, shape (d, n)
        Probability of each word in each image.

    Returns
    -------
    float64 array, shape (d,)
        Above 100 words from the normal distribution, with continuity correction.
    """
    words = odds.shape[1]
    if words <= _EXACT_WORDS:
        return np.asarray(number_held(odds)[:, words // 2 + 1 :].sum(axis=1))
    deviation = np.sqrt(np.sum(odds * (1 - odds), axis=1))
    above = odds.sum(axis=1) - (words // 2 + 0.5)
    certain = np.where(above > 0, np.inf, -np.inf)
    return np.asarray(ndtr(np.divide(above, deviation, out=certain, where=deviation > 0)))
