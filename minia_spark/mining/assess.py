"""What is known of structures: how far each is to be believed, and their order by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import positions_of_rows
from minia_spark.mining.chance import Chance, expected_support
from minia_spark.mining.model import Structures
from minia_spark.mining.significance import lift, q_values, stability, surprise

__all__ = ["Assessment", "evaluate"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """Structures with what is known about them, the most trustworthy first.

    Structures that are both significant and reproducible come first, then those that are
    significant, then the rest; within each the most surprising first, and of equally surprising
    ones (to six decimals) the order of :class:`Structures`.

    Parameters
    ----------
    structures : Structures
        k structures; their ``sets`` need not fall from one to the next.
    support : int64 array, shape (k,)
        Images that hold more than half of the structure's words.
    expected_support : float64 array, shape (k,)
        The same if only totals mattered.
    lift : float64 array, shape (k,)
        Support over expected support.
    beyond : float64 array, shape (k,)
        The expected support if the background mattered too, see :mod:`.background`; that by
        totals where there is none.
    lift_beyond : float64 array, shape (k,)
        Support over that.
    surprise : float64 array, shape (k,)
        ``-log10`` of the probability of such a support or more by chance, see
        :func:`.significance.surprise`.
    q : float64 array, shape (k,)
        Estimated rate of false discoveries among the structures that are as surprising or more
        so; NaN when there are no decoys.
    stability : float64 array, shape (k,)
        Share of the other seeds under which the structure reappears; NaN when there are none.
    significant, reproducible : bool arrays, shape (k,)
        Whether q is small enough (false without decoys), and the stability large enough (false
        without other seeds).
    """

    structures: Structures
    support: NDArray[np.int64]
    expected_support: NDArray[np.float64]
    lift: NDArray[np.float64]
    beyond: NDArray[np.float64]
    lift_beyond: NDArray[np.float64]
    surprise: NDArray[np.float64]
    q: NDArray[np.float64]
    stability: NDArray[np.float64]
    significant: NDArray[np.bool_]
    reproducible: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.structures)


def evaluate(
    structures: Structures,
    support: NDArray[np.int64],
    chance: Chance,
    *,
    decoy_scores: Sequence[NDArray[np.float64]],
    others: Sequence[Structures],
    beyond: NDArray[np.float64] | None = None,
    scores: NDArray[np.float64] | None = None,
    max_q: float = 0.05,
    min_stability: float = 0.5,
) -> Assessment:
    """Judge structures by decoys and other runs.

    Parameters
    ----------
    structures : Structures
    support : int64 array, shape (k,)
        Of the whole collection.
    chance : Chance
        Of the collection; decoys have the same.
    decoy_scores : sequence of float64 arrays
        For each decoy how surprising it is what was found in it, see `scores`.
    others : sequence of Structures
        What other seeds gave.
    beyond : float64 array, shape (k,), optional
        Expected support by the background; by default what totals give.
    scores : float64 array, shape (k,), optional
        What the decoys' are compared with; by default the surprise of the support.
    max_q, min_stability : float
        From where on a structure is called significant, and reproducible; 0 to 1.

    Returns
    -------
    Assessment

    Raises
    ------
    SettingsError
        When a limit is out of range.
    """
    for name, value in (("max_q", max_q), ("min_stability", min_stability)):
        if not 0.0 <= value <= 1.0:
            raise SettingsError(f"{name} must be within 0..1, got {value}")
    expected = expected_support(structures, chance)
    if beyond is None:
        beyond = expected
    score = surprise(support, beyond)
    q = np.full(len(structures), np.nan)
    if decoy_scores:
        q = q_values(score if scores is None else scores, decoy_scores)
    stable = stability(structures, others)
    significant, reproducible = q <= max_q, stable >= min_stability
    believed = 2 * significant.astype(np.int8) + (significant & reproducible)
    order = np.lexsort((-np.round(score, 6), -believed))
    offsets, places = positions_of_rows(structures.offsets, order)
    ordered = Structures(
        offsets,
        structures.items[places],
        structures.frequencies[places],
        structures.sets[order],
    )
    return Assessment(
        ordered,
        support[order],
        expected[order],
        lift(support, expected)[order],
        beyond[order],
        lift(support, beyond)[order],
        score[order],
        q[order],
        stable[order],
        significant[order],
        reproducible[order],
    )
