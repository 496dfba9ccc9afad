"""The configuration of a training set: every fault names its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.delf.dataset_config import KEYS, dataset_config

GOOD = {
    "galaxyZoo2_path": "a/votes.csv",
    "map_images_path": "a/map.csv",
    "train_dataset_path": "out/set",
    "images_dir_path": "images",
    "images_out_dir_path": "copies",
    "class_size": 5000,
}


def test_what_it_says():
    found = dataset_config(GOOD, dict.fromkeys(KEYS))
    assert (found.votes, found.images, found.class_size) == (
        Path("a/votes.csv"),
        Path("images"),
        5000,
    )
    assert found.table("with_filter") == Path("out/set_with_filter.csv")


def test_an_option_wins_and_may_give_what_is_missing():
    assert dataset_config(GOOD, {"class_size": 3}).class_size == 3
    assert dataset_config({}, GOOD) == dataset_config(GOOD, {})


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key(key):
    rest = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(
        SettingsError, match=f"key '{key}' is missing .* or --{key.replace('_', '-')}$"
    ):
        dataset_config(rest, {})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images_path": "x"}, "unknown key 'images_path'; did you mean 'map_images_path'"),
        ({"zzz": 1}, "unknown key 'zzz'; known are galaxyZoo2_path, "),
        ({7: 1}, "unknown key 7"),
        ({"images_dir_path": 7}, "images_dir_path must be a path in quotes, not 7"),
        ({"images_dir_path": " "}, "images_dir_path must be a path in quotes, not ' '"),
        ({"class_size": 0}, "class_size must be a whole number of at least 1, not 0"),
        ({"class_size": True}, "class_size must be a whole number of at least 1, not True"),
        ({"class_size": "5"}, "class_size must be a whole number of at least 1, not '5'"),
        ({"class_size": 2.5}, "class_size must be a whole number"),
    ],
)
def test_what_is_refused(change, match):
    with pytest.raises(SettingsError, match=match):
        dataset_config({**GOOD, **change}, {})
