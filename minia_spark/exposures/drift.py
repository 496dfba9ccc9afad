"""How far a batch of exposures is from those that a map was trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Expected", "beyond", "expected_of", "held_out"]

_DEVIATIONS = 3.0


@dataclass(frozen=True)
class Expected:
    """Quantisation error that an exposure is expected to have.

    Attributes
    ----------
    error, deviation : float
        Mean and standard deviation over exposures.
    exposures : int
        That the map was not trained on, and that it was measured on; 0: there were none, and it
        was measured on those of the training.
    """

    error: float
    deviation: float
    exposures: int


def held_out(names: Iterable[str], seed: int) -> set[str]:
    """Return the exposures that are kept from a training: a tenth, none of fewer than ten."""
    every = sorted(set(names), key=lambda name: (_hash(name, seed), name))
    return set(every[: len(every) // 10])


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()


def expected_of(errors: NDArray[np.floating], held: NDArray[np.bool_]) -> Expected:
    """Return what to expect, from the exposures that were held out, else from all.

    Parameters
    ----------
    errors : float array, shape (n,)
        Quantisation error of every exposure, at least one.
    held : bool array, shape (n,)
        Which were held out.
    """
    chosen = np.asarray(errors[held] if held.any() else errors, np.float64)
    return Expected(float(chosen.mean()), float(chosen.std()), int(held.sum()))


def beyond(row: Mapping[str, float | int | str | None], max_ratio: float) -> str | None:
    """Return a sentence where a batch is too far from what a map knows; None where it is not.

    Its error must be more than `max_ratio` times the expected one, and the difference more than
    three of its standard deviations, so that a few exposures alone raise no alarm.

    Parameters
    ----------
    row : mapping
        A row of table ``exposure_drift``.
    max_ratio : float
    """
    error, number = row["error"], int(row["exposures"] or 0)
    if error is None or not number:
        return None
    expected, deviation = float(row["expected_error"] or 0), float(row["expected_deviation"] or 0)
    measured = int(row["expected_from"] or 0) or number
    noise = deviation * math.sqrt(1 / number + 1 / measured)
    if not (float(error) > max_ratio * expected and float(error) - expected > _DEVIATIONS * noise):
        return None
    return (
        f"batch {row['batch']} is unlike what the map of {row['map']} was trained on: its "
        f"quantisation error is {float(error):.4g}, expected is {expected:.4g}. Look at its "
        "exposures; 'minia exposures train' makes new maps from all batches"
    )
