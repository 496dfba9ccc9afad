"""The collection as a catalogue for astronomers' tools: Parquet, VOTable or CSV, a row an image."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from minia_spark.base.spreadsheet import inert, inert_path

if TYPE_CHECKING:
    from minia_spark.frames.collection import Collection

__all__ = ["ENDINGS", "HEALPIX", "Field", "catalogue", "healpix_29", "write_catalogue"]

ENDINGS = (".parquet", ".csv", ".vot")
HEALPIX = "_healpix_29"
_ORDER = 29
_NAMES = ["batch", "image_id"]
_TYPES = {
    pa.string(): "char",
    pa.float64(): "double",
    pa.float32(): "float",
    pa.int32(): "int",
    pa.int64(): "long",
}


@dataclass(frozen=True)
class Field:
    """What a column of the catalogue means.

    Attributes
    ----------
    about, unit, ucd : str
        A sentence; VOUnit; Unified Content Descriptor (IVOA), or nothing.
    """

    about: str
    unit: str = ""
    ucd: str = ""


def healpix_29(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the HEALPix cell of order 29, nested, of every position; NaN is an error.

    Parameters
    ----------
    ra_deg, dec_deg : float64 arrays, shape (n,)
        ICRS, in degrees; declinations within -90 to 90.

    Notes
    -----
    HATS sorts by this column, which tells any coarser cell: ``cell >> 2 * (29 - order)``.
    """
    from astropy import units  # noqa: PLC0415 - a second to load
    from astropy_healpix import HEALPix  # noqa: PLC0415

    if not (np.isfinite(ra_deg).all() and np.isfinite(dec_deg).all()):
        raise ValueError("a position is not finite")
    sky = HEALPix(nside=1 << _ORDER, order="nested")
    cells = sky.lonlat_to_healpix(ra_deg * units.deg, dec_deg * units.deg)
    return np.asarray(cells, np.int64)


def catalogue(
    collection: Collection, *, batch: str | None = None
) -> tuple[pa.Table, dict[str, Field]]:
    """Return a row an image, and what the columns mean.

    Parameters
    ----------
    collection : Collection
    batch : str or None
        Only this one.

    Returns
    -------
    table : pyarrow.Table
        Sorted by batch and image_id.
    fields : dict
        Column to what it means.

    Raises
    ------
    InputError
        There is no such batch.
    """
    columns = [*_NAMES, "ra_deg", "dec_deg", "label", "width", "height", "content_hash"]
    images = collection.arrow("images", batch=batch, columns=columns)
    images = images.sort_by([(name, "ascending") for name in _NAMES])
    images = images.rename_columns({"ra_deg": "ra", "dec_deg": "dec"})
    fields = {
        "batch": Field("Batch that the image came with.", ucd="meta.id.parent"),
        "image_id": Field("Name of the image.", ucd="meta.id;meta.main"),
        "ra": Field("Right ascension, ICRS.", "deg", "pos.eq.ra;meta.main"),
        "dec": Field("Declination, ICRS.", "deg", "pos.eq.dec;meta.main"),
        "label": Field("Class that the image came with.", ucd="meta.code.class"),
        "width": Field("Width of the image.", "pix", "pos.cartesian;instr.pixel"),
        "height": Field("Height of the image.", "pix", "pos.cartesian;instr.pixel"),
        "content_hash": Field("SHA-256 of the image's file.", ucd="meta.id"),
    }
    keys = _keys(images)
    for variant in collection.variants("structures"):
        made = _structures(collection, variant, batch, keys)
        for name, (values, field) in made.items():
            images = images.append_column(f"{name}_{variant}", values)
            fields[f"{name}_{variant}"] = field
    for method in collection.variants("map"):
        places = collection.arrow("map", variant=method, batch=batch, columns=[*_NAMES, "x", "y"])
        rows = pc.index_in(keys, _keys(places))
        for axis in "xy":
            name = f"map_{axis}_{method}"
            images = images.append_column(name, places[axis].take(rows))
            fields[name] = Field(f"Place on the map of embedding {method}, {axis}.")
    return images.combine_chunks(), fields


def _keys(table: pa.Table) -> pa.Array:
    joined = pc.binary_join_element_wise(table["batch"], table["image_id"], "/")
    return joined.combine_chunks()


def _structures(
    collection: Collection, variant: str, batch: str | None, keys: pa.Array
) -> dict[str, tuple[pa.Array, Field]]:
    """Return how many structures each image holds, and what is known of the first of them."""
    columns = ["structure_id", *_NAMES, "overlap"]
    pairs = collection.arrow("structure_images", variant=variant, columns=columns)
    if batch is not None:
        pairs = pairs.filter(pc.equal(pairs["batch"], batch))
    pairs = pairs.sort_by([("overlap", "descending"), ("structure_id", "ascending")])
    rows = pc.index_in(_keys(pairs), keys).to_numpy(zero_copy_only=False).astype(np.int64)
    counts = np.bincount(rows, minlength=len(keys)).astype(np.int32)
    held, first = np.unique(rows, return_index=True)
    at = np.full(len(keys), -1, np.int64)
    at[held] = first
    taken = pa.array(at, mask=at < 0)
    numbers = pairs["structure_id"].take(taken).combine_chunks()
    lineage = collection.arrow("lineage", variant=variant)
    # of structures that ended the table has no number, and of images without a structure neither
    known_as = pc.index_in(numbers, lineage["structure_id"], skip_nulls=True)
    ids = lineage["lineage_id"].take(known_as)
    names = pa.Table.from_pandas(collection.structure_names(variant), preserve_index=False)
    said = {}
    known = names["lineage_id"].cast(pa.string())
    for what in ("name", "kind"):
        said[what] = names[what].cast(pa.string()).take(pc.index_in(ids, known, skip_nulls=True))
    of = f"that the image holds most of, by {variant}"
    return {
        "structures": (pa.array(counts), Field(f"How many structures it holds, by {variant}.")),
        "structure": (ids, Field(f"Lineage of the structure {of}.", ucd="meta.id")),
        "structure_name": (said["name"], Field(f"Name of the structure {of}.", ucd="meta.note")),
        "structure_kind": (said["kind"], Field(f"Kind of the structure {of}.", ucd="meta.note")),
        "overlap": (
            pairs["overlap"].take(taken),
            Field(f"Overlap with the structure {of}, 0 to 1."),
        ),
    }


# -- files ----------------------------------------------------------------------------------------


def write_catalogue(
    file: IO[bytes], ending: str, table: pa.Table, fields: dict[str, Field]
) -> str | None:
    """Write a catalogue.

    Parameters
    ----------
    file : binary file
    ending : str
        One of :data:`ENDINGS`.
    table, fields
        Of :func:`catalogue`.

    Returns
    -------
    str or None
        What people must know of the file.

    Notes
    -----
    Parquet has what a VOTable says of its columns in its footer (VOParquet 1.0). With positions it
    begins with ``_healpix_29`` and is sorted by it, as HATS and LSDB want it, and images without a
    position are left out.
    """
    if ending == ".csv":
        _write_csv(file, table)
        return None
    if ending == ".vot":
        file.write(_votable(table, fields, with_rows=True))
        return None
    return _write_parquet(file, table, fields)


def _write_parquet(file: IO[bytes], table: pa.Table, fields: dict[str, Field]) -> str | None:
    there = pc.and_(pc.is_finite(table["ra"]), pc.is_finite(table["dec"])).fill_null(False)
    placed = table.filter(there)
    note = None
    if not placed.num_rows:
        note = (
            f"no image has a position: there is no column {HEALPIX}, and tools of the sky cannot "
            "place the rows; --labels with columns ra and dec gives positions"
        )
    else:
        if placed.num_rows < table.num_rows:
            note = f"{table.num_rows - placed.num_rows:,} images without a position were left out"
        cells = healpix_29(placed["ra"].to_numpy(), placed["dec"].to_numpy())
        table = placed.add_column(0, HEALPIX, pa.array(cells)).sort_by(HEALPIX).combine_chunks()
        about = "HEALPix cell of order 29, nested, ICRS; rows are sorted by it."
        fields = {HEALPIX: Field(about, ucd="pos.healpix")} | fields
    described = {
        "IVOA.VOTable-Parquet.version": "1.0",
        "IVOA.VOTable-Parquet.content": _votable(table, fields, with_rows=False).decode(),
    }
    for column in table.schema:
        if column.type == pa.string():  # else astropy looks for the longest, and warns
            described[f"table::len::{column.name}"] = str(_longest(table[column.name]))
    schema = pa.schema(
        [field.with_metadata({"description": fields[field.name].about}) for field in table.schema],
        metadata=described,
    )
    pq.write_table(table.cast(schema), file, compression="zstd")
    return note


def _votable(table: pa.Table, fields: dict[str, Field], *, with_rows: bool) -> bytes:
    """Return a VOTable 1.4 of the columns, with or without the rows (as BINARY2)."""
    from astropy.io.votable import tree  # noqa: PLC0415 - a second to load

    document = tree.VOTableFile(version="1.4")
    resource = tree.Resource()
    document.resources.append(resource)
    system = tree.CooSys(ID="sky", system="ICRS")
    resource.coordinate_systems.append(system)
    made = tree.TableElement(document, name="minia_images", nrows=table.num_rows)
    resource.tables.append(made)
    for column in table.schema:
        told = fields[column.name]
        datatype = "unicodeChar" if column.type == pa.string() else _TYPES[column.type]
        text = {}
        if datatype == "unicodeChar":
            # astropy takes "*" for objects, which it cannot join with the strings of Parquet
            text["arraysize"] = "*" if with_rows else str(_longest(table[column.name]))
        field = tree.Field(
            document,
            name=column.name,
            ID=column.name.strip("_"),
            datatype=datatype,
            unit=told.unit or None,
            ucd=told.ucd or None,
            ref="sky" if column.name in ("ra", "dec") else None,
            **text,
        )
        field.description = told.about
        if column.type in (pa.int32(), pa.int64()):
            field.values.null = -1
        made.fields.append(field)
    made.create_arrays(table.num_rows if with_rows else 0)
    if with_rows:
        for column in table.schema:
            _fill(made.array, column.name.strip("_"), table[column.name])
        made.format = "binary2"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document.to_xml(out)
    return out.getvalue()


def _longest(texts: pa.ChunkedArray) -> int:
    # astropy writes None for what is missing, and cuts it to this length
    return max(4 if texts.null_count else 1, pc.max(pc.utf8_length(texts)).as_py() or 1)


def _fill(array: Any, name: str, values: pa.ChunkedArray) -> None:
    missing = values.is_null().to_numpy()
    if values.type == pa.string():
        array[name] = np.array([_xml(text) for text in values.to_pylist()], object)
    elif values.type in (pa.int32(), pa.int64()):
        array[name] = values.fill_null(-1).to_numpy()
    else:
        array[name] = values.to_numpy()
    array.mask[name] = missing


def _xml(text: str | None) -> str:
    """Return a text without the signs that no XML can hold."""
    return "".join(c if c >= " " or c in "\t\n" else "\ufffd" for c in text or "")


def _write_csv(file: IO[bytes], table: pa.Table) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.schema.names)
    for row in _rows(table):
        writer.writerow(row)
    text.detach()


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            row["image_id"] = inert_path(row["image_id"])
            yield [inert(value) if isinstance(value, str) else value for value in row.values()]
