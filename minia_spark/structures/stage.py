"""The images of every structure, on Spark; the search is :mod:`minia_spark.mining.overlap`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.arrow import from_lists, to_lists
from minia_spark.mining.model import Structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import bags_of_words
from minia_spark.stage import Stage, StageContext

__all__ = ["STAGE", "STRUCTURE_IMAGES", "load_structures"]

STRUCTURE_IMAGES = StructType(
    [
        StructField("structure_id", IntegerType(), False),
        StructField("rank", IntegerType(), False),
        StructField("image_id", StringType(), False),
        StructField("batch", StringType(), False),
        StructField("overlap", DoubleType(), False),
        StructField("words_held", IntegerType(), False),
        StructField("features", ArrayType(IntegerType(), True), True),
    ]
)

_PAIRS_AT_ONCE = 4096


def load_structures(frame: DataFrame) -> Structures:
    """Return the structures that table ``structures`` holds, in their order."""
    batches = frame.orderBy("structure_id").toArrow().combine_chunks().to_batches()
    if not batches:
        none = np.zeros(0, dtype=np.uint32)
        return Structures(np.zeros(1, dtype=np.int64), none, none, none.astype(np.int64))
    words, offsets = to_lists(batches[0]["words"])
    frequencies, _ = to_lists(batches[0]["frequencies"])
    return Structures(
        offsets,
        words.astype(np.uint32),
        frequencies.astype(np.uint32),
        batches[0]["sets"].to_numpy().astype(np.int64),
    )


def _run(context: StageContext) -> None:
    settings = context.settings.structures
    found = load_structures(context.read("structures"))
    shared = context.spark.sparkContext.broadcast(found)
    weights = "sizes" if context.settings.words.weight == "size" else "counts"

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        structures = shared.value
        index = StructureIndex(structures, structure_counts=settings.structure_counts)
        for batch in batches:
            matches = index.search(bags_of_words(batch, weights), min_overlap=settings.min_overlap)
            feature_words, starts = to_lists(batch["feature_words"])
            for first in range(0, len(matches.images), _PAIRS_AT_ONCE):
                pairs = slice(first, first + _PAIRS_AT_ONCE)
                matched = [
                    np.flatnonzero(
                        np.isin(
                            feature_words[starts[image] : starts[image + 1]],
                            structures.items[structures.offsets[s] : structures.offsets[s + 1]],
                        )
                    ).astype(np.int32)
                    for image, s in zip(
                        matches.images[pairs], matches.structures[pairs], strict=True
                    )
                ]
                counts = np.cumsum([0, *map(len, matched)]).astype(np.int64)
                rows = pa.array(matches.images[pairs])
                yield pa.RecordBatch.from_pydict(
                    {
                        "structure_id": pa.array(matches.structures[pairs].astype(np.int32)),
                        "image_id": batch["image_id"].take(rows),
                        "batch": batch["batch"].take(rows),
                        "overlap": pa.array(matches.overlaps[pairs]),
                        "words_held": pa.array(matches.held[pairs].astype(np.int32)),
                        "features": from_lists(
                            np.concatenate([np.zeros(0, np.int32), *matched]), counts
                        ),
                    }
                )

    words = context.read("words").select("batch", "image_id", "words", weights, "feature_words")
    unranked = StructType([f for f in STRUCTURE_IMAGES.fields if f.name != "rank"])
    pairs = words.mapInArrow(search, unranked)
    best = Window.partitionBy("structure_id").orderBy(F.desc("overlap"), "image_id", "batch")
    ranked = pairs.withColumn("rank", F.row_number().over(best))
    context.write("structure_images", ranked, STRUCTURE_IMAGES)
    shared.destroy()
    context.counts |= {"structures": len(found), "matches": context.entries[-1].rows}


STAGE = Stage(
    name="structures",
    per_batch=False,
    after=("words", "mine"),
    revision=1,
    settings=lambda s: {
        "structures": s.structures.model_dump(mode="json"),
        "weight": s.words.weight,
    },
    run=_run,
)
