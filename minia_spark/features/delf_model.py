"""What is known of an exported DELF network without loading it: its manifest. And a PCA's file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MANIFEST", "SCALES", "Manifest", "Pca", "identity_of"]
__all__ += ["known_manifest", "read_manifest", "read_pca"]

MANIFEST = "minia.json"
"""Name of the manifest in the folder of a SavedModel."""
SCALES = (0.5, 0.7071, 1.0, 1.4142, 2.0, 2.4494, 4.0)
"""minIA's."""
_FORMAT = "minia-delf-model"
_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What an export says of itself.

    Attributes
    ----------
    weights : str
        Hash of the weights.
    dimension : int
        Numbers of a descriptor.
    receptive_field, stride, padding : int
        Of a position, in pixels.
    multiplications : float
        Of the network, for a pixel.
    width : float
        Share of ResNet50's channels.
    scales : tuple of float
    threshold : float
        Least attention score of a feature.
    max_features : int
    nms_iou : float
    training : dict
        Settings, data and results of the training.
    files : dict
        Name of each file beside the manifest, and its bytes.
    """

    weights: str
    dimension: int
    receptive_field: int
    stride: int
    padding: int
    multiplications: float
    width: float
    scales: tuple[float, ...]
    threshold: float
    max_features: int
    nms_iou: float
    training: dict[str, Any]
    files: dict[str, int]

    def as_json(self) -> str:
        """Return the text of the manifest's file."""
        return json.dumps({"format": _FORMAT, "version": _VERSION, **asdict(self)}, indent=1) + "\n"


def read_manifest(model: Path) -> Manifest:
    """Read the manifest of an exported network.

    Parameters
    ----------
    model : Path
        Its folder.

    Raises
    ------
    SettingsError
        There is no such folder, no manifest in it, one that does not say what it should, or files
        of the network are missing or of another size.
    """
    if not model.is_dir():
        raise SettingsError(
            f"features.delf.model: {model} is no folder; 'minia delf export' makes one"
        )
    path = model / MANIFEST
    try:
        with open_regular(path) as file:
            told = json.loads(file.read().decode("utf-8"))
        if told.pop("format") != _FORMAT or told.pop("version") != _VERSION:
            raise ValueError("it is of another format or version")
        found = Manifest(**{**told, "scales": tuple(float(s) for s in told["scales"])})
        numbers = (found.dimension, found.stride, found.receptive_field, found.max_features)
        if not all(isinstance(n, int) and n > 0 for n in numbers):
            raise ValueError(f"dimension, stride, field and features are {numbers}")
        places = [PurePosixPath(name) for name in found.files]
        if "saved_model.pb" not in found.files or any(
            place.is_absolute() or ".." in place.parts for place in places
        ):
            raise ValueError("its list of files is not one")
        if not math.isfinite(found.threshold):
            raise ValueError(f"threshold is {found.threshold}")
        reals = (*found.scales, found.width, found.multiplications, found.nms_iou)
        if not found.scales or not all(math.isfinite(r) and r > 0 for r in reals):
            raise ValueError("scales and sizes are not positive")
    except FileNotFoundError:
        raise SettingsError(
            f"features.delf.model: {model} holds no {MANIFEST}; networks that 'minia delf export' "
            "wrote do"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"features.delf.model: {path} cannot be read ({error}); export the network again"
        ) from None
    for name, size in found.files.items():
        place = model / name
        if not place.is_file() or place.stat().st_size != size:
            raise SettingsError(
                f"features.delf.model: {place} is not there, or not as it was written ({size:,} "
                "bytes): the folder was copied in part; copy or export it again"
            )
    return found


def identity_of(path: str | None, kind: str) -> str | None:
    """Return what tells whether results by a file are still valid: its content, not its name.

    Parameters
    ----------
    path : str or None
    kind : str
        ``model`` or ``pca``.

    Returns
    -------
    str or None
        None for none. Of what cannot be read, its path: a run that needs it says what is wrong.
    """
    if path is None:
        return None
    try:
        return read_manifest(Path(path)).weights if kind == "model" else read_pca(Path(path)).digest
    except SettingsError:
        return path


def known_manifest(model: str | None) -> Manifest | None:
    """Return the manifest of a model; None where there is none, or it cannot be read."""
    if model is None:
        return None
    try:
        return read_manifest(Path(model))
    except SettingsError:
        return None


@dataclass(frozen=True)
class Pca:
    """A projection of descriptors.

    Attributes
    ----------
    mean : float32 array, shape (d,)
    matrix : float32 array, shape (k, d)
        Rows are components; divided by the square roots of the variances where it whitens.
    digest : str
        Hash of both.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    digest: str

    def __call__(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project descriptors, shape (n, d), to shape (n, k)."""
        return np.asarray((descriptors - self.mean) @ self.matrix.T, np.float32)


def read_pca(path: Path) -> Pca:
    """Read a PCA from an ``.npz`` file; nothing in it is executed.

    Arrays: ``mean`` (d,); ``matrix`` (m, d), a component a row, the first the strongest; optional
    ``dim``, how many of them are taken (all); optional ``whitening``, yes or no (no), which needs
    ``variances`` (m,).

    Raises
    ------
    SettingsError
        The file cannot be read, or its arrays do not fit each other.
    """
    import hashlib  # noqa: PLC0415

    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
        mean: NDArray[np.float32] = arrays["mean"].astype(np.float32)
        matrix: NDArray[np.float32] = arrays["matrix"].astype(np.float32)
        if mean.ndim != 1 or matrix.ndim != 2 or matrix.shape[1] != len(mean):
            raise ValueError(f"mean has shape {mean.shape} and matrix {matrix.shape}")
        dim = int(arrays.get("dim", len(matrix)))
        if not 1 <= dim <= len(matrix):
            raise ValueError(f"dim is {dim}, and matrix has {len(matrix)} components")
        matrix = matrix[:dim].copy()
        if bool(arrays.get("whitening", False)):
            variances = arrays["variances"].astype(np.float32)
            if variances.ndim != 1 or len(variances) < dim or not (variances[:dim] > 0).all():
                raise ValueError(f"variances are not {dim} positive numbers")
            np.divide(matrix, np.sqrt(variances[:dim])[:, None], out=matrix)
        if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
            raise ValueError("a number is not finite")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        what = f"array {error} is missing" if isinstance(error, KeyError) else error
        raise SettingsError(f"features.delf.pca: {path} cannot be used ({what})") from None
    digest = hashlib.sha256(mean.tobytes() + matrix.tobytes()).hexdigest()
    return Pca(mean, np.ascontiguousarray(matrix), digest)
