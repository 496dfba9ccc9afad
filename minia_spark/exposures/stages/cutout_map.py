"""Trains the map of cutouts (DESOM-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from minia_spark.base.arrow import binary_block
from minia_spark.base.errors import InputError
from minia_spark.desom.settings import DesomSettings, MapSettings
from minia_spark.engine.context import Context
from minia_spark.exposures.cutouts import SIDE_PX, drawn_share
from minia_spark.exposures.drift import expected_of, held_out
from minia_spark.exposures.sources import training_digest
from minia_spark.exposures.stages.rows import Batches
from minia_spark.exposures.stages.training import check_enough, errors_of, publish, trained
from minia_spark.exposures.tables import CUTOUT_MAP, CUTOUT_TRAINING, CUTOUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cutout_map"]


def cutout_map(context: Context) -> None:
    """Train the map of cutouts on a sample of those that are there, or load published weights."""
    from minia_spark.desom.network import Design  # noqa: PLC0415

    settings = context.settings(DesomSettings).cutouts
    images, names = _sampled_cutouts(context, settings)
    design = Design("conv", (512, 160), settings.side)
    if settings.weights is None:
        _check_exposures(context, names)
    held = np.isin(names, list(held_out(names, settings.seed)))
    desom, told = trained(context, "cutouts", design, settings, images[~held])
    errors = errors_of(desom, images)
    # of exposures, as batches are compared
    each = np.array([errors[names == name].mean() for name in np.unique(names)])
    kept = np.array([bool(held[names == name][0]) for name in np.unique(names)])
    publish(
        context,
        (CUTOUT_MAP, CUTOUT_TRAINING),
        (desom, told),
        (expected_of(each, kept), None, {"cutouts": int((~held).sum())}),
        training_digest(context.view, CUTOUTS.name),
    )


def _check_exposures(context: Context, names: NDArray[np.str_]) -> None:
    """Tell now, and not hours later, that there are too few exposures for the other map.

    It is only refused by its settings: they change nothing of this one, which does not declare
    them.
    """
    side, seed, weights = (
        context.all_settings.get(f"desom.exposures.{name}") for name in ("side", "seed", "weights")
    )
    if weights is None:
        there = np.unique(names)
        check_enough("exposures", side, len(there) - len(held_out(there, seed)))


def _sampled_cutouts(
    context: Context, settings: MapSettings
) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Return about as many cutouts as wanted, shape (n, 32, 32, 1), and their exposures.

    Which ones depends on the seed and on each CCD's own name alone, but for the share.
    """
    found = context.read(CUTOUTS).where("reason is null")
    with context.watched("number of cutouts"):
        total = found.agg(F.sum(F.size("x")).alias("n")).toArrow()["n"][0].as_py() or 0
    if not total:
        raise InputError(f"{context.title}: no CCD has a cutout")
    share, seed = min(1.0, settings.sample / total), settings.seed
    schema = pa.schema([("exposure_id", pa.string()), ("hdu", pa.int32()), ("some", pa.binary())])

    def choose(batches: Batches) -> Batches:
        for batch in batches:
            names, hdus = batch["exposure_id"].to_pylist(), batch["hdu"].to_pylist()
            vectors, offsets = binary_block(batch["pixels"], np.uint8, SIDE_PX * SIDE_PX)
            some = []
            for place, key in enumerate(zip(names, hdus, strict=True)):
                own = vectors[offsets[place] : offsets[place + 1]]
                some.append(own[drawn_share(len(own), share, (seed, *key))].tobytes())
            columns = [batch["exposure_id"], batch["hdu"], pa.array(some, pa.binary())]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    chosen = found.select("exposure_id", "hdu", "pixels").mapInArrow(
        choose, "exposure_id string, hdu int, some binary"
    )
    with context.watched("sample"):
        table = chosen.toArrow()
    # batches may hold the same exposure
    table = table.sort_by([(name, "ascending") for name in ("exposure_id", "hdu", "some")])
    blocks = table["some"].to_pylist()
    images = np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, SIDE_PX, SIDE_PX, 1)
    lengths = [len(block) // SIDE_PX**2 for block in blocks]
    return images, np.repeat(np.array(table["exposure_id"].to_pylist()), lengths)
