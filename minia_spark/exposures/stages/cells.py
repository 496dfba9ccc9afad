"""Gives every cutout its cell."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from minia_spark.base.arrow import binary_block, from_lists
from minia_spark.engine.context import Context
from minia_spark.exposures.cutouts import SIDE_PX
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.stages.networks import encoded_on_worker, loaded
from minia_spark.exposures.stages.rows import Batches, arrow_schema, batch_of
from minia_spark.exposures.tables import CELLS, CUTOUT_MAP, CUTOUTS, EXPOSURES

__all__ = ["cells"]


def cells(context: Context) -> None:
    """Write the cells of a batch's cutouts, an exposure a row."""
    from minia_spark.desom.grid import nearest_cells  # noqa: PLC0415

    settings = context.settings(ExposureSettings)
    trained = loaded(context, CUTOUT_MAP)
    shared = context.spark.sparkContext.broadcast(trained)
    found = context.read(CUTOUTS).where("reason is null")

    def assign(batches: Batches) -> Batches:
        for batch in batches:
            vectors, offsets = binary_block(batch["pixels"], np.uint8, SIDE_PX * SIDE_PX)
            images = vectors.reshape(-1, SIDE_PX, SIDE_PX, 1)
            codes = encoded_on_worker(shared.value, images)
            own, apart = nearest_cells(codes, shared.value.prototypes)
            totals = np.add.reduceat(np.append(apart, 0), offsets[:-1])
            totals[np.diff(offsets) == 0] = 0
            yield pa.RecordBatch.from_pydict(
                {name: batch[name] for name in ("exposure_id", "hdu", "ccd", "sources")}
                | {"cells": from_lists(own, offsets), "apart": pa.array(totals)}
            )

    chosen = found.select("exposure_id", "hdu", "ccd", "sources", "pixels")
    by_ccd = chosen.mapInArrow(
        assign,
        "exposure_id string, hdu int, ccd string, sources int, cells array<int>, apart double",
    )
    struct = F.struct("hdu", "ccd", "sources", "cells", "apart")
    by_exposure = by_ccd.groupBy("exposure_id").agg(
        F.sort_array(F.collect_list(struct)).alias("of")
    )
    count = partial(
        _count,
        batch=str(context.batch),
        side=trained.design.side,
        full=settings.usual_ccds * settings.per_ccd,
    )
    context.write(
        CELLS,
        by_exposure.mapInArrow(count, CELLS.schema()),
        measures={"cutouts": F.sum(F.size("cutout_cells"))},
    )
    exposures = context.entries[-1].rows or 0
    context.check_counts("exposures", context.rows(EXPOSURES), exposures)
    context.counts["exposures"] = exposures
    _warn_of_few(context, exposures, settings.usual_ccds * settings.per_ccd)
    shared.destroy()


def _warn_of_few(context: Context, exposures: int, full: int) -> None:
    """Warn where exposures are so much smaller than usual that their counts round to nothing."""
    mean = int(context.counts["cutouts"] or 0) / max(exposures, 1)
    if 0 < mean < full / 2:
        context.progress.warn(
            f"{context.title}: exposures have {mean:,.0f} cutouts in the mean, and those that "
            f"exposures.usual_ccds and per_ccd say {full:,}: histo-vectors are rounded to few "
            "counts; set exposures.usual_ccds to how many CCDs most exposures have"
        )


def _count(batches: Batches, *, batch: str, side: int, full: int) -> Batches:
    """Return rows of table ``cells`` for exposures with the cells of their CCDs."""
    schema = arrow_schema(CELLS)
    for rows in batches:
        made = []
        for row in rows.to_pylist():
            of = row["of"]
            every = np.array([cell for one in of for cell in one["cells"]], np.int64)
            words, counts = np.unique(every, return_counts=True)
            total = sum(one["sources"] for one in of)
            apart = sum(one["apart"] for one in of)
            made.append(
                {
                    "batch": batch,
                    "exposure_id": row["exposure_id"],
                    "sources": total,
                    "words": words,
                    "counts": counts,
                    "histo_vector": histo_vector(every, total, side=side, full=full).astype(int),
                    "quantisation_error": apart / len(every) if len(every) else None,
                    "dead_ccds": [one["ccd"] for one in of if not one["sources"]],
                    "hdus": [one["hdu"] for one in of],
                    "ccds": [one["ccd"] for one in of],
                    "ccd_sources": [one["sources"] for one in of],
                    "ccd_cutouts": [len(one["cells"]) for one in of],
                    "cutout_cells": every,
                }
            )
        yield batch_of(made, schema)
