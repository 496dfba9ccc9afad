"""Cuts the sources out of every CCD of a batch of exposures."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.context import Context
from minia_spark.engine.sources import title_of
from minia_spark.exposures.cutouts import cut, draw, scaled, sources
from minia_spark.exposures.pictures import picture
from minia_spark.exposures.reasons import ExposureReason
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.sources import listed
from minia_spark.exposures.spark import extensions_of
from minia_spark.exposures.stages.rows import FACTS, Batches, arrow_schema, batch_of
from minia_spark.exposures.tables import CUTOUTS, EXPOSURES
from minia_spark.images.exposure import Ccd, ccds, open_exposure, read_ccd
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of, uri_of
from minia_spark.images.reader import absolute_path
from minia_spark.images.reasons import Reason
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import REJECTS

__all__ = ["cutouts", "rows_of_file"]

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


def cutouts(context: Context) -> None:
    """Write the exposures, cutouts and rejects of a batch."""
    settings = context.settings(ExposureSettings)
    scratch = f"scratch/run={context.run}/exposures={context.batch}"
    assert context.source is not None
    root = os.path.realpath(os.fsencode(context.source.place))
    limits = {"max_pixels": settings.max_pixels, "max_bytes": settings.max_file_mib << 20}
    files, refused = _write_listing(context, root, f"{scratch}/listed")
    found = context.spark.read.schema(_LISTED).parquet(context.pattern(f"{scratch}/listed"))
    readable = found.where("reason is null").repartition(_tasks(context, files - refused), "path")
    extensions = _written_extensions(context, readable, root, limits, f"{scratch}/extensions")
    written = _write_cutouts(context, extensions, root, limits, settings)
    context.check_counts("files", files - refused, int(context.counts.pop("files")))
    context.counts |= {"rejects": int(context.counts["rejects"]) + refused}
    _write_rejects(context, written, found)
    context.write(EXPOSURES, _exposures(written))
    context.counts["exposures"] = context.entries[-1].rows or 0


def _written_extensions(
    context: Context, files: DataFrame, root: bytes, limits: dict[str, int], path: str
) -> DataFrame:
    """Return the extensions of files, each in a task of its own as far as that pays."""
    named = files.mapInArrow(partial(_extensions, root=root, limits=limits), _EXTENSIONS)
    with context.watched("headers"):
        named.write.mode("overwrite").parquet(context.uri(path))
    storage = context.warehouse.storage
    there = ds.dataset(storage.full(path), filesystem=storage.filesystem, format="parquet")
    frame = context.spark.read.schema(_EXTENSIONS).parquet(context.pattern(path))
    spread_out = frame.repartitionByRange(_tasks(context, there.count_rows()), "path", "hdu")
    return spread_out.sortWithinPartitions("path", "hdu")


def _write_cutouts(
    context: Context,
    extensions: DataFrame,
    root: bytes,
    limits: dict[str, int],
    settings: ExposureSettings,
) -> DataFrame:
    """Write table ``cutouts`` with what it counts, and return it."""
    names = ("threshold", "least_px", "per_ccd", "margin_px", "seed")
    work = partial(
        _cutouts,
        root=root,
        batch=str(context.batch),
        limits=limits,
        options={name: getattr(settings, name) for name in names},
    )
    content = F.xxhash64("exposure_id", "hdu", "ccd", "sources", "pixels", "reason")
    return context.write(
        CUTOUTS,
        extensions.mapInArrow(work, CUTOUTS.schema()),
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


def _write_rejects(context: Context, written: DataFrame, found: DataFrame) -> None:
    """Write table ``rejects``, and tell of it.

    Raises
    ------
    InputError
        Not one CCD could be read.
    """
    assert context.source is not None
    rejects = int(context.counts["rejects"])
    if not rejects:
        context.write_rows(REJECTS, REJECTS.arrow_schema().empty_table())
        return
    every = _rejects(context, written, found)
    if not context.counts["ccds"]:
        first = every.orderBy("uri").first()
        assert first is not None
        raise InputError(
            f"no CCD of {title_of(context.source)} could be read, e.g. {first['uri']}: "
            f"{first['detail']} Nothing was published."
        )
    context.write(REJECTS, every)
    context.progress.warn(
        f"{context.title}: {rejects:,} files or extensions give no cutouts; table rejects "
        "names each with its reason"
    )


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
    schema = arrow_schema(CUTOUTS)
    records = itertools.chain.from_iterable(one.to_pylist() for one in batches)

    def rows() -> Iterator[dict[str, Any]]:
        for path, those in itertools.groupby(records, key=lambda record: record["path"]):
            wanted = list(those)
            told = {key: wanted[0][key] for key in ("exposure_id", "uri")} | {"batch": batch}
            numbers = [record["hdu"] for record in wanted]
            file = Path(os.fsdecode(absolute_path(root, path)))
            for row in rows_of_file(file, numbers, told["exposure_id"], limits, options):
                yield told | row

    found = rows()
    while chunk := list(itertools.islice(found, _ROWS_AT_ONCE)):
        yield batch_of(chunk, schema)


def rows_of_file(
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
    for column, keyword, is_number in FACTS:
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
        "picture": picture(pixels, found.background, found.noise),
    }


def _number(text: str | None) -> float | None:
    try:
        value = None if text is None else float(text)
    except ValueError:
        return None
    return value if value is not None and np.isfinite(value) else None


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
        for name, _, _ in FACTS
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
