"""Mining on Spark; the algorithm is in the engines (:mod:`.twin`, :mod:`.native`).

Step ``sketch``, once a batch: partitions of ``words`` become partial minima, merged by item into
table ``signatures``. Step ``mine``, for the collection: the signatures of all batches are merged
and cut by ranges of tables; a task mines a range; equal sets are merged; every task clusters a
range of cluster tables and returns the forest of its links; the driver joins the forests. No step
brings documents to the driver.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import SparkFiles
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    IntegerType,
    LongType,
    StructField,
    StructType,
)

from minia_spark.arrow import to_lists
from minia_spark.config import Settings
from minia_spark.mining.arrays import Documents, Links, SetList
from minia_spark.mining.engine import Engine, get_engine
from minia_spark.mining.hashing import document_key
from minia_spark.mining.model import Structures, build_structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import (
    bags_of_words,
    merge_sorted_rows,
    rows_of_sets,
    rows_of_signatures,
    sets_of_rows,
    signatures_of_rows,
    slice_rows,
)
from minia_spark.mining.settings import MiningSettings
from minia_spark.stage import Stage, StageContext
from minia_spark.words.bag import outlier_bounds

__all__ = ["MINE", "SIGNATURES", "SKETCH", "STRUCTURES"]

SIGNATURES = StructType(
    [
        StructField("item", LongType(), False),
        StructField("documents", LongType(), False),
        StructField("occurrences", LongType(), False),
        StructField("minima", BinaryType(), False),
    ]
)

STRUCTURES = StructType(
    [
        StructField("structure_id", IntegerType(), False),
        StructField("words", ArrayType(LongType(), False), False),
        StructField("frequencies", ArrayType(LongType(), False), False),
        StructField("sets", LongType(), False),
        StructField("support", LongType(), False),
    ]
)

_MERGE_BYTES = 64 << 20
_RANGE_BYTES = 64 << 20  # of the signatures that one mining task holds
Batches = Iterator[pa.RecordBatch]


def _engine(settings: MiningSettings) -> Engine:
    """Return the engine, on whatever machine this runs: files sent with the job come first."""
    binary = settings.binary
    if binary is None and settings.engine != "datasketch":
        sent = Path(SparkFiles.get("smh")).absolute()  # executors know it by a relative path
        binary = str(sent) if sent.is_file() else None
    return get_engine(settings.engine, binary=binary)


def _sketch(context: StageContext) -> None:
    mining = context.settings.mining
    column = "sizes" if context.settings.words.weight == "size" else "counts"
    words = context.read("words", context.batch).select("image_id", "words", column)

    def documents(batches: Batches) -> Iterator[Documents]:
        for batch in batches:
            items, offsets = to_lists(batch["words"])
            weights, _ = to_lists(batch[column])
            keys = np.array([document_key(i) for i in batch["image_id"].to_pylist()], np.uint32)
            yield Documents(
                keys,
                offsets,
                items.astype(np.uint32),
                weights.astype(np.uint32) if mining.expand else None,
            )

    def sketch(batches: Batches) -> Batches:
        blocks = _engine(mining).sketch_blocks(
            documents(batches),
            tuple_size=mining.tuple_size,
            tables=mining.tables,
            seed=mining.seed,
            expand=mining.expand,
        )
        for block in blocks:
            yield from rows_of_signatures(block)

    # Few, large partitions: every one returns minima of all its words.
    sources = words.coalesce(max(1, context.parallelism))
    partial = sources.mapInArrow(sketch, SIGNATURES)
    context.write("signatures", _merged(context, partial), SIGNATURES)
    context.counts |= {
        "images": context.rows("words", context.batch),
        "words_present": context.entries[-1].rows,
    }


def _merged(context: StageContext, partial: DataFrame) -> DataFrame:
    mining = context.settings.mining
    row_bytes = 4 * mining.tuple_size * mining.tables
    size_bytes = row_bytes * context.settings.codebook.size
    parts = max(1, size_bytes // _MERGE_BYTES)
    bucket = max(1, -(-context.settings.codebook.size // parts))
    ranged = partial.repartitionById(parts, F.floor(F.col("item") / bucket).cast("int"))
    return ranged.sortWithinPartitions("item").mapInArrow(merge_sorted_rows, SIGNATURES)


def _mine(context: StageContext) -> None:
    mining = context.settings.mining
    signatures = context.read("signatures")
    if len(context.view.of_table("signatures")) > 1:
        signatures = _merged(context, signatures)
    kept = _kept_words(context)
    if kept is not None:
        signatures = signatures.where(F.col("item").isin(kept.tolist()))
    sets = _mined_sets(context, signatures)
    context.counts |= {"mined_sets": sets.mined, "different_sets": len(sets)}
    links = _links(context, sets)
    found = build_structures(sets, links, min_cluster_size=mining.min_cluster_size)
    context.counts["structures"] = len(found)
    table = _structure_table(found, _support(context, found))
    frame = context.spark.createDataFrame(table, STRUCTURES).coalesce(1)
    context.write("structures", frame, STRUCTURES)
    if not len(found):
        context.progress.warn(
            "no structures were found: more images, a lower mining.tuple_size or more "
            "mining.tables find weaker ones"
        )


def _kept_words(context: StageContext) -> NDArray[np.int64] | None:
    """Return the words that are no outliers; None when none is to be dropped."""
    settings = context.settings.words
    if not settings.drop_outliers:
        return None
    counts = word_occurrences(context)
    low, high = outlier_bounds(counts, settings.outlier_deviations)
    kept = np.flatnonzero((counts >= low) & (counts <= high))
    context.counts |= {
        "words_kept_percent": round(100 * len(kept) / max(1, len(counts)), 2),
        "occurrences_kept_percent": round(100 * counts[kept].sum() / max(1, counts.sum()), 2),
    }
    return kept


def word_occurrences(context: StageContext) -> NDArray[np.int64]:
    """Return how often each word occurs in the whole collection, shape (K,)."""
    totals = context.read("word_counts").groupBy("word").agg(F.sum("occurrences").alias("n"))
    table = totals.toArrow()
    counts = np.zeros(context.rows("codebooks"), dtype=np.int64)
    counts[table["word"].to_numpy()] = table["n"].to_numpy()
    return counts


def _ranges(total: int, parts: int) -> list[tuple[int, int]]:
    bounds = np.linspace(0, total, min(total, parts) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _mined_sets(context: StageContext, signatures: DataFrame) -> SetList:
    mining = context.settings.mining
    signatures_bytes = 4 * mining.tuple_size * mining.tables * context.rows("codebooks")
    parts = max(2 * context.parallelism, -(-signatures_bytes // _RANGE_BYTES))
    ranges = _ranges(mining.tables, parts)
    sliced = StructType([*SIGNATURES.fields, StructField("range", IntegerType(), False)])

    def cut(batches: Batches) -> Batches:
        for batch in batches:
            if batch.num_rows:
                yield from slice_rows(batch, tuple_size=mining.tuple_size, ranges=ranges)

    def mine(batches: Batches) -> Batches:
        held = [b for b in batches if b.num_rows]
        if not held:
            return
        begin, end = ranges[held[0]["range"][0].as_py()]
        part = signatures_of_rows(held, tuple_size=mining.tuple_size, tables=end - begin)
        yield from rows_of_sets(_engine(mining).mine(part, min_set_size=mining.min_set_size))

    schema = "items binary, multiplicity long"
    slices = signatures.mapInArrow(cut, sliced).repartitionById(len(ranges), "range")
    found = slices.sortWithinPartitions("item").mapInArrow(mine, schema)
    merged = found.groupBy("items").agg(F.sum("multiplicity").alias("multiplicity"))
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: sets"):
        return sets_of_rows(merged.toArrow().to_batches())


def _links(context: StageContext, sets: SetList) -> Links:
    mining = context.settings.mining
    if len(sets) == 0:
        return Links.concatenate([])
    ranges = _ranges(mining.cluster_tables, context.parallelism)
    shared = context.spark.sparkContext.broadcast(sets)

    def cluster(batches: Batches) -> Batches:
        for batch in batches:
            for number in batch["id"].to_pylist():
                links = _engine(mining).cluster(
                    shared.value,
                    tuple_size=mining.cluster_tuple_size,
                    tables=mining.cluster_tables,
                    overlap=mining.overlap,
                    seed=mining.seed,
                    table_range=ranges[number],
                )
                low, high = links.pairs[:, 0], links.pairs[:, 1]
                yield pa.RecordBatch.from_arrays([pa.array(low), pa.array(high)], ["a", "b"])

    numbers = context.spark.range(0, len(ranges), 1, len(ranges))
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: clusters"):
        table = numbers.mapInArrow(cluster, "a long, b long").toArrow()
    shared.destroy()
    return Links(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))


def _support(context: StageContext, found: Structures) -> NDArray[np.int64]:
    """Return how many images hold more than half of each structure's words."""
    total = np.zeros(len(found), dtype=np.int64)
    if len(found) == 0:
        return total
    shared = context.spark.sparkContext.broadcast(found)

    def count(batches: Batches) -> Batches:
        index = StructureIndex(shared.value)
        support = np.zeros(len(shared.value), dtype=np.int64)
        for batch in batches:
            support += index.search(bags_of_words(batch, "counts")).support
        yield pa.RecordBatch.from_pydict({"support": [support.tobytes()]})

    words = context.read("words").select("words", "counts").mapInArrow(count, "support binary")
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: support"):
        for row in words.toLocalIterator():
            total += np.frombuffer(row["support"], np.int64)
    shared.destroy()
    return total


def _structure_table(found: Structures, support: NDArray[np.int64]) -> pa.Table:
    inner = pa.list_(pa.field("element", pa.int64(), nullable=False))

    def lists(values: NDArray[np.integer]) -> pa.Array:
        offsets = pa.array(found.offsets.astype(np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.int64))).cast(inner)

    return pa.table(
        {
            "structure_id": pa.array(np.arange(len(found), dtype=np.int32)),
            "words": lists(found.items),
            "frequencies": lists(found.frequencies),
            "sets": pa.array(found.sets.astype(np.int64)),
            "support": pa.array(support),
        }
    )


def _sketch_settings(settings: Settings) -> dict[str, object]:
    mining = settings.mining
    chosen: dict[str, object] = {
        "tuple_size": mining.tuple_size,
        "tables": mining.tables,
        "seed": mining.seed,
    }
    if mining.expand:
        chosen["expand"] = settings.words.weight
    return chosen


def _mine_settings(settings: Settings) -> dict[str, object]:
    words = settings.words
    return {
        **settings.mining.model_dump(mode="json", exclude={"engine", "binary"}),
        "weight": words.weight if settings.mining.expand else None,
        "outliers": words.outlier_deviations if words.drop_outliers else None,
    }


SKETCH = Stage(
    name="sketch",
    per_batch=True,
    after=("words",),
    revision=1,
    settings=_sketch_settings,
    run=_sketch,
)

MINE = Stage(
    name="mine",
    per_batch=False,
    after=("sketch", "words"),
    revision=1,
    settings=_mine_settings,
    run=_mine,
)
