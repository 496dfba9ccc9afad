"""Fitted models as two files: arrays, and a manifest that a person can read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import InputError
from minia_spark.delf.checkpoints import hash_of

__all__ = ["ARRAYS", "MANIFEST", "Model", "files_of", "model_of"]

ARRAYS, MANIFEST = "model.npz", "manifest.json"


@dataclass(frozen=True)
class Model:
    """What was fitted.

    Attributes
    ----------
    kind : str
        What it is, e.g. ``components`` or the name of a method.
    arrays : mapping
        Name to array.
    told : mapping
        JSON values: settings, data, versions.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]
    told: Mapping[str, Any]


def files_of(model: Model) -> dict[str, bytes]:
    """Return the files of a model, by name; equal models have equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, **dict(model.arrays))  # type: ignore[arg-type]  # NumPy's stub
    told = {"kind": model.kind, "hash": hash_of(model.arrays), **model.told}
    return {ARRAYS: stream.getvalue(), MANIFEST: json.dumps(told, indent=1).encode()}


def model_of(read: Callable[[str], bytes], place: str, kind: str | None = None) -> Model:
    """Return a model from its files; nothing in them is executed.

    Parameters
    ----------
    read : callable
        From the name of a file to its bytes.
    place : str
        Where that is, for messages.
    kind : str or None
        What it has to be.

    Raises
    ------
    InputError
        A file is missing, cannot be read, or does not hold what was written.
    """
    try:
        told = json.loads(read(MANIFEST))
        with np.load(io.BytesIO(read(ARRAYS)), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        found, wanted = str(told.pop("kind")), told.pop("hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the model in {place} cannot be read: {error}; make it anew with 'minia lab report'"
        ) from None
    if hash_of(arrays) != wanted:
        raise InputError(
            f"the model in {place} does not hold what was written: its hash is another; make it "
            "anew with 'minia lab report'"
        )
    if kind is not None and found != kind:
        raise InputError(f"the model in {place} is of kind {found!r}, not {kind!r}")
    return Model(found, arrays, told)
