"""Words on Spark: every descriptor to its nearest centre, every image to its bag of words.

The nearest centre is :class:`minia_spark.codebook.kmeans.NearestCentre`, the bags are
:mod:`.bag`. No shuffle: a partition of ``features`` becomes a partition of ``words``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.arrow import binary_block, from_lists, to_lists
from minia_spark.codebook.kmeans import NearestCentre, to_grid
from minia_spark.codebook.stage import load_codebook
from minia_spark.engine.stage import Stage, StageContext
from minia_spark.words.bag import bag_words

__all__ = ["STAGE", "WORDS", "WORD_COUNTS"]

WORDS = StructType(
    [
        StructField("batch", StringType(), False),
        StructField("image_id", StringType(), False),
        StructField("feature_words", ArrayType(IntegerType(), True), True),
        StructField("words", ArrayType(IntegerType(), True), True),
        StructField("counts", ArrayType(IntegerType(), True), True),
        StructField("sizes", ArrayType(IntegerType(), True), True),
        StructField("quantisation_error", DoubleType(), True),
    ]
)

WORD_COUNTS = StructType(
    [
        StructField("batch", StringType(), False),
        StructField("word", IntegerType(), False),
        StructField("images", LongType(), False),
        StructField("occurrences", LongType(), False),
    ]
)


def _run(context: StageContext) -> None:
    codebook = load_codebook(context.read("codebooks"))
    features = context.read("features", context.batch).where("reason is null")
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    shared = context.spark.sparkContext.broadcast(codebook)

    def assign(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kernel = NearestCentre(shared.value.centres)
        scale = shared.value.scale
        for batch in batches:
            vectors, offsets = binary_block(batch["descriptors"], dtype, dim)
            nearest, squared = kernel.find(to_grid(vectors, scale))
            sizes = to_lists(batch["size"])[0].astype(np.float32)
            bags = bag_words(nearest, sizes, offsets)
            totals = np.add.reduceat(np.append(squared, 0), offsets[:-1])
            counts = np.diff(offsets)
            error = np.where(counts > 0, totals, 0) / scale**2 / np.maximum(counts, 1)
            yield pa.RecordBatch.from_pydict(
                {
                    "batch": batch["batch"],
                    "image_id": batch["image_id"],
                    "feature_words": from_lists(nearest, offsets),
                    "words": from_lists(bags.words, bags.offsets),
                    "counts": from_lists(bags.counts, bags.offsets),
                    "sizes": from_lists(bags.sizes, bags.offsets),
                    "quantisation_error": pa.array(error, mask=counts == 0),
                }
            )

    frame = features.select("batch", "image_id", "size", "descriptors").mapInArrow(assign, WORDS)
    empty = F.count_if(F.size("words") == 0)
    written = context.write("words", frame, WORDS, measures={"without_words": empty})
    images = context.entries[-1].rows
    rejected = sum(
        e.rows for e in context.view.of_table("rejects", context.batch) if e.stage == "features"
    )
    context.check_counts("images", context.rows("images", context.batch), images, rejected)
    each = written.select(F.explode(F.arrays_zip("words", "counts")).alias("w"))
    counts = each.groupBy(F.col("w.words").alias("word")).agg(
        F.count("*").alias("images"), F.sum("w.counts").alias("occurrences")
    )
    counts = counts.withColumn("batch", F.lit(context.batch)).coalesce(1)
    context.write("word_counts", counts, WORD_COUNTS)
    context.counts["images"] = images
    shared.destroy()


STAGE = Stage(
    name="words",
    per_batch=True,
    after=("features", "vocabulary"),
    revision=1,
    # Weights and outliers are chosen when words are mined or exported: both are stored.
    settings=lambda _: {},
    run=_run,
)
