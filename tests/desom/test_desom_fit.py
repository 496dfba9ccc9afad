"""Training with checkpoints, and what a map's settings say."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

from minia_spark.base.errors import SettingsError
from minia_spark.desom.files import arrays_of, identity_of, restored, save
from minia_spark.desom.fit import fitted, log_every
from minia_spark.desom.network import Design, build
from minia_spark.desom.training import Recipe
from minia_spark.rooms import HOUSE

SMALL = Design("dense", (6, 5, 4, 3), 3)
RECIPE = Recipe(SMALL, steps=30, batch=20, log_every=10, rate=0.01)


class Killed(Exception):
    """The process goes."""


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


@pytest.mark.parametrize("at", [1, 2])
def test_a_killed_training_goes_on_to_the_same_weights(vectors, tmp_path, at):
    whole, told = fitted(RECIPE, vectors, None, lambda _: None)
    lines: list[str] = []

    def die(text):
        lines.append(text)
        if sum(line.startswith("step") for line in lines) > at:
            raise Killed

    with pytest.raises(Killed):
        fitted(RECIPE, vectors, tmp_path / "c", die)
    again: list[str] = []
    desom, both = fitted(RECIPE, vectors, tmp_path / "c", again.append)
    assert again[0] == f"going on at step {10 * at} of 30"
    assert [figures["step"] for figures in both] == [10, 20, 30]
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, desom.arrays()[name], err_msg=name)
    assert [f["reconstruction"] for f in both] == [f["reconstruction"] for f in told]


def test_a_checkpoint_that_is_damaged_is_told_of(vectors, tmp_path):
    seen: list[str] = []
    for number in range(2):
        if number:
            newest = max((tmp_path / "c").iterdir())
            (newest / "arrays.npz").write_bytes(b"cut off")
        seen.clear()
        fitted(RECIPE, vectors, tmp_path / "c", seen.append)
    assert "cannot be read" in seen[0]
    assert "an older one is taken" in seen[0]
    assert seen[1] == "going on at step 10 of 30"


@pytest.mark.parametrize(
    ("steps", "wanted"), [(1, 1), (30, 30), (100, 50), (2_000, 50), (10_000, 250)]
)
def test_how_often_is_told(steps, wanted):
    assert log_every(steps) == wanted


def test_weights_travel_as_arrays(tmp_path):
    desom = build(SMALL, seed=3)
    desom.prototypes.assign(np.arange(27, dtype=np.float32).reshape(9, 3))
    save(desom, tmp_path / "net", {})
    arrays = arrays_of(tmp_path / "net")
    again = restored(SMALL, arrays)
    for name, array in desom.arrays().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
        np.testing.assert_array_equal(array, again.arrays()[name], err_msg=name)


def test_the_same_weights_are_the_same_file_at_any_time(tmp_path):
    desom = build(SMALL, seed=3)
    first = save(desom, tmp_path / "a", {})
    time.sleep(1.1)  # HDF5 has whole seconds
    assert save(desom, tmp_path / "b", {}) == first


def test_weights_count_by_what_is_in_them(tmp_path):
    save(build(SMALL, seed=3), tmp_path / "a", {})
    save(build(SMALL, seed=3), tmp_path / "b", {"told": "otherwise"})
    save(build(SMALL, seed=4), tmp_path / "c", {})
    a, b, c = (identity_of(tmp_path / name) for name in "abc")
    assert a == b == identity_of(tmp_path / "a" / "weights.h5")
    assert a != c
    assert identity_of(tmp_path / "none") is None
    stage = HOUSE.by_name["cutout_map"]
    used = [
        stage.used(HOUSE.load_settings(None, [f"desom.cutouts.weights={place}"]), None, None)
        for place in (tmp_path / "a", tmp_path / "b", tmp_path / "none")
    ]
    assert used[0] == used[1]
    assert used[2]["desom.cutouts.weights"] == str(tmp_path / "none")


def test_settings_that_would_be_ignored():
    with pytest.raises(SettingsError, match="rate would have no effect: weights are loaded"):
        HOUSE.load_settings(None, ["desom.exposures.weights=x", "desom.exposures.rate=0.5"])
