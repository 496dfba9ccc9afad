"""Checkpoints: whole or not there."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.base.errors import InputError
from minia_spark.delf import checkpoints

ARRAYS = {
    "weights/a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "momentum/a": np.float32(2),
    "weights/empty": np.zeros((0, 3), np.float32),
}


def test_what_was_written_is_read_again(tmp_path):
    path = checkpoints.write(tmp_path, 12, ARRAYS, {"told": {"x": 1}})
    found = checkpoints.read(path)
    assert (found.step, found.state) == (12, {"told": {"x": 1}})
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_the_newest_two_stay(tmp_path):
    assert checkpoints.newest(tmp_path / "none") == (None, [])
    (tmp_path / ".0123.part").mkdir()  # a training was killed as it wrote
    for step in (5, 100_000_000, 20):
        checkpoints.write(tmp_path, step, ARRAYS, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000020", "step-100000000"]
    assert checkpoints.newest(tmp_path)[0].step == 100_000_000


@pytest.mark.parametrize("harm", ["cut", "other", "no state", "no arrays", "text"])
def test_an_older_one_is_taken_where_the_newest_is_broken(tmp_path, harm):
    checkpoints.write(tmp_path, 1, ARRAYS, {})
    newest = checkpoints.write(tmp_path, 2, ARRAYS, {})
    arrays, state = newest / "arrays.npz", newest / "state.json"
    if harm == "cut":
        arrays.write_bytes(arrays.read_bytes()[:200])
    elif harm == "other":
        with arrays.open("wb") as file:
            np.savez(file, **(ARRAYS | {"momentum/a": np.float32(3)}))
    elif harm == "no state":
        state.unlink()
    elif harm == "no arrays":
        arrays.unlink()
    else:
        state.write_text("[1]")
    found, (problem,) = checkpoints.newest(tmp_path)
    assert found.step == 1
    assert f"checkpoint {newest}" in problem
    with pytest.raises(InputError, match="checkpoint"):
        checkpoints.read(newest)
    checkpoints.write(tmp_path, 2, ARRAYS, {})
    assert checkpoints.newest(tmp_path)[0].step == 2


def test_arrays_are_never_unpickled(tmp_path):
    path = checkpoints.write(tmp_path, 1, ARRAYS, {})
    with (path / "arrays.npz").open("wb") as file:
        np.savez(file, bad=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        checkpoints.read(path)


def test_the_hash_is_of_names_types_and_shapes_too():
    a = np.zeros((2, 3), np.float32)
    hashes = {
        checkpoints.hash_of(arrays)
        for arrays in (
            {"x": a},
            {"y": a},
            {"x": a.reshape(3, 2)},
            {"x": a.astype(np.int32)},
            {"x": a + 1},
        )
    }
    assert len(hashes) == 5
    assert checkpoints.hash_of({"x": a, "y": a}) == checkpoints.hash_of({"y": a, "x": a})
