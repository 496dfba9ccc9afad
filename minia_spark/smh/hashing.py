"""Hash values that every machine, partition and engine agrees on.

The scheme is datasketch 2.0's ``affine32``: ``value_k(key) = a_k * fmix32(key) + b_k mod 2**32``
with odd ``a_k``. The permutations are drawn by datasketch itself, so that the engines cannot drift
from it. A document's key depends on its name alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import SettingsError
from minia_spark.base.ragged import offsets_of

__all__ = [
    "DEFAULT_SEED",
    "MAX_EXPANDED_FREQUENCY",
    "MAX_PERMUTATIONS",
    "REPLICA_STEP",
    "affine",
    "document_key",
    "fmix32",
    "permutations",
    "replica_keys",
]

DEFAULT_SEED = 12345678
"""The reference's seed."""

REPLICA_STEP = 0x9E3779B9
"""Distance between the keys of a document's replicas: 2**32 over the golden ratio, odd."""

MAX_PERMUTATIONS = 1 << 24
"""Most permutations, tuple size times tables: a row of 64 MiB for every item."""

MAX_EXPANDED_FREQUENCY = 1 << 20
"""Largest frequency of one item in one document that can be expanded into replicas."""

_MAX_SEED = 2**32 - 1


def permutations(seed: int, *, tuple_size: int, tables: int) -> NDArray[np.uint32]:
    """Draw affine permutations of the 32-bit numbers, exactly as datasketch does.

    Parameters
    ----------
    seed : int
        0 to 2**32 - 1.
    tuple_size, tables : int
        At least 1; their product, the number of permutations, at most ``MAX_PERMUTATIONS``.

    Returns
    -------
    uint32 array, shape (2, tables * tuple_size)
        Row 0 the factors (odd), row 1 the summands.

    Raises
    ------
    SettingsError
        When the seed or the number of permutations is out of range.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise SettingsError(f"the seed must be within 0..{_MAX_SEED}, got {seed}")
    count = tuple_size * tables
    if tuple_size < 1 or tables < 1 or count > MAX_PERMUTATIONS:
        raise SettingsError(
            "tuple size and number of tables must be at least 1 and their product at most "
            f"{MAX_PERMUTATIONS}, got {tuple_size} and {tables}"
        )
    from datasketch import MinHash  # noqa: PLC0415 - half a second, and only the twin draws

    drawn: NDArray[np.uint32] = MinHash(num_perm=count, seed=seed, scheme="affine32").permutations
    return drawn


def document_key(image_id: str) -> int:
    """Key of an image: the first four bytes (little endian) of the SHA-1 of its name in UTF-8.

    Parameters
    ----------
    image_id : str
        The image's identity in the warehouse.

    Returns
    -------
    int
        0 to 2**32 - 1. Two images may share a key (an even chance of one such pair among 77,000
        images); they then count as one element of the sketch, which does no harm at that rate.
    """
    digest = hashlib.sha1(image_id.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "little")


def fmix32(keys: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Mix 32-bit keys: the finaliser of MurmurHash3, a bijection.

    Parameters
    ----------
    keys : uint32 array, any shape but ()

    Returns
    -------
    uint32 array, same shape
    """
    mixed = keys ^ (keys >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def affine(keys: NDArray[np.uint32], drawn: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Values of keys under permutations.

    Parameters
    ----------
    keys : uint32 array, shape (n,)
    drawn : uint32 array, shape (2, k)
        From :func:`permutations`.

    Returns
    -------
    uint32 array, shape (n, k)
    """
    values: NDArray[np.uint32] = fmix32(keys)[:, None] * drawn[0] + drawn[1]
    return values


def replica_keys(
    keys: NDArray[np.uint32], frequencies: NDArray[np.uint32], *, limit: int
) -> Iterator[NDArray[np.uint32]]:
    """Keys of frequency-expanded documents: ``key + j * REPLICA_STEP`` for j = 0 .. f - 1.

    Parameters
    ----------
    keys, frequencies : uint32 arrays, shape (n,)
    limit : int
        Most keys a piece; memory is bounded by it whatever the frequencies.

    Yields
    ------
    uint32 array, shape (<= limit,)
    """
    ends = offsets_of(frequencies)
    step = np.uint32(REPLICA_STEP)
    for start in range(0, int(ends[-1]), limit):
        places = np.arange(start, min(start + limit, int(ends[-1])), dtype=np.int64)
        sources = np.searchsorted(ends, places, side="right") - 1
        replicas = (places - ends[sources]).astype(np.uint32)
        yield keys[sources] + replicas * step
