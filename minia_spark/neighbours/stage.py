"""The nearest images on Spark.

The embeddings are written once, sorted by image, to a scratch folder: the place of an image there
is its position. A task holds some of them and goes through all pieces of that folder, so that
memory does not grow with the collection. Images of new batches are compared with all; all others
only with the new ones, which are merged into the lists that are there.

Beyond a stated number of images they are written once more, sorted by cell, and a task goes through
the cells that its images search. The cells are fitted once, and stay until the embedding changes.
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
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import from_lists, to_lists
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.neighbours.cells import cells_for, fit, search, searched
from minia_spark.neighbours.nearest import Lists, nearest, prepared
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.neighbours.tables import NEIGHBOUR_BATCHES, NEIGHBOUR_CELLS, NEIGHBOURS
from minia_spark.warehouse.storage import Storage

__all__ = ["run"]

_QUERIES = 16_384
"""Images that a task compares at once."""
_PIECE = 16_384
"""Images that they are compared with at once, at least, where there are so many."""
_SAMPLED = 64
"""Images a cell that the cells are fitted to."""
_SAMPLE_BYTES = 1 << 28
"""Of their vectors, at most, unless a vector a cell is more."""
_GROUP_ROWS, _GROUP_BYTES = 4096, 1 << 20
"""About as many rows, and bytes at least, are read at once of the images sorted by cell."""
_KEYS = ["image_id", "batch"]
"""Images are sorted by these: of equally near ones the first comes first."""

Batches = Iterator[pa.RecordBatch]


def run(context: Context) -> None:
    """Find the nearest images of every image."""
    settings = context.settings(NeighboursSettings)
    vectors = context.read(EMBEDDINGS).where("reason is null").select(*_KEYS, "vector")
    folder = f"scratch/run={context.run}/neighbours-{context.variant}"
    with context.watched("sorted embeddings"):
        vectors.orderBy(*_KEYS).write.mode("overwrite").parquet(context.uri(f"{folder}/by-name"))
    reference = _Reference.of(context.warehouse.storage, f"{folder}/by-name")
    cells, digest = _cells(context, vectors, len(reference))
    how = fingerprint(settings.count, settings.distance)
    if cells is not None:
        how = fingerprint(settings.count, settings.distance, settings.probes, digest)
    now = {str(e.batch): f"{e.digest}-{how}" for e in context.entries_of(EMBEDDINGS)}
    known = _known(context)
    kept = {batch for batch, digest in known.items() if now.get(batch) == digest}
    gone = set(known) - kept
    new = set(now) - kept
    context.say(f"{len(reference):,} images, {len(new):,} of {len(now):,} batches are new")
    frame = context.spark.read.schema(vectors.schema).parquet(context.pattern(f"{folder}/by-name"))
    members = None
    if cells is not None:
        probes = min(settings.probes, len(cells))
        context.say(f"inverted file: {len(cells):,} cells, {probes:,} searched")
        frame, members = _by_cell(context, reference, frame, cells, f"{folder}/by-cell")
    if kept:
        lists = context.read(NEIGHBOURS).where(F.col("batch").isin(*kept)).drop("variant")
        frame = frame.join(lists, ["batch", "image_id"], "left")
    else:
        for column in NEIGHBOURS.columns[2:]:
            frame = frame.withColumn(column.name, F.lit(None).cast(column.type))
    work = _Work(
        reference,
        members,
        settings.count,
        settings.distance,
        frozenset(new),
        frozenset(gone | new),
    )
    parts = max(context.partitions(len(reference)), -(-len(reference) // _QUERIES))
    # images of a cell search about the same cells
    spread = frame.repartition(parts, *(_KEYS if members is None else ["cell"]))
    context.write(NEIGHBOURS, spread.mapInArrow(work, NEIGHBOURS.schema()))
    context.check_counts("images", len(reference), context.entries[-1].rows or 0)
    rows = [{"batch": batch, "embeddings": digest} for batch, digest in sorted(now.items())]
    context.write_rows(
        NEIGHBOUR_BATCHES, pa.Table.from_pylist(rows, NEIGHBOUR_BATCHES.arrow_schema())
    )
    context.warehouse.storage.remove_folder(folder)
    context.counts |= {"images": len(reference), "new_batches": len(new)}


def _cells(
    context: Context, vectors: DataFrame, images: int
) -> tuple[NDArray[np.float32] | None, str]:
    """Write the cells, and return them and their digest; None: all are compared with all.

    They are those that are there, as long as distances are measured as then and a batch still has
    the embeddings that it had: where the embedding was fitted anew, all batches have others.
    """
    settings = context.settings(NeighboursSettings)
    fitted_to = fingerprint(settings.distance)
    had = {batch: digest.rpartition("-")[0] for batch, digest in _known(context).items()}
    stays = any(had.get(str(e.batch)) == e.digest for e in context.entries_of(EMBEDDINGS))
    table, digest = NEIGHBOUR_CELLS.arrow_schema().empty_table(), f"none-{fitted_to}"
    before = context.entries_of(NEIGHBOUR_CELLS)
    if stays and before and before[0].digest.endswith(fitted_to):
        table, digest = context.small(NEIGHBOUR_CELLS, ["cell", "vector"]), before[0].digest
    wanted = settings.exact_up_to is not None and images > settings.exact_up_to
    if wanted and not table.num_rows:
        found = _fitted(context, vectors, images)
        rows = {"cell": np.arange(len(found), dtype=np.int32), "vector": list(found)}
        table = pa.table(rows, NEIGHBOUR_CELLS.arrow_schema())
        digest = f"{fingerprint(found.tobytes().hex())}-{fitted_to}"
    context.write_rows(NEIGHBOUR_CELLS, table, digest=digest)
    return (_matrix(_one(table["vector"])) if wanted else None), digest


def _fitted(context: Context, vectors: DataFrame, images: int) -> NDArray[np.float32]:
    """Return cells that are fitted to the images whose names have the smallest hashes."""
    count = cells_for(images)
    first = vectors.first()
    assert first is not None
    most = max(count, min(_SAMPLED * count, _SAMPLE_BYTES // (4 * len(first["vector"]))))
    with context.watched("sample"):
        sample = vectors.orderBy(F.xxhash64(*_KEYS), *_KEYS).limit(most).toArrow()
    context.say(f"fitting {count:,} cells to {sample.num_rows:,} of {images:,} images")
    ready = prepared(_matrix(_one(sample["vector"])), context.settings(NeighboursSettings).distance)
    return fit(ready, count)


def _by_cell(
    context: Context, reference: _Reference, frame: DataFrame, cells: NDArray[np.float32], to: str
) -> tuple[DataFrame, _Members]:
    """Write the images sorted by cell, and return them with the cells that each searches."""
    settings = context.settings(NeighboursSettings)
    first = np.concatenate([[0], np.cumsum(reference.rows)]).tolist()
    starts = {file.rpartition("/")[2]: k for file, k in zip(reference.files, first, strict=False)}
    distance, probes = settings.distance, settings.probes
    shared = context.spark.sparkContext.broadcast(cells)

    def work(batches: Batches) -> Batches:
        for batch in batches:
            if not batch.num_rows:
                continue
            ready = prepared(_matrix(batch["vector"]), distance)
            found = searched(ready, shared.value, probes).astype(np.int32)
            files = np.array([starts[name] for name in batch["file_name"].to_pylist()], np.int64)
            columns = {name: batch[name] for name in (*_KEYS, "vector")}
            columns["position"] = pa.array(files + batch["row_index"].to_numpy())
            columns["cell"] = pa.array(found[:, 0])
            columns["cells"] = from_lists(found.ravel(), np.arange(len(found) + 1) * found.shape[1])
            yield pa.RecordBatch.from_pydict(columns)

    schema = f"{frame.schema.toDDL()}, position bigint, cell int, cells array<int>"
    located = frame.select("*", "_metadata.file_name", "_metadata.row_index")
    parts = max(context.partitions(len(reference)), -(-len(reference) // _QUERIES))
    spread = located.mapInArrow(work, schema).repartition(parts, "cell")
    writer = spread.sortWithinPartitions("cell", "position").write.mode("overwrite")
    group = max(_GROUP_BYTES, _GROUP_ROWS * 4 * cells.shape[1])
    with context.watched("images by cell"):
        writer.option("parquet.block.size", group).parquet(context.uri(to))
    shared.destroy()
    found = context.spark.read.schema(spread.schema).parquet(context.pattern(to))
    return found, _Members.of(context.warehouse.storage, to)


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


@dataclass(frozen=True)
class _Members:
    """All embeddings, sorted by cell, in files.

    Attributes
    ----------
    location : str
        Of the warehouse.
    groups : tuple of (str, int, int, int)
        File, number of a group of its rows, and the smallest and the largest cell there.
    """

    location: str
    groups: tuple[tuple[str, int, int, int], ...]

    @classmethod
    def of(cls, storage: Storage, folder: str) -> _Members:
        """Look at a folder that Spark wrote."""
        groups = []
        for name in sorted(n for n in storage.names(folder) if n.endswith(".parquet")):
            with storage.filesystem.open_input_file(storage.full(f"{folder}/{name}")) as opened:
                found = pq.read_metadata(opened)
            column = found.schema.names.index("cell")
            for number in range(found.num_row_groups):
                limits = found.row_group(number).column(column).statistics
                groups.append((f"{folder}/{name}", number, int(limits.min), int(limits.max)))
        return cls(storage.location, tuple(groups))

    def pieces(
        self, distance: str, cells: NDArray[np.int64], batches: frozenset[str] | None = None
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
        """Yield number, positions and vectors of some cells, ascending; None: of all batches."""
        storage = Storage(self.location)
        for file, number, low, high in self.groups:
            if np.searchsorted(cells, low) == np.searchsorted(cells, high, side="right"):
                continue
            with storage.filesystem.open_input_file(storage.full(file)) as opened:
                columns = ["cell", "position", "batch", "vector"]
                table = pq.ParquetFile(opened).read_row_group(number, columns)
            of = table["cell"].to_numpy()
            wanted = np.isin(of, cells)
            if batches is not None:
                named = pc.is_in(table["batch"], pa.array(sorted(batches), pa.string()))
                wanted &= named.to_numpy()
            here = np.flatnonzero(wanted)
            if not len(here):
                continue
            vectors = prepared(_matrix(_one(table["vector"]))[here], distance)
            positions, of = table["position"].to_numpy()[here], of[here]
            starts = np.flatnonzero(np.diff(of, prepend=-1))
            for start, stop in zip(starts, [*starts[1:], len(of)], strict=True):
                yield int(of[start]), positions[start:stop], vectors[start:stop]


def _matrix(column: pa.Array) -> NDArray[np.float32]:
    values, offsets = to_lists(column)
    return np.asarray(values, np.float32).reshape(len(offsets) - 1, -1)


@dataclass(frozen=True)
class _Work:
    """What a task does with images and the lists that they have, if any.

    Attributes
    ----------
    reference : _Reference
    members : _Members or None
        None: all images are compared with all.
    count : int
    distance : str
    new : set of str
        Batches that no list knows yet.
    not_valid : set of str
        Batches that a list may name although their images are gone, or not the same any more.
    """

    reference: _Reference
    members: _Members | None
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
            lists = Lists(positions[chosen], distances[chosen])
            options: dict[str, Any] = {"own": own[chosen].astype(np.int64), "known": lists}
            options |= {"count": self.count, "distance": self.distance}
            if self.members is None:
                blocks = self.reference.pieces(self.distance, pieces)
                found = nearest(queries[chosen], blocks, **options)
            else:
                values = np.asarray(to_lists(_one(table["cells"]))[0], np.int64)
                probes = values.reshape(len(own), -1)[chosen]
                near = self.members.pieces(self.distance, np.unique(probes), pieces)
                found = search(queries[chosen], probes, near, **options)
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
