"""Collects what the map's page shows and has it written; the page is made in :mod:`.site`.

Everything is read on the driver, without a job: of an image that is a name, a place and a few
values. Thumbnails are many bytes: they pass through a file, and only those of new batches do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from matplotlib.figure import Figure

from minia_spark import __version__
from minia_spark.engine.context import Context
from minia_spark.engine.room import Facet
from minia_spark.engine.table import Table
from minia_spark.explorer.columns import Column, by_batch, column, placed, telling, values_of
from minia_spark.explorer.figure import figure, in_file
from minia_spark.explorer.settings import ExplorerSettings
from minia_spark.explorer.sheets import IMAGES as IMAGES_OF_A_SHEET
from minia_spark.explorer.site import BATCH, Batch, Field, Map, Site, write
from minia_spark.explorer.tables import EXPLORER
from minia_spark.ingest.tables import IMAGES
from minia_spark.layout.tables import MAP, MAP_FRAMES, MAP_QUALITY
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse.records import now

__all__ = ["run"]

_TO_WAREHOUSE = "../../"  # from the page's folder


@dataclass(frozen=True)
class _Shown:
    """A field of the page, and the column that it is made from."""

    field: Field
    column: Column


def run(context: Context) -> None:
    """Write the page and publish it."""
    settings = context.settings(ExplorerSettings)
    maps = {
        name: _rows(context, MAP, ["batch", "image_id", "x", "y"], name) for name in _maps(context)
    }
    images = _rows(context, IMAGES, ["batch", "image_id"])
    shown = _fields(context, max(table.num_rows for table in maps.values()))
    storage = context.warehouse.storage
    folder = context.folder(EXPLORER)
    with tempfile.TemporaryDirectory() as scratch:
        # of the same name elsewhere: the page in the folder above names it
        near = Path(scratch) / Path(folder).name
        target = near if storage.local is None else storage.local / folder
        site = Site(
            title=settings.title,
            maps=[_map(context, name) for name in maps],
            fields=[one.field for one in shown],
            batches=_batches(context, images, maps, shown, Path(scratch)),
            made=f"Made by minia-spark {__version__} \N{MIDDLE DOT} run {context.run} "
            f"\N{MIDDLE DOT} {now()}",
            home=f"{_TO_WAREHOUSE}report/index.html",
            gallery=_gallery(context),
            cell_px=settings.cell_px,
            large=settings.large_copies,
        )
        written = write(
            site, target, _previous(context), threads=os.cpu_count() or 1, seen_from_above=True
        )
        for one in site.maps:
            made = _figure(context, site, one, settings.figure_thumbnails)
            for kind in ("png", "pdf"):
                (target / f"map-{one.name}.{kind}").write_bytes(in_file(made, kind))
        if storage.local is None:
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(EXPLORER, folder)
    context.counts |= {
        "images": written.images,
        "without_picture": written.missing,
        "files_kept": written.kept,
        "files_new": written.new,
    }


def _gallery(context: Context) -> str:
    """Return the address of the gallery; that it is there is no content, and no reason to run."""
    return f"{_TO_WAREHOUSE}gallery/index.html" if context.view.of_table("gallery") else ""


def _maps(context: Context) -> list[str]:
    """Return the names of the maps; the one of words, which every collection has, is the first."""
    found = {entry.variant or "" for entry in context.entries_of(MAP)}
    return sorted(found, key=lambda name: (name != "words", name))


def _rows(
    context: Context, table: Table, columns: list[str], variant: str | None = None
) -> pa.Table:
    """Return columns of a table; of one variant alone where it has any."""
    schema = pa.schema([field for field in table.arrow_schema() if field.name in columns])
    source = context.of_variant(variant) if table.variants else context
    batches = [one.select(schema.names) for one in source.rows_here(table, columns)]
    return pa.Table.from_batches([one.cast(schema) for one in batches], schema)


def _map(context: Context, name: str) -> Map:
    """Return how a map was made, and what it is worth."""
    (frame,) = _rows(context, MAP_FRAMES, [c.name for c in MAP_FRAMES.columns], name).to_pylist()
    way = {"t-sne": "t-SNE", "pca": "principal components"}.get(frame["method"], frame["method"])
    about = [f"{name}: {way} fitted to {frame['images']:,} images"]
    columns = ["batch", "trustworthiness", "recall"]
    for row in _rows(context, MAP_QUALITY, columns, name).to_pylist():
        if row["batch"] is None and row["trustworthiness"] is not None:
            about.append(f"trustworthiness {row['trustworthiness']:.3f}")
            about.append(f"recall {row['recall']:.3f}")
    if frame["dimensions"] == 3:
        about.append("seen from the front: it has three dimensions")
    if frame["note"]:
        about.append(frame["note"])
    low, high = frame["low"], frame["high"]
    return Map(
        name=name,
        about=", ".join(about),
        version=frame["version"],
        frame=(low[0], low[1], high[0], high[1]),
    )


def _fields(context: Context, images: int) -> list[_Shown]:
    """Return what images can be coloured by: what tells them apart."""
    found = []
    for facet in context.facets:
        entries = context.entries_of(facet.table)
        variants = sorted({entry.variant or "" for entry in entries})
        for variant in variants:
            rows = _rows(context, facet.table, ["batch", "image_id", facet.column], variant or None)
            own = column(rows, facet.column, several=facet.several, text=facet.text)
            # that an image is not on a map is no answer to a question of yes or no
            answers = len(own.values) if "|" in facet.text else images
            if not telling(own, answers):
                continue
            several = len(variants) > 1
            name = f"{facet.name} ({variant})" if several else facet.name
            links = _links(facet, pc.unique(rows[facet.column]).to_pylist(), variant)
            about = facet.about
            found.append(_Shown(Field(name=name, kind=own.kind, about=about, links=links), own))
    return found


def _links(facet: Facet, values: Sequence[int | None], variant: str) -> dict[str, str]:
    if not facet.link:
        return {}
    texts = [facet.text.format(value) for value in values if value is not None]
    return {text: _TO_WAREHOUSE + facet.link.format(variant=variant, text=text) for text in texts}


def _batches(
    context: Context,
    images: pa.Table,
    maps: dict[str, pa.Table],
    shown: Sequence[_Shown],
    scratch: Path,
) -> list[Batch]:
    """Return the images of every batch that are on a map."""
    rows_of = {name: by_batch(table["batch"].combine_chunks()) for name, table in maps.items()}
    known = by_batch(images["batch"].combine_chunks())
    values = [by_batch(one.column.batches) for one in shown]
    names = {name: table["image_id"].combine_chunks() for name, table in maps.items()}
    points = {
        name: np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()])
        for name, table in maps.items()
    }
    all_names = images["image_id"].combine_chunks()
    thumbnails = context.entries_of(THUMBNAILS)
    found = []
    for name in dict.fromkeys(images["batch"].to_pylist()):
        own = pd.Index(all_names.take(pa.array(known(name))).to_pylist(), dtype=object)
        placed_here = {m: placed(rows_of[m](name), names[m], points[m], own) for m in maps}
        on_map = np.any([np.isfinite(p).all(axis=1) for p in placed_here.values()], axis=0)
        own = own[on_map]
        digests = sorted(entry.digest for entry in thumbnails if entry.batch == name)
        found.append(
            Batch(
                name=name,
                image_ids=pa.array(own.tolist(), pa.string()),
                positions={m: p[on_map] for m, p in placed_here.items()},
                values={
                    one.field.name: values_of(one.column, rows(name), own)
                    for one, rows in zip(shown, values, strict=True)
                },
                pictures=_Pictures(context, name, scratch) if digests else None,
                pictures_digest=" ".join(digests),
            )
        )
    return found


@dataclass(frozen=True)
class _Pictures:
    """Thumbnails of a batch in any order, by way of a file: there may be more than memory holds."""

    context: Context
    batch: str
    scratch: Path

    def __call__(self, image_ids: Sequence[str]) -> Iterator[Sequence[bytes | None]]:
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            places: dict[str, tuple[int, int]] = {}
            for image_id, data in _thumbnails(self.context, self.batch):
                places[image_id] = (file.tell(), len(data))
                file.write(data)

            def one(image_id: str) -> bytes | None:
                if image_id not in places:
                    return None
                start, size = places[image_id]
                file.seek(start)
                return file.read(size)

            for start in range(0, len(image_ids), IMAGES_OF_A_SHEET):
                yield [one(name) for name in image_ids[start : start + IMAGES_OF_A_SHEET]]


def _thumbnails(
    context: Context, batch: str, image_ids: Sequence[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield thumbnails of a batch, of some images or of all."""
    storage = context.warehouse.storage
    where = None if image_ids is None else ds.field("image_id").isin(list(image_ids))
    for entry in context.entries_of(THUMBNAILS, batch):
        files = ds.dataset(
            storage.full(entry.path), filesystem=storage.filesystem, format="parquet"
        )
        for rows in files.to_batches(columns=["image_id", "data"], filter=where):
            yield from zip(rows["image_id"].to_pylist(), rows["data"].to_pylist(), strict=True)


def _previous(context: Context) -> Path | None:
    """Return the folder of the page before; None: there is none, or not on this file system."""
    local = context.warehouse.storage.local
    entries = context.published.of_table(EXPLORER.name)
    if local is None or not entries:
        return None
    return local / entries[0].path


def _figure(context: Context, site: Site, one: Map, across: int) -> Figure:
    """Return a map as a figure, coloured by the first field of texts, or by batch."""
    batches = site.batches
    named = next((field for field in site.fields if field.kind == "category"), None)
    if named is not None:
        colours = pa.concat_arrays([b.values[named.name].cast(pa.string()) for b in batches])
    else:
        colours = pa.concat_arrays(
            [pa.array([b.name] * len(b.image_ids), pa.string()) for b in batches]
        )
    several = named is not None or len(batches) > 1
    owners = np.repeat(np.arange(len(batches)), [len(b.image_ids) for b in batches])
    image_ids = pa.concat_arrays([b.image_ids for b in batches])

    def pictures(chosen: Sequence[int]) -> list[bytes | None]:
        names = [image_ids[i].as_py() for i in chosen]
        found = {}
        for number in sorted(set(owners[list(chosen)].tolist())):
            wanted = [n for n, i in zip(names, chosen, strict=True) if owners[i] == number]
            for name, data in _thumbnails(context, batches[number].name, wanted):
                found[number, name] = data
        return [found.get((int(owners[i]), n)) for n, i in zip(names, chosen, strict=True)]

    has = any(batch.pictures is not None for batch in batches)
    return figure(
        np.concatenate([b.positions[one.name] for b in batches]),
        image_ids=image_ids,
        colours=colours if several else None,
        colour_name=named.name if named is not None else BATCH,
        title=site.title,
        note=one.about,
        pictures=pictures if has and across else None,
        pictures_across=across,
    )
