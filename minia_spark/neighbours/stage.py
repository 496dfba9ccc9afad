"""The nearest images on Spark.

The embeddings are written once, sorted by image, to a scratch folder: the place of an image there
is its position. A task holds some of them and goes through all pieces of that folder, so that
memory does not grow with the collection. Where lists are there, only images of new batches are
compared with all, and tell who of the others has to list them: with each image stands how far the
last one in its list is. What they tell is then merged into those lists.

Beyond a stated number of images they are written once more, sorted by cell, and a task goes through
the cells that its images search. The cells are fitted once, and stay until the embedding changes.
All images then look for new ones, as nobody else knows which cells they search.
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
from minia_spark.neighbours.nearest import Hits, Lists, Search, prepared
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.neighbours.tables import NEIGHBOUR_BATCHES, NEIGHBOUR_CELLS, NEIGHBOURS
from minia_spark.warehouse.storage import Storage

__all__ = ["run"]

_QUERIES, _LEAST = 16_384, 512
"""Images that a task compares at once, at most, and at least where there are so many."""
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
_BY_CELL = "position bigint, cell int, cells array<int>"

Batches = Iterator[pa.RecordBatch]


def run(context: Context) -> None:
    """Find the nearest images of every image."""
    settings = context.settings(NeighboursSettings)
    vectors = context.read(EMBEDDINGS).where("reason is null").select(*_KEYS, "vector")
    images = vectors.count()
    cells, digest = _cells(context, vectors, images)
    how = fingerprint(settings.count, settings.distance)
    if cells is not None:
        how = fingerprint(settings.count, settings.distance, settings.probes, digest)
    now = {str(e.batch): f"{e.digest}-{how}" for e in context.entries_of(EMBEDDINGS)}
    known = _known(context)
    kept = {batch for batch, digest in known.items() if now.get(batch) == digest}
    new = set(now) - kept
    context.say(f"{images:,} images, {len(new):,} of {len(now):,} batches are new")
    lists = None
    if kept:  # but for those that name images which are gone, or not the same any more
        stale = F.array(*map(F.lit, sorted((set(known) | new) - kept))).cast("array<string>")
        lists = context.read(NEIGHBOURS).where(F.col("batch").isin(*kept)).drop("variant")
        lists = lists.where(~F.arrays_overlap("batches", stale))
    folder = f"scratch/run={context.run}/neighbours-{context.variant}"
    with context.watched("sorted embeddings"):
        frame = _with_reach(vectors, lists, settings.count).orderBy(*_KEYS)
        frame.write.mode("overwrite").parquet(context.uri(f"{folder}/by-name"))
    reference = _Reference.of(context.warehouse.storage, f"{folder}/by-name")
    frame = context.spark.read.schema(frame.schema).parquet(context.pattern(f"{folder}/by-name"))
    frame = frame.select("*", "_metadata.file_name", "_metadata.row_index")
    members = None
    if cells is not None:
        probes = min(settings.probes, len(cells))
        context.say(f"inverted file: {len(cells):,} cells, {probes:,} searched")
        frame, members = _by_cell(context, reference, frame, cells, f"{folder}/by-cell")
    asking = images
    if members is None or not new:
        frame, asking = frame.where("reach is null"), reference.without_list
    work = _Work(reference, members, settings.count, settings.distance, frozenset(new))
    parts = max(context.partitions(asking), -(-asking // _QUERIES))
    if members is None and context.all_settings.spark.partitions is None:
        # each task goes through the whole collection: as few as keep the cores busy
        parts = max(min(4 * context.parallelism, -(-asking // _LEAST)), -(-asking // _QUERIES), 1)
    # images of a cell search about the same cells
    spread = frame.repartition(parts, *(_KEYS if members is None else ["cell"]))
    found = spread.mapInArrow(work, NEIGHBOURS.schema())
    context.write(NEIGHBOURS, found if lists is None else _merged(lists, found, settings.count))
    context.check_counts("images", images, context.entries[-1].rows or 0)
    rows = [{"batch": batch, "embeddings": digest} for batch, digest in sorted(now.items())]
    context.write_rows(
        NEIGHBOUR_BATCHES, pa.Table.from_pylist(rows, NEIGHBOUR_BATCHES.arrow_schema())
    )
    context.warehouse.storage.remove_folder(folder)
    context.counts |= {"images": images, "new_batches": len(new)}


def _with_reach(vectors: DataFrame, lists: DataFrame | None, count: int) -> DataFrame:
    """Add how far the last image in the list of each is; infinite: not full; null: it has none."""
    if lists is None:
        return vectors.withColumn("reach", F.lit(None).cast("double"))
    reach = F.coalesce(F.get("distances", F.lit(count - 1)), F.lit(float("inf")))
    return vectors.join(lists.select(*_KEYS, reach.alias("reach")), _KEYS, "left")


def _merged(lists: DataFrame, found: DataFrame, count: int) -> DataFrame:
    """Return lists that are there with what was found, by (distance, position)."""
    names = ("distances", "neighbours", "batches")
    more = found.groupBy(*_KEYS).agg(F.flatten(F.collect_list(F.arrays_zip(*names))).alias("more"))
    both = lists.join(more, _KEYS, "full_outer")
    old = F.when(F.col("distances").isNull(), F.slice("more", 1, 0)).otherwise(F.arrays_zip(*names))
    best = F.slice(F.sort_array(F.concat(old, F.col("more"))), 1, count)
    both = both.withColumn("best", F.when(F.col("more").isNotNull(), best))
    columns = [F.coalesce(F.col("best")[name], F.col(name)).alias(name) for name in names]
    return both.select(*_KEYS, *columns).select(*(c.name for c in NEIGHBOURS.columns))


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
    distance, probes = settings.distance, settings.probes
    shared = context.spark.sparkContext.broadcast(cells)

    def work(batches: Batches) -> Batches:
        for batch in batches:
            if not batch.num_rows:
                continue
            ready = prepared(_matrix(batch["vector"]), distance)
            found = searched(ready, shared.value, probes).astype(np.int32)
            columns = {name: batch[name] for name in (*_KEYS, "vector", "reach")}
            columns["position"] = pa.array(reference.positions(batch))
            columns["cell"] = pa.array(found[:, 0])
            columns["cells"] = from_lists(found.ravel(), np.arange(len(found) + 1) * found.shape[1])
            yield pa.RecordBatch.from_pydict(columns)

    schema = f"{frame.drop('file_name', 'row_index').schema.toDDL()}, {_BY_CELL}"
    parts = max(context.partitions(len(reference)), -(-len(reference) // _QUERIES))
    spread = frame.mapInArrow(work, schema).repartition(parts, "cell")
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
    """All embeddings, sorted by image, in files, and how far the last one of each one's list is.

    Attributes
    ----------
    location : str
        Of the warehouse.
    files : tuple of str
        Relative to it, in order.
    rows : tuple of int
        Of each file.
    without_list : int
        Images.
    """

    location: str
    files: tuple[str, ...]
    rows: tuple[int, ...]
    without_list: int

    @classmethod
    def of(cls, storage: Storage, folder: str) -> _Reference:
        """Look at a folder that Spark wrote; its files are numbered in the order of the rows."""
        names = sorted(name for name in storage.names(folder) if name.endswith(".parquet"))
        files = tuple(f"{folder}/{name}" for name in names)
        rows, without_list = [], 0
        for file in files:
            with storage.filesystem.open_input_file(storage.full(file)) as opened:
                found = pq.read_metadata(opened)
            rows.append(int(found.num_rows))
            column = found.schema.names.index("reach")
            groups = map(found.row_group, range(found.num_row_groups))
            without_list += sum(group.column(column).statistics.null_count for group in groups)
        return cls(storage.location, files, tuple(rows), without_list)

    def __len__(self) -> int:
        return sum(self.rows)

    def names(self) -> pa.Table:
        """Return batch and image of every position."""
        return pa.concat_tables([self._read(file, _KEYS) for file in self.files]).combine_chunks()

    def positions(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.int64]:
        """Return those of rows, by columns file_name and row_index."""
        starts = np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int64)
        short = pa.array([file.rpartition("/")[2] for file in self.files], pa.string())
        files = pc.index_in(rows["file_name"], short).to_numpy()
        return np.asarray(starts[files] + rows["row_index"].to_numpy())

    def pieces(
        self, distance: str
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]]:
        """Yield positions, vectors and reaches, minus infinity for none, some thousands at once."""
        first = waiting = 0
        tables: list[pa.Table] = []
        for number, file in enumerate(self.files):
            tables.append(self._read(file, ["vector", "reach"]))
            waiting += tables[-1].num_rows
            if waiting and (waiting >= _PIECE or number + 1 == len(self.files)):
                table = pa.concat_tables(tables)
                vectors = prepared(_matrix(_one(table["vector"])), distance)
                reach = pc.fill_null(table["reach"], -np.inf).to_numpy()
                yield np.arange(first, first + waiting), vectors, reach
                first, waiting, tables = first + waiting, 0, []

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
    """What a task does with images: finds their lists, or what new ones add to them.

    Attributes
    ----------
    reference : _Reference
    members : _Members or None
        None: all images are compared with all.
    count : int
    distance : str
    new : set of str
        Batches that no list knows yet.
    """

    reference: _Reference
    members: _Members | None
    count: int
    distance: str
    new: frozenset[str]

    def __call__(self, batches: Batches) -> Batches:
        """Yield rows of table neighbours for rows of embeddings; several may be of one image."""
        rows = list(batches)
        if not rows:
            return
        table = pa.Table.from_batches(rows)
        if not table.num_rows:
            return
        names = self.reference.names()
        work = self._with_all if self.members is None else self._by_cell
        for first in range(0, table.num_rows, _QUERIES):
            part = table.slice(first, _QUERIES).combine_chunks()
            for lists in work(part):
                yield lists.rows(names)

    def _with_all(self, table: pa.Table) -> Iterator[_Found]:
        """Compare with all; those of new batches also tell who has to list them."""
        own = self.reference.positions(table)
        queries = prepared(_matrix(_one(table["vector"])), self.distance)
        named = pc.is_in(table["batch"], pa.array(sorted(self.new), pa.string()))
        is_new = _one(named).to_numpy(zero_copy_only=False)
        for wanted in (is_new, ~is_new):
            if not wanted.any():
                continue
            here = own[wanted]
            search = Search(queries[wanted], self.count, own=here, distance=self.distance)
            for positions, vectors, reach in self.reference.pieces(self.distance):
                hits = search.add(positions, vectors, reach if wanted is is_new else None)
                yield _Found.of_hits(hits, here)
            yield _Found.of_lists(search.lists, here)

    def _by_cell(self, table: pa.Table) -> Iterator[_Found]:
        """Compare with the images of near cells; those that have a list, with new ones only."""
        assert self.members is not None
        own = table["position"].to_numpy()
        queries = prepared(_matrix(_one(table["vector"])), self.distance)
        probes = np.asarray(to_lists(_one(table["cells"]))[0], np.int64).reshape(len(own), -1)
        reach = pc.fill_null(table["reach"], np.inf).to_numpy()
        has_list = pc.is_valid(table["reach"]).to_numpy()
        for wanted, of in ((~has_list, None), (has_list, self.new)):
            near = self.members.pieces(self.distance, np.unique(probes[wanted]), of)
            options: dict[str, Any] = {"own": own[wanted], "distance": self.distance}
            options["known"] = Lists.within(reach[wanted], self.count)
            found = search(queries[wanted], probes[wanted], near, self.count, **options)
            told = slice(None) if of is None else (found.positions >= 0).any(axis=1)
            lists = Lists(found.positions[told], found.distances[told])
            yield _Found.of_lists(lists, own[wanted][told])


@dataclass(frozen=True)
class _Found:
    """Lists of some images, or parts of them.

    Attributes
    ----------
    images : int64 array, shape (n,)
        Their positions.
    offsets : int64 array, shape (n + 1,)
        Image i has the neighbours ``offsets[i]:offsets[i + 1]``.
    neighbours : int64 array
        Their positions.
    distances : float64 array
    """

    images: NDArray[np.int64]
    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float64]

    @classmethod
    def of_lists(cls, lists: Lists, images: NDArray[np.int64]) -> _Found:
        there = lists.positions >= 0
        offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return cls(images, offsets, lists.positions[there], lists.distances[there])

    @classmethod
    def of_hits(cls, hits: Hits, own: NDArray[np.int64]) -> _Found:
        starts = np.flatnonzero(np.diff(hits.positions, prepend=-1))
        offsets = np.append(starts, len(hits.positions))
        return cls(hits.positions[starts], offsets, own[hits.rows], hits.distances)

    def rows(self, names: pa.Table) -> pa.RecordBatch:
        """Return them as rows of table neighbours."""
        batch, image_id = _one(names["batch"]), _one(names["image_id"])
        of, near = pa.array(self.images), pa.array(self.neighbours)
        offsets = pa.array(self.offsets.astype(np.int32))
        lists: Mapping[str, pa.Array] = {
            "neighbours": image_id.take(near),
            "batches": batch.take(near),
            "distances": pa.array(self.distances),
        }
        return pa.RecordBatch.from_pydict(
            {"batch": batch.take(of), "image_id": image_id.take(of)}
            | {name: pa.ListArray.from_arrays(offsets, values) for name, values in lists.items()}
        )


def _one(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
