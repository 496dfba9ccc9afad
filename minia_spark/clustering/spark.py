"""Clusterings on Spark: k-means by MLlib, maps by passes over all vectors, samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import StorageLevel
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BinaryType, StructField, StructType

from minia_spark.base.arrow import to_lists
from minia_spark.clustering.settings import KMeansSettings
from minia_spark.clustering.som import (
    Lattice,
    Sums,
    add,
    grid_of,
    initial_units,
    main_axes,
    on_grid,
    pass_sums,
    radius_at,
    updated,
)

__all__ = ["Sample", "kmeans_centres", "sample_of", "trained_map", "vectors_of"]

_BLOCK = StructType([StructField("block", BinaryType(), False)])
_SUMS = StructType(
    [StructField("vectors", BinaryType(), False), StructField("counts", BinaryType(), False)]
)
Batches = Iterator[pa.RecordBatch]


def vectors_of(batch: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the vectors of a batch of rows, shape (n, D)."""
    values, offsets = to_lists(batch["vector"])
    return np.asarray(values, np.float32).reshape(len(offsets) - 1, -1)


@dataclass(frozen=True)
class Sample:
    """Some vectors, with the names of their images, in the order of the names.

    Attributes
    ----------
    names : str array, shape (n,)
        Batch and image_id, with a slash between.
    vectors : float64 array, shape (n, D)
    """

    names: NDArray[np.str_]
    vectors: NDArray[np.float64]


def sample_of(rows: DataFrame, wanted: int, total: int, seed: int) -> Sample:
    """Return at most so many vectors, chosen by the hash of their names.

    Parameters
    ----------
    rows : DataFrame
        With ``batch``, ``image_id`` and ``vector``, all finite.
    wanted, total : int
        How many to take, and how many there are.
    seed : int
    """
    chosen = rows.select("batch", "image_id", "vector")
    if total > wanted:
        named = F.xxhash64(F.lit(seed), "batch", "image_id")
        chosen = chosen.orderBy(named, "batch", "image_id").limit(wanted)
    table = chosen.toArrow().sort_by([("batch", "ascending"), ("image_id", "ascending")])
    pairs = zip(table["batch"].to_pylist(), table["image_id"].to_pylist(), strict=True)
    names = np.array([f"{batch}/{name}" for batch, name in pairs], dtype=np.str_)
    vectors = [vectors_of(batch) for batch in table.to_batches()]
    return Sample(names, np.concatenate(vectors).astype(np.float64))


def kmeans_centres(
    rows: DataFrame, clusters: int, seed: int, settings: KMeansSettings
) -> NDArray[np.float64]:
    """Return MLlib's centres, shape (k, D), of the cheapest of several fits.

    The rows go, ordered by name, through one partition: MLlib's sums depend on their order.
    """
    ordered = rows.repartition(1).sortWithinPartitions("batch", "image_id")
    data = ordered.select(array_to_vector(F.col("vector")).alias("features")).persist()
    try:
        distinct = data.distinct().count() if clusters > 1 else 1
        if min(clusters, distinct) == 1:
            (mean,) = ordered.select("vector").mapInArrow(_mean, _BLOCK).toArrow()["block"]
            return np.frombuffer(mean.as_buffer(), np.float64)[None, :]
        fits = [
            KMeans(
                k=min(clusters, distinct),
                initMode="k-means||",
                maxIter=settings.iterations,
                seed=seed + start,
                solver="row",
            ).fit(data)
            for start in range(settings.starts)
        ]
        best = min(fits, key=lambda fit: fit.summary.trainingCost)  # of equal ones the first
        return np.array(best.clusterCenters(), np.float64)
    finally:
        data.unpersist()


def _mean(batches: Batches) -> Batches:
    vectors = np.concatenate([vectors_of(batch) for batch in batches]).astype(np.float64)
    data = vectors.mean(axis=0).tobytes()
    yield pa.RecordBatch.from_pydict({"block": [data]}, to_arrow_schema(_BLOCK))


def trained_map(
    rows: DataFrame, sample: Sample, lattice: Lattice, passes: int
) -> NDArray[np.float64]:
    """Train a map on all rows: the twin of :func:`.som.trained`, the same bits for any partitions.

    Parameters
    ----------
    rows : DataFrame
        With ``vector``, all finite.
    sample : Sample
        Of them, for the plane that the map starts on.
    lattice : Lattice
    passes : int
    """
    dims = sample.vectors.shape[1]

    def pack(batches: Batches) -> Batches:
        for batch in batches:
            data = vectors_of(batch).tobytes()
            yield pa.RecordBatch.from_pydict({"block": [data]}, to_arrow_schema(_BLOCK))

    packed = rows.select("vector").mapInArrow(pack, _BLOCK).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        size = F.max(F.array_max(F.transform("vector", F.abs))).alias("largest")
        told = rows.agg(size).first()
        assert told is not None
        scale = grid_of(float(told["largest"]))
        data = on_grid(sample.vectors, scale)
        mean = data.mean(axis=0)
        covariance = (data - mean).T @ (data - mean) / len(data)
        units = np.rint(initial_units(mean, main_axes(covariance), lattice))
        for step in range(passes):
            found = _pass(packed, units, scale, dims)
            units = updated(found, units, lattice, radius_at(step, passes, lattice))
        return units / scale
    finally:
        packed.unpersist()


def _pass(packed: DataFrame, units: NDArray[np.float64], scale: float, dims: int) -> Sums:
    shared = packed.sparkSession.sparkContext.broadcast(units)

    def assign(batches: Batches) -> Batches:
        current = shared.value
        total = Sums(np.zeros_like(current), np.zeros(len(current)))
        for batch in batches:
            for cell in batch["block"]:
                block = np.frombuffer(cell.as_buffer(), np.float32).reshape(-1, dims)
                total = add(total, pass_sums(on_grid(block, scale), current))
        row = {"vectors": [total.vectors.tobytes()], "counts": [total.counts.tobytes()]}
        yield pa.RecordBatch.from_pydict(row, to_arrow_schema(_SUMS))

    table = packed.mapInArrow(assign, _SUMS).toArrow()
    shared.destroy()
    total = Sums(np.zeros_like(units), np.zeros(len(units)))
    for vectors, counts in zip(table["vectors"], table["counts"], strict=True):
        sums = np.frombuffer(vectors.as_buffer(), np.float64).reshape(units.shape)
        total = add(total, Sums(sums, np.frombuffer(counts.as_buffer(), np.float64)))
    return total
