"""Ingest on Spark: a source of images becomes a batch of ``images`` and ``rejects``.

The walk is in :mod:`.listing`, reading and decoding in :mod:`.record`, labels in :mod:`.labels`.
The driver writes the listing as Parquet while it walks, so that its memory does not grow with the
number of files; every task of the pass over the pixels reads and decodes its share.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from minia_spark.base.errors import InputError, MiniaError, Rejected
from minia_spark.engine import table as tables
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Found, Records
from minia_spark.engine.sources import entries_of, title_of
from minia_spark.images.care import Care
from minia_spark.images.container import Part
from minia_spark.images.decode import decode_known
from minia_spark.images.identity import path_of_uri, uri_of
from minia_spark.images.listing import parts_of
from minia_spark.images.reader import PLACE, ImageReader, absolute_path, is_file_of_images
from minia_spark.images.reasons import Reason
from minia_spark.ingest.labels import (
    LABELS_SCHEMA,
    Columns,
    Matches,
    ambiguous,
    check_labels,
    label_batches,
)
from minia_spark.ingest.record import RejectRecord, decoded_of_file
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.warehouse.storage import Storage

__all__ = ["READER", "content_digest", "run"]

_LISTED_ARROW = pa.schema(
    [
        ("path", pa.binary()),
        ("parts", pa.int32()),
        ("uri", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)
_LISTED = "path binary, parts int, uri string, reason string, detail string"
_LISTED_AT_ONCE = 10_000
_EXAMPLES = 3

_PLAIN = ("image_id", "uri", "width", "height", "channels", "format", "stretch", "size_bytes")
_KEYS = ("path", "name", "stem")
_TOLD = (
    *(c for c in IMAGES.columns if c.name in (*_PLAIN, "content_hash")),
    *(tables.Column(f"key_{key}", "string", "What labels may call it.") for key in _KEYS),
    tables.Column("folder", "string", "The folder that directly holds it."),
    tables.Column("own_ra_deg", "double", "Right ascension by its header."),
    tables.Column("own_dec_deg", "double", "Declination by its header."),
    tables.Column("warning", "string", "What is wrong with it although it can be read."),
    tables.Column("reason", "string", "Why it cannot be read."),
    tables.Column("detail", "string", "The same as a sentence."),
)
_TOLD_OF_KNOWN = tuple(c for c in _TOLD if c.name in ("uri", "content_hash", "reason", "detail"))


class _Reader:
    """How images are opened: those of a source, or those that are known."""

    def listed(self, context: Context) -> Records:
        """List a source and return its files; the listing lies in the step's scratch folder."""
        assert context.source is not None
        path = f"{_scratch(context)}/listed"
        files = _write_listing(context, path)
        frame = context.spark.read.schema(_LISTED).parquet(context.pattern(path))
        root = os.path.realpath(os.fsencode(context.source.place))
        read = partial(
            _read_listed, root=root, options=context.settings(IngestSettings).read_options()
        )
        # a large archive is shared by several tasks
        part = F.explode(F.sequence(F.lit(0), F.col("parts") - 1)).alias("part")
        spread = frame.where("reason is null").select("path", "parts", part)
        spread = spread.repartition(context.partitions(files), "path", "part")
        return Records(spread, _TOLD, read)

    def known(self, context: Context, images: DataFrame) -> Records:
        """Return the images of a batch; rows of one file stay together and in order.

        Each task then reads its part of a Parquet file or an archive once.
        """
        images = images.where("uri is not null")  # else known by name only
        file, *numbers = PLACE
        place = [
            F.regexp_extract("uri", file, 0),
            *(F.regexp_extract("uri", number, 1).try_cast("long") for number in numbers),
        ]
        count = context.rows(IMAGES)
        spread = images.repartitionByRange(context.partitions(count), *place)
        frame = spread.sortWithinPartitions(*place).select("uri", "content_hash")
        options = context.all_settings.of(IngestSettings).decode_options()
        return Records(frame, _TOLD_OF_KNOWN, partial(_read_known, options=options))


READER = _Reader()


def _read_listed(
    batches: Iterator[pa.RecordBatch], care: Care, *, root: bytes, options: dict[str, Any]
) -> Iterator[Found]:
    names = [column.name for column in _TOLD]
    for listed in itertools.chain.from_iterable(batch.to_pylist() for batch in batches):
        part = Part(listed["part"], listed["parts"])
        for found in decoded_of_file(root, listed["path"], part=part, care=care, **options):
            row: dict[str, Any] = dict.fromkeys(names)
            if isinstance(found, RejectRecord):
                row |= {"uri": found.uri, "reason": found.reason, "detail": found.detail}
                yield row, None
            else:
                record, decoded = found
                row |= {name: getattr(record, name) for name in (*_PLAIN, "content_hash")}
                row |= {f"key_{key}": value for key, value in record.keys._asdict().items()}
                row["folder"] = record.folder
                if record.position is not None:
                    row["own_ra_deg"], row["own_dec_deg"] = record.position
                row["warning"] = decoded.warning
                yield row, decoded


def _read_known(
    batches: Iterator[pa.RecordBatch], care: Care, *, options: dict[str, Any]
) -> Iterator[Found]:
    with ImageReader(max_bytes=options["max_bytes"]) as reader:
        for batch in batches:
            for row in batch.to_pylist():
                told = row | {"reason": None, "detail": None}
                try:
                    yield (
                        told,
                        decode_known(reader, row["uri"], row["content_hash"], care=care, **options),
                    )
                except Rejected as rejected:
                    yield told, rejected


def _scratch(context: Context) -> str:
    return f"scratch/run={context.run}/files={context.batch}"


def run(context: Context) -> None:
    """Write the images and rejects that the pass found."""
    assert context.batch is not None
    read = context.passed()
    listing = f"{_scratch(context)}/listed"
    listed, refused = _rows_of_listing(context.warehouse.storage, listing)
    good = F.col("reason").isNull()
    of_whole_file = ~F.contains("uri", F.lit("#"))
    told = read.agg(
        F.count("*").alias("records"),
        F.count_if(of_whole_file).alias("whole_files"),
        F.count("warning").alias("warnings"),
        F.min(F.when(F.col("warning").isNotNull(), F.struct("uri", "warning"))).alias("warned"),
        F.count_if(good).alias("good"),
        F.count_distinct(F.when(good, F.col("image_id"))).alias("names"),
        content_digest(good).alias("digest"),
    ).first()
    assert told is not None
    if told["whole_files"] != listed - refused or told["records"] > told["whole_files"]:
        _check_files(context, read, listing)
    images = read.where(good).withColumn("batch", F.lit(context.batch))
    if told["names"] < told["good"]:  # names that are claimed twice
        images = _first_of_each_name(images)
    rejected = refused + told["records"] - told["names"]
    rejects = None
    if rejected:
        rejects = context.write(REJECTS, _all_rejects(context, read, listing))
        context.check_counts("rejects", rejected, context.entries[-1].rows or 0)
    else:
        context.write_rows(REJECTS, REJECTS.arrow_schema().empty_table())
    if rejects is not None and not told["names"]:
        raise _nothing_readable(context, rejects)
    labelled = _with_labels(context, images, f"{_scratch(context)}/labels")
    labels = context.settings(IngestSettings).labels
    measures = {"labelled": F.count("label"), "positioned": F.count("ra_deg")}
    measures = measures if labels.file or labels.from_folders else {}
    # without conflicts the images are what was read
    digest = told["digest"] if told["names"] == told["good"] else content_digest(F.lit(True))
    context.write(IMAGES, labelled, digest=digest, measures=measures)
    found = context.entries[-1].rows or 0
    context.check_counts("records", refused + told["records"], found, rejected)
    context.counts |= {"listed": listed, "images": found, "rejects": rejected}
    if told["warnings"]:
        context.progress.warn(
            f"{context.title}: {told['warnings']:,} images have something wrong, e.g. "
            f"{told['warned']['uri']}: {told['warned']['warning']} They were taken "
            "(ingest.fits_checksums)"
        )
    if rejects is not None:
        context.progress.warn(
            f"{context.title}: {rejected:,} files were rejected: {_reasons(rejects)}; "
            "table rejects names each with its reason"
        )


def _numbered(images: DataFrame) -> DataFrame:
    """Number the rows that claim the same name: the first by place stays."""
    order = F.row_number().over(Window.partitionBy("image_id").orderBy("uri"))
    return images.withColumn("number", order)


def _first_of_each_name(images: DataFrame) -> DataFrame:
    return _numbered(images).where("number = 1")


def _all_rejects(context: Context, read: DataFrame, listing: str) -> DataFrame:
    """Return what the listing refused, what cannot be read, and names that are claimed twice."""
    conflict = F.concat(F.lit(Reason.ID_CONFLICT.meaning + " "), F.col("image_id"))
    parts = [
        context.spark.read.schema(_LISTED)
        .parquet(context.pattern(listing))
        .where("reason is not null"),
        read.where("reason is not null"),
        _numbered(read.where("reason is null"))
        .where("number > 1")
        .withColumn("reason", F.lit(Reason.ID_CONFLICT.value))
        .withColumn("detail", conflict),
    ]
    joined = functools.reduce(
        DataFrame.unionByName, [part.select("uri", "reason", "detail") for part in parts]
    )
    return joined.withColumn("batch", F.lit(context.batch)).withColumn("stage", F.lit("ingest"))


def _rows_of_listing(storage: Storage, path: str) -> tuple[int, int]:
    """Return how many files were listed, and how many of them refused, from the file's footer."""
    with storage.filesystem.open_input_file(storage.full(f"{path}/rows.parquet")) as file:
        footer = pq.read_metadata(file)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    place = _LISTED_ARROW.names.index("reason")
    accepted = sum(group.column(place).statistics.null_count for group in groups)
    return footer.num_rows, footer.num_rows - accepted


def _write_listing(context: Context, path: str) -> int:
    """Write the names of all files while they are listed; return how many."""
    assert context.source is not None
    root = os.path.realpath(os.fsencode(context.source.place))
    outside = context.settings(IngestSettings).follow_links_outside
    listing = entries_of(context.source, follow_links_outside=outside)

    def rows() -> Iterator[tuple[object, ...]]:
        for entry in listing:
            reason, detail = None, None
            if entry.rejected is not None:
                reason, detail = entry.rejected.reason, entry.rejected.detail
            uri = uri_of(absolute_path(root, entry.path))
            yield entry.path, parts_of(entry), uri, reason, detail

    return _write_rows(context.warehouse.storage, path, _LISTED_ARROW, rows())


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


def _check_files(context: Context, read: DataFrame, listing: str) -> None:
    """Check that every file that was listed gave something, unless it is one of images without any.

    Raises
    ------
    MiniaError
        Nothing is known of a file.
    """
    rows = context.spark.read.schema(_LISTED).parquet(context.pattern(listing))
    files = rows.where("reason is null").select("uri")
    told = read.select(F.substring_index("uri", "#", 1).alias("uri")).distinct()
    silent = [row["uri"] for row in files.join(told, "uri", "left_anti").orderBy("uri").collect()]
    lost = [uri for uri in silent if not is_file_of_images(path_of_uri(uri)[0])]
    if lost:
        raise MiniaError(
            f"{context.title}: {len(lost):,} files were listed of which nothing came back, e.g. "
            f"{lost[0]}; they went while they were read, or this is a defect; start the run again"
        )
    if silent:
        context.progress.warn(
            f"{context.title}: {len(silent):,} files of images hold none, e.g. {silent[0]}"
        )


def _reasons(rejects: DataFrame) -> str:
    rows = rejects.groupBy("reason").count().orderBy(F.desc("count"), "reason").collect()
    return ", ".join(f"{row['reason']} {row['count']:,}" for row in rows)


def _nothing_readable(context: Context, rejects: DataFrame) -> InputError:
    assert context.source is not None
    first = rejects.orderBy("uri").first()
    example = f", e.g. {first['uri']}: {first['detail']}" if first else ""
    return InputError(
        f"no image of {title_of(context.source)} could be read ({_reasons(rejects)}){example} "
        "Nothing was published."
    )


def content_digest(where: Column) -> Column:
    """Return the digest of the rows' names and content; no order of rows can change it."""
    hashed = F.when(where, F.xxhash64("image_id", "content_hash"))
    return F.concat_ws(":", F.count(hashed), F.bit_xor(hashed), F.sum(hashed.cast("decimal(38,0)")))


def _with_labels(context: Context, images: DataFrame, scratch: str) -> DataFrame:
    """Add label, ra_deg and dec_deg; images have the columns folder, key_path and so on.

    A position in the labels comes before that of the image's own header.
    """
    own = {name: F.col(f"own_{name}") for name in ("ra_deg", "dec_deg")}
    settings = context.settings(IngestSettings).labels
    values = ["label", "ra_deg", "dec_deg"]
    folder = F.col("folder") if settings.from_folders else F.lit(None).cast("string")
    if settings.file is None:
        if not settings.from_folders and (before := _labels_before(context)):
            context.say(
                f"no labels: --labels was not given, and another batch has those of {before}"
            )
        return images.withColumns({"label": folder, **own})
    columns = check_labels(settings.file, **settings.columns())
    batches = label_batches(settings.file, **settings.columns())
    rows = (tuple(row.values()) for batch in batches for row in batch.to_pylist())
    total = _write_rows(context.warehouse.storage, scratch, LABELS_SCHEMA, rows)
    schema = from_arrow_schema(LABELS_SCHEMA)
    labels = context.spark.read.schema(schema).parquet(context.pattern(scratch))
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
    placed = found["ra_deg"].isNotNull() | found["dec_deg"].isNotNull()
    positions = {name: F.when(placed, found[name]).otherwise(own[name]) for name in own}
    return matched.withColumns(positions | {"label": F.coalesce(found["label"], folder)})


def _check_matches(
    context: Context, matched: DataFrame, labels: DataFrame, total: int, columns: Columns
) -> None:
    """Raise InputError, or warn, where the label file does not fit the images; one Spark job."""
    settings = context.settings(IngestSettings).labels
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
    context.counts["matched"] = told["matched"]
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
        if told["matched"] == 0 and settings.must_match and not _matched_before(context):
            raise InputError(
                f"{context.title}: {said}, or ingest.labels.must_match=false if this batch has no "
                "labels and no batch before it had any. Nothing was published."
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


def _matched_before(context: Context) -> bool:
    """Tell whether another batch matched the same label file and columns: then they are no typo.

    What a batch was labelled with stands in the ledger. The file goes by its name, as a file that
    is continued every night has other content.
    """
    own = _labels_of(context.all_settings.model_dump(mode="json"))
    steps = list(context.steps)
    runs = {e.run for e in context.view.of_table(IMAGES.name) if e.batch != context.batch}
    for run in sorted(runs - {context.run}, reverse=True):
        with contextlib.suppress(InputError):  # an older run's page that is gone tells nothing
            record = context.warehouse.run(run)
            if _labels_of(record.settings) == own:
                steps += record.steps
    there = set(context.view.batches) - {context.batch}
    return any(
        step.stage == context.stage.name
        and step.batch in there
        and step.counts.get("matched", 0) > 0
        for step in steps
    )


def _labels_before(context: Context) -> str | None:
    """Return the file that another batch has its labels of, of several the newest run's."""
    runs = {e.run for e in context.view.of_table(IMAGES.name) if e.batch != context.batch}
    for run in sorted(runs - {context.run}, reverse=True):
        with contextlib.suppress(InputError):
            record = context.warehouse.run(run)
            file = _labels_of(record.settings).get("file")
            if file and any(step.counts.get("matched", 0) > 0 for step in record.steps):
                return str(file)
    return None


def _labels_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file and columns that labels are from, of all settings as the ledger has them."""
    labels = settings.get("ingest", {}).get("labels", {})
    return {k: v for k, v in labels.items() if k == "file" or k.endswith("_column")}
