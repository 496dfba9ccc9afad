"""Collects what the gallery shows and has it written; the page is made in :mod:`.site`.

Everything is read on the driver, without a job, and what is large (thumbnails, features) only of
batches that changed, some images at a time.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from numpy.typing import NDArray

from minia_spark import __version__
from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError
from minia_spark.engine.context import Context
from minia_spark.engine.table import Table
from minia_spark.explorer.columns import Column, by_batch, column, placed, values_of
from minia_spark.explorer.parts import hash_order
from minia_spark.explorer.sheets import IMAGES as IMAGES_OF_A_SHEET
from minia_spark.explorer.tables import EXPLORER
from minia_spark.features.tables import FEATURES
from minia_spark.frames.collection import Collection
from minia_spark.frames.news import NO_REASON
from minia_spark.gallery.news import alerts
from minia_spark.gallery.related import counterparts, related
from minia_spark.gallery.settings import GallerySettings
from minia_spark.gallery.site import Batch, Features, Gallery, Map, Nearest, Variant, write
from minia_spark.gallery.tables import GALLERY, NEWS
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.layout.tables import MAP, MAP_FRAMES
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import STRUCTURES, TUNING
from minia_spark.neighbours.tables import NEIGHBOURS
from minia_spark.structures.classes import typical
from minia_spark.structures.lineage import ENDS, Event
from minia_spark.structures.rows import load_structures, of_kinds
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import LINEAGE, PATTERNS, STRUCTURE_IMAGES, STRUCTURE_NAMES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse.records import now
from minia_spark.words.tables import WORDS

__all__ = ["run"]

_NAMES = ["batch", "image_id"]
_OF_IMAGES = [*_NAMES, "label", "ra_deg", "dec_deg", "width", "height"]
_PATTERN = ["place", "strength", "pattern", "same_images_as", "turn"]
_NUMBERS = ["support", "expected_support", "lift", "q", "stability"]
_CLASSES = 6  # that are told of a structure
_NEAREST = 8  # images that are told of each
_AT_ONCE = 100_000  # rows of nearest images
_KIN = {
    **dict.fromkeys(("own", "of", "rank", "batch", "image"), pa.int64()),
    "distance": pa.float64(),
}
_IN_ORDER = ("own", "of", "rank")


def run(context: Context) -> None:
    """Write the page and publish it."""
    settings = context.settings(GallerySettings)
    storage = context.warehouse.storage
    folder = context.folder(GALLERY)
    variants = sorted({entry.variant or "" for entry in context.entries_of(WORDS)})
    with tempfile.TemporaryDirectory() as scratch:
        near = Path(scratch) / Path(folder).name
        target = near if storage.local is None else storage.local / folder
        batches = _batches(context, variants, Path(scratch))
        places = _Places(batches)
        maps = _maps(context)
        news = [_news(context, name, settings.odd_images) for name in variants]
        gallery = Gallery(
            title="Gallery",
            batches=_with_what_is_known(context, batches, places, maps),
            maps=maps,
            map_page=f"{EXPLORER.name}/index.html" if maps else "",
            variants=_beside([_variant(context, name, places) for name in variants], places),
            made=f"Made by minia-spark {__version__} \N{MIDDLE DOT} run {context.run} "
            f"\N{MIDDLE DOT} {now()}",
            home="report/index.html",
            cell_px=settings.cell_px,
            large=settings.large_copies,
            facts={
                "max_q": context.settings(MiningSettings).max_q,
                "min_stability": context.settings(MiningSettings).min_stability,
                "seeds": context.settings(MiningSettings).seeds,
                "state": context.published.version + 1,
                "news": news,
                "older": {name: _older_state(context, name) for name in variants},
                "ended": {name: _ended(context, name) for name in variants},
            },
        )
        written = write(gallery, target, _previous(context), threads=os.cpu_count() or 1)
        told = [one for one in news if one is not None]
        (target / NEWS).write_text(json.dumps(told, ensure_ascii=True), encoding="ascii")
        if storage.local is None:
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(GALLERY, folder)
    context.counts |= {
        "alerts": sum(map(alerts, told)),
        "structures_new": sum(one["new"] for one in told),
        "structures_grown": sum(one["grown"] for one in told),
        "images": written.images,
        "structures": written.structures,
        "files_kept": written.kept,
        "files_new": written.new,
    }


def _news(context: Context, variant: str, count: int) -> dict[str, Any] | None:
    """Return what the newest batch brought; None where nobody asks, or too little is known."""
    if not count:
        return None
    # the state that is being made, with the settings that it is made with
    kinds = {"exclude_kinds": context.settings(StructuresSettings).exclude_kinds}
    state = context.view.model_copy(update={"settings": {"structures": kinds}})
    try:
        found = Collection.of_state(context.warehouse, state).news(variant=variant)
    except InputError as error:
        context.say(str(error))
        return None
    events = found.structures["event"]
    return {
        "batch": found.batch,
        "variant": variant,
        "new": int(events.isin(["born", "split"]).sum()) if found.compared_with else 0,
        "grown": int(events.isin(["grown", "changed"]).sum()) if found.compared_with else 0,
        "returned": int(events.isin(["returned"]).sum()),
        "known": found.known,
        "copies": found.copies,
        "rate": found.rate,
        "compared_with": found.compared_with,
        "odd": int(found.images["alert"].sum()),
        "featureless": asdict(found.featureless),
        "blank": found.images[found.images["features"] == 0]["image_id"].head(count).tolist(),
        "structures": [
            {"id": int(row["structure_id"]), "images": int(row["images"]), "of": row["expected"]}
            for row in found.structures.to_dict("records")
            if row["alert"]
        ],
        "images": [
            {
                "name": row["image_id"],
                "alert": bool(row["alert"]),
                "reasons": row["reasons"],
            }
            for row in found.images.head(count).to_dict("records")
            if row["reasons"] != NO_REASON
        ],
    }


def _older_state(context: Context, variant: str) -> int | None:
    """Return the state that structures were compared with; None: there were none before."""
    states = (row["older_state"] for row in _small(context.of_variant(variant), LINEAGE))
    return next((state for state in states if state is not None), None)


def _ended(context: Context, variant: str) -> list[dict[str, Any]]:
    """Return the structures of the state before that are there no more."""
    own = context.of_variant(variant)
    said = {row["lineage_id"]: row["name"] for row in _small(own, STRUCTURE_NAMES)}
    rows = [row for row in _small(own, LINEAGE) if row["event"] in ENDS]
    return [
        {
            "lineage": row["lineage_id"],
            "name": said.get(row["lineage_id"]),
            "merged": row["event"] == Event.MERGED,
        }
        for row in sorted(rows, key=lambda row: str(row["lineage_id"]))
    ]


def _previous(context: Context) -> Path | None:
    """Return the folder of the page before; None: there is none, or not on this file system."""
    local = context.warehouse.storage.local
    entries = context.published.of_table(GALLERY.name)
    if local is None or not entries:
        return None
    return local / entries[0].path


def _rows(
    context: Context,
    table: Table,
    columns: Sequence[str],
    variant: str | None = None,
    where: ds.Expression | None = None,
) -> pa.Table:
    """Return columns of a table; of one variant alone where it has any."""
    schema = pa.schema([table.arrow_schema().field(name) for name in columns])
    source = context.of_variant(variant) if table.variants else context
    batches = [one.select(schema.names) for one in source.rows_here(table, list(columns), where)]
    return pa.Table.from_batches([one.cast(schema) for one in batches], schema)


# -- batches --------------------------------------------------------------------------------------


class _Places:
    """Where images are: the number of their batch, and their place in it."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.sizes = [len(batch.image_ids) for batch in batches]
        self._numbers = {batch.name: number for number, batch in enumerate(batches)}
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)
        keys = [
            pc.binary_join_element_wise(str(number), batch.image_ids, "/")
            for number, batch in enumerate(batches)
        ]
        self._keys = pa.concat_arrays(keys) if keys else pa.array([], pa.string())

    def of(self, rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the batch and the place of the image of every row; -1: it is not there."""
        codes = pc.dictionary_encode(rows["batch"].combine_chunks())
        known = [str(self._numbers.get(name, 0)) for name in codes.dictionary.to_pylist()]
        there = pa.array([name in self._numbers for name in codes.dictionary.to_pylist()])
        numbers = pa.array(known, pa.string()).take(codes.indices)
        keys = pc.binary_join_element_wise(numbers, rows["image_id"].combine_chunks(), "/")
        found = pc.fill_null(pc.index_in(keys, self._keys), -1)
        places = found.to_numpy(zero_copy_only=False).astype(np.int64)
        owners = numbers.cast(pa.int64()).to_numpy()
        good = (places >= 0) & there.take(codes.indices).to_numpy(zero_copy_only=False)
        return owners, np.where(good, places - self.starts[owners], -1)


def _batches(context: Context, variants: Sequence[str], scratch: Path) -> list[Batch]:
    images = _rows(context, IMAGES, _OF_IMAGES)
    rejects = _rows(context, REJECTS, ["batch", "stage"])
    counted = rejects.filter(pc.equal(rejects["stage"], "ingest"))["batch"]
    rejected = {row["values"]: row["counts"] for row in pc.value_counts(counted).to_pylist()}
    names = pc.unique(images["batch"]).to_pylist()
    return [
        _batch(context, images, str(name), variants, rejected=rejected, scratch=scratch)
        for name in sorted(names)
    ]


def _batch(
    context: Context,
    images: pa.Table,
    name: str,
    variants: Sequence[str],
    *,
    rejected: dict[str, int],
    scratch: Path,
) -> Batch:
    own = images.filter(pc.equal(images["batch"], name)).combine_chunks()
    own = own.take(pa.array(hash_order(own["image_id"].combine_chunks()))).combine_chunks()
    columns = {column: own[column].combine_chunks() for column in own.schema.names}
    sources = [THUMBNAILS, FEATURES, WORDS]
    digests = [entry.digest for table in sources for entry in context.entries_of(table, name)]
    sizes = dict(
        zip(
            columns["image_id"].to_pylist(),
            pc.max_element_wise(columns["width"], columns["height"]).fill_null(0).to_pylist(),
            strict=True,
        )
    )
    return Batch(
        name=name,
        image_ids=columns["image_id"],
        labels=columns["label"],
        ra=columns["ra_deg"],
        dec=columns["dec_deg"],
        width=columns["width"],
        height=columns["height"],
        rejected=rejected.get(name, 0),
        pictures=_pictures(context, name, scratch),
        features={one: _features(context, name, one, sizes, scratch) for one in variants},
        digest=" ".join(digests),
    )


def _maps(context: Context) -> list[Map]:
    """Return the maps; that of the words first, as on the page of the map."""
    names = {entry.variant or "" for entry in context.entries_of(MAP)}
    found = []
    for name in sorted(names, key=lambda name: (name != "words", name)):
        (frame,) = _rows(context, MAP_FRAMES, ["low", "high"], name).to_pylist()
        low, high = frame["low"], frame["high"]
        found.append(Map(name, (low[0], low[1], high[0], high[1])))
    return found


def _with_what_is_known(
    context: Context, batches: Sequence[Batch], places: _Places, maps: Sequence[Map]
) -> list[Batch]:
    """Return the batches with what other lines know of their images."""
    points = {one.name: _rows(context, MAP, [*_NAMES, "x", "y"], one.name) for one in maps}
    rows_of = {name: by_batch(rows["batch"].combine_chunks()) for name, rows in points.items()}
    facets = _facets(context)
    values_by = {name: by_batch(found.batches) for name, found in facets.items()}
    nearest = {
        name: _nearest(context, name, places)
        for name in sorted({entry.variant or "" for entry in context.entries_of(NEIGHBOURS)})
    }
    found = []
    for number, batch in enumerate(batches):
        index = pd.Index(batch.image_ids.to_pylist(), dtype=object)
        own = {
            name: placed(
                rows_of[name](batch.name),
                rows["image_id"].combine_chunks(),
                np.column_stack([rows["x"].to_numpy(), rows["y"].to_numpy()]),
                index,
            )
            for name, rows in points.items()
        }
        values = {
            name: _finite(values_of(one, values_by[name](batch.name), index))
            for name, one in facets.items()
        }
        near = {name: every[number] for name, every in nearest.items()}
        found.append(replace(batch, places=own, nearest=near, values=values))
    return found


def _facets(context: Context) -> dict[str, Column]:
    """Return what rooms say of images, but for what the page shows in another way."""
    found = {}
    for facet in context.facets:
        if facet.table in (IMAGES, STRUCTURE_IMAGES, MAP) or not context.has(facet.table):
            continue
        variants = sorted({entry.variant or "" for entry in context.entries_of(facet.table)})
        for variant in variants:
            rows = _rows(context, facet.table, [*_NAMES, facet.column], variant or None)
            name = f"{facet.name} ({variant})" if variant else facet.name
            found[name] = column(rows, facet.column, several=facet.several, text=facet.text)
    return found


def _finite(values: pa.Array) -> pa.Array:
    """Return values in which numbers that are none are null."""
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))


def _nearest(context: Context, variant: str, places: _Places) -> list[Nearest]:
    """Return the nearest images by an embedding, batch by batch.

    Images that the page does not have, as of a batch that went, are left out.
    """
    pieces = [pa.table({name: pa.array([], kind) for name, kind in _KIN.items()})]
    columns = [*_NAMES, "neighbours", "batches", "distances"]
    for rows in _together(context.of_variant(variant).rows_here(NEIGHBOURS, columns)):
        own, of_own = places.of(pa.Table.from_batches([rows.select(_NAMES)]))
        names, offsets = pc.list_flatten(rows["neighbours"]), _offsets(rows["neighbours"])
        rank = np.arange(len(names)) - np.repeat(offsets[:-1], np.diff(offsets))
        owner = np.repeat(np.arange(len(own)), np.diff(offsets))
        few = np.flatnonzero(rank < _NEAREST)
        taken = pa.array(few)
        kin = pa.table(
            {
                "batch": pc.list_flatten(rows["batches"]).take(taken),
                "image_id": names.take(taken),
            }
        )
        batch, image = places.of(kin)
        distance = pc.list_flatten(rows["distances"]).take(taken)
        told = (own[owner[few]], of_own[owner[few]], rank[few], batch, image, distance)
        piece = pa.table(dict(zip(_KIN, told, strict=True)))
        known = (piece["image"].to_numpy() >= 0) & (piece["of"].to_numpy() >= 0)
        pieces.append(piece.filter(pa.array(known)))
    joined = pa.concat_tables(pieces).sort_by([(name, "ascending") for name in _IN_ORDER])
    columns_of = {name: joined[name].to_numpy() for name in _KIN}
    ends = np.searchsorted(columns_of["own"], np.arange(len(places.sizes) + 1))
    found = []
    for number, size in enumerate(places.sizes):
        here = slice(int(ends[number]), int(ends[number + 1]))
        found.append(
            Nearest(
                counts=np.bincount(columns_of["of"][here], minlength=size).astype(np.int64),
                batches=columns_of["batch"][here],
                images=columns_of["image"][here],
                distances=columns_of["distance"][here],
            )
        )
    return found


def _together(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield rows many at a time: whoever looks images up looks through all names for each lot."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.num_rows for one in held) >= _AT_ONCE:
            yield pa.concat_batches(held)
            held.clear()
    if held:
        yield pa.concat_batches(held)


def _offsets(lists: pa.ListArray) -> NDArray[np.int64]:
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class _Spool:
    """Bytes by the names of images, in a file: those of a batch may be more than memory holds."""

    def __init__(self, rows: Iterator[tuple[str, bytes]], scratch: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        self._places: dict[str, tuple[int, int]] = {}
        for name, data in rows:
            self._places[name] = (self._file.tell(), len(data))
            self._file.write(data)

    def get(self, name: str) -> bytes:
        """Return what there is of an image; nothing where there is none."""
        start, size = self._places.get(name, (0, 0))
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        """Forget all of it."""
        self._file.close()


def _batches_of(
    context: Context, table: Table, batch: str, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    storage = context.warehouse.storage
    for entry in context.entries_of(table, batch):
        place = storage.full(entry.path)
        files = ds.dataset(place, filesystem=storage.filesystem, format="parquet")
        yield from files.to_batches(columns=["image_id", *columns])


def _pictures(
    context: Context, batch: str, scratch: Path
) -> Callable[[Sequence[str]], Iterator[Sequence[bytes | None]]]:
    def rows() -> Iterator[tuple[str, bytes]]:
        for found in _batches_of(context, THUMBNAILS, batch, ["data"]):
            for name, data in zip(
                found["image_id"].to_pylist(), found["data"].to_pylist(), strict=True
            ):
                yield name, data or b""

    def of(image_ids: Sequence[str]) -> Iterator[Sequence[bytes | None]]:
        spool = _Spool(rows(), scratch)
        try:
            for start in range(0, len(image_ids), IMAGES_OF_A_SHEET):
                yield [spool.get(n) or None for n in image_ids[start : start + IMAGES_OF_A_SHEET]]
        finally:
            spool.close()

    return of


def _lists(
    context: Context, table: Table, batch: str, columns: list[str], kind: str
) -> Iterator[tuple[str, bytes]]:
    """Yield the lists of every image, one after another, as numbers of one type."""
    for found in _batches_of(context, table, batch, columns):
        pairs = [to_lists(found[column]) for column in columns]
        for row, name in enumerate(found["image_id"].to_pylist()):
            yield (
                name,
                b"".join(v[o[row] : o[row + 1]].astype(kind).tobytes() for v, o in pairs),
            )


def _features(
    context: Context, batch: str, variant: str, sizes: dict[str, int], scratch: Path
) -> Callable[[Sequence[str]], Iterator[Features]]:
    own = context.of_variant(variant)

    def of(image_ids: Sequence[str]) -> Iterator[Features]:
        places = _Spool(_lists(own, FEATURES, batch, ["x", "y", "size"], "<f4"), scratch)
        angles = _Spool(_lists(own, FEATURES, batch, ["angle"], "<f4"), scratch)
        words = _Spool(_lists(own, WORDS, batch, ["feature_words"], "<i4"), scratch)
        try:
            for start in range(0, len(image_ids), IMAGES_OF_A_SHEET):
                some = image_ids[start : start + IMAGES_OF_A_SHEET]
                yield _joined(
                    [(places.get(n), angles.get(n), words.get(n), sizes[n]) for n in some]
                )
        finally:
            places.close()
            angles.close()
            words.close()

    return of


def _joined(images: Sequence[tuple[bytes, bytes, bytes, int]]) -> Features:
    """Return features of some images.

    Each has places, angles, words, and the longer side in pixels (0: unknown).
    """
    parts: list[NDArray[np.float32]] = [np.zeros((3, 0), np.float32)]
    turns = [np.zeros(0, np.float32)]
    words = [np.zeros(0, np.int32)]
    counts = []
    for place, angle, word, side in images:
        own = np.frombuffer(word, "<i4")
        pixels = np.frombuffer(place, "<f4").reshape(3, -1)
        if pixels.shape[1] != len(own):  # of an image that was extracted but has no words
            own, pixels = own[:0], pixels[:, :0]
        longer = side or max(1.0, float(pixels[:2].max(initial=1)))
        parts.append((pixels / np.float32(longer)).astype(np.float32))
        degrees = np.frombuffer(angle, "<f4")
        if len(degrees) != len(own):  # imported ones have none
            degrees = np.zeros(len(own), np.float32)
        turns.append(np.maximum(degrees, 0) / np.float32(360))  # -1: none
        words.append(own)
        counts.append(len(own))
    joined = np.concatenate(parts, axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    turn = np.concatenate(turns)
    return Features(offsets, joined[0], joined[1], joined[2], turn, np.concatenate(words))


# -- structures -----------------------------------------------------------------------------------


def _variant(context: Context, name: str, places: _Places) -> Variant:
    own = context.of_variant(name)
    table = own.small(STRUCTURES).sort_by("structure_id")
    structures = load_structures(table)
    images = _images(context, name, len(structures), places)
    mining = context.settings(MiningSettings)
    judged = mining.decoys > 0 and mining.seeds > 0
    fates = {row["structure_id"]: row for row in _small(own, LINEAGE)}
    said = {row["lineage_id"]: row for row in _small(own, STRUCTURE_NAMES)}
    verified = {row["structure_id"]: row["verified"] for row in _small(own, VERIFICATIONS)}
    labels = _labels(context, name)
    kin = related(structures)
    surest = [q for q in table["q"].to_pylist() if q is not None]
    surest = [q for q in surest if q == min(surest)]
    # no decoy was as sure: (0 + 1) / decoys / structures
    at_floor = bool(surest) and math.isclose(surest[0] * mining.decoys * len(surest), 1)
    unwanted = context.settings(StructuresSettings).exclude_kinds
    lineages = [fates.get(number, {}).get("lineage_id") for number in range(len(structures))]
    left_out = [of_kinds(said.get(one, {}).get("kind"), unwanted) for one in lineages]
    patterns = {row["structure_id"]: row for row in _small(own, PATTERNS)}
    against = any(row["chance"] != "totals" for row in _small(own, TUNING))
    total = sum(places.sizes)
    rows = []
    for row in table.to_pylist():
        number = row["structure_id"]
        fate = fates.get(number, {})
        told = said.get(fate.get("lineage_id"), {})
        classes = labels.get(number, [])
        rows.append(
            {
                "id": number,
                "lineage": fate.get("lineage_id") or str(number),
                "event": fate.get("event"),
                "gained": fate.get("words_gained"),
                "lost": fate.get("words_lost"),
                "name": told.get("name"),
                "kind": told.get("kind"),
                "left_out": left_out[number],
                "note": told.get("note"),
                "words": row["words"],
                "frequencies": row["frequencies"],
                **{what: row[what] for what in _NUMBERS},
                "beyond": row["lift_beyond"] if against else None,
                "least": at_floor and row["q"] == surest[0],
                "surprise": row["surprise"] if math.isfinite(row["surprise"]) else None,
                "established": bool(row["significant"] and row["reproducible"]) if judged else None,
                "verified": verified.get(number),
                "images": len(images[number][0]),
                "coverage": row["support"] / total if total else 0,
                "labels": classes[:_CLASSES],
                "labelled": sum(count for _, count, _ in classes),
                "typical": typical(classes),
                "related": kin[number],
                **{what: patterns[number][what] for what in _PATTERN},
            }
        )
    return Variant(name=name, structures=rows, images=images)


def _beside(variants: Sequence[Variant], places: _Places) -> list[Variant]:
    """Return the variants, each structure with those of the others in most nearly its images."""
    images = {
        one.name: [places.starts[batch] + image for batch, image, _ in one.images]
        for one in variants
    }
    found = []
    for one in variants:
        rows = [dict(row) for row in one.structures]
        for other in variants:
            if other is not one:
                near = counterparts(images[one.name], images[other.name])
                for row, those in zip(rows, near, strict=True):
                    row.setdefault("beside", {})[other.name] = those
        found.append(replace(one, structures=rows))
    return found


def _small(context: Context, table: Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = context.small(table).to_pylist() if context.has(table) else []
    return rows


def _images(
    context: Context, variant: str, count: int, places: _Places
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Return the images of every structure, the best first."""
    columns = ["structure_id", "rank", *_NAMES, "overlap"]
    rows = _rows(context, STRUCTURE_IMAGES, columns, variant)
    rows = rows.sort_by([("structure_id", "ascending"), ("rank", "ascending")]).combine_chunks()
    batches, images = places.of(rows)
    overlaps = rows["overlap"].to_numpy()
    ends = np.searchsorted(rows["structure_id"].to_numpy(), np.arange(count + 1))
    return [
        (batches[a:b], images[a:b], overlaps[a:b])
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _labels(context: Context, variant: str) -> dict[int, list[tuple[str, int, float]]]:
    """Return the labels of each structure's images: label, images, share of all; many first."""
    images = _rows(context, IMAGES, [*_NAMES, "label"])
    images = images.filter(images["label"].is_valid())
    if not images.num_rows:
        return {}
    pairs = _rows(context, STRUCTURE_IMAGES, ["structure_id", *_NAMES], variant)
    keys = [pc.binary_join_element_wise(t["batch"], t["image_id"], "/") for t in (images, pairs)]
    labels = images["label"].take(pc.index_in(keys[1], keys[0].combine_chunks()))
    counted = (
        pairs.append_column("label", labels)
        .group_by(["structure_id", "label"])
        .aggregate([([], "count_all")])
        .sort_by([("count_all", "descending"), ("label", "ascending")])
    )
    whole = {row["values"]: row["counts"] for row in pc.value_counts(images["label"]).to_pylist()}
    found: dict[int, list[tuple[str, int, float]]] = {}
    for row in counted.to_pylist():
        if row["label"] is not None:
            share = whole[row["label"]] / images.num_rows
            told = (row["label"], row["count_all"], share)
            found.setdefault(row["structure_id"], []).append(told)
    return found
