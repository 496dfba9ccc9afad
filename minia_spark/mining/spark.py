"""A collection in a warehouse, mined by Spark; what is computed is in the kernels beside.

Documents go through every pass as (collection, image_id, words, weights): collection 0 is the
images themselves, k is decoy k - 1. What comes to the driver is about words, pairs of words and
sets of words; documents stay where they are. A small job costs Spark half a second whatever it
does, so there are few of them, and what a core has done in a second is not sent away.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyspark import SparkFiles, StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.mining.background import Background, fit_background, in_sample
from minia_spark.mining.chance import Totals
from minia_spark.mining.cost import SPAN_BYTES
from minia_spark.mining.excess import Parts, numbers_of, sum_part
from minia_spark.mining.local import LocalCollection
from minia_spark.mining.miner import Counter, Look, LookAt, Sketch, Trials
from minia_spark.mining.pulse import Pulse
from minia_spark.mining.rows import (
    background_of_rows,
    bags_of_words,
    documents_of_words,
    groups_of_rows,
    joined_tables,
    labelled,
    look_of_row,
    merge_sorted_rows,
    row_of_look,
    rows_of_background,
    rows_of_documents,
    rows_of_numbers,
    rows_of_sets,
    rows_of_signatures,
    sets_of_rows,
    signatures_of_rows,
    slice_rows,
    table_ranges,
)
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.shuffle import decoy
from minia_spark.mining.tables import BACKGROUND, FACTORS, PAIRS
from minia_spark.smh.arrays import Documents, SetList
from minia_spark.smh.engine import Engine, get_engine
from minia_spark.smh.hashing import document_key
from minia_spark.words.tables import WORDS

__all__ = ["SparkCollection"]

_DOCUMENTS = StructType(
    [
        StructField("collection", IntegerType(), False),
        StructField("image_id", StringType(), False),
        StructField("words", ArrayType(IntegerType(), True), True),
        StructField("weights", ArrayType(IntegerType(), True), True),
    ]
)

_SIGNATURES = (
    "trial int, first_table int, item long, documents long, occurrences long, minima binary"
)
_MINED = "trial int, items binary, multiplicity long"
_LOOKS = (
    "trial int, offsets binary, items binary, frequencies binary, sets binary, support binary, "
    "mined long, different long"
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
_SUMMED_HERE = 4
"""Counts of so many tasks are summed on the driver; those of more, on the way to it."""
_DONE_HERE = 1 << 21
"""Work on fewer entries of sets is not worth a job."""

Batches = Iterator[pa.RecordBatch]
_Work = TypeVar("_Work")
_Result = TypeVar("_Result")
_NO_WORD = np.zeros(0, np.uint32)
_NONE = Documents(_NO_WORD, np.zeros(1, np.int64), _NO_WORD, _NO_WORD)


class SparkCollection:
    """The images of a warehouse; see :class:`minia_spark.mining.miner.Collection`.

    Parameters
    ----------
    context : Context
    mining : MiningSettings
    decoys : int
        How many decoys there are.
    kept : bool array, shape (number of words,), optional
        Words that are mined; all by default.
    by_size : bool
        Words weigh as much as their features are large, not as many as they are.
    batches : sequence of str, optional
        Only the images of these; all by default.

    Notes
    -----
    To be closed: what it keeps on the executors' disks is given back. `driver_seconds` is how long
    :meth:`each` worked in this process so far.
    """

    def __init__(
        self,
        context: Context,
        mining: MiningSettings,
        *,
        decoys: int = 0,
        kept: NDArray[np.bool_] | None = None,
        by_size: bool = False,
        batches: Sequence[str | None] | None = None,
    ) -> None:
        self._by_size = by_size
        self._batches = batches
        self._context = context
        self._mining = mining
        self._count = decoys
        self._kept = kept
        self._decoys: DataFrame | None = None
        self.driver_seconds = 0.0
        self._words = context.rows(CODEBOOKS)
        self.parallelism = context.parallelism
        self._engine = functools.partial(_found_engine, mining.engine, mining.binary)
        self.engine: Callable[[], Engine] = functools.partial(self._engine, 1)
        self.own_engine: Callable[[], Engine] = functools.partial(self._engine, os.cpu_count() or 1)
        self.progress = Pulse(context.say).at

    def __enter__(self) -> SparkCollection:
        """Return the collection itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Give back what is kept on disks."""
        if self._decoys is not None:
            self._decoys.unpersist()

    # ---------------------------------------------------------------------------- documents

    @functools.cached_property
    def _images(self) -> DataFrame:
        """The images as documents, in partitions for long tasks."""
        column = "sizes" if self._by_size else "counts"
        words = self._context.read(WORDS, batches=self._batches).select(
            F.lit(0).alias("collection"), "image_id", "words", F.col(column).alias("weights")
        )
        return words.coalesce(self._tasks)

    @property
    def _rows(self) -> int:
        return self._context.rows(WORDS, batches=self._batches)

    @property
    def _tasks(self) -> int:
        return max(1, self.parallelism, -(-self._rows // _IMAGES_A_TASK))

    @property
    def _pieces(self) -> int:
        """Number of pieces that a decoy is shuffled in."""
        return max(1, round(self._rows / _IMAGES_A_PIECE))

    def _shuffled(self) -> DataFrame:
        """Return the decoys.

        A piece is what the images' names say, in the order of the names, so that a decoy is the
        same whatever batches and partitions the images are in.
        """
        if self._decoys is not None:
            return self._decoys
        seed, kept, count, pieces = self._mining.seed, self._kept, self._count, self._pieces
        piece = F.pmod(F.crc32(F.col("image_id").cast("binary")), F.lit(pieces)).cast("int")
        collection = F.explode(F.array(*map(F.lit, range(1, count + 1))))
        one = self._images.drop("collection").withColumn("piece", piece)
        copies = one.withColumn("collection", collection)
        where = (F.col("collection") - 1) * pieces + F.col("piece")
        tasks = max(2 * self.parallelism, -(-count * self._rows // _IMAGES_A_PIECE))
        placed = copies.repartitionById(min(pieces * count, tasks), where)

        def shuffle(batches: Batches) -> Batches:
            for (collection, piece), group in groups_of_rows(batches, "collection", "piece"):
                rows = list(group)
                names = pa.chunked_array([batch["image_id"] for batch in rows]).combine_chunks()
                mixed = decoy(
                    documents_of_words(rows, kept=kept),
                    seed=seed,
                    number=collection - 1,
                    piece=piece,
                )
                for batch in rows_of_documents(names, mixed):
                    yield labelled(batch, collection=collection)

        ordered = placed.sortWithinPartitions("collection", "piece", "image_id")
        self._decoys = ordered.mapInArrow(shuffle, _DOCUMENTS).persist(StorageLevel.DISK_ONLY)
        return self._decoys

    def totals(self) -> Totals:
        """Count in how many images every word is, and how many words the images have."""
        if self._pieces == 1 and self._batches is None:  # a job would take longer
            rows = self._context.rows_here(WORDS, ["words", "counts"])
            return Totals.sum(
                Totals.of(bags_of_words(some, "counts", kept=self._kept)) for some in rows
            )
        words = self._words
        count = functools.partial(_totals, words=words)
        (counts,) = self._tallied("totals", self._images, [count], kept=self._kept)
        of_words, of_sizes = counts[:words], counts[words:]
        held, sizes = np.flatnonzero(of_words), np.flatnonzero(of_sizes[1:]) + 1
        return Totals(held.astype(np.uint32), of_words[held], sizes, of_sizes[sizes])

    def tallies(
        self, what: str, counters: Sequence[Counter | None]
    ) -> list[NDArray[np.int64] | None]:
        """Count over the images and over decoys."""
        wanted = [number for number, counter in enumerate(counters) if counter is not None]
        if not wanted:
            return [None] * len(counters)
        frames = [self._images] if wanted[0] == 0 else []
        of_decoys = [number for number in wanted if number]
        if of_decoys:
            decoys = self._shuffled()
            if len(of_decoys) < self._count:
                decoys = decoys.where(F.col("collection").isin(of_decoys))
            frames.append(decoys)
        found = self._tallied(what, functools.reduce(DataFrame.unionByName, frames), counters)
        return [found[number] if number in wanted else None for number in range(len(counters))]

    def _tallied(
        self,
        what: str,
        frame: DataFrame,
        counters: Sequence[Counter | None],
        *,
        kept: NDArray[np.bool_] | None = None,
    ) -> list[NDArray[np.int64]]:
        """Sum what each counter says of the documents of its collection."""
        shared = self._context.spark.sparkContext.broadcast(list(counters))

        def count(batches: Batches) -> Batches:
            for (collection,), group in groups_of_rows(batches, "collection"):
                counter = shared.value[collection]
                assert counter is not None
                total = sum(
                    (counter(documents_of_words([rows], kept=kept)) for rows in group),
                    start=_ZERO,
                )
                for block, start in enumerate(range(0, len(total), _COUNTS_A_ROW)):
                    part = total[start : start + _COUNTS_A_ROW]
                    row = pa.RecordBatch.from_pydict({"counts": [part.tobytes()]})
                    yield labelled(row, collection=collection, block=block)

        columns, keys = "collection int, block int, counts binary", ("collection", "block")
        counted = frame.mapInArrow(count, columns)
        if self._tasks > _SUMMED_HERE:
            placed = counted.repartition(2 * self.parallelism, *keys).sortWithinPartitions(*keys)
            counted = placed.mapInArrow(_added, columns)
        sums: dict[int, dict[int, NDArray[np.int64]]] = defaultdict(dict)
        for (collection, block), group in groups_of_rows(self._collected(what, counted), *keys):
            before = sums[collection].get(block, _ZERO)
            sums[collection][block] = sum(map(_sum_of_rows, group), start=before)
        shared.destroy()
        # no documents: every counter says what it says of none
        return [
            np.concatenate([counts for _, counts in sorted(sums[number].items())])
            if number in sums
            else (_ZERO if counter is None else counter(_NONE))
            for number, counter in enumerate(counters)
        ]

    def _collected(self, what: str, frame: DataFrame) -> list[pa.RecordBatch]:
        context = self._context
        with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: {what}"):
            batches: list[pa.RecordBatch] = frame.toArrow().to_batches()
        return batches

    # ---------------------------------------------------------------------------- the background

    def background(self, images: int, max_rank: int) -> Background:
        """Fit a background to a sample of the images, in one task."""
        words = self._words
        names = np.arange(words, dtype=np.uint32)

        def choose(batches: Batches) -> Batches:
            for batch in batches:
                keys = np.array([document_key(i) for i in batch["image_id"].to_pylist()], np.uint32)
                yield batch.filter(pa.array(in_sample(keys, images, words)))

        def fit(batches: Batches) -> Batches:
            sample = documents_of_words(batches)
            yield from rows_of_background(fit_background(sample, names, max_rank=max_rank))

        rows = self._images.drop("collection")
        chosen = rows.mapInArrow(choose, rows.schema).repartition(1)
        fitted = chosen.sortWithinPartitions("image_id").mapInArrow(fit, BACKGROUND.schema())
        return background_of_rows(self._collected("background", fitted))

    def scored(self, background: Background) -> DataFrame:
        """Return where the images stand on the factors, as table ``factors`` has it."""
        shared = self._context.spark.sparkContext.broadcast(background)
        words = self._context.read(WORDS, batches=self._batches)
        images = words.select("batch", "image_id", "words", F.col("counts").alias("weights"))

        def score(batches: Batches) -> Batches:
            for batch in batches:
                numbers = numbers_of(documents_of_words([batch]), shared.value)
                yield rows_of_numbers(batch, numbers)

        return images.coalesce(self._tasks).mapInArrow(score, FACTORS.schema())

    def sum_excess(self, background: Background, parts: Parts) -> DataFrame:
        """Return the sums of the images, those of every partition: (part, block, sums)."""
        shared = self._context.spark.sparkContext.broadcast(background)

        def run(batches: Batches) -> Batches:
            documents = documents_of_words(batches)
            if not len(documents):
                return
            own = shared.value
            numbers = numbers_of(documents, own)
            for part in range(len(parts)):
                sums = sum_part(documents, numbers, own, part, parts)
                for block, start in enumerate(range(0, len(sums), _COUNTS_A_ROW)):
                    row = {"sums": [sums[start : start + _COUNTS_A_ROW].tobytes()]}
                    yield labelled(pa.RecordBatch.from_pydict(row), part=part, block=block)

        return self._images.mapInArrow(run, PAIRS.schema())

    def added_excess(self, frames: Sequence[DataFrame]) -> DataFrame:
        """Add up sums, of partitions or of batches."""
        keys = ("part", "block")
        every = functools.reduce(DataFrame.unionByName, frames)
        placed = every.repartition(2 * self.parallelism, *keys).sortWithinPartitions(*keys)

        def add(batches: Batches) -> Batches:
            for (part, block), group in groups_of_rows(batches, *keys):
                total = sum((_sum_of_rows(rows, "sums") for rows in group), start=_ZERO)
                row = pa.RecordBatch.from_pydict({"sums": [total.tobytes()]})
                yield labelled(row, part=part, block=block)

        return placed.mapInArrow(add, PAIRS.schema())

    def excess(self, background: Background, parts: Parts) -> Callable[[int], NDArray[np.int64]]:
        """Return what reads the sums of a part from table ``pairs``."""
        words = len(background.words)

        def read(part: int) -> NDArray[np.int64]:
            assert part < len(parts)
            total = np.zeros(words * (words - 1) // 2, dtype=np.int64)
            where = ds.field("part") == part
            for batch in self._context.rows_here(PAIRS, ["block", "sums"], where):
                blocks = batch["block"].to_pylist()
                for block, value in zip(blocks, batch["sums"], strict=True):
                    sums = np.frombuffer(value.as_buffer(), np.int64)
                    total[block * _COUNTS_A_ROW :][: len(sums)] = sums
            return total

        return read

    # ---------------------------------------------------------------------------- sketches, sets

    def looks(self, look_at: LookAt, sketch: Sketch, trials: Trials) -> list[Look]:
        """Look at all trials at once, or, where a task can hold the images, at each in a task."""
        ranges = _Ranges(sketch, self._words)
        if self._pieces > 1 or sketch.tables * ranges.table_bytes > SPAN_BYTES:
            return look_at(self, trials)
        seeds, kept, engine = trials.seeds_of_images(), self._kept, self._engine
        drawn_with = self._mining.seed
        shared = self._context.spark.sparkContext.broadcast(look_at)
        number = F.explode(F.array(*map(F.lit, range(len(trials)))))
        images = self._images.drop("collection").withColumn("trial", number)
        placed = images.repartitionById(len(trials), F.col("trial"))

        def run(batches: Batches) -> Batches:
            for (trial,), group in groups_of_rows(batches, "trial"):
                documents, seed = documents_of_words(group, kept=kept), trials.seed
                if trial < len(seeds):
                    seed = seeds[trial]
                else:
                    drawn = trial - len(seeds)
                    documents = decoy(documents, seed=drawn_with, number=drawn, piece=0)
                one = LocalCollection(functools.partial(iter, [documents]), engine)
                (look,) = shared.value(one, Trials(seed, seeds=0, decoys=0))
                yield labelled(row_of_look(look), trial=trial)

        looked = placed.sortWithinPartitions("trial", "image_id").mapInArrow(run, _LOOKS)
        found = {
            trial: look_of_row(next(rows))
            for (trial,), rows in groups_of_rows(self._collected("trials", looked), "trial")
        }
        shared.destroy()
        # without images there are no rows
        return [found.get(trial, Look.nothing()) for trial in range(len(trials))]

    def sets(self, sketch: Sketch, trials: Trials) -> list[SetList]:
        """Sketch every partition, and mine some ranges of tables of a trial in a task."""
        ranges, seeds = _Ranges(sketch, self._words), trials.seeds_of_images()
        signatures = self._sketched(self._images, sketch, ranges, {0: list(enumerate(seeds))})
        if trials.decoys:
            own = {1 + n: [(len(seeds) + n, trials.seed)] for n in range(trials.decoys)}
            partial = self._sketched(self._shuffled(), sketch, ranges, own)
            signatures = signatures.unionByName(partial)
        # as many ranges in a task as keep all cores busy
        of_bytes = -(-sketch.tables * ranges.table_bytes // SPAN_BYTES)
        groups = min(ranges.count, max(-(-2 * self.parallelism // len(trials)), of_bytes))
        number = (F.col("first_table") / F.lit(ranges.width)).cast("int")
        where = F.col("trial") * groups + F.floor(number * groups / F.lit(ranges.count)).cast("int")
        placed = signatures.repartitionById(len(trials) * groups, where)
        ordered = placed.sortWithinPartitions("trial", "first_table", "item")
        engine, tuple_size = self.engine, sketch.tuple_size

        def mine(batches: Batches) -> Batches:
            for (trial,), rows in groups_of_rows(batches, "trial"):
                parts = [
                    signatures_of_rows(merge_sorted_rows(group), tuple_size=tuple_size)
                    for _, group in groups_of_rows(rows, "first_table")
                ]
                found = engine().mine(joined_tables(parts), min_set_size=sketch.min_set_size)
                for some in rows_of_sets(found):
                    yield labelled(some, trial=trial)

        found = self._collected("sets", ordered.mapInArrow(mine, _MINED))
        of_trial: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        for (trial,), group in groups_of_rows(found, "trial"):
            of_trial[trial].extend(group)
        return [sets_of_rows(of_trial[trial]) for trial in range(len(trials))]

    def _sketched(
        self,
        frame: DataFrame,
        sketch: Sketch,
        ranges: _Ranges,
        trials: Mapping[int, Sequence[tuple[int, int]]],
    ) -> DataFrame:
        """Return the signatures of every partition; collection to its trials and their seeds."""
        engine, kept = self.engine, self._kept

        def run(batches: Batches) -> Batches:
            for (collection,), group in groups_of_rows(batches, "collection"):
                held = [documents_of_words([rows], kept=kept) for rows in group]
                for (trial, seed), span in itertools.product(trials[collection], ranges.spans):
                    options = _hashed(sketch, seed, span)
                    for block in engine().sketch_blocks(held, **options):
                        for rows in rows_of_signatures(block):
                            yield from slice_rows(
                                rows, tuple_size=sketch.tuple_size, ranges=span, trial=trial
                            )

        return frame.mapInArrow(run, _SIGNATURES)

    # ---------------------------------------------------------------------------- anything else

    def each(
        self, what: str, kernel: Callable[[_Work], _Result], work: Sequence[_Work], size: int
    ) -> list[_Result]:
        """Call a kernel for each piece of work: here for little of it, else a task each."""
        if not size or size < _DONE_HERE:
            results, start = [], time.monotonic()
            for number, item in enumerate(work):
                self.progress(what, number, len(work))
                results.append(kernel(item))
            self.driver_seconds += time.monotonic() - start
            return results
        context = self._context.spark.sparkContext
        shared = [context.broadcast(item) for item in work]
        common = context.broadcast(kernel)
        numbers = context.parallelize(range(len(work)), len(work))
        with self._context.progress.spark_jobs(context, f"{self._context.title}: {what}"):
            results = numbers.map(lambda n: common.value(shared[n].value)).collect()
        for sent in shared:
            sent.destroy()
        common.destroy()
        return results


class _Ranges:
    """How the tables are cut: into ranges of a width, and into spans of ranges for the sketch."""

    def __init__(self, sketch: Sketch, words: int) -> None:
        self.table_bytes = 4 * sketch.tuple_size * words
        fair = max(_RANGE_TABLES, -(-sketch.tables // _RANGES))
        self.width = max(1, min(fair, _RANGE_BYTES // self.table_bytes))
        ranges = table_ranges(sketch.tables, self.width)
        self.count = len(ranges)
        step = max(1, SPAN_BYTES // (self.width * self.table_bytes))
        self.spans = [ranges[start : start + step] for start in range(0, len(ranges), step)]


def _hashed(sketch: Sketch, seed: int, span: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return how documents are hashed into the tables of some ranges, as an engine is asked."""
    return {
        "tuple_size": sketch.tuple_size,
        "tables": sketch.tables,
        "seed": seed,
        "expand": sketch.expand,
        "table_range": (span[0][0], span[-1][1]),
    }


def _totals(documents: Documents, *, words: int) -> NDArray[np.int64]:
    """Images of each word, then images of each number of words from 0 on."""
    of_words = np.bincount(documents.items, minlength=words)
    of_sizes = np.bincount(np.diff(documents.offsets), minlength=words + 1)
    return np.concatenate([of_words, of_sizes]).astype(np.int64)


def _found_engine(
    name: Literal["auto", "native", "datasketch"], binary: str | None, threads: int
) -> Engine:
    """Find the engine on whatever machine this is called."""
    if binary is None and name != "datasketch":
        # files sent with the job come first; executors know them by a relative path
        sent = Path(SparkFiles.get("smh")).absolute()
        binary = str(sent) if sent.is_file() else None
    return get_engine(name, binary=binary, threads=threads)


def _added(batches: Batches) -> Batches:
    for (collection, block), group in groups_of_rows(batches, "collection", "block"):
        total = sum(map(_sum_of_rows, group), start=_ZERO)
        row = pa.RecordBatch.from_pydict({"counts": [total.tobytes()]})
        yield labelled(row, collection=collection, block=block)


_ZERO = np.zeros((), dtype=np.int64)


def _sum_of_rows(rows: pa.RecordBatch, column: str = "counts") -> NDArray[np.int64]:
    values: Iterable[NDArray[np.int64]] = (
        np.frombuffer(value.as_buffer(), np.int64) for value in rows[column]
    )
    return sum(values, start=_ZERO)
