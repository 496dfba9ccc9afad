"""The configuration of ``minia delf dataset``: minIA's file, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import expanded

__all__ = ["KEYS", "DatasetConfig", "dataset_config"]

KEYS = {
    "galaxyZoo2_path": "CSV of votes, gz2_hart16.csv",
    "map_images_path": "CSV of images, gz2_filename_mapping.csv",
    "train_dataset_path": "what the names of the CSV files that are written begin with",
    "images_dir_path": "folder of the images, ASSET_ID.jpg",
    "images_out_dir_path": "folder for their moved and masked copies",
    "class_size": "images of a class at most, copies not counted",
}
"""Every key, and what it is."""

_MOST = 1 << 31


@dataclass(frozen=True)
class DatasetConfig:
    """What the file says; paths are relative to the current folder."""

    votes: Path
    mapping: Path
    target: str
    images: Path
    copies: Path
    class_size: int

    def table(self, which: str) -> Path:
        """Return the path of a CSV file that is written."""
        return Path(f"{self.target}_{which}.csv")


def dataset_config(values: Mapping[str, Any], options: Mapping[str, Any]) -> DatasetConfig:
    """Check the values of a file, and what options say in their place.

    Parameters
    ----------
    values : mapping
        As read from the file.
    options : mapping
        By the same keys; None: not given.

    Raises
    ------
    SettingsError
        A key is unknown or missing, or its value cannot be used; the message names it.
    """
    for key in values:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(KEYS)}"
            raise SettingsError(f"unknown key {key!r}{hint}")
    merged = {**values, **{key: value for key, value in options.items() if value is not None}}
    missing = [key for key in KEYS if merged.get(key) is None]
    if missing:
        key = missing[0]
        option = key.replace("_", "-")
        raise SettingsError(f"key {key!r} is missing ({KEYS[key]}): give it, or --{option}")
    for key in KEYS:
        if key != "class_size" and (not isinstance(merged[key], str) or not merged[key].strip()):
            raise SettingsError(f"{key} must be a path in quotes, not {merged[key]!r}")
    size = merged["class_size"]
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < _MOST:
        raise SettingsError(f"class_size must be a whole number of at least 1, not {size!r}")
    paths = [expanded(merged[key]) for key in KEYS if key != "class_size"]
    votes, mapping, target, images, copies = paths
    return DatasetConfig(votes, mapping, str(target), images, copies, size)
