"""Published maps: on the driver, and on the workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.fs as pafs
from pyspark import TaskContext

from minia_spark.engine.context import Context
from minia_spark.engine.table import Artefact
from minia_spark.exposures.trained import Trained, load_trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.desom.network import Desom

__all__ = ["encoded_on_worker", "loaded"]


def loaded(context: Context, artefact: Artefact) -> Trained:
    """Return a map that was published."""
    (entry,) = context.entries_of(artefact)
    storage = context.warehouse.storage
    if storage.local is not None:
        return load_trained(storage.local / entry.path)
    with tempfile.TemporaryDirectory() as scratch:
        pafs.copy_files(
            storage.full(entry.path), scratch, storage.filesystem, pafs.LocalFileSystem()
        )
        return load_trained(Path(scratch))


_BUILT: dict[str, Desom] = {}


def encoded_on_worker(trained: Trained, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Return latent vectors in a Spark task; a worker builds a network once and keeps it."""
    from minia_spark.base.networks import load_tensorflow  # noqa: PLC0415
    from minia_spark.desom.files import restored  # noqa: PLC0415
    from minia_spark.desom.training import encoded  # noqa: PLC0415

    if trained.digest not in _BUILT:
        task = TaskContext.get()
        load_tensorflow(threads=task.cpus() if task is not None else 1, gpu=None)
        _BUILT.clear()
        _BUILT[trained.digest] = restored(trained.design, trained.arrays)
    return encoded(_BUILT[trained.digest], inputs)
