"""What the stages of the line have in common: models in the warehouse, training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark import __version__
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Artefact, Table
from minia_spark.galaxies.frozen import Model, files_of, model_of
from minia_spark.galaxies.split import TRAIN
from minia_spark.galaxies.tables import FACETS
from minia_spark.warehouse.records import Catalogue

__all__ = ["is_outdated", "load_model", "save_model", "training_digest", "training_rows"]


def training_rows(context: Context, table: Table) -> DataFrame:
    """Return the rows of a table that belong to training images."""
    names = context.read(FACETS).where(F.col("split") == TRAIN).select("batch", "image_id")
    return context.read(table).join(names, ["batch", "image_id"], "left_semi")


def training_digest(view: Catalogue, *tables: Table, variant: str | None = None) -> str:
    """Return a hash of what a model would be fitted to now."""
    return fingerprint(
        sorted(
            (e.table, e.batch or "", e.digest)
            for table in tables
            for e in view.of_table(table.name, None, variant if table.variants else None)
        )
    )


def is_outdated(view: Catalogue, artefact: Artefact, training: str, variant: str | None) -> bool:
    """Tell whether a model was fitted to something else; for refitting."""
    entries = view.of_table(artefact.name, None, variant)
    return [e.digest.partition("-")[0] for e in entries] != [training]


def save_model(
    context: Context,
    artefact: Artefact,
    *,
    kind: str,
    arrays: Mapping[str, NDArray[Any]],
    told: Mapping[str, Any],
    training: str,
) -> None:
    """Publish a model with its manifest."""
    stage = context.stage
    manifest = {
        "settings": stage.used(context.all_settings, context.variant, stage.variants),
        "training_digest": training,
        "made_with": {
            "minia-spark": __version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        **told,
    }
    folder = context.folder(artefact)
    storage = context.warehouse.storage
    storage.remove_folder(folder)
    for name, data in files_of(Model(kind, arrays, manifest)).items():
        storage.replace(f"{folder}/{name}", data)
    context.publish(artefact, folder, digest=f"{training}-{context.fingerprint}")


def load_model(context: Context, artefact: Artefact, variant: str | None = None) -> Model:
    """Return a model that the stage reads, of its own variant or the one that is given."""
    entries = [
        e
        for e in context.entries_of(artefact)
        if variant is None or e.variant in (None, variant)
    ]  # fmt: skip
    (entry,) = entries
    storage = context.warehouse.storage
    return model_of(lambda name: storage.read(f"{entry.path}/{name}"), f"{storage}/{entry.path}")
