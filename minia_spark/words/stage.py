"""Words on Spark: every descriptor to its nearest centre, every image to its bag of words.

The nearest centre is :class:`minia_spark.codebook.kmeans.NearestCentre`, the bags are
:mod:`.bag`. No shuffle: a partition of ``features`` becomes a partition of ``words``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from minia_spark.base.arrow import binary_block, from_lists, to_lists
from minia_spark.codebook.kmeans import NearestCentre, to_grid
from minia_spark.codebook.stage import load_codebook
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.words.bag import bag_words
from minia_spark.words.tables import WORD_COUNTS, WORDS

__all__ = ["run"]


def run(context: Context) -> None:
    """Write the words of a batch."""
    codebook = load_codebook(context.small(CODEBOOKS))
    features = context.read(FEATURES).where("reason is null")
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

    frame = features.select("batch", "image_id", "size", "descriptors").mapInArrow(
        assign, WORDS.schema()
    )
    empty = F.count_if(F.size("words") == 0)
    written = context.write(WORDS, frame, measures={"without_words": empty})
    images = context.entries[-1].rows or 0
    rejected = sum(e.rows or 0 for e in context.entries_of(REJECTS) if e.stage == "features")
    context.check_counts("images", context.rows(IMAGES), images, rejected)
    each = written.select(F.explode(F.arrays_zip("words", "counts")).alias("w"))
    counts = each.groupBy(F.col("w.words").alias("word")).agg(
        F.count("*").alias("images"), F.sum("w.counts").alias("occurrences")
    )
    counts = counts.withColumn("batch", F.lit(context.batch)).coalesce(1)
    context.write(WORD_COUNTS, counts)
    context.counts["images"] = images
    shared.destroy()
