"""The nearest images on Spark.

The embeddings are written once, sorted by image, to a scratch folder: the place of an image there
is its position. A task holds some of them and goes through all pieces of that folder, so that
memory does not grow with the collection. Images of new batches are compared with all; all others
only with the new ones, which are merged into the lists that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import functions as F

from minia_spark.base.arrow import to_lists
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.neighbours.nearest import Lists, nearest, prepared
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.neighbours.tables import NEIGHBOUR_BATCHES, NEIGHBOURS
from minia_spark.warehouse.storage import Storage

__all__ = ["run"]

_QUERIES = 16_384
"""Images that a task compares at once."""
_PIECE = 16_384
"""Images that they are compared with at once, at least, where there are so many."""
_KEYS = ["image_id", "batch"]
"""Images are sorted by these: of equally near ones the first comes first."""

Batches = Iterator[pa.RecordBatch]


def run(context: Context) -> None:
    """Find the nearest images of every image."""
    settings = context.settings(NeighboursSettings)
    how = fingerprint(settings.count, settings.distance)
    now = {str(e.batch): f"{e.digest}-{how}" for e in context.entries_of(EMBEDDINGS)}
    known = _known(context)
    kept = {batch for batch, digest in known.items() if now.get(batch) == digest}
    gone = set(known) - kept
    vectors = context.read(EMBEDDINGS).where("reason is null").select(*_KEYS, "vector")
    folder = f"scratch/run={context.run}/neighbours-{context.variant}"
    with context.watched("sorted embeddings"):
        vectors.orderBy(*_KEYS).write.mode("overwrite").parquet(context.uri(folder))
    reference = _Reference.of(context.warehouse.storage, folder)
    new = set(now) - kept
    context.say(f"{len(reference):,} images, {len(new):,} of {len(now):,} batches are new")
    frame = context.spark.read.schema(vectors.schema).parquet(context.pattern(folder))
    if kept:
        lists = context.read(NEIGHBOURS).where(F.col("batch").isin(*kept)).drop("variant")
        frame = frame.join(lists, ["batch", "image_id"], "left")
    else:
        for column in NEIGHBOURS.columns[2:]:
            frame = frame.withColumn(column.name, F.lit(None).cast(column.type))
    work = _Work(
        reference, settings.count, settings.distance, frozenset(new), frozenset(gone | new)
    )
    parts = max(context.partitions(len(reference)), -(-len(reference) // _QUERIES))
    spread = frame.repartition(parts, *_KEYS)
    context.write(NEIGHBOURS, spread.mapInArrow(work, NEIGHBOURS.schema()))
    context.check_counts("images", len(reference), context.entries[-1].rows or 0)
    rows = [{"batch": batch, "embeddings": digest} for batch, digest in sorted(now.items())]
    context.write_rows(
        NEIGHBOUR_BATCHES, pa.Table.from_pylist(rows, NEIGHBOUR_BATCHES.arrow_schema())
    )
    context.warehouse.storage.remove_folder(folder)
    context.counts |= {"images": len(reference), "new_batches": len(new)}


def _known(context: Context) -> dict[str, str]:
    """Return the batches whose images have lists, with the digests of their embeddings."""
    if not (context.has(NEIGHBOURS) and context.has(NEIGHBOUR_BATCHES)):
        return {}
    rows = context.small(NEIGHBOUR_BATCHES).to_pylist()
    return {row["batch"]: row["embeddings"] for row in rows}


@dataclass(frozen=True)
class _Reference:
    """All embeddings, sorted by image, in files.

    Attributes
    ----------
    location : str
        Of the warehouse.
    files : tuple of str
        Relative to it, in order.
    rows : tuple of int
        Of each file.
    """

    location: str
    files: tuple[str, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, storage: Storage, folder: str) -> _Reference:
        """Look at a folder that Spark wrote; its files are numbered in the order of the rows."""
        names = sorted(name for name in storage.names(folder) if name.endswith(".parquet"))
        files = tuple(f"{folder}/{name}" for name in names)
        rows = []
        for file in files:
            with storage.filesystem.open_input_file(storage.full(file)) as opened:
                rows.append(int(pq.read_metadata(opened).num_rows))
        return cls(storage.location, files, tuple(rows))

    def __len__(self) -> int:
        return sum(self.rows)

    def names(self) -> pa.Table:
        """Return batch and image of every position."""
        return pa.concat_tables([self._read(file, _KEYS) for file in self.files]).combine_chunks()

    def pieces(
        self, distance: str, batches: frozenset[str] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield positions and vectors, some thousands at a time; None: of all batches."""
        first = waiting = 0
        positions: list[NDArray[np.int64]] = []
        vectors: list[NDArray[np.float32]] = []
        for number, (file, rows) in enumerate(zip(self.files, self.rows, strict=True)):
            table = self._read(file, ["vector"] if batches is None else ["vector", "batch"])
            here = np.arange(rows)
            if batches is not None:
                wanted = pc.is_in(table["batch"], pa.array(sorted(batches), pa.string()))
                here = np.flatnonzero(wanted.to_numpy())
            if len(here):
                positions.append(first + here.astype(np.int64))
                vectors.append(_matrix(_one(table["vector"]))[here])
                waiting += len(here)
            if waiting and (waiting >= _PIECE or number + 1 == len(self.files)):
                yield np.concatenate(positions), prepared(np.concatenate(vectors), distance)
                positions, vectors, waiting = [], [], 0
            first += rows

    def _read(self, file: str, columns: list[str]) -> pa.Table:
        storage = Storage(self.location)
        return pq.read_table(storage.full(file), columns=columns, filesystem=storage.filesystem)


def _matrix(column: pa.Array) -> NDArray[np.float32]:
    values, offsets = to_lists(column)
    return np.asarray(values, np.float32).reshape(len(offsets) - 1, -1)


@dataclass(frozen=True)
class _Work:
    """What a task does with images and the lists that they have, if any.

    Attributes
    ----------
    reference : _Reference
    count : int
    distance : str
    new : set of str
        Batches that no list knows yet.
    not_valid : set of str
        Batches that a list may name although their images are gone, or not the same any more.
    """

    reference: _Reference
    count: int
    distance: str
    new: frozenset[str]
    not_valid: frozenset[str]

    def __call__(self, batches: Batches) -> Batches:
        """Yield the rows of table neighbours for rows of embeddings."""
        rows = list(batches)
        if not rows:
            return
        table = pa.Table.from_batches(rows)
        if not table.num_rows:
            return
        names = self.reference.names()
        index = _index(names)
        for first in range(0, table.num_rows, _QUERIES):
            yield self._of(table.slice(first, _QUERIES).combine_chunks(), names, index)

    def _of(self, table: pa.Table, names: pa.Table, index: pa.Array) -> pa.RecordBatch:
        own = pc.index_in(_joined(table["batch"], table["image_id"]), index).to_numpy()
        queries = prepared(_matrix(_one(table["vector"])), self.distance)
        known, is_known = self._lists(table, index)
        positions, distances = known.positions, known.distances
        for wanted, pieces in ((~is_known, None), (is_known, self.new)):
            chosen = np.flatnonzero(wanted)
            if not len(chosen):
                continue
            found = nearest(
                queries[chosen],
                self.reference.pieces(self.distance, pieces),
                self.count,
                own=own[chosen].astype(np.int64),
                known=Lists(positions[chosen], distances[chosen]),
                distance=self.distance,
            )
            positions[chosen], distances[chosen] = found.positions, found.distances
        return self._rows(table, positions, distances, names)

    def _lists(self, table: pa.Table, index: pa.Array) -> tuple[Lists, NDArray[np.bool_]]:
        """Return the lists that are valid still, and who has one."""
        shape = (table.num_rows, self.count)
        lists = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
        column = _one(table["neighbours"])
        has = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False))
        names, offsets = column.flatten(), _offsets(column)
        batches = _one(table["batches"]).flatten()
        places = pc.index_in(_joined(batches, names), index)
        gone = pc.or_(
            pc.is_null(places), pc.is_in(batches, pa.array(sorted(self.not_valid), pa.string()))
        ).to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(table.num_rows), np.diff(offsets))
        has = has & (np.bincount(rows, weights=gone, minlength=table.num_rows) == 0)
        place = np.arange(len(rows)) - np.repeat(offsets[:-1], np.diff(offsets))
        kept = has[rows]
        lists.positions[rows[kept], place[kept]] = places.fill_null(-1).to_numpy()[kept]
        distances = _one(table["distances"]).flatten().to_numpy()
        lists.distances[rows[kept], place[kept]] = distances[kept]
        return lists, has

    def _rows(
        self,
        table: pa.Table,
        positions: NDArray[np.int64],
        distances: NDArray[np.float64],
        names: pa.Table,
    ) -> pa.RecordBatch:
        there = positions >= 0
        offsets = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32))
        chosen = pa.array(positions[there])
        lists: Mapping[str, Any] = {
            "neighbours": _one(names["image_id"]).take(chosen),
            "batches": _one(names["batch"]).take(chosen),
            "distances": pa.array(distances[there]),
        }
        return pa.RecordBatch.from_pydict(
            {name: _one(table[name]) for name in ("batch", "image_id")}
            | {name: pa.ListArray.from_arrays(offsets, values) for name, values in lists.items()}
        )


def _one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _offsets(column: pa.Array) -> NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _index(names: pa.Table) -> pa.Array:
    return _joined(_one(names["batch"]), _one(names["image_id"]))


def _joined(batches: Any, images: Any) -> pa.Array:
    """Return what names an image: no batch has a slash in its name."""
    found = pc.binary_join_element_wise(batches, images, "/")
    return _one(found) if isinstance(found, pa.ChunkedArray) else found
