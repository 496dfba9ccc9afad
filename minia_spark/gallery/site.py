"""Writes the gallery: one folder that works from the file system, without a network.

``gallery.html`` is the page, ``gallery.js`` its program (built from ``explorer/web/``),
``gallery-data.js`` says what there is, and ``map/`` holds the data in parts, as those of the map's
page (:mod:`minia_spark.explorer.parts`). What belongs to a batch (names, pictures, features) is
written once and taken from the page before as long as it does not change; what is said of
structures is small, and written each time. What other lines know of images (places on maps, nearest
images, clusters, predictions) is in parts of its own, of which only those that changed are new.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError
from minia_spark.base.pages import templates_of
from minia_spark.explorer import palette, parts
from minia_spark.explorer.sheets import IMAGES
from minia_spark.explorer.site import LARGE, Pictures, Writer, sheets_of

__all__ = [
    "Batch",
    "Features",
    "Gallery",
    "Map",
    "Nearest",
    "Variant",
    "Written",
    "density",
    "write",
]

PAGE = "gallery.html"
ABOVE = "index-above.html"
DATA = "gallery-data.js"
PARTS = "map"
FORMAT = 2
"""Of the parts; pages of another one are not built upon."""
BLOCK = 64
"""Structures whose images are in a part."""
_WHOLE = 65_535
_CELLS = 96  # along a side of a map that is drawn small
_PART = re.compile(r"[a-z]+[0-9]*-[0-9a-f]{10}-[0-9]{1,7}-[0-9a-f]{16}\.(?:js|jpg)")


@dataclass(frozen=True)
class Features:
    """Features of some images, one image after another.

    Attributes
    ----------
    offsets : int64 array, shape (n + 1,)
        Image i has features ``offsets[i]:offsets[i + 1]``.
    x, y, size : float32 arrays
        As shares of the longer side of the image, in which the middle of its first pixel is 0.
    turn : float32 array
        From +x towards +y, as a share of a whole turn, 0 to 1: so much each has been turned.
    words : int array
    """

    offsets: NDArray[np.int64]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    size: NDArray[np.float32]
    turn: NDArray[np.float32]
    words: NDArray[np.integer]


@dataclass(frozen=True)
class Map:
    """A map on which images have a place.

    Attributes
    ----------
    name : str
        Of the embedding.
    box : tuple of float
        Smallest x and y, largest x and y: the frame that the map is drawn in.
    """

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Nearest:
    """The nearest images of each image of a batch, one image after another.

    Attributes
    ----------
    counts : int64 array, shape (n,)
        How many are told of image i.
    batches, images : int64 arrays, shape (sum of counts,)
        The number of the batch of each, and its place in it; the nearest first.
    distances : float64 array
    """

    counts: NDArray[np.int64]
    batches: NDArray[np.int64]
    images: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The images of one batch; everything is in the order of `image_ids`.

    Attributes
    ----------
    name : str
    image_ids : string array, shape (n,)
        All different, in the order in which parts hold them.
    labels : string array, shape (n,)
    ra, dec : float64 arrays, shape (n,)
        In degrees; null: not known.
    width, height : int arrays, shape (n,)
        In pixels; null: not known.
    rejected : int
        Files that could not be used.
    pictures : callable
        From names to encoded copies.
    features : mapping
        Extractor to what gives :class:`Features` of 256 images at a time.
    digest : str
        Of pictures and features: parts of the same one are taken over.
    places : mapping
        Map to positions, float64 array of shape (n, 2); NaN where an image is not on it.
    nearest : mapping
        Embedding to :class:`Nearest`.
    values : mapping
        What else is known of the images, by its name: texts or numbers of shape (n,), in the order
        in which they are shown; null: not known.
    """

    name: str
    image_ids: pa.StringArray
    labels: pa.StringArray
    ra: pa.Array
    dec: pa.Array
    width: pa.Array
    height: pa.Array
    rejected: int
    pictures: Pictures
    features: Mapping[str, Callable[[Sequence[str]], Iterator[Features]]]
    digest: str
    places: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    nearest: Mapping[str, Nearest] = field(default_factory=dict)
    values: Mapping[str, pa.Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What one extractor found.

    Attributes
    ----------
    name : str
    structures : list of dict
        A row a structure, in the order of their numbers; JSON values.
    images : list of (batch, image, overlap) arrays
        Of each structure, the best first: number of the batch, place in it, 0 to 1.
    """

    name: str
    structures: Sequence[Mapping[str, Any]]
    images: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What the page shows."""

    title: str
    batches: Sequence[Batch]
    variants: Sequence[Variant]
    made: str = ""
    home: str = ""
    """Address of the overview of everything, below the warehouse; empty: there is none."""
    map_page: str = ""
    """Address of the page of the map, below the warehouse; empty: there is none."""
    maps: Sequence[Map] = ()
    cell_px: int = 96
    large: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the overview: JSON values."""


@dataclass(frozen=True)
class Written:
    """What `write` did."""

    index: Path
    images: int
    structures: int
    kept: int
    new: int


def write(
    gallery: Gallery, folder: Path, previous: Path | None = None, *, threads: int = 1
) -> Written:
    """Write the page.

    Parameters
    ----------
    gallery : Gallery
    folder : Path
        Made when it does not exist; must be empty.
    previous : Path or None
        Folder of the page before, from which parts that did not change are taken.
    threads : int
        Sheets that are made at the same time.

    Raises
    ------
    MiniaError
        The folder is not empty or cannot be written.
    """
    before = _manifest(previous)
    target = folder / PARTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MiniaError(f"gallery: the folder {folder} is not empty")
        target.mkdir()
        writer = Writer(target, previous / PARTS if previous and before else None, threads)
        known = {} if before is None else {one["name"]: one for one in before["batches"]}
        head = {
            "format": FORMAT,
            "title": gallery.title,
            "made": gallery.made,
            "map_page": gallery.map_page,
            "cell": gallery.cell_px,
            "chunk": IMAGES,
            "large": LARGE,
            "block": BLOCK,
            "palette": {"dark": palette.DARK, "other": palette.OTHER},
            "facts": gallery.facts,
            "batches": [
                _batch(gallery, batch, writer, known.get(batch.name))
                | _known(gallery, batch, parts.digest(batch.name, size=5), writer)
                for batch in gallery.batches
            ],
            "maps": [_map(gallery, number, writer) for number in range(len(gallery.maps))],
            "variants": [
                _variant(variant, len(gallery.batches), writer) for variant in gallery.variants
            ],
        }
        (folder / DATA).write_bytes(parts.script("site", head))
        _write_static(gallery, folder)
    except OSError as error:
        raise MiniaError(f"gallery: {folder} cannot be written: {error}") from error
    return Written(
        index=folder / PAGE,
        images=sum(len(batch.image_ids) for batch in gallery.batches),
        structures=sum(len(variant.structures) for variant in gallery.variants),
        kept=writer.kept,
        new=writer.new,
    )


def _manifest(previous: Path | None) -> Mapping[str, Any] | None:
    if previous is None:
        return None
    try:
        text = (previous / DATA).read_text(encoding="ascii")
        found = json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


# -- batches --------------------------------------------------------------------------------------


def _batch(
    gallery: Gallery, batch: Batch, writer: Writer, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Write the parts of a batch, and return what the page has to know of it."""
    key = parts.digest(batch.name, size=5)
    told: dict[str, Any] = {"name": batch.name, "n": len(batch.image_ids)}
    told["rejected"] = batch.rejected
    told |= {"has_sky": batch.ra.null_count < len(batch.ra)}
    told["about"] = [
        writer.script("about", key, place, _about(batch, start))
        for place, start in enumerate(range(0, len(batch.image_ids), parts.POINTS))
    ]
    stamp = parts.digest(batch.digest, str((gallery.cell_px, gallery.large)), *told["about"])
    if before is not None and before["stamp"] == stamp:
        heavy = {name: before[name] for name in ("sheets", "there", "larger", "features")}
        of_features = [name for one in heavy["features"].values() for name in one]
        listed = [*heavy["sheets"], *heavy["larger"], *of_features]
        if all(map(_PART.fullmatch, listed)) and all(map(writer.take, listed)):
            return told | heavy | {"stamp": stamp}
    return (
        told
        | _pictures(gallery, batch, key, writer)
        | _features(batch, key, writer)
        | {"stamp": stamp}
    )


def _known(gallery: Gallery, batch: Batch, key: str, writer: Writer) -> dict[str, Any]:
    """Write what other lines know of the images of a batch."""
    starts = range(0, len(batch.image_ids), IMAGES)
    places = []
    for number, one in enumerate(gallery.maps):
        points = batch.places.get(one.name)
        names = []
        if points is not None and np.isfinite(points).any():
            whole = parts.quantised(_inside(points, one.box), one.box)
            for place, start in enumerate(range(0, len(whole), parts.POINTS)):
                part = parts.positions(whole[start : start + parts.POINTS])
                names.append(writer.script(f"place{number}", key, place, part))
        places.append(names)
    nearest = {}
    for order, (name, found) in enumerate(sorted(batch.nearest.items())):
        ends = np.concatenate([[0], np.cumsum(found.counts)])
        nearest[name] = [
            writer.script(f"near{order}", key, place, _near(gallery, found, ends, start))
            for place, start in enumerate(starts)
        ]
    values = []
    if batch.values:
        for place, start in enumerate(starts):
            some = ((name, array[start : start + IMAGES]) for name, array in batch.values.items())
            rows = {name: own.to_pylist() for name, own in some if own.null_count < len(own)}
            values.append(writer.script("known", key, place, _json_part("known", rows)))
    return {"places": places, "nearest": nearest, "known": values}


def _inside(
    points: NDArray[np.float64], box: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """Return positions within a box: what was placed outside of it is at its edge."""
    return np.clip(points, np.array(box[:2]), np.array(box[2:]))


def _near(gallery: Gallery, found: Nearest, ends: NDArray[np.int64], start: int) -> parts.Part:
    """Return the part of the nearest images of 256 images; batches by name, so that it lasts."""
    counts = found.counts[start : start + IMAGES]
    here = slice(int(ends[start]), int(ends[start + len(counts)]))
    owners, codes = np.unique(found.batches[here], return_inverse=True)
    head = {"kind": "near", "n": len(counts)}
    head["batches"] = [gallery.batches[number].name for number in owners]
    blobs = [counts.astype("<u4"), codes.astype("<u4"), found.images[here].astype("<u4")]
    blobs.append(found.distances[here].astype("<f4"))
    return head, [zlib.compress(blob.tobytes(), 6) for blob in blobs]


def _json_part(kind: str, value: Any) -> parts.Part:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return {"kind": kind}, [zlib.compress(text.encode(), 6)]


def density(points: NDArray[np.float64], box: tuple[float, float, float, float]) -> NDArray[Any]:
    """Return how many images are where on a map, for a small drawing of it.

    Parameters
    ----------
    points : float64 array, shape (n, 2)
        x and y; NaN: not on the map. What lies outside of the box counts at its edge.
    box : tuple of float
        Smallest x and y, largest x and y.

    Returns
    -------
    uint8 array, shape (96, 96)
        Rows from the largest y downwards; 0 where there is nothing, 255 at the most crowded place,
        by the logarithm of the number between.
    """
    points = _inside(points[np.isfinite(points).all(axis=1)], box)
    ranges = [[box[1], box[3]], [box[0], box[2]]]
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=_CELLS, range=ranges)
    most = np.log1p(counts.max())
    shares = np.log1p(counts) / most if most else counts
    return np.ceil(shares[::-1] * 255).astype(np.uint8)


def _map(gallery: Gallery, number: int, writer: Writer) -> dict[str, Any]:
    """Write how crowded a map is where, and return what the page has to know of it."""
    one = gallery.maps[number]
    none = np.zeros((0, 2))
    found = [batch.places.get(one.name, none) for batch in gallery.batches]
    points = np.concatenate([none, *found])
    grid = zlib.compress(density(points, one.box).tobytes(), 6)
    key = parts.digest(one.name, size=5)
    part = {"kind": "density", "side": _CELLS}, [grid]
    return {"name": one.name, "density": writer.script("density", key, 0, part)}


def _about(batch: Batch, start: int) -> parts.Part:
    """Return names, labels, positions and sizes of up to 65,536 images."""
    here = slice(start, start + parts.POINTS)

    def texts(values: pa.Array) -> bytes:
        listed = [value or "" for value in values[here].to_pylist()]
        return zlib.compress(json.dumps(listed, ensure_ascii=True).encode(), 6)

    def numbers(values: pa.Array, kind: str) -> bytes:
        plain = values[here].cast(pa.float64()).fill_null(float("nan")).to_numpy()
        return zlib.compress(plain.astype(kind).tobytes(), 6)

    blobs = [texts(batch.image_ids), texts(batch.labels)]
    blobs += [numbers(batch.ra, "<f8"), numbers(batch.dec, "<f8")]
    blobs += [numbers(batch.width, "<f4"), numbers(batch.height, "<f4")]
    return {"kind": "about", "n": len(batch.image_ids[here])}, blobs


def _pictures(gallery: Gallery, batch: Batch, key: str, writer: Writer) -> dict[str, Any]:
    sheets: list[str] = []
    larger: list[str] = []
    there: list[bool] = []
    wanted = batch.pictures(batch.image_ids.to_pylist())
    for number, (copies, (made, seen)) in enumerate(
        sheets_of(wanted, gallery.cell_px, writer.threads)
    ):
        sheets.append(writer.put("sheet", key, number, "jpg", made))
        there += seen
        if gallery.large:
            good = [copy if copy and one else b"" for copy, one in zip(copies, seen, strict=True)]
            for start in range(0, len(good), LARGE):
                some = good[start : start + LARGE]
                place = (number * IMAGES + start) // LARGE
                larger.append(
                    writer.script(
                        "larger", key, place, ({"kind": "pictures", "n": len(some)}, some)
                    )
                )
    return {"sheets": sheets, "larger": larger, "there": sum(there)}


def _features(batch: Batch, key: str, writer: Writer) -> dict[str, Any]:
    names = batch.image_ids.to_pylist()
    return {
        "features": {
            variant: [
                writer.script(f"features{order}", key, place, _chunk(found))
                for place, found in enumerate(source(names))
            ]
            for order, (variant, source) in enumerate(sorted(batch.features.items()))
        }
    }


def _chunk(found: Features) -> parts.Part:
    """Return the part of the features of 256 images."""
    counts = np.diff(found.offsets).astype("<u4")
    shares = np.stack([found.x, found.y, found.size, found.turn])
    whole = np.floor(np.clip(shares, 0, 1) * _WHOLE + 0.5).astype("<u2")
    blobs = [counts.tobytes(), whole.tobytes(), found.words.astype("<u4").tobytes()]
    return {"kind": "features", "n": len(counts)}, [zlib.compress(blob, 6) for blob in blobs]


# -- structures -----------------------------------------------------------------------------------


def _variant(variant: Variant, batches: int, writer: Writer) -> dict[str, Any]:
    """Write what is said of structures, and which images they have; return where."""
    key = parts.digest(variant.name, size=5)
    table = writer.script("structures", key, 0, _json_part("structures", list(variant.structures)))
    images = []
    for place, start in enumerate(range(0, len(variant.images), BLOCK)):
        some = variant.images[start : start + BLOCK]
        counts = np.array([len(batch) for batch, _, _ in some], "<u4")
        joined = [np.concatenate([one[k] for one in some]) for k in range(3)]
        blobs = [
            counts.tobytes(),
            joined[0].astype("<u4").tobytes(),
            joined[1].astype("<u4").tobytes(),
            joined[2].astype("<f4").tobytes(),
        ]
        part = {"kind": "images", "n": len(some)}, [zlib.compress(blob, 6) for blob in blobs]
        images.append(writer.script("images", key, place, part))
    return {
        "name": variant.name,
        "structures": len(variant.structures),
        "table": table,
        "images": images,
        "held": _held(variant, batches, key, writer),
    }


def _held(variant: Variant, batches: int, key: str, writer: Writer) -> list[str]:
    """Write which structures the images of each batch hold, and return the parts' names."""
    sizes = [len(batch) for batch, _, _ in variant.images]
    none = np.zeros(0, np.int64)
    owners, images, overlaps = (
        np.concatenate([none, *(one[k] for one in variant.images)]) for k in range(3)
    )
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((numbers, -overlaps, images, owners))
    ends = np.searchsorted(owners[order], np.arange(batches + 1))
    names = []
    for number in range(batches):
        own = order[ends[number] : ends[number + 1]]
        columns = ((images, "<u4"), (numbers, "<u4"), (overlaps, "<f4"))
        blobs = [zlib.compress(column[own].astype(kind).tobytes(), 6) for column, kind in columns]
        names.append(writer.script("held", key, number, ({"kind": "held", "n": len(own)}, blobs)))
    return names


def _write_static(gallery: Gallery, folder: Path) -> None:
    web = files("minia_spark.explorer") / "web"
    (folder / "gallery.js").write_bytes((web / "gallery.js").read_bytes())
    environment = templates_of("minia_spark.gallery", "minia_spark.report")
    for name, template, here in (
        (PAGE, PAGE, ""),
        ("gallery.css", "gallery.css", ""),
        (ABOVE, PAGE, f"{folder.name}/"),
    ):
        text = environment.get_template(template).render(gallery=gallery, here=here)
        (folder / name).write_text(text, encoding="utf-8")
