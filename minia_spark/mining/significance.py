"""Which structures are more than chance, and which come again: lift, q-values, stability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError
from minia_spark.mining.chance import log_tail
from minia_spark.mining.model import ItemRows, best_matches
from minia_spark.smh.arrays import MalformedError

__all__ = ["lift", "q_values", "stability", "surprise"]


def lift(support: NDArray[np.integer], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Support over expected support: float64 array, shape (k,).

    NaN where both are 0, infinite where only the expectation is.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: NDArray[np.float64] = np.asarray(support, dtype=np.float64) / expected
    return ratio


def surprise(support: NDArray[np.integer], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """How improbable a support is by chance; a score for :func:`q_values`.

    Parameters
    ----------
    support : integer array, shape (k,)
    expected : float64 array, shape (k,)

    Returns
    -------
    float64 array, shape (k,)
        ``-log10 P(X >= support)`` for a Poisson-distributed X, >= 0; infinite when the
        expectation is 0 and the support is not.
    """
    score: NDArray[np.float64] = np.abs(log_tail(support, expected) / np.log(10))
    return score


def q_values(
    scores: NDArray[np.float64], decoys: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Estimate the false discovery rate at each score from decoys.

    Parameters
    ----------
    scores : float64 array, shape (k,)
        Larger is better; not NaN.
    decoys : sequence of float64 arrays
        The scores of what was found in each decoy collection with the same settings; at least
        one collection, each of any length.

    Returns
    -------
    float64 array, shape (k,)
        The smallest estimated rate at which a score is still reported, 0 to 1.

    Raises
    ------
    SettingsError
        When there is no decoy collection.
    MalformedError
        When a score is NaN.

    Notes
    -----
    At a threshold t the estimate is ``(D + 1) / R / T``, with D decoys of R collections and T
    targets at t or above. The added 1 keeps it from being 0 for want of decoys; so k structures
    can reach a q of at least ``1 / (R * k)``.
    """
    if not decoys:
        raise SettingsError("q-values need at least one decoy collection")
    against = np.sort(np.concatenate(decoys))
    if np.isnan(scores).any() or np.isnan(against).any():
        raise MalformedError("a score is not a number")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    above = len(against) - np.searchsorted(against, ranked, side="left")
    targets = len(scores) - np.searchsorted(np.sort(scores), ranked, side="left")
    rates = np.minimum(1.0, (above + 1) / len(decoys) / targets)
    result = np.empty(len(scores), dtype=np.float64)
    result[order] = np.minimum.accumulate(rates[::-1])[::-1]
    return result


def stability(
    structures: ItemRows, others: Sequence[ItemRows], *, jaccard: float = 0.5
) -> NDArray[np.float64]:
    """Share of other runs in which each structure reappears.

    Parameters
    ----------
    structures : ItemRows
        k structures.
    others : sequence of ItemRows
        What the same collection gave under other seeds.
    jaccard : float
        Similarity from which on a structure counts as the same.

    Returns
    -------
    float64 array, shape (k,)
        0 to 1; NaN when there is no other run.
    """
    if not others:
        return np.full(len(structures.offsets) - 1, np.nan)
    found = [best_matches(structures, other)[1] >= jaccard for other in others]
    share: NDArray[np.float64] = np.mean(found, axis=0)
    return share
