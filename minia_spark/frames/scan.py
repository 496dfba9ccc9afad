"""Passes over a table that keep the best few rows: the same work without Spark and on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.base.arrow import to_lists
from minia_spark.embedding.tfidf import weighted
from minia_spark.neighbours.nearest import prepared

__all__ = ["SCORED", "Scan", "Work", "best", "by_vector", "by_words"]

Batches = Iterator[pa.RecordBatch]
Work = Callable[[Batches], Batches]

SCORED = "batch string, image_id string, distance double"
_NAMES = ["batch", "image_id"]
_ORDER = [("distance", "ascending"), ("batch", "ascending"), ("image_id", "ascending")]


class Scan(Protocol):
    """Applies work to the rows of a table, in whatever pieces."""

    def __call__(self, table: str, variant: str | None, columns: list[str], work: Work) -> pa.Table:
        """Return what the work gives of all pieces, rows as :data:`SCORED`, in any order."""


def best(rows: pa.Table, count: int) -> pa.Table:
    """Return the nearest rows; equally near ones by their names."""
    return rows.sort_by(_ORDER).slice(0, count)


def by_words(
    words: NDArray[np.integer],
    counts: NDArray[np.integer],
    weights: NDArray[np.float64],
    count: int,
) -> Work:
    """Return what keeps the images whose weighted words are nearest: 1 - the cosine.

    Parameters
    ----------
    words, counts : int arrays, shape (n,)
        The bag of the image that is looked for.
    weights : float64 array, shape (K,)
        Of :func:`minia_spark.embedding.tfidf.idf`.
    count : int
        Wanted.

    Notes
    -----
    Images that have no word in common with it are left out. The distance of an image does not
    depend on those beside it: its terms are added one after another.
    """
    own = weighted(words, counts, np.array([0, len(words)]), weights)

    def work(batches: Batches) -> Batches:
        dense = np.zeros(len(weights))
        dense[own.indices] = own.data
        for batch in batches:
            theirs, offsets = to_lists(batch["words"])
            times = to_lists(batch["counts"])[0].astype(np.int32)
            bags = weighted(theirs.astype(np.int32), times, offsets, weights)
            rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            shared = bags.data * dense[bags.indices]
            cosines = np.bincount(rows, weights=shared, minlength=len(offsets) - 1)
            yield _kept(batch, np.maximum(0.0, 1 - cosines), cosines > 0, count)

    return work


def by_vector(vector: NDArray[np.float32], distance: str, count: int) -> Work:
    """Return what keeps the images whose embeddings are nearest.

    Parameters
    ----------
    vector : float32 array, shape (d,)
    distance : str
        ``euclidean`` or ``cosine``, as of :func:`minia_spark.neighbours.nearest.prepared`.
    count : int
        Wanted.
    """
    own = prepared(vector[None], distance)[0].astype(np.float64)

    def work(batches: Batches) -> Batches:
        for batch in batches:
            there = batch.filter(batch["vector"].is_valid())
            values, offsets = to_lists(there["vector"])
            if not there.num_rows:
                continue
            vectors = values.reshape(len(offsets) - 1, -1).astype(np.float32)
            apart = prepared(vectors, distance).astype(np.float64) - own
            squared = np.einsum("ij,ij->i", apart, apart)
            # between vectors of length 1, 1 - the cosine is half the squared distance
            found = squared / 2 if distance == "cosine" else np.sqrt(squared)
            yield _kept(there, found, np.ones(len(found), np.bool_), count)

    return work


def _kept(
    batch: pa.RecordBatch, distances: NDArray[np.float64], told: NDArray[np.bool_], count: int
) -> pa.RecordBatch:
    rows = pa.table(
        {name: batch[name] for name in _NAMES} | {"distance": pa.array(distances)}
    ).filter(pa.array(told))
    (one,) = best(rows, count).combine_chunks().to_batches() or [_NOTHING]
    return one


_NOTHING = pa.RecordBatch.from_pydict(
    {name: pa.array([], pa.string()) for name in _NAMES} | {"distance": pa.array([], pa.float64())}
)
