"""The map as a CSV file that Tableau and the like open."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.base.files import whole_file
from minia_spark.base.spreadsheet import inert_path
from minia_spark.images.identity import image_id_of, path_of_uri
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["HEADER", "default_name", "features_text", "write_map"]

HEADER = ("Image_file_names", "Image_file_paths", "Image_features", "X", "Y")


def default_name(kind: str, when: datetime) -> str:
    """Return the name of a file that is not named otherwise."""
    return f"{kind}{when:_run_%Y_%m_%d-%H_%M}.csv"


def features_text(vector: Sequence[float]) -> str:
    """Return all numbers of an embedding on one line, as precise as float32 is.

    >>> features_text([0.5, -1e-08])
    '[0.5, -1e-08]'
    """
    return "[" + ", ".join(f"{number:.9g}" for number in vector) + "]"


def write_map(
    out: Path,
    warehouse: Warehouse,
    state: Catalogue,
    *,
    variant: str | None,
    batch: str | None,
    root: Path | None,
) -> str | None:
    """Write the map, a row an image, sorted by batch and name.

    Parameters
    ----------
    out : Path
        A file that is there is replaced when the new one is complete.
    warehouse : Warehouse
    state : Catalogue
    variant : str or None
        Method of the embedding.
    batch : str or None
        Only this one.
    root : Path or None
        Paths of images are relative to this folder; None: to the folder of their batch.

    Returns
    -------
    str or None
        What everybody who sees the map must know.

    Raises
    ------
    InputError
        There is no map of this batch, or an image has no file of its own below `root`.
    """

    def read(table: str, columns: list[str], own: str | None = variant) -> pa.Table:
        entries = state.of_table(table, None if table == "map_frames" else batch, own)
        if not entries:
            raise InputError(f"there is no table {table} of batch {batch}; 'minia status' shows")
        return warehouse.rows_of(entries, columns)

    names = ["batch", "image_id"]
    order = [(name, "ascending") for name in names]
    places = read("map", [*names, "x", "y", "z"]).sort_by(order)
    vectors = _as_in(places, read("embeddings", [*names, "vector"]), "vector")
    uris = _as_in(places, read("images", [*names, "uri"], None), "uri")
    joined = places.append_column("vector", vectors).append_column("uri", uris)
    is_deep = joined["z"].null_count < joined.num_rows
    with whole_file(out) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, delimiter=";", lineterminator="\n")
        writer.writerow([*HEADER, *(["Z"] if is_deep else [])])
        for rows in joined.to_batches(max_chunksize=1000):
            for row in rows.to_pylist():
                path = row["image_id"] if root is None else _below(root, row)
                place = [repr(row[axis]) for axis in ("x", "y", *("z" * is_deep))]
                shown = inert_path(path)
                name = inert_path(path.rpartition("/")[2])
                writer.writerow([name, shown, features_text(row["vector"]), *place])
        text.detach()
    noted: str | None = read("map_frames", ["note"])["note"][0].as_py()
    return noted


def _as_in(wanted: pa.Table, rows: pa.Table, column: str) -> pa.ChunkedArray:
    """Return a column for the images of another table, in its order."""
    keys = [pc.binary_join_element_wise(t["batch"], t["image_id"], "/") for t in (wanted, rows)]
    return rows[column].take(pc.index_in(keys[0], keys[1].combine_chunks()))


def _below(root: Path, row: dict[str, str | None]) -> str:
    """Return the path of an image's file below a folder, with slashes."""
    try:
        path, within = path_of_uri(row["uri"] or "")
    except ValueError:
        path, within = b"", "?"
    if within:
        raise InputError(
            f"image {row['image_id']} is no file of its own: --root cannot give it a path; leave "
            "it out"
        )
    found = os.path.relpath(path, os.path.realpath(os.fsencode(root)))
    if found.split(os.sep.encode())[0] == b"..":
        raise SettingsError(
            f"image {row['image_id']} of batch {row['batch']} is not below --root {root}"
        )
    return image_id_of(found)
