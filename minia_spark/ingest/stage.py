"""Ingest on Spark: a folder of images becomes a batch of ``images`` and ``rejects``.

The walk is in :mod:`.listing`, reading and decoding in :mod:`.record`, labels in :mod:`.labels`.
The driver writes the listing as Parquet while it walks, so that its memory does not grow with the
number of files; every task reads and decodes its share.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.stage import Source, Stage, StageContext
from minia_spark.images.identity import image_id_of, uri_of
from minia_spark.images.reader import open_regular
from minia_spark.images.reasons import Reason
from minia_spark.ingest.labels import (
    LABELS_SCHEMA,
    Columns,
    Matches,
    ambiguous,
    check_labels,
    label_batches,
)
from minia_spark.ingest.listing import Listed, ListingDigest, list_files, list_folder
from minia_spark.ingest.record import ImageRecord, records_of_file
from minia_spark.ingest.settings import IngestSettings
from minia_spark.warehouse.storage import Storage

__all__ = [
    "IMAGES",
    "REJECTS",
    "STAGE",
    "count_of_source_digest",
    "entries_of",
    "source_digest",
    "title_of",
]

IMAGES = StructType(
    [
        StructField("image_id", StringType(), False),
        StructField("batch", StringType(), False),
        StructField("uri", StringType(), False),
        StructField("width", IntegerType(), False),
        StructField("height", IntegerType(), False),
        StructField("channels", IntegerType(), False),
        StructField("format", StringType(), False),
        StructField("stretch", StringType(), True),
        StructField("size_bytes", LongType(), False),
        StructField("content_hash", StringType(), False),
        StructField("label", StringType(), True),
        StructField("ra_deg", DoubleType(), True),
        StructField("dec_deg", DoubleType(), True),
    ]
)

REJECTS = StructType(
    [
        StructField("batch", StringType(), False),
        StructField("uri", StringType(), False),
        StructField("stage", StringType(), False),
        StructField("reason", StringType(), False),
        StructField("detail", StringType(), False),
    ]
)

_LISTED_ARROW = pa.schema(
    [("path", pa.binary()), ("uri", pa.string()), ("reason", pa.string()), ("detail", pa.string())]
)
_LISTED = "path binary, uri string, reason string, detail string"

_READ_ONLY = StructType(
    [
        StructField("key_path", StringType(), True),
        StructField("key_name", StringType(), True),
        StructField("key_stem", StringType(), True),
        StructField("folder", StringType(), True),
        StructField("reason", StringType(), True),
        StructField("detail", StringType(), True),
    ]
)

_LISTED_AT_ONCE = 10_000
_READ_AT_ONCE = 256
_EXAMPLES = 3


def entries_of(source: Source, settings: IngestSettings) -> Iterator[Listed]:
    """Yield what a source holds; raises as ``list_folder`` and ``list_files`` do."""
    outside = settings.follow_links_outside
    if source.files is not None:
        return list_files(source.images, source.files, follow_links_outside=outside)
    return list_folder(source.images, follow_links_outside=outside)


def title_of(source: Source) -> str:
    """Return how a source is called in messages: its path, fit to print."""
    return image_id_of(os.fsencode(source.files or source.images))


def source_digest(source: Source, settings: IngestSettings) -> str:
    """Return what tells whether a batch's folder or its labels changed since it was ingested.

    Names, sizes and times of the files, not their content: the content is hashed when it is read,
    and later stages go by that.

    Raises
    ------
    InputError
        The folder or the labels cannot be read, or the folder is empty.
    """
    digest = ListingDigest()
    for listed in entries_of(source, settings):
        digest.add(listed.path, listed.size_bytes, listed.mtime_ns)
    if digest.entries == 0:
        raise InputError(
            f"{title_of(source)} holds no files; expected are JPEG, PNG, TIFF, FITS or Parquet "
            "files, also in folders below it"
        )
    root = hashlib.sha256(os.fsencode(source.images.resolve())).hexdigest()
    return f"{root}:{digest.hexdigest()}:{_labels_digest(settings)}"


def count_of_source_digest(digest: str) -> int:
    """Return how many entries the folder had that a digest is of."""
    return int(digest.split(":")[1].rpartition("-")[2])


def _labels_digest(settings: IngestSettings) -> str:
    if settings.labels.file is None:
        return "none"
    try:
        with open_regular(os.fsencode(settings.labels.file)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (Rejected, OSError) as error:
        said = error.detail if isinstance(error, Rejected) else error
        raise InputError(f"labels {settings.labels.file} cannot be read: {said}") from None


def _run(context: StageContext) -> None:
    assert context.source is not None
    assert context.batch is not None
    batch = context.batch
    scratch = context.folder("files")
    listed, refused = _write_listing(context, f"{scratch}/listed")
    frame = context.spark.read.schema(_LISTED).parquet(context.pattern(f"{scratch}/listed"))
    read = _read_images(context, frame.where("reason is null"), listed)
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: reading"):
        read.write.mode("overwrite").parquet(context.uri(f"{scratch}/read"))
    read = context.spark.read.schema(read.schema).parquet(context.pattern(f"{scratch}/read"))

    # Two rows of one Parquet file, or of two, may claim the same name: the first by place stays.
    order = F.row_number().over(Window.partitionBy("image_id").orderBy("uri"))
    numbered = read.where("reason is null").withColumn("number", order)
    images = numbered.where("number = 1").withColumn("batch", F.lit(batch))
    conflict = F.concat(F.lit(Reason.ID_CONFLICT.meaning + " "), F.col("image_id"))
    rejects = _rejects(
        batch,
        frame.where("reason is not null"),
        read.where("reason is not null"),
        numbered.where("number > 1")
        .withColumn("reason", F.lit(Reason.ID_CONFLICT.value))
        .withColumn("detail", conflict),
    )
    rejects = context.write("rejects", rejects, REJECTS)
    rejected = context.entries[-1].rows
    entries = read.count() + refused
    if entries == rejected:
        raise _nothing_readable(context, rejects)
    labelled = _with_labels(context, images, f"{scratch}/labels")
    context.counts["listed"] = listed
    labels = context.settings.ingest.labels
    measures = {"labelled": F.count("label"), "positioned": F.count("ra_deg")}
    measures = measures if labels.file or labels.from_folders else {}
    context.write("images", labelled, IMAGES, digest=_content_digest(), measures=measures)
    found = context.entries[-1].rows
    context.check_counts("entries", entries, found, rejected)
    context.counts |= {"images": found, "rejects": rejected}
    if rejected:
        context.progress.warn(
            f"{context.title}: {rejected:,} files were rejected: {_reasons(rejects)}; "
            "table rejects names each with its reason"
        )
    context.warehouse.storage.remove_folder(scratch.partition("/")[0])  # also of broken runs


def _write_listing(context: StageContext, path: str) -> tuple[int, int]:
    """Write the names of all files while they are listed; return how many, how many refused."""
    assert context.source is not None
    root = os.path.realpath(os.fsencode(context.source.images))
    listing = entries_of(context.source, context.settings.ingest)
    refused = 0

    def rows() -> Iterator[tuple[object, ...]]:
        nonlocal refused
        for entry in listing:
            reason, detail = None, None
            if entry.rejected is not None:
                refused += 1
                reason, detail = entry.rejected.reason, entry.rejected.detail
            yield entry.path, uri_of(root.rstrip(b"/") + b"/" + entry.path), reason, detail

    listed = _write_rows(context.warehouse.storage, path, _LISTED_ARROW, rows())
    return listed, refused


def _write_rows(
    storage: Storage, path: str, schema: pa.Schema, rows: Iterable[tuple[object, ...]]
) -> int:
    storage.make_folder(path)
    total = 0
    pieces = iter(rows)
    with pq.ParquetWriter(
        storage.full(f"{path}/rows.parquet"), schema, filesystem=storage.filesystem
    ) as writer:
        while piece := list(itertools.islice(pieces, _LISTED_AT_ONCE)):
            columns = zip(*piece, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            total += len(piece)
    return total


def _read_images(context: StageContext, listed: DataFrame, files: int) -> DataFrame:
    assert context.source is not None
    root = os.path.realpath(os.fsencode(context.source.images))
    options = context.settings.ingest.read_options()
    plain = ["image_id", "uri", "width", "height", "channels", "format", "stretch", "size_bytes"]
    own = [f for f in IMAGES.fields if f.name in (*plain, "content_hash")]
    schema = StructType([StructField(f.name, f.dataType, True) for f in (*own, *_READ_ONLY.fields)])
    names = schema.names

    def rows(paths: Iterable[bytes]) -> Iterator[dict[str, object]]:
        for path in paths:
            for record in records_of_file(root, path, **options):
                row: dict[str, object] = dict.fromkeys(names)
                if isinstance(record, ImageRecord):
                    row |= {n: getattr(record, n) for n in (*plain, "content_hash")}
                    row |= {f"key_{n}": v for n, v in record.keys._asdict().items()}
                    row["folder"] = record.folder
                else:
                    row |= {"uri": record.uri, "reason": record.reason, "detail": record.detail}
                yield row

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        types: dict[DataType, pa.DataType] = {
            StringType(): pa.string(),
            IntegerType(): pa.int32(),
            LongType(): pa.int64(),
        }
        arrow = pa.schema([(f.name, types[f.dataType]) for f in schema.fields])
        found = rows(path for batch in batches for path in batch["path"].to_pylist())
        while piece := list(itertools.islice(found, _READ_AT_ONCE)):
            yield pa.RecordBatch.from_pylist(piece, schema=arrow)

    spread = listed.select("path").repartition(context.partitions(files), "path")
    return spread.mapInArrow(read, schema)


def _rejects(batch: str, *frames: DataFrame) -> DataFrame:
    joined: DataFrame | None = None
    for frame in frames:
        part = frame.select("uri", "reason", "detail")
        joined = part if joined is None else joined.unionByName(part)
    assert joined is not None
    return joined.withColumn("batch", F.lit(batch)).withColumn("stage", F.lit("ingest"))


def _reasons(rejects: DataFrame) -> str:
    rows = rejects.groupBy("reason").count().orderBy(F.desc("count"), "reason").collect()
    return ", ".join(f"{row['reason']} {row['count']:,}" for row in rows)


def _nothing_readable(context: StageContext, rejects: DataFrame) -> InputError:
    assert context.source is not None
    first = rejects.orderBy("uri").first()
    example = f", e.g. {first['uri']}: {first['detail']}" if first else ""
    return InputError(
        f"no image of {title_of(context.source)} could be read ({_reasons(rejects)}){example} "
        "Nothing was published."
    )


def _content_digest() -> Column:
    """Return the digest of names and content; no order of rows can change it."""
    hashed = F.xxhash64("image_id", "content_hash")
    return F.concat_ws(":", F.count("*"), F.bit_xor(hashed), F.sum(hashed.cast("decimal(38,0)")))


def _with_labels(context: StageContext, images: DataFrame, scratch: str) -> DataFrame:
    """Add label, ra_deg and dec_deg; images have the columns folder, key_path and so on."""
    settings = context.settings.ingest.labels
    values = ["label", "ra_deg", "dec_deg"]
    folder = F.col("folder") if settings.from_folders else F.lit(None).cast("string")
    if settings.file is None:
        nowhere = F.lit(None).cast("double")
        return images.withColumns({"label": folder, "ra_deg": nowhere, "dec_deg": nowhere})
    columns = check_labels(settings.file, **settings.columns())
    batches = label_batches(settings.file, **settings.columns())
    rows = (tuple(row.values()) for batch in batches for row in batch.to_pylist())
    total = _write_rows(context.warehouse.storage, scratch, LABELS_SCHEMA, rows)
    labels = context.spark.read.parquet(context.pattern(scratch))
    matched = images
    # A row that names an image by its whole path means that one, not another of the same name.
    others = labels.join(images.select("key_path").distinct(), "key_path", "left_anti")
    for key, rows_of_key in (("path", labels), ("name", others), ("stem", others)):
        # All rows that a key could mean; whether they contradict each other is seen after the join
        value = F.struct(*values, "key")
        grouped = rows_of_key.groupBy(f"key_{key}").agg(
            F.min(value).alias(f"by_{key}"),
            F.min("key").alias(f"first_{key}"),
            F.max("key").alias(f"last_{key}"),
            F.count_distinct(F.to_json(F.struct(*values))).alias(f"meanings_{key}"),
        )
        matched = matched.join(grouped, f"key_{key}", "left")
    best = F.coalesce(*(F.col(f"by_{key}") for key in ("path", "name", "stem")))
    matched = matched.withColumn("best", best)
    _check_matches(context, matched, labels, total, columns)
    found = {name: F.col("best")[name] for name in values}
    return matched.withColumns(found | {"label": F.coalesce(found["label"], folder)})


def _check_matches(
    context: StageContext, matched: DataFrame, labels: DataFrame, total: int, columns: Columns
) -> None:
    """Raise InputError, or warn, where the label file does not fit the images; one Spark job."""
    settings = context.settings.ingest.labels
    assert settings.file is not None
    several = F.lit(None)
    for key in ("stem", "name", "path"):  # the most precise key decides, hence the last word
        rows = [F.col(f"{which}_{key}").alias(which) for which in ("first", "last")]
        found = F.struct("image_id", *rows)
        several = F.when(
            F.col(f"by_{key}").isNotNull(), F.when(F.col(f"meanings_{key}") > 1, found)
        ).otherwise(several)
    label, folder = F.col("best")["label"], F.col("folder")
    contradicts = F.when(label != folder, F.struct("image_id", label, folder))
    told = matched.agg(
        F.min(several).alias("several"),
        F.count("*").alias("images"),
        F.count("best").alias("matched"),
        F.count_distinct(F.col("best")["key"]).alias("keys"),
        F.count(label).alias("labels"),
        F.count(F.col("best")["ra_deg"]).alias("positions"),
        F.count(contradicts).alias("contradictions"),
        F.min(contradicts).alias("contradiction"),
    ).first()
    assert told is not None
    if told["several"] is not None:
        raise ambiguous(*told["several"])
    matches = Matches(told["images"], total, told["matched"], told["keys"])
    if matches.few:
        used = matched.where("best is not null").select("best.key").distinct()
        keys = labels.select("key").distinct().join(used, "key", "left_anti").orderBy("key")
        lost = matched.where("best is null").orderBy("image_id")
        said = matches.told(
            settings.file,
            columns.key,
            [row["key"] for row in keys.limit(_EXAMPLES).collect()],
            [row["image_id"] for row in lost.select("image_id").limit(_EXAMPLES).collect()],
        )
        if told["matched"] == 0 and settings.must_match:
            raise InputError(
                f"{context.title}: {said}, or ingest.labels.must_match=false if this batch has no "
                "labels. Nothing was published."
            )
        context.progress.warn(f"{context.title}: {said}")
    else:
        for column, count in ((columns.label, told["labels"]), (columns.ra, told["positions"])):
            if column is not None and count == 0:
                context.progress.warn(
                    f"{context.title}: column {column!r} of {settings.file} is empty in all "
                    f"{matches.matched_rows:,} rows that match an image"
                )
    if settings.from_folders and told["contradictions"]:
        image_id, from_file, from_folder = told["contradiction"]
        context.progress.warn(
            f"{context.title}: {told['contradictions']:,} images have another label in "
            f"{settings.file} than their folder's name, e.g. {image_id}: {from_file!r}, not "
            f"{from_folder!r}; those of the file were taken"
        )


STAGE = Stage(
    name="ingest",
    per_batch=True,
    after=(),
    revision=1,
    settings=lambda s: s.ingest.model_dump(mode="json"),
    run=_run,
)
