"""Classes of galaxies from the votes of Galaxy Zoo 2 (Hart et al. 2016), as minIA takes them.

A galaxy is of a class when the debiased vote fractions on the way through the questions exceed
0.70, and the last one, its leaf, exceeds 0.75. A fraction that is missing exceeds nothing.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import InputError

__all__ = [
    "CLASSES",
    "COLUMNS",
    "LEAF",
    "MAPPING_COLUMNS",
    "OBJECT_COLUMN",
    "PATH",
    "Verdicts",
    "check_columns",
    "numbers",
    "verdicts",
]

PATH, LEAF = 0.70, 0.75
"""A fraction must be greater than this, on the way and at its end."""

OBJECT_COLUMN = "dr7objid"
MAPPING_COLUMNS = ("objid", "asset_id")

_SMOOTH = "t01_smooth_or_features_a01_smooth_debiased"
_FEATURES = "t01_smooth_or_features_a02_features_or_disk_debiased"
_EDGE_ON = (_FEATURES, "t02_edgeon_a04_yes_debiased")
_SPIRAL = (_FEATURES, "t02_edgeon_a05_no_debiased", "t04_spiral_a08_spiral_debiased")
_ODD = "t06_odd_a14_yes_debiased"

_RULES: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "ring": ((_ODD,), "t08_odd_feature_a19_ring_debiased"),
        "rounded": (_EDGE_ON, "t09_bulge_shape_a25_rounded_debiased"),
        "no_bulge": (_EDGE_ON, "t09_bulge_shape_a27_no_bulge_debiased"),
        "tight": (_SPIRAL, "t10_arms_winding_a28_tight_debiased"),
        "medium": (_SPIRAL, "t10_arms_winding_a29_medium_debiased"),
        "loose": (_SPIRAL, "t10_arms_winding_a30_loose_debiased"),
        "completely_round": ((_SMOOTH,), "t07_rounded_a16_completely_round_debiased"),
        "in_between": ((_SMOOTH,), "t07_rounded_a17_in_between_debiased"),
        "cigar_shaped": ((_SMOOTH,), "t07_rounded_a18_cigar_shaped_debiased"),
    }
)

CLASSES = tuple(_RULES)
"""In the order of their numbers, from 0; where several hold, the first is taken."""

COLUMNS = tuple(dict.fromkeys(c for path, leaf in _RULES.values() for c in (*path, leaf)))
"""The columns of the votes that are used."""


@dataclass(frozen=True)
class Verdicts:
    """What the votes say of n galaxies.

    Attributes
    ----------
    first, second : int8 arrays, shape (n,)
        The class, and the next one whose rule holds too; -1 for none.
    shares : float64 array, shape (n, 9)
        For each class the product of the fractions on its way and of its leaf: the share of the
        voters who went there. Divided by their sum; all 0 where nobody reached a leaf.
    """

    first: NDArray[np.int8]
    second: NDArray[np.int8]
    shares: NDArray[np.float64]


def verdicts(votes: Mapping[str, NDArray[np.float64]]) -> Verdicts:
    """Return the classes of galaxies.

    Parameters
    ----------
    votes : mapping of str to float64 array, shape (n,)
        :data:`COLUMNS`; fractions from 0 to 1, NaN where nobody was asked.
    """
    holds = np.stack(
        [
            functools.reduce(np.logical_and, [votes[c] > PATH for c in path], votes[leaf] > LEAF)
            for path, leaf in _RULES.values()
        ],
        axis=1,
    )
    first = _lowest(holds)
    rest = holds.copy()
    rest[np.arange(len(first)), first] = False  # where first is -1, the last column is False anyway
    shares = np.stack(
        [
            functools.reduce(np.multiply, [votes[c] for c in path], votes[leaf])
            for path, leaf in _RULES.values()
        ],
        axis=1,
    )
    shares = np.nan_to_num(shares, nan=0.0)
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    return Verdicts(first, _lowest(rest), shares)


def _lowest(holds: NDArray[np.bool_]) -> NDArray[np.int8]:
    return np.where(holds.any(axis=1), holds.argmax(axis=1), -1).astype(np.int8)


def numbers(texts: Sequence[str | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a column of the table as numbers, and which fields are neither fractions nor missing.

    Missing is an empty field, or one of ``nan``, ``null``, ``none``, ``na`` and ``n/a`` in any
    case. What is no number from 0 to 1 becomes NaN and is marked.
    """
    values = np.full(len(texts), np.nan)
    bad = np.zeros(len(texts), dtype=bool)
    for i, text in enumerate(texts):
        plain = (text or "").strip()
        if plain.lower() in _MISSING:
            continue
        try:
            value = np.nan if "_" in plain else float(plain)  # 0.7_5 is Python's, not a table's
        except ValueError:
            value = np.nan
        if 0.0 <= value <= 1.0:
            values[i] = value
        else:
            bad[i] = True
    return values, bad


_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})


def check_columns(found: Sequence[str], wanted: Sequence[str], title: str) -> None:
    """Check the header of a table.

    Raises
    ------
    InputError
        Columns are missing (all are named, each with the most similar one that is there), or one
        that is used stands there twice.
    """
    missing = [name for name in wanted if name not in found]
    if missing:
        told = []
        for name in missing:
            near = difflib.get_close_matches(name, found, 1, 0.85)
            told.append(f"{name} (there is {near[0]})" if near else name)
        needed = "a column that is" if len(told) == 1 else "columns that are"
        raise InputError(f"{title} lacks {needed} needed: {', '.join(told)}")
    for name in wanted:
        if list(found).count(name) > 1:
            raise InputError(f"{title} has the column {name} more than once")
