"""Taking in features on Spark: minIA's two files become a batch of ``images`` and ``features``.

The driver looks for the ends of lines only, and cuts both files into pieces of the same rows; every
task reads and parses its pieces. What the rows mean is in :mod:`.rows`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import binary_block, to_lists
from minia_spark.base.errors import InputError
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Found, care_of_task, despite_deadly_images
from minia_spark.engine.stage import Source, fingerprint
from minia_spark.engine.table import arrow_type
from minia_spark.features.columns import feature_columns
from minia_spark.features.extractor import Features
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.images.care import Care
from minia_spark.images.identity import uri_of
from minia_spark.imports.lines import Piece, pieces_of
from minia_spark.imports.reasons import Reason
from minia_spark.imports.rows import Bad, Form, Part, Place, join, parse
from minia_spark.imports.sources import beginning_of, layout_of, opened, stored_layout, title_of
from minia_spark.ingest.labels import match_keys
from minia_spark.ingest.stage import READER, content_digest
from minia_spark.ingest.tables import IMAGES, REJECTS

__all__ = ["run"]

_ROWS_AT_ONCE = 2_000
_BLOCK_BYTES = 8 << 20
_PIECES_A_LINE = 1_000  # of progress: about a gigabyte, a few seconds
_IMAGES_AT_ONCE = 64
_ROWS_AN_IMAGE = 100  # to choose the number of tasks by

_PIECE = pa.schema(
    [
        *(("first", pa.int64()), ("table_start", pa.int64()), ("table_bytes", pa.int64())),
        *(("matrix_start", pa.int64()), ("matrix_bytes", pa.int64())),
    ]
)
_FLOATS = pa.list_(pa.field("element", pa.float32()))
_PARSED_ARROW = pa.schema(
    [
        *(("image_id", pa.string()), ("row_start", pa.int64()), ("row_end", pa.int64())),
        *(("first", pa.int64()), ("n", pa.int32()), ("whole", pa.bool_())),
        *(("x", _FLOATS), ("y", _FLOATS), ("size", _FLOATS), ("score", _FLOATS)),
        *(("descriptors", pa.binary()), ("uri", pa.string())),
        *(("reason", pa.string()), ("detail", pa.string())),
    ]
)
_PARSED = (
    "image_id string, row_start long, row_end long, first long, n int, whole boolean, "
    "x array<float>, y array<float>, size array<float>, score array<float>, descriptors binary, "
    "uri string, reason string, detail string"
)
_REJECTED = "uri string, reason string, detail string"
_PIXELS = tuple(c for c in IMAGES.columns if c.name not in ("image_id", "batch"))
_FROM_FILE = tuple(c for c in _PIXELS if c.name not in ("label", "ra_deg", "dec_deg"))
_KEYS = ("key_path", "key_name", "key_stem")

Batches = Iterator[pa.RecordBatch]


def run(context: Context) -> None:
    """Write the images, features and rejects of two files."""
    source = context.source
    assert source is not None
    assert source.companion is not None
    assert context.variant is not None
    stamps = _stamps(source)
    beginning = beginning_of(source)
    there = stored_layout(context.warehouse, context.view, context.variant)
    # what an extractor's descriptors look like, not what it is set to
    settings = context.all_settings.of(FeaturesSettings)
    layout = layout_of(beginning, context.variant, settings, there, title_of(source.companion))
    form = replace(beginning.form, extractor=layout.extractor, is_whole=layout.dtype == "|u1")
    if form.unused:
        names = ", ".join(map(repr, form.unused))
        context.progress.warn(f"{context.title}: nothing is read from columns {names}")
    scratch = f"scratch/run={context.run}"
    pieces, rows, content = _cut(source, beginning.header_bytes, context.say)
    parsed = _parse(context, form, pieces, rows, f"{scratch}/parsed={context.batch}")
    told = parsed.agg(
        F.sum("n").alias("good"), F.count("reason").alias("bad"), F.min("whole").alias("whole")
    ).first()
    assert told is not None
    if not told["good"]:
        first = parsed.orderBy("uri", "detail").first()
        assert first is not None
        raise InputError(
            f"no row of {title_of(source.place)} and {title_of(source.companion)} could be used, "
            f"e.g. {first['detail']} Nothing was published."
        )
    dtype = layout.dtype or ("|u1" if told["whole"] else "<f4")
    named = parsed.where("image_id is not null")
    limit = context.settings(FeaturesSettings).max_features
    merge = partial(
        _merge,
        batch=str(context.batch),
        dtype=dtype,
        dimension=layout.dimension,
        is_scored=form.is_scored,
        max_features=limit,
    )
    metadata = layout.metadata(dtype)
    written = context.write(
        FEATURES,
        _by_image(context, named, rows).mapInArrow(merge, FEATURES.schema()),
        digest=fingerprint(content, metadata, limit),
        metadata={"descriptors": metadata},
        measures={
            "features": F.sum("n_features"),
            "found": F.sum("n_found"),
        },
    )
    images = context.entries[-1].rows or 0
    found = int(context.counts.pop("found"))
    left_out = found - int(context.counts["features"])
    _write_images(context, written.select("image_id"), scratch)
    context.check_counts("images", images, context.entries[-1].rows or 0)
    rejects = _write_rejects(context, parsed, named, rows, repeated=int(told["good"]) - found)
    if _stamps(source) != stamps:
        raise InputError(
            f"{title_of(source.place)} or {title_of(source.companion)} changed while it was read; "
            "nothing was published; start the run again"
        )
    context.check_counts("rows", rows, found, int(told["bad"]), int(told["good"]) - found)
    context.warehouse.storage.remove_folder(scratch)
    context.counts |= {"rows": rows, "images": images, "rejects": rejects}
    if left_out:
        context.progress.warn(
            f"{context.title}: {left_out:,} features beyond features.max_features "
            f"({limit:,}) an image, the last ones, were left out"
        )


# -- the files --------------------------------------------------------------------------------


def _stamps(source: Source) -> list[tuple[int, int]]:
    assert source.companion is not None
    stamps = []
    for path in (source.place, source.companion):
        with opened(path) as file:
            told = os.fstat(file.fileno())
        stamps.append((told.st_size, told.st_mtime_ns))
    return stamps


def _cut(
    source: Source, header_bytes: int, say: Callable[[str], None]
) -> tuple[pa.Table, int, list[str]]:
    """Return where both files have the same rows, how many there are, and the files' hashes.

    `say` hears of it now and then: large files take minutes.

    Raises
    ------
    InputError
        The files have different numbers of rows, or none.
    """
    assert source.companion is not None
    hashes = [hashlib.sha256(), hashlib.sha256()]
    table = _pieces(source.place, header_bytes, hashes[0])
    matrix = _pieces(source.companion, 0, hashes[1])
    found: list[tuple[int, int, int, int, int]] = []
    lines = [0, 0]
    for count, both in enumerate(itertools.zip_longest(table, matrix), 1):
        for number, piece in enumerate(both):
            lines[number] += 0 if piece is None else piece.lines
        if count % _PIECES_A_LINE == 0:
            say(f"looking for rows in {title_of(source.place)}: {max(lines):,} so far")
        ours, theirs = both
        if ours is not None and theirs is not None:
            start = ours.start + header_bytes
            found.append((ours.first, start, ours.size_bytes, theirs.start, theirs.size_bytes))
    if lines[0] != lines[1]:
        raise InputError(
            f"{title_of(source.place)} has {lines[0]:,} rows below its first line and "
            f"{title_of(source.companion)} has {lines[1]:,} lines: they are not of one "
            "extraction, or one was cut off. Nothing was published."
        )
    if not found:
        raise InputError(f"{title_of(source.place)} has no row below its first line")
    columns = [pa.array(values, pa.int64()) for values in zip(*found, strict=True)]
    return pa.table(columns, schema=_PIECE), lines[0], [one.hexdigest() for one in hashes]


def _pieces(path: Path, start: int, hashed: hashlib._Hash) -> Iterator[Piece]:
    with opened(path) as file:
        hashed.update(file.read(start))

        def blocks() -> Iterator[bytes]:
            while block := file.read(_BLOCK_BYTES):
                hashed.update(block)
                yield block

        try:
            yield from pieces_of(blocks(), _ROWS_AT_ONCE)
        except ValueError as error:
            raise InputError(
                f"{title_of(path)} is no file of one feature a line: {error}"
            ) from None


def _parse(context: Context, form: Form, pieces: pa.Table, rows: int, path: str) -> DataFrame:
    """Write what all pieces hold into the scratch folder: parts of images, and rejects."""
    source = context.source
    assert source is not None
    assert source.companion is not None
    tasks = min(len(pieces), context.partitions(-(-rows // _ROWS_AN_IMAGE)))
    frame = context.spark.createDataFrame(pieces).repartition(tasks, "first")
    places = (source.place.absolute(), source.companion.absolute())
    parsed = frame.mapInArrow(partial(_read, form=form, places=places), _PARSED)
    with context.watched("rows"):
        parsed.write.mode("overwrite").parquet(context.uri(path))
    return context.spark.read.schema(_PARSED).parquet(context.pattern(path))


def _read(batches: Batches, *, form: Form, places: tuple[Path, Path]) -> Batches:
    with opened(places[0]) as table, opened(places[1]) as matrix:
        for batch in batches:
            for piece in batch.to_pylist():
                ours = _at(table, places[0], piece["table_start"], piece["table_bytes"])
                theirs = _at(matrix, places[1], piece["matrix_start"], piece["matrix_bytes"])
                parts, bad = parse(form, piece["first"], ours, theirs)
                yield _parsed_batch(parts, bad, places)


def _at(file: io.BufferedReader, path: Path, start: int, size_bytes: int) -> bytes:
    file.seek(start)
    text = file.read(size_bytes)
    if len(text) != size_bytes:
        raise InputError(f"{title_of(path)} became shorter while it was read")
    return text


def _parsed_batch(parts: list[Part], bad: list[Bad], places: tuple[Path, Path]) -> pa.RecordBatch:
    nothing = [None] * len(bad)
    columns = [
        [part.image_id for part in parts] + nothing,
        [part.start for part in parts] + nothing,
        [part.end for part in parts] + nothing,
        [part.first for part in parts] + nothing,
        [len(part.x) for part in parts] + nothing,
        [part.descriptors.dtype == np.uint8 for part in parts] + nothing,
        *([getattr(part, name) for part in parts] + nothing for name in ("x", "y", "size")),
        [part.score for part in parts] + nothing,
        [part.descriptors.tobytes() for part in parts] + nothing,
        *([None] * len(parts) + list(told) for told in _rejected(bad, places)),
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _PARSED_ARROW, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_PARSED_ARROW)


def _rejected(bad: Iterable[Bad], places: tuple[Path, Path]) -> tuple[list[str], ...]:
    """Return the columns uri, reason and detail; lines count from 1, and the CSV has a header."""
    told: tuple[list[str], ...] = ([], [], [])
    for one in bad:
        path, line = places[one.in_matrix], one.row + (1 if one.in_matrix else 2)
        told[0].append(uri_of(os.fsencode(path), f"line={line}"))
        told[1].append(str(one.reason))
        told[2].append(f"Line {line} of {title_of(Path(path.name))} has {one.found}.")
    return told


# -- the tables -------------------------------------------------------------------------------


def _by_image(context: Context, parts: DataFrame, rows: int) -> DataFrame:
    count = context.partitions(-(-rows // _ROWS_AN_IMAGE))
    return parts.repartition(count, "image_id").sortWithinPartitions("image_id", "row_start")


def _parts(batches: Batches, dimension: int, *, is_scored: bool) -> Iterator[Part]:
    for batch in batches:
        plain = batch.select(["image_id", "row_start", "row_end", "first", "whole"]).to_pylist()
        values: dict[str, NDArray[np.float32]] = {}
        offsets = np.zeros(1, np.int64)
        for name in ("x", "y", "size", *(["score"] if is_scored else [])):
            numbers, offsets = to_lists(batch[name])
            values[name] = numbers.astype(np.float32, copy=False)
        for number, row in enumerate(plain):
            begin, end = offsets[number], offsets[number + 1]
            x, y, size = (values[name][begin:end] for name in ("x", "y", "size"))
            score = values["score"][begin:end] if is_scored else None
            dtype = np.uint8 if row["whole"] else np.float32
            own = batch["descriptors"].slice(number, 1)
            vectors, _ = binary_block(own, dtype, dimension)
            place = (row["image_id"], row["row_start"], row["row_end"], row["first"])
            yield Part(*place, x, y, size, score, vectors)  # type: ignore[arg-type]


def _merge(
    batches: Batches,
    *,
    batch: str,
    dtype: str,
    dimension: int,
    is_scored: bool,
    max_features: int,
) -> Batches:
    images = join(_parts(batches, dimension, is_scored=is_scored), max_features)
    names = [column.name for column in FEATURES.columns]
    while chunk := list(itertools.islice(images, _IMAGES_AT_ONCE)):
        results: list[Features] = [
            replace(features, descriptors=features.descriptors.astype(dtype))
            for _, features in chunk
        ]
        columns = feature_columns(results)
        if not is_scored:
            columns["response"] = pa.nulls(len(chunk), columns["response"].type)
        columns["image_id"] = pa.array([image_id for image_id, _ in chunk], pa.string())
        columns["batch"] = pa.array([batch] * len(chunk), pa.string())
        yield pa.RecordBatch.from_pydict({name: columns[name] for name in names})


def _write_rejects(
    context: Context, parsed: DataFrame, named: DataFrame, rows: int, *, repeated: int
) -> int:
    """Write the rows that cannot be used, and images whose rows stand in several places."""
    source = context.source
    assert source is not None
    rejected = parsed.where("reason is not null").select("uri", "reason", "detail")
    if repeated:
        light = named.select("image_id", "row_start", "row_end", "first", "n")
        places = (source.place.absolute(), source.place.absolute())
        again = _by_image(context, light, rows).mapInArrow(
            partial(_repeats, places=places), _REJECTED
        )
        rejected = rejected.unionByName(again)
    columns = rejected.withColumns({"batch": F.lit(context.batch), "stage": F.lit("import")})
    written = context.write(REJECTS, columns)
    total = context.entries[-1].rows or 0
    if total:
        counted = written.groupBy("reason").count().orderBy(F.desc("count"), "reason").collect()
        reasons = ", ".join(f"{row['reason']} {row['count']:,}" for row in counted)
        context.progress.warn(
            f"{context.title}: rejected: {reasons}; table rejects names the lines with the reason"
        )
    return total


def _repeats(batches: Batches, *, places: tuple[Path, Path]) -> Batches:
    place = Place()
    for batch in batches:
        bad = [
            Bad(
                row["first"],
                False,
                Reason.REPEATED_IMAGE,
                f"the first of {row['n']:,} more rows of {row['image_id']}, whose rows stand "
                "together further up; these are left out",
            )
            for row in batch.to_pylist()
            if not place.takes(row["image_id"], row["row_start"], row["row_end"])
        ]
        columns = [pa.array(column, pa.string()) for column in _rejected(bad, places)]
        yield pa.RecordBatch.from_arrays(columns, names=["uri", "reason", "detail"])


def _write_images(context: Context, ids: DataFrame, scratch: str) -> None:
    """Write the images: by name alone, or with where their pixels are."""
    source = context.source
    assert source is not None
    images = ids.withColumn("batch", F.lit(context.batch))
    if source.images is None:
        images = images.withColumns({c.name: F.lit(None).cast(c.type) for c in _PIXELS})
        context.write(IMAGES, images, digest=content_digest(F.lit(True)))
        return
    found = _pixels_below(context, Source(source.images), f"{scratch}/pixels={context.batch}")
    values = F.struct(*(c.name for c in _FROM_FILE))
    matched = images.mapInArrow(_keyed, "image_id string, batch string, " + _keys_ddl())
    for key in _KEYS:
        single = found.groupBy(key).agg(
            F.count("*").alias(f"n_{key}"), F.min(values).alias(f"by_{key}")
        )
        matched = matched.join(single.where(f"n_{key} = 1").drop(f"n_{key}"), key, "left")
    best = F.coalesce(*(F.col(f"by_{key}") for key in _KEYS))
    located = matched.withColumn("best", best)
    columns = {c.name: F.col("best")[c.name] for c in _FROM_FILE}
    columns |= {c.name: F.lit(None).cast(c.type) for c in _PIXELS if c not in _FROM_FILE}
    measures = {"with_pixels": F.count("uri")}
    context.write(
        IMAGES,
        located.withColumns(columns),
        digest=content_digest(F.lit(True)),
        measures=measures,
    )
    lacking = (context.entries[-1].rows or 0) - int(context.counts["with_pixels"])
    if lacking:
        context.progress.warn(
            f"{context.title}: {lacking:,} images were not found below "
            f"{title_of(source.images)}, or several of their name, or cannot be read: the page "
            "shows them without a picture"
        )


def _keys_ddl() -> str:
    return ", ".join(f"{key} string" for key in _KEYS)


def _keyed(batches: Batches) -> Batches:
    for batch in batches:
        keys = [match_keys(image_id) for image_id in batch["image_id"].to_pylist()]
        columns = {"image_id": batch["image_id"], "batch": batch["batch"]}
        for number, name in enumerate(_KEYS):
            columns[name] = pa.array([key[number] for key in keys], pa.string())
        yield pa.RecordBatch.from_pydict(columns)


def _pixels_below(context: Context, source: Source, path: str) -> DataFrame:
    """Return the readable images of a source; each is decoded once, to know that it is one."""
    records = READER.listed(replace(context, source=source))
    kinds = [(c.name, arrow_type(c.type)) for c in _FROM_FILE]
    told = pa.schema([*kinds, *((key, pa.string()) for key in _KEYS)])
    schema = ", ".join([*(f"{c.name} {c.type}" for c in _FROM_FILE), _keys_ddl()])

    def write(is_retried: bool) -> None:
        readable = partial(_readable, read=records.read, schema=told, is_retried=is_retried)
        with context.watched("images"):
            frame = records.frame.mapInArrow(readable, schema)
            frame.write.mode("overwrite").parquet(context.uri(path))

    despite_deadly_images(context, write)
    return context.spark.read.schema(schema).parquet(context.pattern(path))


def _readable(
    batches: Batches,
    *,
    read: Callable[[Batches, Care], Iterator[Found]],
    schema: pa.Schema,
    is_retried: bool,
) -> Batches:
    found = read(batches, care_of_task(is_retried=is_retried))
    good = (row for row, _ in found if row["reason"] is None)
    while chunk := list(itertools.islice(good, _ROWS_AT_ONCE)):
        rows = [{name: row[name] for name in schema.names} for row in chunk]
        yield pa.RecordBatch.from_pylist(rows, schema=schema)
