"""Passes over descriptors on Spark; the kernels are :mod:`.kmeans` and :mod:`.sample`.

MLlib sees a bounded sample in one partition, as its floating sums depend on the order in which
partitions arrive; passes over all descriptors return whole-number sums, which may be added up in
any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.arrow import binary_block
from minia_spark.base.errors import SettingsError
from minia_spark.codebook.kmeans import (
    ClusterSums,
    NearestCentre,
    add_sums,
    empty_sums,
    grid_scale,
    to_grid,
    updated_centres,
)
from minia_spark.codebook.sample import feature_hashes, hash_limit
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.engine.context import Context

__all__ = ["Descriptors", "count_moves", "descriptor_sample", "descriptors_of", "mllib_centres"]
__all__ += ["refine"]

_SAMPLE = StructType(
    [
        StructField("hash", LongType(), False),
        StructField("image_id", StringType(), False),
        StructField("number", IntegerType(), False),
        StructField("descriptor", ArrayType(FloatType(), False), False),
    ]
)

_MERGE_FROM_PARTITIONS = 32
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Descriptors:
    """All descriptors, and how their blocks are read and put on the grid."""

    frame: DataFrame
    dtype: np.dtype[np.generic]
    dim: int
    scale: float

    def on_grid(self) -> Callable[[pa.RecordBatch], NDArray[np.integer]]:
        """Return the reader of a batch; it holds no DataFrame, so that it can be sent."""
        dtype, dim, scale = self.dtype, self.dim, self.scale
        return lambda batch: to_grid(binary_block(batch["descriptors"], dtype, dim)[0], scale)


def descriptors_of(features: DataFrame, scale: float | None = None) -> Descriptors:
    """Return how to read all descriptors of a table, on the grid of a vocabulary or on their own.

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
            for row, image_id in enumerate(batch["image_id"].to_pylist()):
                hashes = feature_hashes(image_id, int(offsets[row + 1] - offsets[row]), seed)
                numbers = np.flatnonzero(hashes < limit).astype(np.int32)
                if len(numbers):
                    yield _sample_batch(
                        hashes[numbers],
                        np.full(len(numbers), image_id, dtype=object),
                        numbers,
                        vectors[offsets[row] + numbers].astype(np.float32),
                    )

    def cut(batches: Batches) -> Batches:
        left = wanted
        seen: set[bytes] = set()
        for batch in batches:
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
            if left == 0:
                return

    chosen = features.select("image_id", "descriptors").mapInArrow(choose, _SAMPLE)
    ordered = chosen.repartition(1).sortWithinPartitions("hash", "image_id", "number")
    return ordered.mapInArrow(cut, _SAMPLE)


def _sample_batch(
    hashes: NDArray[np.int64],
    image_ids: NDArray[np.object_],
    numbers: NDArray[np.integer],
    vectors: NDArray[np.float32],
) -> pa.RecordBatch:
    dim = vectors.shape[1]
    offsets = pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * dim)
    inner = pa.list_(pa.field("element", pa.float32(), nullable=False))
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel())).cast(inner)
    schema = pa.schema(
        [
            pa.field("hash", pa.int64(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("number", pa.int32(), nullable=False),
            pa.field("descriptor", inner, nullable=False),
        ]
    )
    return pa.RecordBatch.from_arrays(
        [pa.array(hashes), pa.array(image_ids, pa.string()), pa.array(numbers), lists],
        schema=schema,
    )


def mllib_centres(context: Context, features: DataFrame, total: int) -> NDArray[np.float64]:
    """Return MLlib's centres of a sample, shape (K, D), in the descriptors' own units.

    Parameters
    ----------
    context : Context
    features : DataFrame
        With ``image_id`` and ``descriptors``.
    total : int
        Descriptors in all.

    Raises
    ------
    SettingsError
        The sample has fewer different descriptors than words are asked for.
    """
    settings = context.settings(CodebookSettings)
    sample = descriptor_sample(
        features, settings.sample_size, total, settings.seed, distinct=True
    ).select(array_to_vector(F.col("descriptor")).alias("features"))
    sample = sample.persist()
    try:
        with context.watched("sample"):
            distinct = sample.count()
        if distinct < settings.size:
            raise SettingsError(
                f"codebook.size is {settings.size} but the sample of "
                f"{min(total, settings.sample_size)} descriptors holds only {distinct} different "
                "ones; set codebook.size lower or codebook.sample_size higher"
            )
        context.say(f"MLlib k-means on a sample of {distinct:,} different descriptors")
        with context.watched("MLlib"):
            fits = [_fit(context, sample, start) for start in _starts(distinct, settings.size)]
        best = min(fits, key=lambda fit: fit.summary.trainingCost)  # of equal ones the first
        return np.array(best.clusterCenters(), dtype=np.float64)
    finally:
        sample.unpersist()


def _starts(distinct: int, size: int) -> tuple[str, ...]:
    """Return the starts to try; the fit of least cost is kept.

    k-means|| is better on real descriptors (4 % of the cost on SIFT of galaxies), random points
    where the descriptors have many more tight groups than there are words. MLlib's block solver
    fails when a start gives fewer than K centres: k-means|| can, when it has few points to choose
    from; K different points at random cannot.
    """
    return ("k-means||", "random") if distinct >= 8 * size else ("random",)


def _fit(context: Context, sample: DataFrame, start: str) -> KMeansModel:
    settings = context.settings(CodebookSettings)
    return KMeans(
        k=settings.size,
        initMode=start,
        initSteps=settings.init_steps,
        maxIter=settings.mllib_iterations,
        solver="block",
        seed=settings.seed,
    ).fit(sample)


def refine(
    context: Context, descriptors: Descriptors, centres: NDArray[np.integer]
) -> tuple[list[float], NDArray[np.integer], ClusterSums]:
    """Return (cost per descriptor before each update and at the end, centres, last sums).

    Lloyd passes over all descriptors from the given centres, shape (K, D), in grid units, until
    the settings say that it is enough.
    """
    settings = context.settings(CodebookSettings)
    history: list[float] = []
    passes = settings.refine_iterations
    while True:
        found = _pass(context, descriptors, centres)
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


def _pass(context: Context, descriptors: Descriptors, centres: NDArray[np.integer]) -> ClusterSums:
    size, dim = centres.shape
    shared = context.spark.sparkContext.broadcast(centres)
    on_grid = descriptors.on_grid()

    def assign(batches: Batches) -> Batches:
        kernel = NearestCentre(shared.value)
        total = empty_sums(size, dim)
        for batch in batches:
            total = add_sums(total, kernel.sums(on_grid(batch)))
        yield _sums_to_batch(total)

    def merge(batches: Batches) -> Batches:
        total = empty_sums(size, dim)
        for batch in batches:
            for found in _batch_to_sums(batch, size, dim):
                total = add_sums(total, found)
        yield _sums_to_batch(total)

    schema = "sums binary, counts binary, costs binary"
    partial = descriptors.frame.mapInArrow(assign, schema)
    partitions = partial.rdd.getNumPartitions()
    while partitions > _MERGE_FROM_PARTITIONS:  # a tree: no task, nor the driver, adds up many
        partitions = -(-partitions // _MERGE_FROM_PARTITIONS)
        partial = partial.repartition(partitions).mapInArrow(merge, schema)
    title = f"{context.title}: pass"
    with context.progress.spark_jobs(context.spark.sparkContext, title):
        total = empty_sums(size, dim)
        for batch in partial.toArrow().to_batches():
            for found in _batch_to_sums(batch, size, dim):
                total = add_sums(total, found)
    shared.destroy()
    return total


def _sums_to_batch(found: ClusterSums) -> pa.RecordBatch:
    columns = ("sums", "counts", "costs")
    return pa.RecordBatch.from_pydict({c: [getattr(found, c).tobytes()] for c in columns})


def _batch_to_sums(batch: pa.RecordBatch, size: int, dim: int) -> Iterator[ClusterSums]:
    for row in batch.to_pylist():
        yield ClusterSums(
            np.frombuffer(row["sums"], np.int64).reshape(size, dim),
            np.frombuffer(row["counts"], np.int64),
            np.frombuffer(row["costs"], np.int64),
        )


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
    with context.progress.spark_jobs(context.spark.sparkContext, f"{context.title}: word map"):
        table = summed.toArrow()
    shared.destroy()
    total, moved = (np.zeros(len(older), dtype=np.int64) for _ in range(2))
    total[table["word"].to_numpy()] = table["n"].to_numpy()
    moved[table["word"].to_numpy()] = table["m"].to_numpy()
    return total, moved
