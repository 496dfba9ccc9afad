"""Places exposures and their CCDs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.engine.context import Context
from minia_spark.exposures.drift import beyond
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.stages.networks import encoded_on_worker, loaded
from minia_spark.exposures.stages.rows import Batches, arrow_schema, batch_of
from minia_spark.exposures.tables import CELLS, CUTOUT_MAP, EXPOSURE_DRIFT, EXPOSURE_MAP, PLACES
from minia_spark.exposures.trained import Trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["places"]


def places(context: Context) -> None:
    """Write where the exposures of a batch, and their CCDs, are on the map."""
    settings = context.settings(ExposureSettings)
    first, second = loaded(context, CUTOUT_MAP), loaded(context, EXPOSURE_MAP)
    shared = context.spark.sparkContext.broadcast(second)
    work = partial(
        _placed,
        shared=shared,
        batch=str(context.batch),
        side=first.design.side,
        full=settings.usual_ccds * settings.per_ccd,
        per_ccd=settings.per_ccd,
    )
    chosen = context.read(CELLS).select(
        *("exposure_id", "histo_vector", "cutout_cells"),
        *("hdus", "ccds", "ccd_sources", "ccd_cutouts"),
    )
    written = context.write(
        PLACES,
        chosen.mapInArrow(work, PLACES.schema()),
        measures={"exposures": F.count_if(F.col("hdu").isNull()), "ccds": F.count("hdu")},
    )
    context.check_counts("exposures", context.rows(CELLS), int(context.counts["exposures"]))
    _write_drift(context, written, {"exposures": second, "cutouts": first})
    shared.destroy()


def _write_drift(context: Context, written: DataFrame, maps: dict[str, Trained]) -> None:
    """Write how far the batch is from what the maps know, and warn where that is too far."""
    told = written.where("hdu is null").agg(
        F.count("distance").alias("exposures"), F.avg("distance").alias("error")
    )
    cut_up = context.read(CELLS).agg(
        F.count("quantisation_error").alias("exposures"),
        F.avg("quantisation_error").alias("error"),
    )
    with context.watched("drift"):
        found = told.unionByName(cut_up).toArrow().to_pylist()
    rows = [
        {
            "batch": context.batch,
            "map": what,
            "exposures": measured["exposures"],
            "error": measured["error"],
            "expected_error": trained.expected.error,
            "expected_deviation": trained.expected.deviation,
            "expected_from": trained.expected.exposures,
        }
        for (what, trained), measured in zip(maps.items(), found, strict=True)
    ]
    context.write_rows(EXPOSURE_DRIFT, pa.Table.from_pylist(rows, EXPOSURE_DRIFT.arrow_schema()))
    limit = context.settings(ExposureSettings).max_error_ratio
    for row in rows:
        warning = beyond(row, limit)
        if warning is not None:
            context.progress.warn(f"{context.title}: {warning}")


def _placed(
    batches: Batches, *, shared: Any, batch: str, side: int, full: int, per_ccd: int
) -> Batches:
    """Return rows of table ``places``: every exposure, then its CCDs."""
    schema = arrow_schema(PLACES)
    for rows in batches:
        told: list[dict[str, Any]] = []
        vectors: list[NDArray[Any]] = []
        for row in rows.to_pylist():
            base = {"batch": batch, "exposure_id": row["exposure_id"]}
            told.append(base | {"hdu": None, "ccd": None, "some": bool(row["cutout_cells"])})
            vectors.append(np.asarray(row["histo_vector"], np.float64))
            ends = np.cumsum(row["ccd_cutouts"])
            every = np.array(row["cutout_cells"], np.int64)
            for hdu, ccd, total, number, end in zip(
                *(row[n] for n in ("hdus", "ccds", "ccd_sources", "ccd_cutouts")), ends, strict=True
            ):
                own = every[end - number : end]
                told.append(base | {"hdu": hdu, "ccd": ccd, "some": number > 0})
                vectors.append(histo_vector(own, total, side=side, full=per_ccd))
        if not told:
            continue
        found, distances = shared.value.place(np.stack(vectors), encoded_on_worker)
        of_map = shared.value.design.side
        for row, cell, distance in zip(told, found.tolist(), distances.tolist(), strict=True):
            if row.pop("some"):
                x, y = divmod(cell, of_map)
                row |= {"cell": cell, "x": x, "y": y, "distance": distance}
        yield batch_of(told, schema)
