"""Passes over descriptors on Spark; the kernels are :mod:`.kmeans` and :mod:`.sample`.

MLlib sees a bounded sample in one partition, as its floating sums depend on the order in which
partitions arrive, or all descriptors in all partitions where the settings ask for that. Passes over
all descriptors return whole-number sums, which may be added up in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.arrow import binary_block, from_lists, to_lists
from minia_spark.base.errors import SettingsError
from minia_spark.codebook.kmeans import (
    ClusterSums,
    NearestCentre,
    add_sums,
    empty_sums,
    grid_scale,
    thinned,
    to_grid,
    updated_centres,
)
from minia_spark.codebook.sample import feature_hashes, hash_limit
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.engine.context import Context

__all__ = ["Descriptors", "count_moves", "descriptor_sample", "descriptors_of", "mllib_model"]
__all__ += ["refine", "starting_centres"]

_SAMPLE = StructType(
    [
        StructField("hash", LongType(), False),
        StructField("image_id", StringType(), False),
        StructField("number", IntegerType(), False),
        StructField("descriptor", ArrayType(FloatType(), False), False),
    ]
)

_BLOCK = StructType([StructField("block", BinaryType(), False)])
_VECTOR = StructType([StructField("descriptor", ArrayType(FloatType(), False), False)])

_SUMS = StructType(
    [
        StructField("first", LongType(), False),
        StructField("sums", BinaryType(), False),
        StructField("counts", BinaryType(), False),
        StructField("costs", BinaryType(), False),
    ]
)
_SUMS_WORDS = 4096
"""Words whose sums are one row: a codebook's may be more than a value can hold."""

_MERGE_FROM_PARTITIONS = 32
# Of descriptors that a task of a pass gets: several tasks a core even out what cores do, but each
# costs as much as a thousand descriptors.
_TASK_BYTES = (8 << 20, 128 << 20)
# MLlib's block solver fails when a start gives fewer than K centres: k-means|| can, when it has few
# points to choose from; K different points at random cannot.
_STARTS = {"best": ("k-means||", "random"), "oversampled": ("random",)}
_OVERSAMPLED_MOST = 5000
_CANDIDATES = 8
# Rows of a block: enough that a block's own costs do not show, few enough to share out evenly.
_PACKED_ROWS = (64, 8192)
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Descriptors:
    """All descriptors, and how their blocks are read and put on the grid.

    Attributes
    ----------
    frame : DataFrame
        With ``descriptors``, an image's vectors a row.
    dtype : numpy dtype
    dim : int
    scale : float
        Grid units in a descriptor's unit.
    """

    frame: DataFrame
    dtype: np.dtype[np.generic]
    dim: int
    scale: float

    def on_grid(self) -> Callable[[pa.RecordBatch], NDArray[np.integer]]:
        """Return the reader of a batch; it holds no DataFrame, so that it can be sent."""
        dtype, dim, scale = self.dtype, self.dim, self.scale
        return lambda batch: to_grid(binary_block(batch["descriptors"], dtype, dim)[0], scale)


@dataclass(frozen=True)
class _Packed:
    """All descriptors on the grid, in blocks shared out evenly, kept in the executors.

    Attributes
    ----------
    frame : DataFrame
        With ``block``; kept in memory, or on the executors' disks where that is full.
    partitions : int
    read : callable
        Gives a block's descriptors, shape (n, D). It is sent to the workers.
    """

    frame: DataFrame
    partitions: int
    read: Callable[[pa.Buffer], NDArray[np.integer]]


@contextmanager
def _packed(context: Context, descriptors: Descriptors, total: int) -> Iterator[_Packed]:
    """Keep the descriptors, `total` of them, in the executors until the end."""
    cores = context.parallelism
    rows = int(np.clip(total // (8 * cores), *_PACKED_ROWS))
    on_grid, dim = descriptors.on_grid(), descriptors.dim
    # Those that are no whole numbers have norms of at most 2,048 on their own grid.
    kind = descriptors.dtype if descriptors.dtype.kind in "iu" else np.dtype(np.int16)

    def pack(batches: Batches) -> Batches:
        for batch in batches:
            block = on_grid(batch).astype(kind, copy=False)
            pieces = [block[at : at + rows].tobytes() for at in range(0, len(block), rows)]
            yield pa.RecordBatch.from_pydict({"block": pieces}, to_arrow_schema(_BLOCK))

    small, large = (total * dim * kind.itemsize // size for size in _TASK_BYTES)
    partitions = max(cores, min(2 * cores, small), large)
    frame = descriptors.frame.mapInArrow(pack, _BLOCK).repartition(partitions)
    frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield _Packed(frame, partitions, lambda block: np.frombuffer(block, kind).reshape(-1, dim))
    finally:
        frame.unpersist()


def descriptors_of(features: DataFrame, scale: float | None = None) -> Descriptors:
    """Return how to read all descriptors of a table, on the grid of a codebook or on their own.

    Parameters
    ----------
    features : DataFrame
        With ``descriptors``, whose metadata tell type and dimension.
    scale : float or None
        Grid units in a descriptor's unit; None finds it, from all descriptors.
    """
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    blocks = features.select("descriptors")
    if scale is None:
        norm = _largest_norm(blocks, dtype, dim)
        scale = grid_scale(norm, whole_numbers=dtype.kind in "iu")
    return Descriptors(blocks, dtype, dim, scale)


def _largest_norm(features: DataFrame, dtype: np.dtype[np.generic], dim: int) -> float:
    """Return the largest norm of a descriptor; a maximum, so no order can change it."""
    if dtype.kind in "iu":
        return 0.0

    def largest(batches: Batches) -> Batches:
        best = 0.0
        for batch in batches:
            wide = binary_block(batch["descriptors"], dtype, dim)[0].astype(np.float64)
            best = max(best, float(np.sqrt(np.einsum("nd,nd->n", wide, wide)).max(initial=0)))
        yield pa.RecordBatch.from_pydict({"norm": [best]})

    row = features.mapInArrow(largest, "norm double").agg(F.max("norm")).first()
    return float(row[0] or 0.0) if row else 0.0


def descriptor_sample(
    features: DataFrame, wanted: int, total: int, seed: int, *, distinct: bool
) -> DataFrame:
    """Return about `wanted` descriptors, chosen and ordered by hash, in one partition.

    Parameters
    ----------
    features : DataFrame
        With ``image_id`` and ``descriptors``.
    wanted : int
        Upper bound of the rows returned.
    total : int
        Descriptors in all.
    seed : int
    distinct : bool
        Keep only the first of equal descriptors.
    """
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    limit = hash_limit(wanted, total)

    def choose(batches: Batches) -> Batches:
        for batch in batches:
            vectors, offsets = binary_block(batch["descriptors"], dtype, dim)
            image_ids, counts = batch["image_id"].to_pylist(), np.diff(offsets)
            hashes = np.concatenate(
                [feature_hashes(i, int(n), seed) for i, n in zip(image_ids, counts, strict=True)]
            )
            chosen = np.flatnonzero(hashes < limit)
            images = np.repeat(np.arange(len(counts)), counts)[chosen]
            yield _sample_batch(
                hashes[chosen],
                batch["image_id"].take(pa.array(images)),
                (chosen - offsets[images]).astype(np.int32),
                vectors[chosen].astype(np.float32),
            )

    def cut(batches: Batches) -> Batches:
        left = wanted
        seen: set[bytes] = set()
        for batch in batches:  # to the end, also past the last wanted row: else Spark ends us
            keep = []
            values = batch["descriptor"].values.to_numpy(zero_copy_only=False).reshape(-1, dim)
            for row in range(min(batch.num_rows, left)):
                key = values[row].tobytes() if distinct else b""
                left -= 1
                if distinct and key in seen:
                    continue
                seen.add(key)
                keep.append(row)
            if keep:
                yield batch.take(pa.array(keep))

    chosen = features.select("image_id", "descriptors").mapInArrow(choose, _SAMPLE)
    ordered = chosen.repartition(1).sortWithinPartitions("hash", "image_id", "number")
    return ordered.mapInArrow(cut, _SAMPLE)


def _sample_batch(
    hashes: NDArray[np.int64],
    image_ids: pa.Array,
    numbers: NDArray[np.integer],
    vectors: NDArray[np.float32],
) -> pa.RecordBatch:
    lists = _lists_of(vectors)
    schema = pa.schema(
        [
            pa.field("hash", pa.int64(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("number", pa.int32(), nullable=False),
            pa.field("descriptor", lists.type, nullable=False),
        ]
    )
    return pa.RecordBatch.from_arrays(
        [pa.array(hashes), image_ids, pa.array(numbers), lists], schema=schema
    )


def _lists_of(vectors: NDArray[np.float32]) -> pa.Array:
    """Return vectors (n, D) as lists without nulls, as MLlib wants them."""
    count, dim = vectors.shape
    lists = from_lists(vectors.ravel(), np.arange(count + 1, dtype=np.int64) * dim)
    return lists.cast(pa.list_(pa.field("element", pa.float32(), nullable=False)))


def mllib_model(context: Context, features: DataFrame, total: int, size: int) -> KMeansModel:
    """Return MLlib's own k-means of all descriptors in all partitions.

    Nothing is left out or brought in order, so the last digits depend on the partitions; of equal
    descriptors it may find fewer than K centres.

    Parameters
    ----------
    context : Context
    features : DataFrame
        With ``descriptors``.
    total : int
        Descriptors in all.
    size : int
        Words, K.
    """
    context.say(f"MLlib k-means on all {total:,} descriptors")
    start = context.settings(CodebookSettings).start
    return _best_fit(context, _vectors(_all_rows(features)), size, _STARTS.get(start, (start,)))


def starting_centres(
    context: Context, features: DataFrame, descriptors: Descriptors, total: int, size: int
) -> NDArray[np.integer]:
    """Return MLlib's centres of a sample, or of all descriptors, on the grid: shape (K, D).

    Parameters
    ----------
    context : Context
    features : DataFrame
        With ``image_id`` and ``descriptors``.
    descriptors : Descriptors
        The same, and their grid.
    total : int
        Descriptors in all.
    size : int
        Words, K.

    Raises
    ------
    SettingsError
        There are fewer different descriptors than words are asked for, or k-means|| found fewer
        starting centres.
    """
    settings = context.settings(CodebookSettings)
    wanted = settings.sample_size
    if wanted is None:
        model = mllib_model(context, features, total, size)
        return _on_grid(context, model, descriptors.scale, size)
    sample = descriptor_sample(features, wanted, total, settings.seed, distinct=True).persist()
    try:
        with context.watched("sample"):
            distinct = sample.count()
        if distinct < size:
            raise SettingsError(
                f"codebook.size is {size} but the sample of {min(total, wanted)} descriptors holds "
                f"only {distinct} different ones; set codebook.size lower or codebook.sample_size "
                "higher"
            )
        context.say(f"MLlib k-means on a sample of {distinct:,} different descriptors")
        vectors = _vectors(sample)
        start = settings.start
        if start == "oversampled" and settings.refine_iterations and size <= _OVERSAMPLED_MOST:
            many = min(2 * size, distinct)
            model = _best_fit(context, vectors, many, ("random",))
            centres = _on_grid(context, model, descriptors.scale, many)
            return _thinned(context, sample, descriptors, centres, size)
        starts = _STARTS.get(start, (start,))
        if start == "best" and distinct < 8 * size:
            starts = ("random",)
        return _on_grid(context, _best_fit(context, vectors, size, starts), descriptors.scale, size)
    finally:
        sample.unpersist()


def _on_grid(context: Context, model: KMeansModel, scale: float, size: int) -> NDArray[np.integer]:
    centres = np.array(model.clusterCenters(), dtype=np.float64)
    if len(centres) < size:
        raise SettingsError(
            f"codebook.start: {context.settings(CodebookSettings).start} found only {len(centres)} "
            f"different centres for {size} words; set codebook.start=random, a smaller "
            "codebook.size or a larger codebook.sample_size"
        )
    return to_grid(centres, scale)


def _thinned(
    context: Context,
    sample: DataFrame,
    descriptors: Descriptors,
    centres: NDArray[np.integer],
    size: int,
) -> NDArray[np.integer]:
    """Keep `size` of the centres, by how the sample, in one partition, lies round them."""
    shared = context.spark.sparkContext.broadcast(centres)
    scale, dim = descriptors.scale, descriptors.dim
    seed = context.settings(CodebookSettings).seed

    # In the worker, which has one thread for each matrix product: they are small here, and the
    # driver's threads would wait for each other most of the time.
    def choose(batches: Batches) -> Batches:
        many = shared.value
        kernel = NearestCentre(many)
        weights = np.zeros(len(many), dtype=np.int64)
        for batch in batches:
            vectors = to_lists(batch["descriptor"])[0].reshape(-1, dim)
            words = kernel.find(to_grid(vectors, scale))[0]
            weights += np.bincount(words, minlength=len(many))
        draws = feature_hashes("start", size * _CANDIDATES, seed).reshape(size, -1) / 2.0**63
        kept = thinned(many, weights, size, np.minimum(draws, np.nextafter(1.0, 0.0)))
        yield pa.RecordBatch.from_pydict({"block": [kept.tobytes()]})

    with context.watched("start"):
        (block,) = sample.mapInArrow(choose, _BLOCK).toArrow()["block"].to_pylist()
    shared.destroy()
    return np.frombuffer(block, centres.dtype).reshape(size, dim)


def _vectors(rows: DataFrame) -> DataFrame:
    return rows.select(array_to_vector(F.col("descriptor")).alias("features"))


def _all_rows(features: DataFrame) -> DataFrame:
    """Return a row for each descriptor, in the partitions of the table."""
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    rows = _PACKED_ROWS[1]

    def spread(batches: Batches) -> Batches:
        for batch in batches:
            vectors = binary_block(batch["descriptors"], dtype, dim)[0]
            for start in range(0, len(vectors), rows):
                lists = _lists_of(vectors[start : start + rows].astype(np.float32))
                field = pa.field("descriptor", lists.type, nullable=False)
                yield pa.RecordBatch.from_arrays([lists], schema=pa.schema([field]))

    return features.select("descriptors").mapInArrow(spread, _VECTOR)


def _best_fit(
    context: Context, vectors: DataFrame, size: int, starts: tuple[str, ...]
) -> KMeansModel:
    with context.watched("MLlib"):
        fits = [_fit(context, vectors, size, start) for start in starts]
        return min(fits, key=lambda fit: fit.summary.trainingCost)  # of equal ones the first


def _fit(context: Context, vectors: DataFrame, size: int, start: str) -> KMeansModel:
    settings = context.settings(CodebookSettings)
    means = KMeans(
        k=size,
        initMode=start,
        initSteps=settings.init_steps,
        maxIter=settings.mllib_iterations,
        solver="block",
        seed=settings.seed,
    )
    try:
        return means.fit(vectors)
    except Py4JJavaError as error:
        # the block solver's only answer to fewer starting centres than K
        if "ArrayIndexOutOfBoundsException" not in str(error.java_exception):
            raise
        context.say(
            f"the {start} start found fewer than {size} different centres: MLlib's solver by rows "
            "goes on with those"
        )
        return means.setSolver("row").fit(vectors)


def refine(
    context: Context, descriptors: Descriptors, total: int, centres: NDArray[np.integer]
) -> tuple[list[float], NDArray[np.integer], ClusterSums]:
    """Return (cost per descriptor before each update and at the end, centres, last sums).

    Lloyd passes over all descriptors, `total` of them, from the given centres, shape (K, D), in
    grid units, until the settings say that it is enough.
    """
    settings = context.settings(CodebookSettings)
    history: list[float] = []
    passes = settings.refine_iterations
    with _packed(context, descriptors, total) as packed:
        while True:
            found = _pass(context, packed, centres)
            count = int(found.counts.sum())
            history.append(found.cost / descriptors.scale**2 / count)
            number = len(history) - 1
            dead = int((found.counts == 0).sum())
            context.say(
                f"pass {number} of at most {passes}: cost per descriptor {history[-1]:,.6g}, "
                f"{dead} dead words"
            )
            if number == passes or _has_converged(history, settings.tolerance):
                return history, centres, found
            updated, _ = updated_centres(centres, found)
            if np.array_equal(updated, centres):
                return history, centres, found
            centres = updated


def _has_converged(history: list[float], tolerance: float) -> bool:
    if len(history) < 2:
        return False
    return history[-2] - history[-1] < tolerance * history[-2]


def _pass(context: Context, packed: _Packed, centres: NDArray[np.integer]) -> ClusterSums:
    size, dim = centres.shape
    shared = context.spark.sparkContext.broadcast(centres)
    read = packed.read

    def assign(batches: Batches) -> Batches:
        kernel = NearestCentre(shared.value)
        found = empty_sums(size, dim)
        for batch in batches:
            for block in batch["block"]:
                found = add_sums(found, kernel.sums(read(block.as_buffer())))
        yield from _as_rows(found)

    def merge(batches: Batches) -> Batches:
        yield from _as_rows(_added(batches, size, dim))

    partial = packed.frame.mapInArrow(assign, _SUMS)
    partitions = packed.partitions
    while partitions > _MERGE_FROM_PARTITIONS:  # a tree: no task, nor the driver, adds up many
        partitions = -(-partitions // _MERGE_FROM_PARTITIONS)
        partial = partial.repartition(partitions).mapInArrow(merge, _SUMS)
    with context.watched("pass"):
        found = _added(partial.toArrow().to_batches(), size, dim)
    shared.destroy()
    return found


def _as_rows(found: ClusterSums) -> Batches:
    for first in range(0, len(found.counts), _SUMS_WORDS):
        part = slice(first, first + _SUMS_WORDS)
        row = {"first": [first]}
        row |= {name: [getattr(found, name)[part].tobytes()] for name in _SUMS.names[1:]}
        yield pa.RecordBatch.from_pydict(row, to_arrow_schema(_SUMS))


def _added(batches: Iterable[pa.RecordBatch], size: int, dim: int) -> ClusterSums:
    """Return the sum of rows of :func:`_as_rows`, which may come in any order."""
    total = empty_sums(size, dim)
    for batch in batches:
        for row in range(batch.num_rows):
            first = batch["first"][row].as_py()
            for name in _SUMS.names[1:]:
                words = getattr(total, name)[first : first + _SUMS_WORDS]
                words += np.frombuffer(batch[name][row].as_buffer(), np.int64).reshape(words.shape)
    return total


def count_moves(
    context: Context,
    descriptors: Descriptors,
    older: NDArray[np.integer],
    newer: NDArray[np.integer],
    nearest: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the descriptors of every older word, and those that went where the word went.

    Parameters
    ----------
    context : Context
    descriptors : Descriptors
    older, newer : int arrays, shapes (K, D) and (L, D)
        Centres on the grid of the descriptors.
    nearest : int32 array, shape (K,)
        Where each older word went.

    Returns
    -------
    total, moved : int64 arrays, shape (K,)
    """
    shared = context.spark.sparkContext.broadcast((older, newer, nearest))
    on_grid = descriptors.on_grid()

    def count(batches: Batches) -> Batches:
        before, after, target = shared.value
        old, new = NearestCentre(before), NearestCentre(after)
        found = np.zeros((2, len(before)), dtype=np.int64)
        for batch in batches:
            block = on_grid(batch)
            words = old.find(block)[0]
            followed = new.find(block)[0] == target[words]
            found[0] += np.bincount(words, minlength=len(before))
            found[1] += np.bincount(words[followed], minlength=len(before))
        there = np.flatnonzero(found[0]).astype(np.int32)
        yield pa.RecordBatch.from_pydict(
            {"word": there, "total": found[0, there], "moved": found[1, there]}
        )

    counted = descriptors.frame.mapInArrow(count, "word int, total long, moved long")
    summed = counted.groupBy("word").agg(F.sum("total").alias("n"), F.sum("moved").alias("m"))
    with context.watched("word map"):
        table = summed.toArrow()
    shared.destroy()
    total, moved = (np.zeros(len(older), dtype=np.int64) for _ in range(2))
    total[table["word"].to_numpy()] = table["n"].to_numpy()
    moved[table["word"].to_numpy()] = table["m"].to_numpy()
    return total, moved
