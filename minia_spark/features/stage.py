"""Features on Spark: one row an image; the extractors are in this folder.

An image that cannot be extracted, although ingest could read it, keeps its row with a reason and
no features, and is a row of ``rejects`` too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    FloatType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.stage import Stage, StageContext
from minia_spark.features.columns import LISTS, feature_columns
from minia_spark.features.extractor import Features, create
from minia_spark.features.settings import FeaturesSettings
from minia_spark.images.decode import decode
from minia_spark.images.identity import content_hash
from minia_spark.images.reader import ImageReader
from minia_spark.images.reasons import Reason
from minia_spark.ingest.stage import REJECTS

__all__ = ["STAGE", "features_schema"]

_BATCH_BYTES = 16 << 20
_BATCH_IMAGES = 256


def features_schema(settings: FeaturesSettings) -> StructType:
    """Return the schema of table ``features``; the descriptors' layout is in their metadata."""
    extractor = create(settings)
    layout = {
        "extractor": extractor.name,
        "dtype": extractor.descriptor_dtype.str,
        "dimension": extractor.descriptor_dim,
    }
    lists = [StructField(name, ArrayType(FloatType(), True), True) for name in LISTS]
    return StructType(
        [
            StructField("batch", StringType(), False),
            StructField("image_id", StringType(), False),
            StructField("n_features", IntegerType(), False),
            StructField("n_found", IntegerType(), False),
            *lists,
            StructField("descriptors", BinaryType(), True, layout),
            StructField("reason", StringType(), True),
            StructField("detail", StringType(), True),
        ]
    )


def _run(context: StageContext) -> None:
    settings = context.settings.features
    options = context.settings.ingest.decode_options()
    schema = features_schema(settings)

    def extract(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        extractor = create(settings)
        with ImageReader(max_bytes=options["max_bytes"]) as reader:

            def one(uri: str, hashed: str) -> Features | Rejected:
                try:
                    data = reader.read(uri)
                    if content_hash(data) != hashed:
                        raise Reason.UNREADABLE.reject(
                            "The file has changed since it was ingested; ingest the batch again."
                        )
                    return extractor.extract(decode(data, **options).pixels)
                except Rejected as rejected:
                    return rejected

            for batch in batches:
                held: list[Features | Rejected] = []
                first = size_bytes = 0
                places = zip(
                    batch["uri"].to_pylist(), batch["content_hash"].to_pylist(), strict=True
                )
                for row, (uri, hashed) in enumerate(places):
                    held.append(one(uri, hashed))
                    size_bytes += (
                        0 if isinstance(held[-1], Rejected) else held[-1].descriptors.nbytes
                    )
                    full = size_bytes >= _BATCH_BYTES or len(held) >= _BATCH_IMAGES
                    if full or row == batch.num_rows - 1:
                        names = batch.select(["batch", "image_id"]).slice(first, len(held))
                        columns = dict(zip(names.schema.names, names.columns, strict=True))
                        yield pa.RecordBatch.from_pydict(columns | feature_columns(held))
                        held, first, size_bytes = [], row + 1, 0

    images = context.read("images", context.batch)
    count = context.rows("images", context.batch)
    # Rows of one Parquet file stay together and in order: each task reads its part of it once.
    place = [
        F.regexp_extract("uri", "^[^#]*", 0),
        F.regexp_extract("uri", "row_group=([0-9]+)", 1).try_cast("int"),
        F.regexp_extract("uri", "row=([0-9]+)$", 1).try_cast("long"),
    ]
    ordered = images.repartitionByRange(context.partitions(count), *place).sortWithinPartitions(
        *place
    )
    frame = ordered.select("batch", "image_id", "uri", "content_hash").mapInArrow(extract, schema)
    written = context.write(
        "features",
        frame,
        schema,
        measures={
            "images": F.count("*"),
            "features": F.sum("n_features"),
            "left_out": F.sum("n_found") - F.sum("n_features"),
            "rejects": F.count("reason"),
        },
    )
    context.check_counts("images", count, context.entries[-1].rows)
    bad = written.where("reason is not null").select("batch", "image_id", "reason", "detail")
    if context.counts["rejects"] == count:
        row = bad.orderBy("image_id").first()
        assert row is not None
        raise InputError(
            f"no image of batch {context.batch} could be extracted, e.g. {row['image_id']}: "
            f"{row['detail']} Nothing was published."
        )
    rejects = context.spark.createDataFrame([], REJECTS)
    if context.counts["rejects"]:
        rejects = bad.join(images.select("image_id", "uri"), "image_id")
        rejects = rejects.withColumn("stage", F.lit("features")).coalesce(1)
    context.write("rejects", rejects, REJECTS)
    context.check_counts("rejects", int(context.counts["rejects"]), context.entries[-1].rows)
    if context.counts["left_out"]:
        context.progress.warn(
            f"{context.title}: {context.counts['left_out']:,} features beyond "
            f"features.max_features ({settings.max_features:,}) an image were left out"
        )


STAGE = Stage(
    name="features",
    per_batch=True,
    after=("ingest",),
    revision=1,
    settings=lambda s: {
        "features": s.features.model_dump(mode="json"),
        # what decides which grey levels the extractor sees
        "decode": [s.ingest.fits_interval, s.ingest.fits_stretch],
    },
    run=_run,
)
