"""The images of every structure, and what became of those before, on Spark.

The search for images is :mod:`minia_spark.mining.overlap`, the comparison with the structures of
the state before is :mod:`.lineage`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
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

from minia_spark.base.arrow import from_lists, to_lists
from minia_spark.codebook.stage import WORD_MAP
from minia_spark.engine.stage import Stage, StageContext
from minia_spark.mining.model import Structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import bags_of_words
from minia_spark.mining.stage import STRUCTURES
from minia_spark.structures.lineage import Event, compose, inherited, maps_of, trace
from minia_spark.warehouse.records import Catalogue
from minia_spark.words.spark import kept_by_settings

__all__ = ["LINEAGE", "STAGE", "STRUCTURE_IMAGES", "TRACES", "load_structures"]

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

TRACES = StructType(
    [
        StructField("lineage_id", StringType(), False),
        StructField("structure_id", IntegerType(), True),
        StructField("event", StringType(), False),
        StructField("older_state", LongType(), True),
        StructField("older_structure_id", IntegerType(), True),
        StructField("words_gained", LongType(), False),
        StructField("words_lost", LongType(), False),
    ]
)

_PAIRS_AT_ONCE = 4096


_NONE = np.zeros(0, dtype=np.uint32)
NO_STRUCTURES = Structures(np.zeros(1, dtype=np.int64), _NONE, _NONE, _NONE.astype(np.int64))


def load_structures(frame: DataFrame) -> Structures:
    """Return the structures that table ``structures`` holds, in their order."""
    batches = frame.orderBy("structure_id").toArrow().combine_chunks().to_batches()
    if not batches:
        return NO_STRUCTURES
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
    kept = kept_by_settings(context)
    weights = "sizes" if context.settings.words.weight == "size" else "counts"

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        structures = shared.value
        index = StructureIndex(structures, structure_counts=settings.structure_counts)
        for batch in batches:
            bags = bags_of_words(batch, weights, kept=kept)
            matches = index.search(bags, min_overlap=settings.min_overlap)
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


def _trace(context: StageContext) -> None:
    """Compare with the state that readers see now; without structures there, all are born."""
    before = context.warehouse.catalogue()
    newer = load_structures(context.read("structures"))
    older = load_structures(_read(context, before, "structures", STRUCTURES))
    ids = _read(context, before, "lineage", TRACES).where("structure_id is not null")
    older_ids = [row["lineage_id"] for row in ids.orderBy("structure_id").collect()]
    word_map = None
    versions = [_vocabulary(state) for state in (before, context.view)]
    if versions[0] != versions[1]:
        maps = _read(context, context.view, "word_map", WORD_MAP)
        word_map = compose(maps_of(maps.toArrow()), *versions)
    if len(older_ids) != len(older) or (versions[0] != versions[1] and word_map is None):
        older, older_ids, word_map = NO_STRUCTURES, [], None
    fates = trace(older, newer, word_map)
    state = before.version + 1
    rows = [
        {
            "lineage_id": name,
            "structure_id": None if fate.event in (Event.MERGED, Event.GONE) else fate.newer,
            "event": str(fate.event),
            "older_state": before.version if len(older) else None,
            "older_structure_id": fate.older,
            "words_gained": fate.gained,
            "words_lost": fate.lost,
        }
        for fate, name in zip(fates, inherited(fates, older_ids, state), strict=True)
    ]
    frame = context.spark.createDataFrame(rows, TRACES).coalesce(1)
    context.write("lineage", frame, TRACES)
    context.counts |= dict(sorted(Counter(str(fate.event) for fate in fates).items()))


def _vocabulary(state: Catalogue) -> str:
    return next((entry.digest for entry in state.of_table("codebooks")), "")


def _read(context: StageContext, state: Catalogue, table: str, schema: StructType) -> DataFrame:
    """Return a table of a state; an empty one where the state has none."""
    paths = [context.pattern(entry.path) for entry in state.of_table(table)]
    if not paths:
        return context.spark.createDataFrame([], schema)
    return context.spark.read.schema(schema).parquet(*paths)


STAGE = Stage(
    name="structures",
    per_batch=False,
    after=("words", "mine"),
    revision=2,
    settings=lambda s: {
        "structures": s.structures.model_dump(mode="json"),
        "weight": s.words.weight,
        "outliers": s.words.outlier_deviations if s.words.drop_outliers else None,
    },
    run=_run,
)

LINEAGE = Stage(
    name="lineage",
    per_batch=False,
    after=("vocabulary", "mine"),
    revision=1,
    settings=lambda _: {},
    run=_trace,
)
