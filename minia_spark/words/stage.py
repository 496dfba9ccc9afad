"""Words on Spark: every descriptor to its nearest centre, every image to its bag of words.

The nearest centre is :class:`minia_spark.codebook.kmeans.NearestCentre`, the bags are
:mod:`.bag`. No shuffle: a partition of ``features`` becomes a partition of ``words``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
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

_TALLY = "word int, images long, occurrences long"

Batches = Iterator[pa.RecordBatch]


def run(context: Context) -> None:
    """Write the words of a batch."""
    codebook = load_codebook(context.small(CODEBOOKS))
    features = context.read(FEATURES).where("reason is null")
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    shared = context.spark.sparkContext.broadcast(codebook)

    def assign(batches: Batches) -> Batches:
        kernel = NearestCentre(shared.value.centres)
        for batch in batches:
            yield _bags(batch, kernel, shared.value.scale, dtype, dim)

    with _even_partitions(context):
        chosen = features.select("batch", "image_id", "size", "descriptors")
        frame = chosen.mapInArrow(assign, WORDS.schema())
        empty = F.count_if(F.size("words") == 0)
        written = context.write(WORDS, frame, measures={"without_words": empty})
    images = context.entries[-1].rows or 0
    rejected = sum(e.rows or 0 for e in context.entries_of(REJECTS) if e.stage == "features")
    context.check_counts("images", context.rows(IMAGES), images, rejected)
    tallies = written.select("words", "counts").mapInArrow(_tally, _TALLY)
    counts = tallies.groupBy("word").agg(
        F.sum("images").alias("images"), F.sum("occurrences").alias("occurrences")
    )
    with context.watched("counts"):
        table = counts.toArrow().sort_by("word")
    batches = pa.array([context.batch] * len(table), pa.string())
    context.write_rows(WORD_COUNTS, table.append_column("batch", batches))
    context.counts["images"] = images
    shared.destroy()


@contextmanager
def _even_partitions(context: Context) -> Iterator[None]:
    """Read files in at least two partitions a core: with one, the fuller one is waited for."""
    name, conf = "spark.sql.files.minPartitionNum", context.spark.conf
    before = conf.get(name, None)
    conf.set(name, str(2 * context.parallelism))
    try:
        yield
    finally:
        if before is None:
            conf.unset(name)
        else:
            conf.set(name, before)


def _bags(
    batch: pa.RecordBatch,
    kernel: NearestCentre,
    scale: float,
    dtype: np.dtype[np.generic],
    dim: int,
) -> pa.RecordBatch:
    """Return rows of table ``words`` for rows of table ``features``."""
    vectors, offsets = binary_block(batch["descriptors"], dtype, dim)
    nearest, squared = kernel.find(to_grid(vectors, scale))
    sizes = to_lists(batch["size"])[0].astype(np.float32)
    bags = bag_words(nearest, sizes, offsets)
    totals = np.add.reduceat(np.append(squared, 0), offsets[:-1])
    counts = np.diff(offsets)
    error = np.where(counts > 0, totals, 0) / scale**2 / np.maximum(counts, 1)
    return pa.RecordBatch.from_pydict(
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


def _tally(batches: Batches) -> Batches:
    """Return the images and occurrences of each word in a partition's rows."""
    images, occurrences = (np.zeros(0, dtype=np.int64) for _ in range(2))
    for batch in batches:
        words, counts = (to_lists(batch[name])[0] for name in ("words", "counts"))
        size = max(len(images), int(words.max(initial=-1)) + 1)
        images = np.bincount(words, minlength=size) + _longer(images, size)
        # float64 holds these sums exactly
        added = np.bincount(words, weights=counts, minlength=size).astype(np.int64)
        occurrences = added + _longer(occurrences, size)
    there = np.flatnonzero(images)
    yield pa.RecordBatch.from_pydict(
        {
            "word": there.astype(np.int32),
            "images": images[there],
            "occurrences": occurrences[there],
        }
    )


def _longer(values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.pad(values, (0, size - len(values)))
