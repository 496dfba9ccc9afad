"""Exposures on Spark: cutouts of every CCD, their cells, places of exposures, flags.

Pixels never go through the JVM: a task gets the path of a file and the number of an extension,
reads that, and gives back cutouts. Networks go to the workers as arrays, and are built there once.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from markupsafe import Markup
from PIL import Image
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import binary_block, from_lists, to_lists
from minia_spark.base.errors import InputError, Rejected
from minia_spark.desom.settings import DesomSettings, MapSettings
from minia_spark.engine.context import Context
from minia_spark.engine.sources import title_of
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Artefact, Table, arrow_type
from minia_spark.exposures.cutouts import SIDE_PX, cut, draw, drawn_share, scaled, sources
from minia_spark.exposures.drawing import map_svg, mosaic
from minia_spark.exposures.drift import Expected, beyond, expected_of, held_out
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.labels import spread, sure
from minia_spark.exposures.page import Cell, Member, Page, render
from minia_spark.exposures.reasons import ExposureReason
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.sources import listed, training_digest
from minia_spark.exposures.spark import extensions_of
from minia_spark.exposures.tables import (
    CELLS,
    CUTOUT_MAP,
    CUTOUT_TRAINING,
    CUTOUTS,
    EXPOSURE_DRIFT,
    EXPOSURE_MAP,
    EXPOSURE_PAGE,
    EXPOSURE_TRAINING,
    EXPOSURES,
    FLAGS,
    PLACES,
)
from minia_spark.exposures.trained import Scale, Trained, load_trained, save_trained
from minia_spark.images.exposure import Ccd, ccds, open_exposure, read_ccd
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of, uri_of
from minia_spark.images.reader import absolute_path
from minia_spark.images.reasons import Reason
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import REJECTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minia_spark.desom.network import Design, Desom

__all__ = [
    "cells",
    "cutout_map",
    "cutouts",
    "encoded_on_worker",
    "exposure_map",
    "exposure_page",
    "flags",
    "loaded",
    "panel",
    "places",
]

PROTOTYPES = "prototypes.png"
"""In the folder of a map of cutouts: its prototypes, decoded."""

Batches = Iterator[pa.RecordBatch]

_LISTED = "path binary, exposure_id string, uri string, reason string, detail string"
_LISTED_ARROW = pa.schema(
    [
        ("path", pa.binary()),
        *((name, pa.string()) for name in ("exposure_id", "uri", "reason", "detail")),
    ]
)
_EXTENSIONS = "path binary, exposure_id string, uri string, hdu int"
_EXTENSIONS_ARROW = pa.schema(
    [("path", pa.binary()), ("exposure_id", pa.string()), ("uri", pa.string()), ("hdu", pa.int32())]
)
_ROWS_AT_ONCE = 16
_CCDS_A_PARTITION = 64
_FACTS = (
    ("exposure_seconds", "EXPTIME", True),
    ("filter", "FILTER", False),
    ("mjd", "MJD-OBS", True),
    ("object", "OBJECT", False),
)
_DEAD = "dead"
_CELLS_SHOWN, _MEMBERS_SHOWN = 60, 9
_CUTOUTS_SHOWN = 16


# -- cutouts --------------------------------------------------------------------------------------


def cutouts(context: Context) -> None:
    """Write the exposures, cutouts and rejects of a batch."""
    settings = context.settings(ExposureSettings)
    scratch = f"scratch/run={context.run}/exposures={context.batch}"
    assert context.source is not None
    root = os.path.realpath(os.fsencode(context.source.place))
    files, refused = _write_listing(context, root, f"{scratch}/listed")
    limits = {"max_pixels": settings.max_pixels, "max_bytes": settings.max_file_mib << 20}
    found = context.spark.read.schema(_LISTED).parquet(context.pattern(f"{scratch}/listed"))
    extensions = (
        found.where("reason is null")
        .repartition(_tasks(context, files - refused), "path")
        .mapInArrow(partial(_extensions, root=root, limits=limits), _EXTENSIONS)
    )
    with context.watched("headers"):
        extensions.write.mode("overwrite").parquet(context.uri(f"{scratch}/extensions"))
    place = context.warehouse.storage.full(f"{scratch}/extensions")
    filesystem = context.warehouse.storage.filesystem
    total = ds.dataset(place, filesystem=filesystem, format="parquet").count_rows()
    frame = context.spark.read.schema(_EXTENSIONS).parquet(context.pattern(f"{scratch}/extensions"))
    spread_out = frame.repartitionByRange(_tasks(context, total), "path", "hdu")
    work = partial(
        _cutouts,
        root=root,
        batch=str(context.batch),
        limits=limits,
        options={
            "threshold": settings.threshold,
            "least_px": settings.least_px,
            "per_ccd": settings.per_ccd,
            "margin_px": settings.margin_px,
            "seed": settings.seed,
        },
    )
    rows = spread_out.sortWithinPartitions("path", "hdu").mapInArrow(work, CUTOUTS.schema())
    content = F.xxhash64("exposure_id", "hdu", "ccd", "sources", "pixels", "reason")
    written = context.write(
        CUTOUTS,
        rows,
        digest=F.concat_ws(
            ":", F.count("*"), F.bit_xor(content), F.sum(content.cast("decimal(38,0)"))
        ),
        measures={
            "ccds": F.count_if(F.col("reason").isNull()),
            "dead_ccds": F.count_if("dead"),
            "sources": F.sum("sources"),
            "cutouts": F.sum(F.size("x")),
            "rejects": F.count("reason"),
            "files": F.count_distinct("exposure_id"),
        },
    )
    context.check_counts("files", files - refused, int(context.counts.pop("files")))
    rejects = int(context.counts["rejects"]) + refused
    context.counts |= {"rejects": rejects}
    every = _rejects(context, written, found) if rejects else None
    if every is None:
        context.write_rows(REJECTS, REJECTS.arrow_schema().empty_table())
    elif not context.counts["ccds"]:
        first = every.orderBy("uri").first()
        assert first is not None
        raise InputError(
            f"no CCD of {title_of(context.source)} could be read, e.g. {first['uri']}: "
            f"{first['detail']} Nothing was published."
        )
    else:
        context.write(REJECTS, every)
        context.progress.warn(
            f"{context.title}: {rejects:,} files or extensions give no cutouts; table rejects "
            "names each with its reason"
        )
    context.write(EXPOSURES, _exposures(written))
    context.counts["exposures"] = context.entries[-1].rows or 0


def _tasks(context: Context, records: int) -> int:
    """Return how many tasks read so many CCDs or files: each takes its time."""
    chosen = context.all_settings.spark.partitions
    if chosen is not None:
        return chosen
    return max(1, min(records, max(4 * context.parallelism, records // _CCDS_A_PARTITION)))


def _write_listing(context: Context, root: bytes, path: str) -> tuple[int, int]:
    """Write the names of all files while they are listed; return how many, and how many refused."""
    assert context.source is not None
    outside = context.settings(IngestSettings).follow_links_outside
    storage = context.warehouse.storage
    storage.make_folder(path)
    files = refused = 0
    entries = listed(context.source, follow_links_outside=outside)
    with pq.ParquetWriter(
        storage.full(f"{path}/rows.parquet"), _LISTED_ARROW, filesystem=storage.filesystem
    ) as writer:
        while piece := list(itertools.islice(entries, 10_000)):
            rows = []
            for entry in piece:
                absolute = absolute_path(root, entry.path)
                verdict = entry.rejected
                rows.append(
                    {
                        "path": entry.path,
                        "exposure_id": image_id_of(entry.path or os.path.basename(root)),  # noqa: PTH119
                        "uri": uri_of(absolute),
                        "reason": None if verdict is None else verdict.reason,
                        "detail": None if verdict is None else verdict.detail,
                    }
                )
                refused += verdict is not None
            writer.write_table(pa.Table.from_pylist(rows, _LISTED_ARROW))
            files += len(piece)
    return files, refused


def _extensions(batches: Batches, *, root: bytes, limits: dict[str, int]) -> Batches:
    for batch in batches:
        rows = []
        for row in batch.select(["path", "exposure_id", "uri"]).to_pylist():
            file = Path(os.fsdecode(absolute_path(root, row["path"])))
            numbers = extensions_of(file, **limits)
            rows += [row | {"hdu": number} for number in numbers]
        yield pa.RecordBatch.from_pylist(rows, _EXTENSIONS_ARROW)


def _cutouts(
    batches: Batches, *, root: bytes, batch: str, limits: dict[str, int], options: dict[str, Any]
) -> Batches:
    """Return rows of table ``cutouts``; records of a file stand together."""
    schema = _arrow_schema(CUTOUTS)
    records = itertools.chain.from_iterable(one.to_pylist() for one in batches)

    def rows() -> Iterator[dict[str, Any]]:
        for path, those in itertools.groupby(records, key=lambda record: record["path"]):
            wanted = list(those)
            told = {key: wanted[0][key] for key in ("exposure_id", "uri")} | {"batch": batch}
            numbers = [record["hdu"] for record in wanted]
            file = Path(os.fsdecode(absolute_path(root, path)))
            for row in _of_file(file, numbers, told["exposure_id"], limits, options):
                yield told | row

    found = rows()
    while chunk := list(itertools.islice(found, _ROWS_AT_ONCE)):
        columns = [pa.array([row.get(field.name) for row in chunk], field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _of_file(
    file: Path,
    numbers: Sequence[int | None],
    exposure_id: str,
    limits: dict[str, int],
    options: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield a row for every extension that is wanted; None among them: for all there are."""
    missing = set(numbers)
    everything = None in missing
    told = False
    try:
        with open_exposure(file, max_bytes=limits["max_bytes"]) as hdus:
            for one in ccds(hdus, max_pixels=limits["max_pixels"]):
                number = one.hdu if isinstance(one, Ccd) else one[0]
                if not everything and number not in missing:
                    continue
                missing.discard(number)
                told = True
                if isinstance(one, Ccd):
                    yield _of_ccd(one, hdus, exposure_id, **options)
                else:
                    yield _refused(number, one[1])
                if not missing:
                    return
        if everything and not told:
            raise Reason.NO_IMAGE_DATA.reject("The file has headers only, and no image.")
        if not everything:
            raise Reason.UNREADABLE.reject("The file changed while it was read.")
    except Rejected as verdict:
        yield from (_refused(number, verdict) for number in sorted(missing, key=str))
    except OSError as error:
        unreadable = Reason.UNREADABLE.reject(f"The file cannot be read: {sentence(error)}")
        yield from (_refused(number, unreadable) for number in sorted(missing, key=str))


def _refused(number: int | None, verdict: Rejected) -> dict[str, Any]:
    return {"hdu": number, "reason": verdict.reason, "detail": verdict.detail}


def _of_ccd(
    ccd: Ccd,
    hdus: Any,
    exposure_id: str,
    *,
    threshold: float,
    least_px: int,
    per_ccd: int,
    margin_px: int,
    seed: int,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "hdu": ccd.hdu,
        "ccd": ccd.name,
        "width": ccd.width,
        "height": ccd.height,
    }
    for column, keyword, is_number in _FACTS:
        text = ccd.header.get(keyword)
        row[column] = _number(text) if is_number else text
    try:
        if min(ccd.width, ccd.height) <= 2 * margin_px + 1:
            raise ExposureReason.TOO_SMALL.reject(
                f"The CCD has {ccd.width} x {ccd.height} pixels: no source is more than "
                f"{margin_px} pixels (exposures.margin_px) from its borders."
            )
        pixels = read_ccd(hdus, ccd.hdu)
        found = sources(pixels, threshold=threshold, least_px=least_px)
    except Rejected as verdict:
        return row | {"reason": verdict.reason, "detail": verdict.detail}
    shape = (ccd.height, ccd.width)
    chosen = draw(found, shape, per_ccd, margin_px, (seed, exposure_id, ccd.hdu))
    made = scaled(cut(pixels, found.x[chosen], found.y[chosen]))
    return row | {
        "sources": len(found),
        "background": found.background if np.isfinite(found.background) else None,
        "noise": found.noise,
        "dead": len(found) == 0,
        "x": found.x[chosen].astype(np.float32),
        "y": found.y[chosen].astype(np.float32),
        "low": made.low,
        "high": made.high,
        "pixels": made.pixels.tobytes(),
    }


def _number(text: str | None) -> float | None:
    try:
        value = None if text is None else float(text)
    except ValueError:
        return None
    return value if value is not None and np.isfinite(value) else None


def _arrow_schema(table: Table, *without: str) -> pa.Schema:
    return pa.schema(
        [
            pa.field(c.name, arrow_type(c.type), c.null)
            for c in table.columns
            if c.name not in without
        ]
    )


def _rejects(context: Context, written: DataFrame, found: DataFrame) -> DataFrame:
    place = F.when(F.col("hdu").isNull(), F.col("uri")).otherwise(
        F.concat("uri", F.lit("#hdu="), F.col("hdu"))
    )
    told = ("reason", "detail")
    read = written.where("reason is not null").select(place.alias("uri"), *told)
    listed_only = found.where("reason is not null").select("uri", *told)
    return (
        read.unionByName(listed_only)
        .withColumn("batch", F.lit(context.batch))
        .withColumn("stage", F.lit("cutouts"))
    )


def _exposures(written: DataFrame) -> DataFrame:
    """Return a row an exposure; header facts are those of the first CCD that has them."""
    dead = F.sort_array(F.collect_list(F.when(F.col("dead"), F.struct("hdu", "ccd"))))
    facts = [
        F.min_by(name, F.when(F.col(name).isNotNull(), F.col("hdu"))).alias(name)
        for name, _, _ in _FACTS
    ]
    return (
        written.where("reason is null")
        .groupBy("batch", "exposure_id", "uri")
        .agg(
            F.count("*").cast("int").alias("ccds"),
            F.transform(dead, lambda one: one["ccd"]).alias("dead_ccds"),
            F.sum("sources").alias("sources"),
            F.sum(F.size("x")).cast("int").alias("cutouts"),
            *facts,
        )
    )


# -- maps -----------------------------------------------------------------------------------------


def cutout_map(context: Context) -> None:
    """Train the map of cutouts on a sample of those that are there, or load published weights."""
    from minia_spark.desom.network import Design  # noqa: PLC0415

    settings = context.settings(DesomSettings).cutouts
    images, names = _sampled_cutouts(context, settings)
    design = Design("conv", (512, 160), settings.side)
    held = np.isin(names, list(held_out(names, settings.seed)))
    desom, told = _map(context, "cutouts", design, settings, images[~held])
    errors = _errors(desom, images)
    # of exposures, as batches are compared
    each = np.array([errors[names == name].mean() for name in np.unique(names)])
    kept = np.array([bool(held[names == name][0]) for name in np.unique(names)])
    _publish(
        context,
        (CUTOUT_MAP, CUTOUT_TRAINING),
        (desom, told),
        (expected_of(each, kept), None, {"cutouts": int((~held).sum())}),
        training_digest(context.view, CUTOUTS.name),
    )


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
    desom, told = _map(context, "exposures", design, settings, scale(vectors[~held]))
    errors = _errors(desom, scale(vectors))
    _publish(
        context,
        (EXPOSURE_MAP, EXPOSURE_TRAINING),
        (desom, told),
        (expected_of(errors, held), scale, {"exposures": int((~held).sum())}),
        training_digest(context.view, CELLS.name),
    )


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


def _map(
    context: Context,
    what: str,
    design: Design,
    settings: MapSettings,
    inputs: NDArray[Any],
) -> tuple[Desom, list[dict[str, float]]]:
    """Return a trained map and the figures of its training; none for published weights."""
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
    recipe = Recipe(
        design,
        settings.steps,
        rate=settings.rate,
        gamma=settings.gamma,
        batch=settings.batch,
        seed=settings.seed,
        log_every=log_every(settings.steps),
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


def _errors(desom: Desom, inputs: NDArray[Any]) -> NDArray[np.float64]:
    from minia_spark.desom.grid import nearest_cells  # noqa: PLC0415
    from minia_spark.desom.training import encoded  # noqa: PLC0415

    return nearest_cells(encoded(desom, inputs), desom.prototypes.numpy())[1]


def _publish(
    context: Context,
    outputs: tuple[Artefact, Table],
    trained: tuple[Desom, list[dict[str, float]]],
    about: tuple[Expected, Scale | None, dict[str, int]],
    digest: str,
) -> None:
    """Write a map and the figures of its training."""
    desom, told = trained
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


# -- on the workers -------------------------------------------------------------------------------

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


# -- cells ----------------------------------------------------------------------------------------


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
    shared.destroy()


def _count(batches: Batches, *, batch: str, side: int, full: int) -> Batches:
    """Return rows of table ``cells`` for exposures with the cells of their CCDs."""
    schema = _arrow_schema(CELLS)
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
        columns = [pa.array([row[f.name] for row in made], f.type) for f in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


# -- places ---------------------------------------------------------------------------------------


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
        for what, trained, measured in zip(
            ("exposures", "cutouts"), (second, first), found, strict=True
        )
    ]
    context.write_rows(EXPOSURE_DRIFT, pa.Table.from_pylist(rows, EXPOSURE_DRIFT.arrow_schema()))
    for row in rows:
        warning = beyond(row, settings.max_error_ratio)
        if warning is not None:
            context.progress.warn(f"{context.title}: {warning}")
    shared.destroy()


def _placed(
    batches: Batches, *, shared: Any, batch: str, side: int, full: int, per_ccd: int
) -> Batches:
    """Return rows of table ``places``: every exposure, then its CCDs."""
    schema = _arrow_schema(PLACES)
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
        columns = [pa.array([row.get(f.name) for row in told], f.type) for f in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


# -- flags ----------------------------------------------------------------------------------------


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


# -- the page -------------------------------------------------------------------------------------


def _whole(context: Context, table: Table, columns: list[str]) -> list[dict[str, Any]]:
    """Return the rows of whole exposures, by batch and name."""
    only = ds.field("hdu").is_null()
    rows = [r for b in context.rows_here(table, columns, only) for r in b.to_pylist()]
    return sorted(rows, key=lambda row: (row["batch"], row["exposure_id"]))


def _cells_of_map(
    placed: Sequence[Mapping[str, Any]], flagged: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, int], dict[int, str]]:
    """Return how many exposures each cell has, and its quality where there are labels."""
    population = Counter(row["cell"] for row in placed if row["cell"] is not None)
    qualities = {
        row["cell"]: row["quality"]
        for row in flagged
        if row["cell"] is not None and row["quality"] is not None
    }
    return dict(population), qualities


def panel(context: Context) -> Markup:
    """Show the map of exposures on the page of the images."""
    placed = _whole(context, PLACES, ["batch", "exposure_id", "cell"])
    flagged = _whole(context, FLAGS, ["batch", "exposure_id", "cell", "quality"])
    population, qualities = _cells_of_map(placed, flagged)
    side = loaded(context, EXPOSURE_MAP).design.side
    text = Markup(
        '<p class="lead">{:,} exposures on their map, in the colours of their quality; <code>minia '
        "exposures report</code> makes the whole page.</p>{}"
    )
    return text.format(len(placed), map_svg(population, qualities, side))


def exposure_page(context: Context) -> None:
    """Write the page of exposures."""
    placed = _whole(context, PLACES, ["batch", "exposure_id", "cell"])
    columns = ["batch", "exposure_id", "cell", "quality", "confidence"]
    flagged = _whole(context, FLAGS, columns)
    population, qualities = _cells_of_map(placed, flagged)
    names = ["batch", "exposure_id", "ccds", "dead_ccds", *(name for name, _, _ in _FACTS)]
    facts = {
        (row["batch"], row["exposure_id"]): row
        for batch in context.rows_here(EXPOSURES, names)
        for row in batch.to_pylist()
    }
    flag_of = {(row["batch"], row["exposure_id"]): row for row in flagged}
    chosen = _members(placed, population)
    pixels, vectors = _pictures(context, [key for keys in chosen.values() for key in keys])
    shown = [
        Cell(
            cell,
            population[cell],
            qualities.get(cell),
            [
                Member(
                    exposure_id=key[1],
                    batch=key[0],
                    facts=_told(facts[key]),
                    dead=len(facts[key]["dead_ccds"]),
                    confidence=flag_of[key]["confidence"],
                    cutouts=pixels[key],
                    histo_vector=vectors[key],
                )
                for key in keys
            ],
        )
        for cell, keys in chosen.items()
    ]
    settings = context.settings(ExposureSettings)
    drift = [r for b in context.rows_here(EXPOSURE_DRIFT, _DRIFT) for r in b.to_pylist()]
    drift.sort(key=lambda row: (row["batch"], row["map"]))
    training = []
    for title, table in (
        ("Map of cutouts", CUTOUT_TRAINING),
        ("Map of exposures", EXPOSURE_TRAINING),
    ):
        rows = context.small(table).sort_by("step").to_pylist()
        training += [(title, rows[-1])] if rows else []
    storage = context.warehouse.storage
    (entry,) = context.entries_of(CUTOUT_MAP)
    page = Page(
        exposures=len(facts),
        ccds=sum(row["ccds"] for row in facts.values()),
        dead_ccds=sum(len(row["dead_ccds"]) for row in facts.values()),
        rejects=context.rows(CUTOUTS) - sum(row["ccds"] for row in facts.values()),
        side=loaded(context, EXPOSURE_MAP).design.side,
        cutout_side=loaded(context, CUTOUT_MAP).design.side,
        prototypes=storage.read(f"{entry.path}/{PROTOTYPES}"),
        population=population,
        qualities=qualities,
        cells=shown,
        nights=_nights(facts, flag_of),
        warnings=[w for row in drift if (w := beyond(row, settings.max_error_ratio))],
        training=training,
    )
    folder = context.folder(EXPOSURE_PAGE)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "page" if storage.local is None else storage.local / folder
        context.counts["pictures"] = render(page, target)
        if storage.local is None:
            storage.make_folder(folder)
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(EXPOSURE_PAGE, folder)
    context.counts |= {"exposures": len(facts), "cells": len(population)}


_DRIFT = [column.name for column in EXPOSURE_DRIFT.columns]
_Key = tuple[str, str]


def _members(
    placed: Sequence[Mapping[str, Any]], population: Mapping[int, int]
) -> dict[int, list[_Key]]:
    """Return up to nine members of the largest cells, by cell; which ones is chance, and stays."""
    largest = sorted(population, key=lambda cell: (-population[cell], cell))[:_CELLS_SHOWN]
    members: dict[int, list[_Key]] = {cell: [] for cell in sorted(largest)}
    for row in placed:
        if row["cell"] in members:
            members[row["cell"]].append((row["batch"], row["exposure_id"]))
    return {
        cell: sorted(sorted(keys, key=_chance)[:_MEMBERS_SHOWN]) for cell, keys in members.items()
    }


def _chance(key: _Key) -> str:
    return fingerprint(*key)


def _pictures(
    context: Context, keys: Sequence[_Key]
) -> tuple[dict[_Key, NDArray[np.uint8]], dict[_Key, NDArray[Any]]]:
    """Return some cutouts, and the histo-vector, of some exposures."""
    pixels: dict[_Key, NDArray[np.uint8]] = {}
    vectors: dict[_Key, NDArray[Any]] = {}
    if not keys:
        return pixels, vectors
    batches, names = zip(*keys, strict=True)
    wanted = context.spark.createDataFrame(
        pa.table({"batch": pa.array(batches), "exposure_id": pa.array(names)})
    )
    of = ["batch", "exposure_id"]
    some = F.substring("pixels", 1, _CUTOUTS_SHOWN * SIDE_PX * SIDE_PX)
    sheets = (
        context.read(CUTOUTS)
        .where(F.size("x") > 0)
        .join(F.broadcast(wanted), of)
        .groupBy(*of)
        .agg(F.min_by(some, "hdu").alias("pixels"))
    )
    counted = context.read(CELLS).join(F.broadcast(wanted), of).select(*of, "histo_vector")
    with context.watched("members"):
        rows = counted.join(sheets, of).toArrow().to_pylist()
    for row in rows:
        key = (row["batch"], row["exposure_id"])
        flat = np.frombuffer(row["pixels"], np.uint8)
        pixels[key] = flat.reshape(-1, SIDE_PX, SIDE_PX)
        vectors[key] = np.array(row["histo_vector"])
    return pixels, vectors


def _told(row: Mapping[str, Any]) -> str:
    """Return the facts of an exposure as a caption has them."""
    seconds, mjd = row["exposure_seconds"], row["mjd"]
    parts = (
        row["object"],
        row["filter"],
        None if seconds is None else f"{seconds:g} s",
        None if mjd is None else f"MJD {mjd:.2f}",
    )
    return ", ".join(part for part in parts if part)


def _nights(
    facts: Mapping[_Key, Mapping[str, Any]], flag_of: Mapping[_Key, Mapping[str, Any]]
) -> list[tuple[int | None, str | None, dict[str, int]]]:
    """Return how many exposures of each quality every night and filter has."""
    counts: dict[tuple[int | None, str | None], Counter[str]] = defaultdict(Counter)
    for key, row in facts.items():
        night = None if row["mjd"] is None else int(row["mjd"])
        quality = flag_of[key]["quality"] if key in flag_of else None
        counts[night, row["filter"]][quality or "no label"] += 1
    order = sorted(counts, key=lambda one: (one[0] is None, one[0] or 0, one[1] or ""))
    return [(night, name, dict(counts[night, name])) for night, name in order]
