"""Writes the map's page: one folder that works from the file system, without a network.

``map.html`` is the page, ``map.js`` its program (built from ``web/``), ``map-data.js`` says what
there is, and ``map/`` holds the data in parts: scripts with arrays (see :mod:`.parts`) and sheets
of small images (see :mod:`.sheets`). A part's name has the hash of its content. So a new batch adds
parts of its own, and those of the batches before are the same files, bit for bit: they are linked
or copied from the folder of the page before, and their thumbnails are not read again.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError
from minia_spark.base.pages import templates_of
from minia_spark.explorer import palette, parts
from minia_spark.explorer.sheets import IMAGES, sheet

__all__ = [
    "LARGE",
    "Batch",
    "Box",
    "Field",
    "Map",
    "Pictures",
    "Site",
    "Writer",
    "Written",
    "at_hand",
    "frozen_box",
    "sheets_of",
    "write",
]

PAGE = "map.html"
ABOVE = "index-above.html"
DATA = "map-data.js"
PARTS = "map"
BATCH = "batch"
"""Name of the field that the page has by itself."""
FORMAT = 1
"""Of the parts; pages of another one are not built upon."""
MARGIN = 0.15
"""Room around the first images of a map, as a share of its side: new ones may lie further out."""
LARGE = 32
"""Images of a part with larger copies."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_PART = re.compile(r"[a-z]+-[0-9a-f]{10}-[0-9]{1,7}-[0-9a-f]{16}\.(?:js|jpg)")
_LINK = re.compile(r"(?:https?://|file:///|(?![A-Za-z][A-Za-z0-9+.-]*:)(?!//))[^\x00-\x20\\\x7f]*")
_NO_PICTURES: dict[str, Any] = {
    "places": [],
    "sheets": [],
    "larger": [],
    "pictures": 0,
    "stamp": "",
}
_STATIC = ("map.js", "map.js.LICENSES.txt")

Box: TypeAlias = tuple[float, float, float, float]
"""Smallest x and y, largest x and y."""
Pictures: TypeAlias = Callable[[Sequence[str]], Iterator[Sequence[bytes | None]]]
"""From names of images to their encoded copies, in that order, some at a time."""


@dataclass(frozen=True, kw_only=True)
class Map:
    """One layout of the images."""

    name: str
    """Small letters, digits, dots, hyphens and underscores."""
    about: str = ""
    """What it was made from, and how good it is: shown on it."""
    version: str = ""
    """Of its layout: positions of another version have nothing to do with those before."""
    frame: Box | None = None
    """Within which new images are expected; None: around those that are there."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """Something that images are coloured and chosen by."""

    name: str
    """Shown; any text."""
    kind: Literal["category", "tags", "number"]
    """One text an image, several texts, or a number; each may be missing."""
    about: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    """Value -> a page about it, relative to the map's folder."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The images of one batch."""

    name: str
    image_ids: pa.StringArray
    """Shape (n,), all different; also the order of everything below."""
    positions: Mapping[str, NDArray[np.float64]]
    """Map -> shape (n, 2); NaN where an image is not on it."""
    values: Mapping[str, pa.Array] = field(default_factory=dict)
    """Field -> texts, lists of texts, or numbers."""
    links: pa.StringArray | None = None
    """A page or file of every image, relative to the map's folder; null: none."""
    pictures: Pictures | None = None
    """Small copies; None: none."""
    pictures_digest: str = ""
    """Of the copies: those with the same one are taken over from the page before."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the page shows."""

    title: str
    maps: Sequence[Map]
    """At least one; thumbnails lie in the order of the first."""
    fields: Sequence[Field]
    """The first one colours the map at first."""
    batches: Sequence[Batch]
    made: str = ""
    """The page's last line: by what and when."""
    home: str = ""
    """Link to the overview of everything; empty: none."""
    gallery: str = ""
    """Link to the page of structures and images; empty: none."""
    cell_px: int = 64
    """Side of a small image in the sheets."""
    large: bool = True
    """Also take the copies over as they are, to be shown when an image is chosen."""


@dataclass(frozen=True)
class Written:
    """What `write` did."""

    index: Path
    images: int
    kept: int
    """Parts that were taken from the page before."""
    new: int
    """Parts that were written."""
    missing: int
    """Images without a picture."""


def frozen_box(
    positions: Sequence[NDArray[np.float64]], before: Box | None = None, margin: float = MARGIN
) -> Box:
    """Return the square within which a map's positions are stored.

    Parameters
    ----------
    positions : sequence of float arrays, shape (n, 2)
        Of all batches; NaN: not on the map.
    before : Box, optional
        The box of the page before: kept as long as everything is inside.
    margin : float
        Share of the side that is added on each side of a new box.
    """
    found = [p[np.isfinite(p).all(axis=1)] for p in positions]
    low = np.array([math.inf, math.inf])
    high = -low
    for some in found:
        if len(some):
            low, high = np.minimum(low, some.min(axis=0)), np.maximum(high, some.max(axis=0))
    empty = not np.isfinite(low).all()
    if before is not None and (empty or ((low >= before[:2]).all() and (high <= before[2:]).all())):
        return before
    if empty:
        return (-1.0, -1.0, 1.0, 1.0)
    if before is not None:
        low, high = np.minimum(low, before[:2]), np.maximum(high, before[2:])
    return _square(np.concatenate([low, high]), margin)


def _square(ends: NDArray[np.float64], margin: float) -> Box:
    low, high = ends[:2], ends[2:]
    middle = (low + high) / 2
    half = float((high - low).max()) / 2 * (1 + 2 * margin)
    half = half or max(1.0, float(np.abs(middle).max()))  # one image, or all at one place
    (x0, y0), (x1, y1) = (middle - half).tolist(), (middle + half).tolist()
    return (x0, y0, x1, y1)


def at_hand(pictures: Mapping[str, bytes]) -> Pictures:
    """Return what :class:`Batch` wants of pictures that are all at hand."""

    def of(image_ids: Sequence[str]) -> Iterator[Sequence[bytes | None]]:
        for start in range(0, len(image_ids), IMAGES):
            yield [pictures.get(name) for name in image_ids[start : start + IMAGES]]

    return of


def write(
    site: Site,
    folder: Path,
    previous: Path | None = None,
    *,
    threads: int = 1,
    seen_from_above: bool = False,
) -> Written:
    """Write the page.

    Parameters
    ----------
    site : Site
    folder : Path
        Made when it does not exist; must be empty.
    previous : Path, optional
        Folder of the page before, on the same file system at best. What did not change is taken
        from there; another format, or none that can be read, is passed over.
    threads : int
        Sheets of small images that are made at the same time. The files are the same for any.
    seen_from_above : bool
        Also write `ABOVE`: the page as it must be when it stands in the folder above.

    Raises
    ------
    MiniaError
        The folder is not empty or cannot be written.
    ValueError
        Lengths differ, a name is there twice or of another form, a link leads to something else
        than a page.
    """
    _check(site)
    before = _manifest(previous)
    target = folder / PARTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MiniaError(f"explorer: the folder {folder} is not empty")
        target.mkdir()
        keep = None if previous is None or before is None else previous / PARTS
        writer = Writer(target, keep, threads)
        boxes = _boxes(site, before)
        batches = [
            _batch(site, batch, boxes, writer, _of_batch(before, batch.name))
            for batch in site.batches
        ]
        head = {
            "format": FORMAT,
            "title": site.title,
            "made": site.made,
            "home": site.home,
            "gallery": site.gallery,
            "points": parts.POINTS,
            "cell": site.cell_px,
            "large": LARGE,
            "palette": {
                "light": palette.LIGHT,
                "dark": palette.DARK,
                "other": palette.OTHER,
                "scale": palette.SCALE,
            },
            "maps": [
                {"name": m.name, "about": m.about, "version": m.version, "box": boxes[m.name]}
                for m in site.maps
            ],
            "fields": [_field(site, one) for one in site.fields],
            "batches": batches,
        }
        (folder / DATA).write_bytes(parts.script("site", head))
        _write_static(site, folder, seen_from_above=seen_from_above)
    except OSError as error:
        raise MiniaError(f"explorer: {folder} cannot be written: {error}") from error
    return Written(
        index=folder / PAGE,
        images=sum(len(b.image_ids) for b in site.batches),
        kept=writer.kept,
        new=writer.new,
        missing=sum(len(b.image_ids) - int(d["pictures"]) for b, d in _pairs(site, batches)),
    )


def _pairs(
    site: Site, written: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Batch, Mapping[str, Any]]]:
    return zip(site.batches, written, strict=True)


class Writer:
    """Writes parts, or takes the same ones from the page before."""

    def __init__(self, folder: Path, previous: Path | None, threads: int) -> None:
        self.folder = folder
        self.previous = previous
        self.threads = threads
        self.kept = self.new = 0

    def put(self, kind: str, batch: str, place: int, suffix: str, data: bytes) -> str:
        """Write a file, and return its name."""
        name = f"{kind}-{batch}-{place}-{parts.digest(data)}.{suffix}"
        if not self.take(name):
            (self.folder / name).write_bytes(data)
            self.new += 1
        return name

    def script(self, kind: str, batch: str, place: int, part: parts.Part) -> str:
        """Write a part as a script, and return its name."""
        return self.put(kind, batch, place, "js", parts.script("part", *part))

    def take(self, name: str) -> bool:
        """Take a file from the page before, if it is there."""
        if self.previous is None or not (self.previous / name).is_file():
            return False
        if not (self.folder / name).exists():
            try:
                os.link(self.previous / name, self.folder / name)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(self.previous / name, self.folder / name)
            self.kept += 1
        return True


def _check(site: Site) -> None:
    names = [m.name for m in site.maps]
    if not names or len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
        raise ValueError(
            f"maps must have different names of small letters, digits, '.', '-' and '_': {names}"
        )
    fields = [f.name for f in site.fields]
    for what, found in (("fields", fields), ("batches", [b.name for b in site.batches])):
        if len(set(found)) < len(found):
            raise ValueError(f"two {what} have the same name: {found}")
    if BATCH in fields:
        raise ValueError(f"a field must not be called {BATCH!r}: the page has one of that name")
    for link in [site.home, site.gallery, *(v for f in site.fields for v in f.links.values())]:
        _check_link(link)
    for batch in site.batches:
        _check_batch(batch, names, fields)


def _check_batch(batch: Batch, maps: Sequence[str], fields: Sequence[str]) -> None:
    count = len(batch.image_ids)
    for wanted, given in ((maps, batch.positions), (fields, batch.values)):
        if set(wanted) != set(given):
            raise ValueError(f"batch {batch.name!r} has {sorted(given)}, not {sorted(wanted)}")
    columns = {**batch.positions, **batch.values}
    if batch.links is not None:
        columns["links"] = batch.links
        for link in pc.drop_null(batch.links).to_pylist():
            _check_link(link)
    for what, column in columns.items():
        if len(column) != count:
            raise ValueError(
                f"batch {batch.name!r} has {count} images but {what!r} has {len(column)}"
            )
    if pc.count_distinct(batch.image_ids, mode="all").as_py() < count:
        raise ValueError(f"batch {batch.name!r} has an image twice")


def _check_link(link: str) -> None:
    if not _LINK.fullmatch(link):
        raise ValueError(f"{link!r} is no link to a page: it must be relative, http(s) or a file")


def _manifest(previous: Path | None) -> Mapping[str, Any] | None:
    """Return what the page before holds; None where there is none that can be built upon."""
    if previous is None:
        return None
    try:
        text = (previous / DATA).read_text(encoding="ascii")
        found = json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _of_batch(manifest: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    batches = [] if manifest is None else manifest["batches"]
    return next((batch for batch in batches if batch["name"] == name), None)


def _boxes(site: Site, before: Mapping[str, Any] | None) -> dict[str, Box]:
    known = {} if before is None else {(m["name"], m["version"]): m["box"] for m in before["maps"]}
    found = {}
    for one in site.maps:
        box = known.get((one.name, one.version))
        frame = None if one.frame is None else _square(np.asarray(one.frame), 0.0)
        found[one.name] = frozen_box(
            [batch.positions[one.name] for batch in site.batches],
            tuple(box) if box is not None else frame,
        )
    return found


def _batch(
    site: Site,
    batch: Batch,
    boxes: Mapping[str, Box],
    writer: Writer,
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Write the parts of a batch, and return what the page has to know of it."""
    key = parts.digest(batch.name, size=5)
    order = parts.hash_order(batch.image_ids)
    starts = range(0, len(order), parts.POINTS)
    taken = pa.array(order)

    def scripts(kind: str, column: pa.Array, make: Callable[[pa.Array], parts.Part]) -> list[str]:
        ordered = column.take(taken)
        return [
            writer.script(kind, key, place, make(ordered.slice(start, parts.POINTS)))
            for place, start in enumerate(starts)
        ]

    placed = {
        name: parts.quantised(np.asarray(batch.positions[name], np.float64)[order], box)
        for name, box in boxes.items()
    }
    makers = {"category": parts.category, "tags": parts.tags, "number": parts.number}
    written: dict[str, Any] = {
        "name": batch.name,
        "n": len(order),
        "names": scripts("names", batch.image_ids, parts.texts),
        "maps": [
            [
                writer.script("at", key, place, parts.positions(points[start:][: parts.POINTS]))
                for place, start in enumerate(starts)
            ]
            for points in placed.values()
        ],
        "fields": [
            scripts("field", _typed(one, batch.values[one.name]), makers[one.kind])
            for one in site.fields
        ],
        "links": [] if batch.links is None else scripts("links", batch.links, parts.texts),
    }
    if batch.pictures is None or not len(order):
        return written | _NO_PICTURES
    stamp = parts.digest(
        batch.pictures_digest,
        str((site.cell_px, site.large, LARGE)),
        *written["names"],
        *written["maps"][0],
    )
    if batch.pictures_digest and before is not None and before["stamp"] == stamp:
        found = {part: before[part] for part in _NO_PICTURES}
        listed = [name for part in ("places", "sheets", "larger") for name in found[part]]
        if all(_PART.fullmatch(name) for name in listed) and all(map(writer.take, listed)):
            return written | found
    names = batch.image_ids.take(taken)
    first = placed[site.maps[0].name]
    return written | _pictures(site, batch, names, first, writer) | {"stamp": stamp}


def _pictures(
    site: Site,
    batch: Batch,
    names: pa.StringArray,
    points: NDArray[np.uint16],
    writer: Writer,
) -> dict[str, Any]:
    """Write the sheets of a batch, in the order of places on the first map."""
    assert batch.pictures is not None
    key = parts.digest(batch.name, size=5)
    curve = np.lexsort((np.arange(len(points)), parts.morton(points)))
    sheets: list[str] = []
    larger: list[str] = []
    there: list[bool] = []
    wanted = batch.pictures(names.take(pa.array(curve)).to_pylist())
    for number, (copies, (made, seen)) in enumerate(
        sheets_of(wanted, site.cell_px, writer.threads)
    ):
        sheets.append(writer.put("sheet", key, number, "jpg", made))
        there += seen
        if site.large:
            good = [copy if copy and one else b"" for copy, one in zip(copies, seen, strict=True)]
            for start in range(0, len(good), LARGE):
                some = good[start : start + LARGE]
                place = (number * IMAGES + start) // LARGE
                part = ({"kind": "pictures", "n": len(some)}, some)
                larger.append(writer.script("larger", key, place, part))
    if len(there) != len(names):
        raise ValueError(
            f"{len(names)} pictures of batch {batch.name!r} were to come, not {len(there)}"
        )
    places = np.empty(len(names), "<u4")
    places[curve] = np.where(there, np.arange(len(names)), np.iinfo(np.uint32).max)
    slots = []
    for place, start in enumerate(range(0, len(names), parts.POINTS)):
        own = places[start : start + parts.POINTS]
        part = ({"kind": "places", "n": len(own)}, [own.tobytes()])
        slots.append(writer.script("places", key, place, part))
    return {"places": slots, "sheets": sheets, "larger": larger, "pictures": sum(there)}


def sheets_of(
    pictures: Iterator[Sequence[bytes | None]], side_px: int, threads: int
) -> Iterator[tuple[Sequence[bytes | None], tuple[bytes, list[bool]]]]:
    """Yield pictures and their sheet; no more are held than threads are at work."""
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(pictures, threads)):
            yield from zip(some, pool.map(partial(sheet, side_px=side_px), some), strict=True)


def _typed(one: Field, values: pa.Array) -> pa.Array:
    kinds = {"category": pa.string(), "tags": pa.list_(pa.string()), "number": pa.float64()}
    return values.cast(kinds[one.kind])


def _field(site: Site, one: Field) -> dict[str, Any]:
    """Return a field with its values, the most frequent first, and how many images have each."""
    columns = [_typed(one, batch.values[one.name]) for batch in site.batches]
    head: dict[str, Any] = {"name": one.name, "kind": one.kind, "about": one.about}
    if one.kind == "number":
        found = [c.to_numpy(zero_copy_only=False) for c in columns]
        known = np.concatenate([np.empty(0), *found])
        known = known[np.isfinite(known)]
        ends = [float(np.float32(end)) for end in (known.min(), known.max())] if len(known) else []
        common = [float(q) for q in np.quantile(known, (0.02, 0.98))] if len(known) else []
        return head | {"ends": ends, "common": common, "known": len(known)}
    counts: Counter[str] = Counter()
    for column in columns:
        flat = column.flatten() if one.kind == "tags" else column
        for row in pc.value_counts(pc.drop_null(flat)).to_pylist():
            counts[row["values"]] += row["counts"]
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return head | {"values": [[value, n, one.links.get(value, "")] for value, n in ranked]}


def _write_static(site: Site, folder: Path, *, seen_from_above: bool) -> None:
    web = files("minia_spark.explorer") / "web"
    for name in _STATIC:
        (folder / name).write_bytes((web / name).read_bytes())
    environment = templates_of("minia_spark.explorer", "minia_spark.report")
    pages = [(PAGE, PAGE, ""), ("map.css", "map.css", "")]
    if seen_from_above:
        pages.append((ABOVE, PAGE, f"{folder.name}/"))
    for name, template, here in pages:
        links = [
            (title, address.removeprefix("../") if here else address)
            for title, address in (("Overview", site.home), ("Gallery", site.gallery))
            if address
        ]
        text = environment.get_template(template).render(site=site, here=here, links=links)
        (folder / name).write_text(text, encoding="utf-8")
