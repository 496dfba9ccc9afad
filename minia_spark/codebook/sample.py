"""A sample of features that depends on their names alone.

A feature's hash comes from its image's id and its number in the image: the same features are
chosen however the images are spread over partitions, batches or runs.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["feature_hashes", "hash_limit"]

_BITS = 63  # Spark's long has a sign


def feature_hashes(image_id: str, count: int, seed: int) -> NDArray[np.int64]:
    """Return a hash in [0, 2^63) for each feature of an image.

    Parameters
    ----------
    image_id : str
    count : int
        Number of features, n >= 0.
    seed : int
        In [0, 2^64): another seed, another sample.

    Returns
    -------
    int64 array, shape (n,)
        The SplitMix64 sequence (Steele et al. 2014, OOPSLA) that starts at the id's BLAKE2b hash.
    """
    digest = hashlib.blake2b(
        image_id.encode(), digest_size=8, salt=seed.to_bytes(8, "little")
    ).digest()
    state = np.uint64(int.from_bytes(digest, "little"))
    steps = np.arange(1, count + 1, dtype=np.uint64)
    z = state + steps * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(64 - _BITS)).astype(np.int64)


def hash_limit(wanted: int, total: int) -> int:
    """Return a bound below which about `wanted` of `total` hashes lie, seldom fewer.

    Six standard deviations above the mean, so that cutting the sorted sample to `wanted` finds
    enough; at most 2^63 - 1, which is all of them.
    """
    largest = (1 << _BITS) - 1
    if wanted >= total:
        return largest
    generous = wanted + 6 * wanted**0.5 + 10
    return min(largest, int(largest * min(1.0, generous / total)))
