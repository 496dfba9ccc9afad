"""Flags the quality of exposures and CCDs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from minia_spark.base.errors import InputError
from minia_spark.engine.context import Context
from minia_spark.exposures.labels import spread, sure
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.stages.networks import loaded
from minia_spark.exposures.tables import CELLS, EXPOSURE_MAP, FLAGS, PLACES
from minia_spark.exposures.trained import Trained

__all__ = ["flags"]

_DEAD = "dead"


def flags(context: Context) -> None:
    """Write the quality of the exposures of a batch, and of their CCDs."""
    settings = context.settings(ExposureSettings)
    trained = loaded(context, EXPOSURE_MAP)
    labels = settings.cells
    if labels and settings.labelled_map != trained.digest:
        context.progress.warn(
            f"{context.title}: the labels are of cells of another map, and are not used; 'minia "
            "exposures label' labels this one"
        )
        labels = {}
    outside = sorted(cell for cell in labels if cell >= trained.design.cells)
    if outside:
        raise InputError(
            f"exposures.labels: there is no cell {outside[0]}: the map has {trained.design.cells}"
        )
    rows = context.small(PLACES, ["exposure_id", "hdu", "ccd", "cell", "distance"])
    table = _flagged(rows, _dead(context), labels, trained)
    batches = pa.array([context.batch] * table.num_rows, pa.string())
    table = table.append_column("batch", batches)
    context.write_rows(FLAGS, table)
    whole = table.filter(table["hdu"].is_null())
    context.counts["exposures"] = whole.num_rows
    for found in whole["quality"].value_counts().to_pylist():
        context.counts[found["values"] or "unlabelled"] = found["counts"]


def _dead(context: Context) -> set[tuple[str, int | None]]:
    """Return the exposures (None) and extensions without a source."""
    dead: set[tuple[str, int | None]] = set()
    columns = ["exposure_id", "sources", "hdus", "ccd_sources"]
    for row in context.small(CELLS, columns).to_pylist():
        name = row["exposure_id"]
        if not row["sources"]:
            dead.add((name, None))
        both = zip(row["hdus"], row["ccd_sources"], strict=True)
        dead |= {(name, hdu) for hdu, found in both if not found}
    return dead


def _flagged(
    rows: pa.Table,
    dead: set[tuple[str, int | None]],
    labels: dict[int, str],
    trained: Trained,
) -> pa.Table:
    order = [("exposure_id", "ascending"), ("hdu", "ascending")]
    rows = rows.sort_by(order)
    own = rows["cell"].to_numpy(zero_copy_only=False)
    there = np.isfinite(own.astype(np.float64))
    quality: list[str | None] = [None] * len(own)
    confidence: list[float | None] = [None] * len(own)
    if labels:
        of_cell, sureness = spread(trained.prototypes, labels)
        chosen = own[there].astype(np.intp)
        distances = rows["distance"].to_numpy(zero_copy_only=False)[there]
        values = sure(sureness[chosen], distances, trained.expected.error)
        for place, cell, value in zip(np.flatnonzero(there), chosen, values, strict=True):
            quality[place], confidence[place] = of_cell[cell], float(value)
    keys = zip(rows["exposure_id"].to_pylist(), rows["hdu"].to_pylist(), strict=True)
    for number, key in enumerate(keys):
        if key in dead:  # others without a cell have no source far enough from the borders
            quality[number], confidence[number] = _DEAD, 1.0
    return pa.table(
        {
            **{name: rows[name] for name in ("exposure_id", "hdu", "ccd", "cell")},
            "quality": pa.array(quality, pa.string()),
            "confidence": pa.array(confidence, pa.float64()),
        }
    )
