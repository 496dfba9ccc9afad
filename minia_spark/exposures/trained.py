"""A trained map as stages hand it on: weights, what to expect of it, how its inputs are scaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError
from minia_spark.desom.files import arrays_of, read_manifest, save
from minia_spark.desom.grid import nearest_cells
from minia_spark.exposures.drift import Expected
from minia_spark.exposures.histogram import normalised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.desom.network import Design, Desom

__all__ = ["Scale", "Trained", "load_trained", "save_trained"]


@dataclass(frozen=True)
class Scale:
    """How every number of a normalised histo-vector is scaled.

    Attributes
    ----------
    mean, spread : float64 arrays, shape (d,)
        Of the exposures that it was fitted to; a spread of 0 is stored as 1.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Scale:
        """Fit it to histo-vectors, shape (n, d), at least one."""
        found = normalised(vectors)
        spread = found.std(axis=0)
        return cls(found.mean(axis=0), np.where(spread == 0, 1.0, spread))

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the inputs of the map for histo-vectors, shape (n, d)."""
        return np.asarray((normalised(vectors) - self.mean) / self.spread, np.float32)


@dataclass(frozen=True)
class Trained:
    """A map that can travel to the workers.

    Attributes
    ----------
    digest : str
        Of its weights.
    design : Design
    arrays : dict
        All weights, by ``layer/number``.
    expected : Expected
    scale : Scale or None
        Of the map of exposures.
    """

    digest: str
    design: Design
    arrays: dict[str, NDArray[Any]]
    expected: Expected
    scale: Scale | None = None

    @property
    def prototypes(self) -> NDArray[np.float32]:
        """Shape (cells, latent)."""
        return self.arrays["SOM/0"]

    def place(
        self,
        vectors: NDArray[np.floating],
        encode: Callable[[Trained, NDArray[np.float32]], NDArray[np.float32]],
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the cells of histo-vectors, shape (n, d), and the distances to their prototypes.

        Parameters
        ----------
        vectors : float array, shape (n, d)
        encode : callable
            From this map and its inputs to latent vectors.
        """
        assert self.scale is not None
        return nearest_cells(encode(self, self.scale(vectors)), self.prototypes)


def save_trained(
    desom: Desom, folder: Path, expected: Expected, scale: Scale | None, told: dict[str, Any]
) -> str:
    """Write a map as a new folder; return the digest of its weights.

    Parameters
    ----------
    desom : Desom
    folder : Path
    expected : Expected
    scale : Scale or None
    told : dict
        What else the manifest says of the training: JSON values.
    """
    more = {"expected": asdict(expected)}
    if scale is not None:
        more["scale"] = {"mean": scale.mean.tolist(), "spread": scale.spread.tolist()}
    return save(desom, folder, {**told, **more})


def load_trained(folder: Path) -> Trained:
    """Load a map that :func:`save_trained` wrote.

    Raises
    ------
    InputError
        It is none, or damaged.
    """
    design, told = read_manifest(folder)
    try:
        training = told["training"]
        expected = Expected(**training["expected"])
        scale = None
        if design.kind == "dense":
            numbers = (np.array(training["scale"][n], np.float64) for n in ("mean", "spread"))
            scale = Scale(*numbers)
            if scale.mean.shape != (design.widths[0],) or scale.spread.shape != scale.mean.shape:
                raise ValueError("its scale is of other vectors")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder} holds no map of 'minia exposures train': {error}") from None
    return Trained(told["weights_sha256"], design, arrays_of(folder), expected, scale)
