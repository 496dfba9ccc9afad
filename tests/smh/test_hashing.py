import hashlib

import numpy as np
import pytest
from cases import U32
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st
from slow_twin import replicas, uniform_values

from minia_spark.base.errors import SettingsError
from minia_spark.smh.hashing import (
    REPLICA_STEP,
    affine,
    document_key,
    fmix32,
    permutations,
    replica_keys,
)


def test_permutations_are_the_recipe_of_the_native_engine():
    """Mersenne twister: first n outputs make the factors, the next n the summands."""
    generator = np.random.RandomState(12345678)
    first = generator.randint(0, 2**31, 6, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    then = generator.randint(0, 2**32, 6, dtype=np.uint32)
    assert permutations(12345678, tuple_size=2, tables=3).tolist() == [
        first.tolist(),
        then.tolist(),
    ]
    # std::mt19937(1) gives 1791095845, 4282876139, 3093770124, 4005303368
    assert permutations(1, tuple_size=1, tables=2).tolist() == [
        [2 * 1791095845 + 1, 2 * (4282876139 - 2**31) + 1],
        [3093770124, 4005303368],
    ]


@pytest.mark.parametrize(
    ("seed", "tuple_size", "tables", "message"),
    [
        (-1, 2, 2, r"seed must be within 0\.\.4294967295, got -1"),
        (2**32, 2, 2, r"seed must be within 0\.\.4294967295, got 4294967296"),
        (1, 0, 2, "at least 1 .* got 0 and 2"),
        (1, -2, -2, "at least 1 .* got -2 and -2"),
        (1, 2**12, 2**12 + 1, "product at most 16777216, got 4096 and 4097"),
    ],
)
def test_permutations_refuse(seed, tuple_size, tables, message):
    with pytest.raises(SettingsError, match=message):
        permutations(seed, tuple_size=tuple_size, tables=tables)


def test_document_key_is_the_start_of_sha1():
    for name in ("a/b.jpg", "m31%20.fits", "", "\N{GREEK SMALL LETTER ALPHA}.png"):
        digest = hashlib.sha1(name.encode()).digest()
        assert document_key(name) == int.from_bytes(digest[:4], "little")


@given(st.lists(U32, min_size=1, max_size=20), U32)
def test_values_are_those_of_datasketch(keys, seed):
    drawn = permutations(seed, tuple_size=1, tables=5)
    values = affine(np.array(keys, dtype=np.uint32), drawn)
    assert values.tolist() == [uniform_values(key, seed=seed, count=5) for key in keys]
    sketch = MinHash(num_perm=5, seed=seed, hashfunc=int)
    sketch.update_batch(keys)
    assert values.min(axis=0).tolist() == sketch.hashvalues.tolist()


def test_fmix32_known_values():
    """0 is fixed; the finaliser's value of 1 is printed in the MurmurHash3 test vectors."""
    mixed = fmix32(np.array([0, 1, 2**32 - 1], dtype=np.uint32))
    assert mixed.tolist() == [0, 0x514E28B7, 0x81F16F39]


@given(st.lists(st.tuples(U32, st.integers(1, 9)), max_size=6), st.integers(1, 7))
def test_replicas_are_complete_in_pieces_of_any_size(documents, limit):
    keys = np.array([key for key, _ in documents], dtype=np.uint32)
    frequencies = np.array([f for _, f in documents], dtype=np.uint32)
    pieces = list(replica_keys(keys, frequencies, limit=limit))
    assert all(0 < len(piece) <= limit for piece in pieces)
    made = [key for piece in pieces for key in piece.tolist()]
    assert made == [replica for key, f in documents for replica in replicas(key, f)]
    assert REPLICA_STEP % 2 == 1  # odd: no two of 2**32 replicas coincide
