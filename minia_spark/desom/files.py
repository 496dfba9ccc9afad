"""A DESOM as files: weights in Keras' legacy HDF5 by names of layers, structure and manifest.

The same reader takes the published networks of Teimoorinia et al. (2021) and ours.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError
from minia_spark.base.files import open_regular, whole_folder
from minia_spark.desom.network import Design, Desom, build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "MANIFEST",
    "WEIGHTS",
    "arrays_of",
    "identity_of",
    "load",
    "load_weights",
    "read_manifest",
    "restored",
    "save",
]

WEIGHTS, MANIFEST = "weights.h5", "minia.json"
_FORMAT, _VERSION = "minia-desom", 1


def save(desom: Desom, folder: Path, training: Mapping[str, Any]) -> str:
    """Write weights, structure and manifest into a new folder, whole or not at all.

    Parameters
    ----------
    desom : Desom
    folder : Path
        Must not be there.
    training : mapping
        Settings, data and results of the training: JSON values.

    Returns
    -------
    str
        SHA-256 of the weights' file.

    Raises
    ------
    InputError
        There is something of that name already.
    """
    import h5py  # noqa: PLC0415 - comes with TensorFlow

    if folder.exists():
        raise InputError(f"{folder} is there already; choose another name, or remove it")
    with whole_folder(folder) as part:
        with h5py.File(part / WEIGHTS, "w") as file:
            layers = desom.layers()
            file.attrs["layer_names"] = [name.encode() for name in layers]
            for name, variables in layers.items():
                group = file.create_group(name)  # one that tracks its order has the time in it
                names = [f"weight_{number}" for number in range(len(variables))]
                group.attrs["weight_names"] = [one.encode() for one in names]
                for one, variable in zip(names, variables, strict=True):
                    group.create_dataset(one, data=np.asarray(variable.numpy()), track_times=False)
        digest = _digest(part / WEIGHTS)
        told = {
            "format": _FORMAT,
            "version": _VERSION,
            "design": asdict(desom.design),
            "weights_sha256": digest,
            "layers": {
                name: [list(variable.shape) for variable in variables]
                for name, variables in layers.items()
            },
            "training": dict(training),
        }
        (part / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return digest


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path) -> tuple[Design, dict[str, Any]]:
    """Return the design and all that a saved DESOM says of itself; no network is loaded.

    Raises
    ------
    InputError
        It is none, is of another version, or its weights are not those that were written.
    """
    try:
        with open_regular(folder / MANIFEST) as file:
            told = json.loads(file.read().decode("utf-8"))
        if told["format"] != _FORMAT or told["version"] != _VERSION:
            raise ValueError("it is of another format or version")
        design = told["design"]
        found = Design(design["kind"], tuple(map(int, design["widths"])), int(design["side"]))
        if found.kind not in ("conv", "dense") or not found.widths or found.side < 1:
            raise ValueError(f"its design is {design}")
        digest = _digest(folder / WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no network that 'minia' saved: {error}") from None
    if digest != told["weights_sha256"]:
        raise InputError(f"{folder / WEIGHTS} is not the file that was written: copy it again")
    return found, told


def identity_of(path: Path) -> str | None:
    """Return a hash of what a folder or file of weights holds; None where it cannot be read."""
    try:
        return _digest(path / WEIGHTS if path.is_dir() else path)
    except OSError:
        return None


def arrays_of(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the weights in a folder that :func:`save` wrote, by ``layer/number``; no TensorFlow.

    Raises
    ------
    InputError
        They cannot be read.
    """
    return {
        f"{name}/{number}": array
        for name, arrays in _layers_of(folder / WEIGHTS).items()
        for number, array in enumerate(arrays)
    }


def restored(design: Design, arrays: Mapping[str, NDArray[Any]]) -> Desom:
    """Return the network that had these arrays (:meth:`Desom.arrays`), in another process."""
    desom = build(design)
    for name, variables in desom.layers().items():
        for number, variable in enumerate(variables):
            variable.assign(arrays[f"{name}/{number}"])
    return desom


def load(folder: Path) -> Desom:
    """Load a network that :func:`save` wrote; errors as of :func:`read_manifest`."""
    design, _ = read_manifest(folder)
    desom = build(design)
    load_weights(desom, folder / WEIGHTS)
    return desom


def load_weights(desom: Desom, path: Path) -> None:
    """Load weights from a legacy HDF5 file of Keras.

    Layers are found by name. Names that Keras counted up by itself (``dense_3``, ``conv2d_7``)
    differ from one training to the next: layers that no name fits are taken in their order, and
    must have the right shapes.

    Parameters
    ----------
    desom : Desom
    path : Path

    Raises
    ------
    InputError
        The file cannot be read, or does not fit: the layers are named, and nothing is loaded.
    """
    theirs = _layers_of(path)
    ours = desom.layers()
    named = [name for name in ours if name in theirs]
    left = [name for name in ours if name not in theirs]
    others = [name for name in theirs if name not in ours]
    if len(left) != len(others):
        raise InputError(
            f"{path} does not fit the network: it has {len(theirs)} layers with weights "
            f"({', '.join(theirs)}), the network {len(ours)} ({', '.join(ours)})"
        )
    pairs = [(name, name) for name in named] + list(zip(left, others, strict=True))
    problems = []
    for name, other in pairs:
        wanted = [tuple(variable.shape) for variable in ours[name]]
        found = [array.shape for array in theirs[other]]
        if wanted != found:
            problems.append(f"{other} has shapes {found}, {name} {wanted}")
    if problems:
        raise InputError(f"{path} does not fit the network: {'; '.join(problems)}")
    for name, other in pairs:
        for variable, array in zip(ours[name], theirs[other], strict=True):
            variable.assign(array)


def _layers_of(path: Path) -> dict[str, list[NDArray[Any]]]:
    import h5py  # noqa: PLC0415

    from minia_spark.delf.network import layers_of  # noqa: PLC0415

    try:
        with h5py.File(path, "r") as file:
            return dict(layers_of(file.get("model_weights", file)))
    except (OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a legacy HDF5 file of Keras' weights: {error}"
        ) from None
