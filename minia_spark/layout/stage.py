"""The map: fitted on the driver, and new images placed on Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import functions as F

from minia_spark.base.arrow import from_lists, to_lists
from minia_spark.base.errors import InputError
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Table
from minia_spark.ingest.tables import IMAGES
from minia_spark.layout import quality, tsne
from minia_spark.layout.refit import fitted_to
from minia_spark.layout.register import Similarity, similarity
from minia_spark.layout.sampling import chosen, hashes
from minia_spark.layout.settings import LayoutSettings
from minia_spark.layout.tables import LAYOUTS, MAP, MAP_FRAMES, MAP_QUALITY
from minia_spark.neighbours.nearest import prepared
from minia_spark.warehouse.storage import Storage

__all__ = ["fit", "judge", "place"]

_PLACED_AT_ONCE = 8192
_JUDGED_IMAGES, _ASKED = 20_000, 2_000
"""Images among which the quality is measured, and of which it is, of each batch at most."""
_AXES = ("x", "y", "z")
_HAS = ds.field("reason").is_null()

Batches = Iterator[pa.RecordBatch]

# -- the fit --------------------------------------------------------------------------------------


def fit(context: Context) -> None:
    """Fit the map to the embeddings, and lay it onto the older one."""
    settings = context.settings(LayoutSettings)
    names = _names(context, EMBEDDINGS, _HAS)
    if not names.num_rows:
        raise InputError(
            f"no image has an embedding by {context.variant}: there is nothing to make a map of; "
            "column reason of table embeddings says why, or table rejects"
        )
    numbers = hashes(names["batch"].to_pylist(), names["image_id"].to_pylist())
    sample = names.filter(pa.array(chosen(numbers, settings.sample)))
    vectors = _vectors(context, sample)
    context.say(f"fitting to {len(vectors):,} of {names.num_rows:,} images")
    found = tsne.fit(
        vectors,
        dimensions=settings.dimensions,
        perplexity=settings.perplexity,
        iterations=settings.iterations,
        exaggerated_iterations=settings.exaggerated_iterations,
        exaggeration=settings.exaggeration,
        seed=settings.seed,
        distance=settings.distance,
    )
    _warn_of_few(context, found, settings)
    places, older = found.places, _registered(context, sample, found.places)
    if older is not None:
        places = older.transform(places)
    version = fingerprint(
        context.variant, sample.to_pydict(), places.tolist(), hash_of(vectors), settings.distance
    )
    digest = f"{version}-{fitted_to(context.view, context.variant)}"
    rows = {name: sample[name] for name in ("batch", "image_id")}
    rows |= _axes(places) | {"vector": _lists(vectors)}
    context.write_rows(LAYOUTS, pa.table(rows), digest=digest)
    width = (places.max(axis=0) - places.min(axis=0)).max()
    room = settings.margin * (width or 1.0)
    frame = {
        "version": version,
        "method": found.method,
        "images": len(vectors),
        "of_images": names.num_rows,
        "dimensions": settings.dimensions,
        "perplexity": found.perplexity,
        "parameters": json.dumps(_parameters(settings), sort_keys=True),
        "kl_divergence": found.kl_divergence,
        "low": (places.min(axis=0) - room).tolist(),
        "high": (places.max(axis=0) + room).tolist(),
        "registered_to": older and older.version,
        "registration_error": older and older.transform.error,
        "note": context.small(EMBEDDING_MODELS)["note"][0].as_py(),
    }
    table = pa.Table.from_pylist([frame], MAP_FRAMES.arrow_schema())
    context.write_rows(MAP_FRAMES, table, digest=digest)
    _warn_of_note(context, frame["note"])
    context.counts |= {"images": len(vectors), "perplexity": found.perplexity}
    if older is not None:
        context.counts["registration_error"] = round(older.transform.error, 4)


def hash_of(vectors: NDArray[np.float32]) -> str:
    """Return a hash of numbers."""
    return fingerprint(np.ascontiguousarray(vectors).tobytes().hex())


def _parameters(settings: LayoutSettings) -> dict[str, Any]:
    from openTSNE import __version__  # noqa: PLC0415 - takes a second to load

    names = ("iterations", "exaggerated_iterations", "exaggeration", "seed", "distance", "sample")
    return {name: getattr(settings, name) for name in names} | {"openTSNE": __version__}


def _warn_of_few(context: Context, found: tsne.Fit, settings: LayoutSettings) -> None:
    images = len(found.places)
    if found.method == "pca":
        context.progress.warn(
            f"{context.title}: {images} images are too few for t-SNE, which needs {tsne.FEWEST}; "
            "they lie where their principal components put them. 'minia map refit' fits the map "
            "anew when there are more"
        )
    elif found.perplexity < settings.perplexity:
        context.progress.warn(
            f"{context.title}: {images} images allow a perplexity of {found.perplexity:.3g}, not "
            f"{settings.perplexity:g}"
        )


def _warn_of_note(context: Context, note: str | None) -> None:
    if note is not None:
        context.progress.warn(f"{context.title}: {note}")


@dataclass(frozen=True)
class _Older:
    """The map before, and how the new one comes to lie on it."""

    version: str
    transform: Similarity


def _registered(context: Context, sample: pa.Table, places: NDArray[np.float64]) -> _Older | None:
    if not (context.has(LAYOUTS) and context.has(MAP_FRAMES)):
        return None
    before = context.small(LAYOUTS, ["batch", "image_id", *_AXES])
    theirs = _coordinates(before)
    if theirs.shape[1] != places.shape[1]:
        context.progress.warn(
            f"{context.title}: the older map has {theirs.shape[1]} dimensions; the new one is not "
            "laid onto it"
        )
        return None
    index = pc.index_in(_joined(sample), _joined(before))
    both = np.flatnonzero(index.is_valid().to_numpy(zero_copy_only=False))
    positions = index.fill_null(0).to_numpy()
    found = similarity(places[both], theirs[positions[both]])
    if found is None:
        return None
    return _Older(context.small(MAP_FRAMES, ["version"])["version"][0].as_py(), found)


# -- new images -----------------------------------------------------------------------------------


def place(context: Context) -> None:
    """Write where the images of a batch lie on the map."""
    (layout,) = context.entries_of(LAYOUTS)
    work = _Place(
        context.warehouse.storage.location,
        layout.path,
        context.batch or "",
        context.settings(LayoutSettings).distance,
    )
    rows = context.read(EMBEDDINGS).where("reason is null").select("batch", "image_id", "vector")
    context.write(
        MAP, rows.mapInArrow(work, MAP.schema()), measures={"fitted": F.count_if("fitted")}
    )
    found = context.entries[-1].rows or 0
    context.counts |= {"images": found, "placed": found - int(context.counts["fitted"])}
    _warn_of_note(context, context.small(MAP_FRAMES, ["note"])["note"][0].as_py())


@dataclass(frozen=True)
class _Place:
    """What a task does with embeddings of a batch.

    Attributes
    ----------
    location, path : str
        The warehouse, and table layouts in it.
    batch : str
    distance : str
    """

    location: str
    path: str
    batch: str
    distance: str

    def __call__(self, batches: Batches) -> Batches:
        """Yield rows of table map."""
        layout = None
        for chunk in _gathered(batches):
            if layout is None:
                layout = self._layout()
            yield self._of(chunk, layout)

    def _layout(self) -> pa.Table:
        storage = Storage(self.location)
        return pq.read_table(storage.full(self.path), filesystem=storage.filesystem)

    def _of(self, rows: pa.Table, layout: pa.Table) -> pa.RecordBatch:
        vectors, reference = _matrix(rows["vector"]), _matrix(layout["vector"])
        places = _coordinates(layout)
        index = pc.index_in(_joined(rows), _joined(layout))
        fitted = index.is_valid().to_numpy(zero_copy_only=False)
        positions = index.fill_null(0).to_numpy()
        # another image of that name may have come in its place
        fitted = fitted & (vectors == reference[positions]).all(axis=1)
        found = places[positions]
        if not fitted.all():
            found[~fitted] = tsne.place(vectors[~fitted], reference, places, distance=self.distance)
        columns = {name: _one(rows[name]) for name in ("batch", "image_id")}
        columns |= _axes(found) | {"fitted": pa.array(fitted)}
        return pa.RecordBatch.from_pydict(columns)


def _gathered(batches: Batches) -> Iterator[pa.Table]:
    """Yield rows a few thousand at a time: the map's tree is made anew for each."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= _PLACED_AT_ONCE:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


# -- quality --------------------------------------------------------------------------------------


def judge(context: Context) -> None:
    """Measure how well the map shows who is near whom: of every batch, and of all."""
    settings = context.settings(LayoutSettings)
    shown = pa.concat_tables(
        [
            pa.Table.from_batches([rows])
            for rows in context.rows_here(MAP, ["batch", "image_id", *_AXES, "fitted"])
        ]
        or [MAP.arrow_schema().empty_table()]
    ).sort_by([("batch", "ascending"), ("image_id", "ascending")])
    rows = _quality(context, settings, shown)
    table = pa.Table.from_pylist(rows, MAP_QUALITY.arrow_schema())
    context.write_rows(MAP_QUALITY, table)
    for row in rows:
        if row["advice"] is not None:
            context.progress.warn(f"{context.title}: {row['advice']}")
    whole = rows[-1]
    told = ("trustworthiness", "recall", "agreement")
    context.counts |= {n: round(whole[n], 4) for n in told if whole[n] is not None}


def _quality(context: Context, settings: LayoutSettings, shown: pa.Table) -> list[dict[str, Any]]:
    batches = np.array(shown["batch"].to_pylist(), dtype=object)
    numbers = hashes(batches.tolist(), shown["image_id"].to_pylist())
    among = np.zeros(len(batches), np.bool_)
    there = sorted(set(batches.tolist()))
    for batch in there:  # of each its share, and some of a small one too
        own = np.flatnonzero(batches == batch)
        quota = max(50, -(-_JUDGED_IMAGES * len(own) // len(batches)))
        among[own] = chosen(numbers[own], quota)
    sample = shown.filter(pa.array(among))
    vectors = prepared(_vectors(context, sample), settings.distance)
    places = _coordinates(sample)
    labels = _labels(context, sample)
    fitted = sample["fitted"].to_numpy()
    sampled, sampled_numbers = batches[among], numbers[among]
    asked = np.zeros(len(sampled), np.bool_)
    for batch in there:
        own = np.flatnonzero(sampled == batch)
        asked[own] = chosen(sampled_numbers[own], _ASKED)
    of_whom = np.flatnonzero(asked)
    judged = quality.judge(vectors, places, labels, of_whom, neighbours=settings.compared)
    rng = np.random.default_rng(1)
    reference = quality.mean(judged.recall[fitted[of_whom]], rng)
    rows = []
    for batch in [*there, None]:
        own = np.ones(len(of_whom), np.bool_) if batch is None else sampled[of_whom] == batch
        whole = np.ones(len(batches), np.bool_) if batch is None else batches == batch
        placed = int((~shown["fitted"].to_numpy()[whole]).sum())
        recall = quality.mean(judged.recall[own], rng)
        late = quality.mean(judged.recall[own & ~fitted[of_whom]], rng)
        on_map = quality.agreement(judged.same_on_map[own], labels, rng)
        by_embedding = quality.agreement(judged.same_by_embedding[own], labels, rng)
        rows.append(
            {
                "batch": batch,
                "images": int(whole.sum()),
                "asked": int(own.sum()),
                "placed": placed,
                "neighbours": judged.neighbours,
                "trustworthiness": _told(quality.mean(judged.trust[own], rng).value),
                "recall": _told(recall.value),
                "recall_error": _told(recall.error),
                "agreement": _told(on_map.value),
                "agreement_error": _told(on_map.error),
                "embedding_agreement": _told(by_embedding.value),
                "embedding_agreement_error": _told(by_embedding.error),
                "advice": None
                if batch is None
                else quality.advice(batch, late, reference, settings.least_recall),
            }
        )
    return rows


def _told(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _labels(context: Context, sample: pa.Table) -> NDArray[np.int64]:
    """Return a number for the label of every image; -1: it has none."""
    rows = context.rows_here(IMAGES, ["batch", "image_id", "label"], ds.field("label").is_valid())
    parts = [pa.Table.from_batches([part]) for part in rows]
    if not parts:
        return np.full(sample.num_rows, -1, np.int64)
    known = pa.concat_tables(parts)
    words, numbers = np.unique(known["label"].to_pylist(), return_inverse=True)
    numbers = np.where(words[numbers] == "", -1, numbers)
    index = pc.index_in(_joined(sample), _joined(known))
    found = numbers[index.fill_null(0).to_numpy()]
    there = index.is_valid().to_numpy(zero_copy_only=False)
    return np.where(there, found, -1).astype(np.int64)


# -- arrays ---------------------------------------------------------------------------------------


def _names(context: Context, table: Table, where: ds.Expression) -> pa.Table:
    """Return batch and image of a table's rows, sorted."""
    parts = [
        pa.Table.from_batches([rows])
        for rows in context.rows_here(table, ["batch", "image_id"], where)
    ]
    schema = pa.schema([("batch", pa.string()), ("image_id", pa.string())])
    found = pa.concat_tables(parts) if parts else schema.empty_table()
    return found.sort_by([("batch", "ascending"), ("image_id", "ascending")])


def _vectors(context: Context, wanted: pa.Table) -> NDArray[np.float32]:
    """Return the embeddings of some images, in their order."""
    index = _joined(wanted)
    found: NDArray[np.float32] | None = None
    for rows in context.rows_here(EMBEDDINGS, ["batch", "image_id", "vector"], _HAS):
        positions = pc.index_in(_joined(rows), index)
        there = positions.is_valid()
        matrix = _matrix(rows["vector"].filter(there))
        if found is None:
            found = np.zeros((wanted.num_rows, matrix.shape[1]), np.float32)
        found[positions.filter(there).to_numpy()] = matrix
    return np.zeros((0, 1), np.float32) if found is None else found


def _matrix(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    values, offsets = to_lists(_one(column))
    width = int(offsets[1]) if len(offsets) > 1 else 1
    return np.asarray(values, np.float32).reshape(-1, width)


def _lists(vectors: NDArray[np.float32]) -> pa.Array:
    return from_lists(vectors.ravel(), np.arange(len(vectors) + 1) * vectors.shape[1])


def _axes(places: NDArray[np.float64]) -> dict[str, pa.Array]:
    found = {name: pa.array(places[:, k]) for k, name in enumerate(_AXES[: places.shape[1]])}
    return found if "z" in found else found | {"z": pa.nulls(len(places), pa.float64())}


def _coordinates(table: pa.Table) -> NDArray[np.float64]:
    used = [name for name in _AXES if name != "z" or table["z"].null_count < table.num_rows]
    columns = [table[name].to_numpy().astype(np.float64) for name in used]
    return np.stack(columns, axis=1)


def _joined(rows: pa.Table | pa.RecordBatch) -> pa.Array:
    """Return what names an image: no batch has a slash in its name."""
    return _one(pc.binary_join_element_wise(rows["batch"], rows["image_id"], "/"))


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
