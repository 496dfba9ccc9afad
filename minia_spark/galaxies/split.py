"""Which images may teach: a choice by the hash of the name, so that it never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["TEST", "TRAIN", "place_of", "shuffled", "split_of"]

TRAIN, TEST = "train", "test"


def place_of(name: str, seed: int) -> float:
    """Return a number in [0, 1) that only a name and a seed decide."""
    digest = hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53


def split_of(name: str, seed: int, test_share: float) -> str:
    """Return whether an image trains or tests.

    Whatever images are beside it, and in whatever batch it comes: an image that was once kept for
    testing is never learned from later.

    Parameters
    ----------
    name : str
        Its image_id.
    seed : int
    test_share : float
        Of the images that test, 0 to 1.
    """
    return TEST if place_of(name, seed) < test_share else TRAIN


def shuffled(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return the order of a shuffle that depends on the names and the seed, not on their order."""
    places = np.array([place_of(name, seed) for name in names])
    return np.lexsort((np.asarray(names, dtype=object).astype(str), places)).astype(np.int64)
