"""Passes over Galaxy Zoo's tables and over images, for training sets and records."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from minia_spark.base.errors import InputError, MiniaError, Rejected
from minia_spark.base.files import open_regular
from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import copies, examples, galaxy_zoo
from minia_spark.delf.choose import Candidate
from minia_spark.delf.reasons import Reason as SetReason
from minia_spark.delf.split import Shard
from minia_spark.engine.session import default_partitions
from minia_spark.images.identity import content_hash
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["checked_images", "galaxies", "written_copies", "written_shards"]

_GLOB = re.compile(r"[\\*?\[\]{}^]")
_ID = re.compile(r"[0-9]{1,19}")
_MOST_HEADER = 1 << 20
_SHOWN = 60

_VERDICTS = (
    "objid string, first byte, second byte, shares array<double>, reason string, detail string"
)
_COPIED = "name string, reason string, detail string"
_CHECKED = (
    "name string, width int, height int, kept boolean, hash string, reason string, detail string"
)
_WRITTEN = "file string, records long"


# -- Galaxy Zoo -----------------------------------------------------------------------------------


def galaxies(
    spark: SparkSession, votes: Path, mapping: Path
) -> tuple[list[Candidate], dict[str, int]]:
    """Join votes and mapping; return what can be of use, and counts of the rows.

    Returns
    -------
    candidates : list of Candidate
        Galaxies with a class, and those whose rows cannot be used; in no particular order.
    counts : dict
        Rows of both tables (of the mapping those with an id and an image), rows of votes whose id
        was there before, ids that only the mapping has, and galaxies with a class.

    Raises
    ------
    InputError
        A table cannot be read or lacks columns.
    """
    wanted = (galaxy_zoo.OBJECT_COLUMN, *galaxy_zoo.COLUMNS)
    voted = _table(spark, votes, wanted, "the table of votes")
    mapped = _table(spark, mapping, galaxy_zoo.MAPPING_COLUMNS, "the mapping")
    says = F.struct("first", "second", "shares", "reason", "detail")
    one = F.lit(1)
    judged = (
        voted.mapInArrow(_judge, _VERDICTS)
        .groupBy("objid")
        .agg(F.count(one).alias("rows"), F.min(says).alias("says"), F.max(says).alias("last"))
    )
    images = (
        mapped.select(F.trim("objid").alias("objid"), F.trim("asset_id").alias("asset"))
        .where("objid rlike '^[0-9]+$' and asset != ''")
        .groupBy("objid", "asset")
        .agg(F.count(one).alias("n"))
        .withColumn("owners", F.count(one).over(Window.partitionBy("asset")))
        .groupBy("objid")
        .agg(
            F.sum("n").alias("named"),
            F.collect_set("asset").alias("assets"),
            F.collect_set(F.when(F.col("owners") > 1, F.col("asset"))).alias("shared"),
        )
    )
    joined = judged.join(images, "objid", "full").persist()
    classified = F.coalesce(F.col("says.first") >= 0, F.lit(False))
    totals = joined.agg(
        F.sum("rows").alias("votes_rows"),
        F.sum("named").alias("mapping_rows"),
        F.sum(F.col("rows") - 1).alias("repeated"),
        F.sum(F.col("says").isNull().cast("int")).alias("without_votes"),
        F.sum(classified.cast("int")).alias("classified"),
    ).first()
    assert totals is not None
    different = F.col("says") != F.col("last")
    kept = joined.where(classified | F.col("says.reason").isNotNull() | different).select(
        "objid", "says.*", different.alias("different"), "assets", "shared"
    )
    found = [
        Candidate(**{**row, "assets": row["assets"] or [], "shared": row["shared"] or []})
        for row in kept.toArrow().to_pylist()
    ]
    joined.unpersist()
    return found, {name: int(count or 0) for name, count in totals.asDict().items()}


def _table(spark: SparkSession, path: Path, wanted: Sequence[str], title: str) -> DataFrame:
    """Return columns of a CSV file as text."""
    header = _header(path, f"{title} {path}")
    galaxy_zoo.check_columns(header, wanted, f"{title} {path}")
    # by position, whatever else the header holds
    fields = [StructField(f"c{i}", StringType()) for i in range(len(header))]
    place = "file://" + _GLOB.sub(r"\\\g<0>", os.path.realpath(path))
    read = spark.read.csv(place, StructType(fields), header=True, escape='"')
    return read.select(*[F.col(f"c{header.index(name)}").alias(name) for name in wanted])


def _header(path: Path, title: str) -> list[str]:
    try:
        with open_regular(path) as file:
            plain = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            line = plain.readline(_MOST_HEADER).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{title} cannot be read: {why}") from None
    header = next(csv.reader(io.StringIO(line)), [])
    if not header:
        raise InputError(f"{title} begins with an empty line; expected is a header")
    return [name.strip() for name in header]


def _judge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        ids = [(text or "").strip() for text in columns[galaxy_zoo.OBJECT_COLUMN]]
        faults: list[tuple[str, str] | None] = [
            None
            if _ID.fullmatch(one)
            else (
                SetReason.BAD_ID.value,
                f"{one[:_SHOWN]!r} is no object id, which has digits only; programs that show "
                "tables round long numbers when they save them.",
            )
            for one in ids
        ]
        votes = {}
        for name in galaxy_zoo.COLUMNS:
            votes[name], bad = galaxy_zoo.numbers(columns[name])
            for row in bad.nonzero()[0]:
                found = columns[name][row][:_SHOWN]
                detail = f"{name} is {found!r}; expected is a number from 0 to 1, or nothing."
                faults[row] = faults[row] or (SetReason.BAD_VOTES.value, detail)
        verdicts = galaxy_zoo.verdicts(votes)
        sound = np.array([fault is None for fault in faults], dtype=bool)
        yield pa.RecordBatch.from_pydict(
            {
                "objid": ids,
                "first": pa.array(np.where(sound, verdicts.first, -1), pa.int8()),
                "second": pa.array(np.where(sound, verdicts.second, -1), pa.int8()),
                "shares": pa.array(verdicts.shares.tolist(), pa.list_(pa.float64())),
                "reason": pa.array([fault and fault[0] for fault in faults], pa.string()),
                "detail": pa.array([fault and fault[1] for fault in faults], pa.string()),
            }
        )


# -- images ---------------------------------------------------------------------------------------


def written_copies(
    spark: SparkSession,
    places: dict[str, str],
    folder: Path,
    *,
    seed: int,
    partitions: int | None,
) -> dict[str, tuple[str, str]]:
    """Write the moved and the moved and masked copy of every image.

    Parameters
    ----------
    spark : SparkSession
    places : dict of str to str
        The file of every image, by name.
    folder : Path
        Where ``F<name>.jpg`` and ``A<name>.jpg`` go, each whole or not at all.
    seed : int
        Of the movements.
    partitions : int or None
        ``spark.partitions``.

    Returns
    -------
    dict
        Reason and detail for every image that cannot be used, by name.
    """
    target = str(folder.absolute())

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            for row in batch.to_pylist():
                fault = None
                try:
                    pixels = examples.rgb_of(_read(row["path"]))
                except Rejected as error:
                    fault = error
                else:
                    moved = copies.moved(pixels, copies.movement_of(row["name"], seed))
                    made = ((copies.MOVED, moved), (copies.MASKED, copies.masked(moved)))
                    for prefix, image in made:
                        place = Path(target, f"{prefix}{row['name']}.jpg")
                        _write_whole(place, copies.as_jpeg(image))
                rows.append((row["name"], fault and fault.reason, fault and fault.detail))
            yield _batch(rows, ("name", "reason", "detail"), (pa.string(),) * 3)

    names = sorted(places)
    frame = _spread(spark, {"name": names, "path": [places[n] for n in names]}, partitions)
    table = frame.mapInArrow(write, _COPIED).toArrow()
    if table.num_rows != len(places):
        raise MiniaError(f"{len(places)} images went in and {table.num_rows} came out")
    rows = table.to_pylist()
    return {r["name"]: (r["reason"], r["detail"]) for r in rows if r["reason"] is not None}


def checked_images(
    spark: SparkSession, places: dict[str, str], *, partitions: int | None
) -> dict[str, dict[str, Any]]:
    """Decode every image, and return by name what :data:`_CHECKED` says of it.

    ``kept`` is whether the file goes into a record as it is, ``hash`` its content's; where there is
    a ``reason``, the image cannot be used. Parameters are those of :func:`written_copies`.
    """

    def check(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        columns = ("name", "width", "height", "kept", "hash", "reason", "detail")
        types = (pa.string(), pa.int32(), pa.int32(), pa.bool_(), *(pa.string(),) * 3)
        for batch in batches:
            rows: list[tuple[Any, ...]] = []
            for row in batch.to_pylist():
                try:
                    data = _read(row["path"])
                    picture = examples.picture_of(data)
                except Rejected as error:
                    rows.append((row["name"], *(None,) * 4, error.reason, error.detail))
                else:
                    seen = picture.width, picture.height, picture.jpeg == data
                    rows.append((row["name"], *seen, content_hash(data), None, None))
            yield _batch(rows, columns, types)

    names = sorted(places)
    frame = _spread(spark, {"name": names, "path": [places[n] for n in names]}, partitions)
    rows = frame.mapInArrow(check, _CHECKED).toArrow().to_pylist()
    if len(rows) != len(places):
        raise MiniaError(f"{len(places)} images went in and {len(rows)} came out")
    return {row["name"]: row for row in rows}


def written_shards(
    spark: SparkSession,
    shards: Sequence[Shard],
    folder: Path,
    *,
    places: dict[str, str],
    checked: dict[str, dict[str, Any]],
    labels: dict[str, int],
) -> dict[str, int]:
    """Write the files of records, a task a file; return how many records each has.

    Parameters
    ----------
    spark : SparkSession
    shards : sequence of Shard
    folder : Path
        Where they go, each whole or not at all.
    places, checked, labels : dict by name
        Every image's file, what :func:`checked_images` said, and its class.

    Raises
    ------
    MiniaError
        A file was changed since it was checked, or is gone.
    """
    target = str(folder.absolute())

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tf = load_tensorflow(threads=1, gpu=None)
        for batch in batches:
            rows = []
            for row in batch.to_pylist():
                part = Path(target, f".{uuid.uuid4().hex}.part")
                try:
                    with tf.io.TFRecordWriter(str(part)) as records:
                        for image in row["images"]:
                            records.write(_record(image))
                    part.replace(Path(target, row["file"]))
                finally:
                    part.unlink(missing_ok=True)
                rows.append((row["file"], len(row["images"])))
            yield _batch(rows, ("file", "records"), (pa.string(), pa.int64()))

    image = pa.struct(
        {
            **dict.fromkeys(("name", "path", "hash"), pa.string()),
            **dict.fromkeys(("width", "height", "label"), pa.int64()),
            "kept": pa.bool_(),
        }
    )
    lists = [
        [{**checked[name], "path": places[name], "label": labels[name]} for name in shard.names]
        for shard in shards
    ]
    table = pa.table({"file": [s.file for s in shards], "images": pa.array(lists, pa.list_(image))})
    frame = spark.createDataFrame(table).repartition(len(shards))
    found = frame.mapInArrow(write, _WRITTEN).toArrow().to_pylist()
    return {row["file"]: row["records"] for row in found}


def _record(image: dict[str, Any]) -> bytes:
    try:
        data = _read(image["path"])
    except Rejected as error:
        raise MiniaError(f"image {image['name']} could be read a moment ago: {error}") from None
    if content_hash(data) != image["hash"]:
        raise MiniaError(
            f"image {image['name']} was changed while records were made from it: start again when "
            "nobody writes to the folder"
        )
    known = examples.Picture(image["width"], image["height"], data) if image["kept"] else None
    return examples.record_of(image["name"], image["label"], known or examples.picture_of(data))


def _read(path: str) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise Reason.UNREADABLE.reject(f"The file cannot be read: {error.strerror}.") from None


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _spread(
    spark: SparkSession, columns: dict[str, list[str]], partitions: int | None
) -> DataFrame:
    rows = len(next(iter(columns.values())))
    schema = pa.schema([(name, pa.string()) for name in columns])
    frame = spark.createDataFrame(pa.table(columns, schema))
    parallelism = spark.sparkContext.defaultParallelism
    return frame.repartition(default_partitions(rows, parallelism, partitions))


def _batch(
    rows: Sequence[tuple[Any, ...]], names: Sequence[str], types: Sequence[pa.DataType]
) -> pa.RecordBatch:
    columns = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(types)]
    return pa.RecordBatch.from_arrays(columns, list(names))
