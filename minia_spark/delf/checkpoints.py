"""Checkpoints of a training: each is a folder that is complete, or not there.

A checkpoint is written under another name, flushed to the disk and renamed; a training that is
killed leaves the one before. Arrays are plain ``.npz``, readable without TensorFlow.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError
from minia_spark.base.files import open_regular, sync, sync_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Checkpoint", "hash_of", "newest", "read", "write"]

_ARRAYS, _STATE = "arrays.npz", "state.json"
_NAME = re.compile(r"step-([0-9]{8,})")
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes
    ----------
    step : int
        Steps that were done.
    arrays : dict
        Name to array: weights, and the state of the optimizer.
    state : dict
        What else was told, in JSON.
    """

    step: int
    arrays: dict[str, NDArray[Any]]
    state: dict[str, Any]


def hash_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a hash of arrays with their names, types and shapes; their order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def write(
    folder: Path, step: int, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint and remove older ones but one; return its folder.

    Parameters
    ----------
    folder : Path
        Of all checkpoints of a training.
    step : int
    arrays : mapping
    state : mapping
        JSON values.
    """
    target = folder / f"step-{step:08d}"
    part = folder / f".{uuid.uuid4().hex}.part"
    part.mkdir(parents=True)
    try:
        with (part / _ARRAYS).open("xb") as file:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]  # NumPy's stub
            file.flush()
            sync(file.fileno())
        told = {"step": step, "hash": hash_of(arrays), **state}
        with (part / _STATE).open("x", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            sync(file.fileno())
        sync_folder(part)
        if target.exists():  # one that could not be read
            shutil.rmtree(target)
        os.rename(part, target)  # noqa: PTH104 - Path.rename says no more
        sync_folder(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for _, old in _there(folder)[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    for left in folder.glob(".*.part"):  # of a training that was killed as it wrote
        shutil.rmtree(left, ignore_errors=True)
    return target


def read(path: Path) -> Checkpoint:
    """Read one checkpoint.

    Raises
    ------
    InputError
        A file is missing, cannot be read, or does not hold what was written.
    """
    try:
        with open_regular(path / _STATE) as file:
            state = json.loads(file.read().decode("utf-8"))
        with (
            open_regular(path / _ARRAYS) as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            arrays = {name: stored[name] for name in stored.files}
        step, wanted = int(state.pop("step")), state.pop("hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}") from None
    if hash_of(arrays) != wanted:
        raise InputError(f"checkpoint {path} does not hold what was written: its hash is another")
    return Checkpoint(step, arrays, state)


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that can be read, or None, and what is wrong with newer ones."""
    problems: list[str] = []
    for _, path in _there(folder):
        try:
            return read(path), problems
        except InputError as error:
            problems.append(str(error))
    return None, problems


def _there(folder: Path) -> list[tuple[int, Path]]:
    """Return the steps and folders of the checkpoints, newest first."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                found.append((int(match[1]), path))
    return sorted(found, reverse=True)
