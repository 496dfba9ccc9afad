"""Mining's passes over Spark's partitions; what they compute is in the kernels beside.

Several collections go through a pass together: number 0 is the images themselves, 1 and up are
decoys. So do several *trials*: number 0 is the mining that is reported, then come other seeds of
the same images, then the decoys. Everything that comes to the driver is about words, pairs of
words and sets of words; documents stay where they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.bags import Bags
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.mining.assess import decoy
from minia_spark.mining.chance import Totals
from minia_spark.mining.cost import SPAN_BYTES
from minia_spark.mining.pairs import WordPairs
from minia_spark.mining.rows import (
    bags_of_words,
    documents_of_words,
    groups_of_rows,
    labelled,
    merge_sorted_rows,
    rows_of_documents,
    rows_of_sets,
    rows_of_signatures,
    sets_of_rows,
    signatures_of_rows,
    slice_rows,
    table_ranges,
)
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import SIGNATURES, TUNING
from minia_spark.smh.arrays import Links, SetList
from minia_spark.smh.engine import Engine
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORDS

__all__ = [
    "SPAN_BYTES",
    "decoys",
    "documents",
    "links",
    "merged",
    "mined_sets",
    "plausible",
    "sketched",
    "tallies",
    "totals",
]

_DOCUMENTS = StructType(
    [
        StructField("collection", IntegerType(), False),
        StructField("image_id", StringType(), False),
        StructField("words", ArrayType(IntegerType(), True), True),
        StructField("weights", ArrayType(IntegerType(), True), True),
    ]
)

_IMAGES_A_TASK = 100_000
"""More tasks than cores only from here on: each returns minima of all its words."""
_IMAGES_A_PIECE = 20_000
"""A decoy is shuffled within pieces of about so many images."""
_RANGE_BYTES = 32 << 20
"""Minima of a range of tables, which is what a task mines at a time."""
_RANGE_TABLES = 64
_RANGES = 16
"""A range has so many tables, or makes so many ranges, or has as many as its bytes allow."""
_COUNTS_A_ROW = 1 << 16

Batches = Iterator[pa.RecordBatch]
Counter = Callable[[Bags], NDArray[np.int64]]
_Value = TypeVar("_Value")


def documents(context: Context) -> DataFrame:
    """Return the images as documents, of one batch or of all, in partitions for long tasks."""
    by_size = (
        context.settings(MiningSettings).expand and context.settings(WordsSettings).weight == "size"
    )
    column = "sizes" if by_size else "counts"
    words = context.read(WORDS).select(
        F.lit(0).alias("collection"), "image_id", "words", F.col(column).alias("weights")
    )
    tasks = -(-context.rows(WORDS) // _IMAGES_A_TASK)
    return words.coalesce(max(1, tasks, context.parallelism))


def totals(context: Context, kept: NDArray[np.bool_] | None) -> Totals:
    """Count in how many images every kept word is, and how many of them the images have."""

    def count(batches: Batches) -> Batches:
        total = Totals.sum(
            Totals.of(documents_of_words([batch], kept=kept)) for batch in batches if batch.num_rows
        )
        words = {"key": total.words.astype(np.int64), "n": total.word_images}
        sizes = {"key": total.image_sizes, "n": total.image_counts}
        yield labelled(pa.RecordBatch.from_pydict(words), is_size=0)
        yield labelled(pa.RecordBatch.from_pydict(sizes), is_size=1)

    counted = documents(context).mapInArrow(count, "is_size int, key long, n long")
    summed = counted.groupBy("is_size", "key").agg(F.sum("n").alias("n")).orderBy("is_size", "key")
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: totals"):
        table = summed.toArrow()
    size, key, number = (table[name].to_numpy() for name in ("is_size", "key", "n"))
    words, sizes = size == 0, size == 1
    return Totals(key[words].astype(np.uint32), number[words], key[sizes], number[sizes])


def decoys(context: Context, kept: NDArray[np.bool_] | None, numbers: Sequence[int]) -> DataFrame:
    """Shuffle the images into decoys; collection k is decoy ``numbers[k - 1]``.

    A piece is what the images' names say, in the order of the names, so that a decoy is the same
    whatever batches and partitions the images are in.
    """
    seed = context.settings(MiningSettings).seed
    pieces = max(1, round(context.rows(WORDS) / _IMAGES_A_PIECE))
    piece = F.pmod(F.crc32(F.col("image_id").cast("binary")), F.lit(pieces)).cast("int")
    collection = F.explode(F.array(*map(F.lit, range(1, len(numbers) + 1))))
    one = documents(context).drop("collection").withColumn("piece", piece)
    copies = one.withColumn("collection", collection)
    where = (F.col("collection") - 1) * pieces + F.col("piece")
    placed = copies.repartitionById(pieces * len(numbers), where)

    def shuffle(batches: Batches) -> Batches:
        for (collection, piece), group in groups_of_rows(batches, "collection", "piece"):
            rows = list(group)
            names = pa.chunked_array([batch["image_id"] for batch in rows]).combine_chunks()
            mixed = decoy(
                documents_of_words(rows, kept=kept),
                seed=seed,
                number=numbers[collection - 1],
                piece=piece,
            )
            for batch in rows_of_documents(names, mixed):
                yield labelled(batch, collection=collection)

    ordered = placed.sortWithinPartitions("collection", "piece", "image_id")
    return ordered.mapInArrow(shuffle, _DOCUMENTS)


def sketched(
    context: Context,
    frame: DataFrame,
    engine: Callable[[], Engine],
    trials: Mapping[int, Sequence[tuple[int, int]]],
    *,
    tuple_size: int,
    tables: int,
) -> DataFrame:
    """Return partial signatures of documents: those of every partition.

    Parameters
    ----------
    context : Context
    frame : DataFrame
        Documents.
    engine : callable
        Finds the engine on whatever machine it is called.
    trials : mapping
        Collection to the (trial, seed) pairs it is sketched for.
    tuple_size, tables : int
    """
    expand = context.settings(MiningSettings).expand
    table_bytes = 4 * tuple_size * context.rows(CODEBOOKS)
    fair = max(_RANGE_TABLES, -(-tables // _RANGES))
    width = max(1, min(fair, _RANGE_BYTES // table_bytes))
    span = width * max(1, SPAN_BYTES // (width * table_bytes))
    ranges = table_ranges(tables, width)

    def sketch(batches: Batches) -> Batches:
        for (collection,), group in groups_of_rows(batches, "collection"):
            held = [documents_of_words([rows]) for rows in group]
            for trial, seed in trials[collection]:
                for begin, end in table_ranges(tables, span):
                    own = [r for r in ranges if begin <= r[0] < end]
                    for block in engine().sketch_blocks(
                        held,
                        tuple_size=tuple_size,
                        tables=tables,
                        seed=seed,
                        expand=expand,
                        table_range=(begin, end),
                    ):
                        for rows in rows_of_signatures(block):
                            yield from slice_rows(
                                rows, tuple_size=tuple_size, ranges=own, trial=trial
                            )

    return frame.mapInArrow(sketch, SIGNATURES.schema())


def _by_range(context: Context, signatures: DataFrame, trials: int) -> DataFrame:
    """Bring rows of the same trial and range of tables together, items ascending."""
    tables_bytes = 4 * context.rows(CODEBOOKS) * _minima_of_all(context)
    parts = max(2 * context.parallelism, -(-trials * tables_bytes // SPAN_BYTES))
    placed = signatures.repartition(parts, "trial", "first_table")
    return placed.sortWithinPartitions("trial", "first_table", "item")


def _minima_of_all(context: Context) -> int:
    (row,) = context.small(TUNING, ["tuple_size", "tables"]).to_pylist()
    assert row is not None
    return int(row["tuple_size"]) * int(row["tables"])


def merged(context: Context, signatures: DataFrame, trials: int) -> DataFrame:
    """Merge partial signatures into those of the union of their documents."""

    def merge(batches: Batches) -> Batches:
        for (trial, first_table), group in groups_of_rows(batches, "trial", "first_table"):
            for rows in merge_sorted_rows(group):
                yield labelled(rows, trial=trial, first_table=first_table)

    return _by_range(context, signatures, trials).mapInArrow(merge, SIGNATURES.schema())


def mined_sets(
    context: Context,
    signatures: DataFrame,
    engine: Callable[[], Engine],
    *,
    tuple_size: int,
    trials: int,
) -> list[SetList]:
    """Merge partial signatures and mine the sets of every trial."""
    min_set_size = context.settings(MiningSettings).min_set_size

    def mine(batches: Batches) -> Batches:
        for (trial, _), group in groups_of_rows(batches, "trial", "first_table"):
            part = signatures_of_rows(merge_sorted_rows(group), tuple_size=tuple_size)
            for rows in rows_of_sets(engine().mine(part, min_set_size=min_set_size)):
                yield labelled(rows, trial=trial)

    found = _by_range(context, signatures, trials).mapInArrow(
        mine, "trial int, items binary, multiplicity long"
    )
    summed = found.groupBy("trial", "items").agg(F.sum("multiplicity").alias("multiplicity"))
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: sets"):
        rows = summed.sort("trial").toArrow().to_batches()
    parts = {n: list(group) for (n,), group in groups_of_rows(rows, "trial")}
    return [sets_of_rows(parts.get(trial, [])) for trial in range(trials)]


def plausible(
    context: Context, sets: Sequence[SetList], pairs_of: Callable[[SetList], WordPairs]
) -> list[WordPairs]:
    """Find the pairs of words of every trial whose shared documents are worth counting."""

    def find(own: SetList) -> pa.RecordBatch:
        pairs = pairs_of(own)
        return pa.RecordBatch.from_pydict(
            {
                "first": pairs.first.astype(np.int64),
                "second": pairs.second.astype(np.int64),
                "meetings": pairs.meetings,
            }
        )

    tables = _each(context, sets, find, "first long, second long, meetings long", "pairs of words")
    return [
        WordPairs(
            table["first"].to_numpy().astype(np.uint32),
            table["second"].to_numpy().astype(np.uint32),
            table["meetings"].to_numpy(),
        )
        for table in tables
    ]


def links(context: Context, sets: Sequence[SetList], engine: Callable[[], Engine]) -> list[Links]:
    """Cluster the sets of every trial; cluster tables are shared out too."""
    mining = context.settings(MiningSettings)
    parts = max(1, -(-context.parallelism // len(sets)))
    ranges = table_ranges(mining.cluster_tables, -(-mining.cluster_tables // parts))
    work = [(own, part) for own in sets for part in ranges]

    def cluster(item: tuple[SetList, tuple[int, int]]) -> pa.RecordBatch:
        own, part = item
        found = engine().cluster(
            own,
            tuple_size=mining.cluster_tuple_size,
            tables=mining.cluster_tables,
            overlap=mining.overlap,
            seed=mining.seed,
            table_range=part,
        )
        return pa.RecordBatch.from_pydict({"a": found.pairs[:, 0], "b": found.pairs[:, 1]})

    forests = [
        Links(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))
        for table in _each(context, work, cluster, "a long, b long", "clusters")
    ]
    step = len(ranges)
    return [Links.concatenate(forests[start : start + step]) for start in range(0, len(work), step)]


def _each(
    context: Context,
    work: Sequence[_Value],
    kernel: Callable[[_Value], pa.RecordBatch],
    columns: str,
    what: str,
) -> list[pa.Table]:
    """Call a kernel for every piece of work, a task each; its rows stay in their order."""
    shared = [context.spark.sparkContext.broadcast(item) for item in work]

    def run(batches: Batches) -> Batches:
        for batch in batches:
            for number in batch["id"].to_pylist():
                rows = kernel(shared[number].value)
                order = pa.array(np.arange(rows.num_rows))
                yield labelled(rows, number=number).append_column("row", order)

    numbers = context.spark.range(0, len(work), 1, len(work))
    frame = numbers.mapInArrow(run, f"number int, {columns}, row long")
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: {what}"):
        table = frame.toArrow().sort_by([("number", "ascending"), ("row", "ascending")])
    for item in shared:
        item.destroy()
    bounds = np.searchsorted(table["number"].to_numpy(), np.arange(len(work) + 1)).tolist()
    return [table.slice(start, stop - start) for start, stop in itertools.pairwise(bounds)]


def tallies(
    context: Context, frame: DataFrame, counters: Sequence[Counter], what: str
) -> list[NDArray[np.int64]]:
    """Sum what a counter says of the documents of its collection.

    Parameters
    ----------
    context : Context
    frame : DataFrame
        Documents.
    counters : sequence of callables
        One for each collection: bags to int64 array of a fixed shape (n,), whose sum over the
        pieces of a collection is wanted.
    what : str
        For the progress bar.

    Returns
    -------
    list of int64 arrays
    """
    shared = context.spark.sparkContext.broadcast(list(counters))

    def count(batches: Batches) -> Batches:
        for (collection,), group in groups_of_rows(batches, "collection"):
            counter = shared.value[collection]
            total = sum((counter(bags_of_words(rows, "weights")) for rows in group), start=_ZERO)
            yield from blocks(collection, total)

    def blocks(collection: int, total: NDArray[np.int64]) -> Batches:
        for block, start in enumerate(range(0, len(total), _COUNTS_A_ROW)):
            part = total[start : start + _COUNTS_A_ROW]
            row = pa.RecordBatch.from_pydict({"counts": [part.tobytes()]})
            yield labelled(row, collection=collection, block=block)

    def add(batches: Batches) -> Batches:
        for (collection, block), group in groups_of_rows(batches, "collection", "block"):
            total = sum((_sum_of_rows(rows) for rows in group), start=_ZERO)
            row = pa.RecordBatch.from_pydict({"counts": [total.tobytes()]})
            yield labelled(row, collection=collection, block=block)

    columns = "collection int, block int, counts binary"
    keys = ("collection", "block")
    counted = frame.mapInArrow(count, columns).repartition(2 * context.parallelism, *keys)
    summed = counted.sortWithinPartitions(*keys).mapInArrow(add, columns)
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: {what}"):
        table = summed.toArrow().sort_by([("collection", "ascending"), ("block", "ascending")])
    shared.destroy()
    # no documents: every counter says what it says of none
    none = Bags(np.zeros(1, np.int64), *np.zeros((2, 0), np.uint32))
    results = [counter(none) for counter in counters]
    for (collection,), group in groups_of_rows(table.to_batches(), "collection"):
        counts = [value.as_buffer() for rows in group for value in rows["counts"]]
        results[collection] = np.frombuffer(b"".join(map(bytes, counts)), np.int64)
    return results


_ZERO = np.zeros((), dtype=np.int64)


def _sum_of_rows(rows: pa.RecordBatch) -> NDArray[np.int64]:
    values: Iterable[NDArray[np.int64]] = (
        np.frombuffer(value.as_buffer(), np.int64) for value in rows["counts"]
    )
    return sum(values, start=_ZERO)
