"""Trains a map and publishes it: what both maps do alike."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from PIL import Image

from minia_spark.base.errors import InputError
from minia_spark.desom.settings import MapSettings
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Artefact, Table
from minia_spark.exposures.drawing import mosaic
from minia_spark.exposures.drift import Expected
from minia_spark.exposures.trained import Scale, save_trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.desom.network import Design, Desom

__all__ = ["check_enough", "errors_of", "publish", "trained"]

PROTOTYPES = "prototypes.png"


def check_enough(what: str, side: int, inputs: int) -> None:
    """Refuse a map of more cells than there are inputs to train it on.

    Parameters
    ----------
    what : {"cutouts", "exposures"}
        As the settings call the map.
    side : int
        Of the map, in cells.
    inputs : int
        Without the tenth of the exposures that is held back.

    Raises
    ------
    InputError
    """
    if inputs < side * side:
        raise InputError(
            f"a map of {side} x {side} cells (desom.{what}.side) needs at least {side * side:,} "
            f"{what} to be trained on, besides a tenth of the exposures that is held back; there "
            f"are {inputs:,}: bring more exposures in, or take a smaller map, "
            f"--set desom.{what}.side={max(2, math.isqrt(inputs))}"
        )


def trained(
    context: Context,
    what: str,
    design: Design,
    settings: MapSettings,
    inputs: NDArray[Any],
) -> tuple[Desom, list[dict[str, float]]]:
    """Return a trained map and the figures of its training; none for published weights.

    Parameters
    ----------
    context : Context
    what : {"cutouts", "exposures"}
        As the settings call the map.
    design : Design
    settings : MapSettings
    inputs : array, shape (n, *design.input_shape)

    Raises
    ------
    InputError
        The published weights are of another design, or there are fewer inputs than cells.
    """
    from minia_spark.delf.checkpoints import hash_of  # noqa: PLC0415
    from minia_spark.desom.files import load, load_weights, read_manifest  # noqa: PLC0415
    from minia_spark.desom.fit import fitted, log_every  # noqa: PLC0415
    from minia_spark.desom.network import build  # noqa: PLC0415
    from minia_spark.desom.training import Recipe  # noqa: PLC0415

    if settings.weights is not None:
        place = Path(settings.weights)
        context.say(f"weights of {place}, no training")
        if not place.is_dir():
            desom = build(design, settings.seed)
            load_weights(desom, place)
            return desom, []
        theirs, _ = read_manifest(place)
        if theirs != design:
            raise InputError(
                f"desom.{what}.weights: {place} holds {theirs}, and these settings ask for {design}"
            )
        return load(place), []
    check_enough(what, settings.side, len(inputs))
    recipe = Recipe(
        design,
        settings.steps,
        rate=settings.rate,
        gamma=settings.gamma,
        batch=settings.batch,
        ramp=settings.ramp,
        seed=settings.seed,
        log_every=log_every(settings.steps),
        refit_every=max(1, settings.steps // settings.refits) if settings.refits else 0,
    )
    folder = None
    storage = context.warehouse.storage
    # with the inputs: checkpoints of others must not be gone on with
    name = fingerprint(str(recipe), hash_of({"inputs": inputs}))
    scratch = f"scratch/run=training-{name}"
    if storage.local is None:
        context.say("the warehouse is no local folder: there are no checkpoints")
    else:
        folder = storage.local / scratch
    context.say(f"training on {len(inputs):,} inputs, {settings.steps:,} steps")
    desom, told = fitted(recipe, inputs, folder, context.say)
    storage.remove_folder(scratch)
    return desom, told


def errors_of(desom: Desom, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return the distance of every input, shape (n,), to the nearest prototype."""
    from minia_spark.desom.grid import nearest_cells  # noqa: PLC0415
    from minia_spark.desom.training import encoded  # noqa: PLC0415

    return nearest_cells(encoded(desom, inputs), desom.prototypes.numpy())[1]


def publish(
    context: Context,
    outputs: tuple[Artefact, Table],
    made: tuple[Desom, list[dict[str, float]]],
    about: tuple[Expected, Scale | None, dict[str, int]],
    digest: str,
) -> None:
    """Write a map and the figures of its training."""
    desom, told = made
    expected, scale, numbers = about
    artefact, training = outputs
    folder, storage = context.folder(artefact), context.warehouse.storage
    used = context.stage.used(context.all_settings, None, None)
    manifest = {"settings": used, **numbers, "figures": told[-1] if told else None}
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "map" if storage.local is None else storage.local / folder
        weights = save_trained(desom, target, expected, scale, manifest)
        if scale is None:
            _draw_prototypes(desom, target / PROTOTYPES)
        if storage.local is None:
            storage.make_folder(folder)
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(artefact, folder, digest=weights)
    rows = [{c.name: figures[c.name] for c in training.columns} for figures in told]
    context.write_rows(training, _table_of(training, rows), digest=digest)
    last = told[-1] if told else {}
    names = ("step", "reconstruction", "quantisation_error", "topographic_error")
    context.counts |= {**numbers, **{n: round(last[n], 6) for n in names if n in last}}
    context.counts["expected_error"] = round(expected.error, 6)


def _draw_prototypes(desom: Desom, path: Path) -> None:
    tiles = desom.decoder(desom.prototypes.value, training=False).numpy()[..., 0]
    Image.fromarray(mosaic(tiles, desom.design.side)).save(path)


def _table_of(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    schema = table.arrow_schema()
    columns = [pa.array([row[f.name] for row in rows]).cast(f.type) for f in schema]
    return pa.table(columns, schema=schema) if rows else schema.empty_table()
