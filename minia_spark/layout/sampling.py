"""Which images stand for a collection: those whose names have the smallest hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["chosen", "hashes"]


def hashes(batches: Sequence[str], images: Sequence[str]) -> NDArray[np.uint64]:
    """Return a number for every image, which depends on its name alone."""
    found = [
        hashlib.blake2b(f"{batch}/{image}".encode(), digest_size=8).digest()
        for batch, image in zip(batches, images, strict=True)
    ]
    return np.frombuffer(b"".join(found), ">u8").astype(np.uint64)


def chosen(numbers: NDArray[np.uint64], most: int) -> NDArray[np.bool_]:
    """Tell which images are among the `most` with the smallest numbers, shape (n,)."""
    if len(numbers) <= most:
        return np.ones(len(numbers), np.bool_)
    kept = np.zeros(len(numbers), np.bool_)
    kept[np.argsort(numbers, kind="stable")[:most]] = True
    return kept
