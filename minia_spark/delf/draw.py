"""Chance that comes from names: no order of rows, no partitioning and no retry can change it."""

from __future__ import annotations

import argparse
import hashlib

__all__ = ["MOST_SEED", "fractions", "rank", "seed"]

MOST_SEED = (1 << 63) - 1


def seed(text: str) -> int:
    """Return a seed, for argparse."""
    value = int(text)
    if not 0 <= value <= MOST_SEED:
        raise argparse.ArgumentTypeError(f"must be from 0 to {MOST_SEED}")
    return value


def rank(seed: int, purpose: str, name: str) -> tuple[int, str]:
    """Return what to sort by for a random order of names; no two names are equal.

    Parameters
    ----------
    seed : int
        From 0 to :data:`MOST_SEED`.
    purpose : str
        At most 16 bytes; orders for different purposes have nothing in common.
    name : str
    """
    return int.from_bytes(_digest(seed, purpose, name, 8), "big"), name


def fractions(seed: int, purpose: str, name: str, count: int) -> list[float]:
    """Return `count` (at most 8) numbers, evenly spread over [0, 1), that belong to a name."""
    digest = _digest(seed, purpose, name, 8 * count)
    parts = (digest[8 * i : 8 * i + 8] for i in range(count))
    return [(int.from_bytes(part, "big") >> 11) / (1 << 53) for part in parts]


def _digest(seed: int, purpose: str, name: str, size: int) -> bytes:
    return hashlib.blake2b(
        name.encode(),
        digest_size=size,
        salt=seed.to_bytes(8, "big"),
        person=purpose.encode(),
    ).digest()
