"""Trains the map of exposures (DESOM-2)."""

from __future__ import annotations

import numpy as np
from pyspark.sql import functions as F

from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError
from minia_spark.desom.settings import DesomSettings
from minia_spark.engine.context import Context
from minia_spark.exposures.drift import expected_of, held_out
from minia_spark.exposures.sources import training_digest
from minia_spark.exposures.stages.training import errors_of, publish, trained
from minia_spark.exposures.tables import CELLS, EXPOSURE_MAP, EXPOSURE_TRAINING
from minia_spark.exposures.trained import Scale

__all__ = ["exposure_map"]


def exposure_map(context: Context) -> None:
    """Train the map of exposures on the cells of those that are there, or load weights."""
    from minia_spark.desom.network import Design  # noqa: PLC0415

    settings = context.settings(DesomSettings).exposures
    found = context.read(CELLS).where(F.size("words") > 0).select("exposure_id", "histo_vector")
    order = F.xxhash64(F.lit(settings.seed), "exposure_id")
    with context.watched("histo-vectors"):
        table = found.orderBy(order, "exposure_id").limit(settings.sample).toArrow()
    table = table.sort_by("exposure_id")
    if not table.num_rows:
        raise InputError(f"{context.title}: no exposure has a cutout")
    names = np.array(table["exposure_id"].to_pylist())
    values, _ = to_lists(table["histo_vector"].combine_chunks())
    vectors = values.reshape(len(names), -1).astype(np.float64)
    held = np.isin(names, list(held_out(names, settings.seed)))
    design = Design("dense", (vectors.shape[1], 450, 300, 100), settings.side)
    scale = Scale.of(vectors[~held])
    desom, told = trained(context, "exposures", design, settings, scale(vectors[~held]))
    errors = errors_of(desom, scale(vectors))
    publish(
        context,
        (EXPOSURE_MAP, EXPOSURE_TRAINING),
        (desom, told),
        (expected_of(errors, held), scale, {"exposures": int((~held).sum())}),
        training_digest(context.view, CELLS.name),
    )
