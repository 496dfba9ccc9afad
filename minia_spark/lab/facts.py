"""What a sweep reads from warehouses, without Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from minia_spark.base.arrow import lists_or_nan, to_lists
from minia_spark.base.errors import InputError
from minia_spark.compare.measure import Measured
from minia_spark.galaxies.split import TRAIN, place_of
from minia_spark.lab.sweep import Compared, Representation, of_crops, of_embedding, of_words
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Images", "chosen_images", "plain", "representations"]

_COMPONENTS = 75
"""Of bags of words, and of embeddings that are longer."""


@dataclass(frozen=True)
class Images:
    """The images of a sweep, in the order of their names.

    Attributes
    ----------
    names : str array, shape (n,)
        Batch and image_id, with a slash between.
    labels : str array, shape (n,)
    train : bool array, shape (n,)
    """

    names: NDArray[np.str_]
    labels: NDArray[np.str_]
    train: NDArray[np.bool_]


def _read(
    warehouse: Warehouse, table: str, columns: list[str], variant: str | None = None
) -> pa.Table | None:
    """Return a table's rows with a column ``name``; None where there is no such table."""
    entries = [
        e for e in warehouse.require().of_table(table) if variant is None or e.variant == variant
    ]
    if not entries:
        return None
    found = warehouse.rows_of(entries, ["batch", "image_id", *columns])
    name = pc.binary_join_element_wise(found["batch"], found["image_id"], "/")
    return found.append_column("name", name)


def chosen_images(warehouses: Sequence[Warehouse], classes: str, most: int, seed: int) -> Images:
    """Return the images that have a class, and crops in every warehouse.

    Parameters
    ----------
    warehouses : sequence of Warehouse
        Classes and split are of the first.
    classes : ``galaxy_class`` or ``label``
    most, seed : int
        At most so many, chosen by the hash of their names.

    Raises
    ------
    InputError
        A warehouse has no crops, or too few images have a class on either side of the split.
    """
    first = warehouses[0]
    facets = _read(first, "facets", ["split", "galaxy_class"])
    labels = _read(first, "images", ["label"])
    if facets is None or labels is None:
        raise InputError(f"there are no facets in {first.storage}: 'minia lab report' makes them")
    column = {"galaxy_class": (facets, "galaxy_class"), "label": (labels, "label")}[classes]
    pairs = zip(column[0]["name"].to_pylist(), column[0][column[1]].to_pylist(), strict=True)
    known = {name: label for name, label in pairs if label is not None}
    for warehouse in warehouses:
        crops = _read(warehouse, "crops", [])
        if crops is None:
            raise InputError(
                f"there are no crops in {warehouse.storage}: 'minia lab reduce' makes them"
            )
        there = set(crops["name"].to_pylist())
        known = {name: label for name, label in known.items() if name in there}
    names = sorted(known, key=lambda name: (place_of(name, seed), name))[:most]
    names.sort()
    splits = dict(zip(facets["name"].to_pylist(), facets["split"].to_pylist(), strict=True))
    train = np.array([splits[name] == TRAIN for name in names], np.bool_)
    if train.sum() < 2 or (~train).sum() < 2:
        raise InputError(
            f"{int(train.sum())} training and {int((~train).sum())} test images have a class "
            f"({classes}) and a crop; a sweep needs two of each"
        )
    return Images(np.array(names, np.str_), np.array([known[n] for n in names], np.str_), train)


def _of_images(table: pa.Table, images: Images) -> pa.Table:
    """Return the rows of the images, in their order."""
    place = {name: row for row, name in enumerate(table["name"].to_pylist())}
    return table.take(pa.array([place[name] for name in images.names.tolist()]))


def representations(
    warehouses: Sequence[Warehouse], images: Images, numbers: Sequence[int]
) -> Iterator[Representation]:
    """Yield components of every warehouse's crops; bags of words and embeddings of the first."""
    for number, warehouse in enumerate(warehouses):
        mark = f"{number + 1}: " if len(warehouses) > 1 else ""
        table = _read(warehouse, "crops", ["pixels"])
        assert table is not None  # the images were chosen by it
        cells = [np.frombuffer(cell, np.uint8) for cell in _pixels(table, images)]
        yield from of_crops(np.stack(cells), images.train, numbers, f"{mark}pca")
        if number:
            continue
        for variant in sorted(
            {e.variant for e in warehouse.require().of_table("words") if e.variant}
        ):
            words = _read(warehouse, "words", ["words", "counts"], variant)
            if words is None or not set(images.names.tolist()) <= set(words["name"].to_pylist()):
                continue
            bags = _bags(_of_images(words, images))
            yield of_words(bags, images.train, _COMPONENTS, f"{mark}words {variant}")
        for variant in sorted(
            {e.variant for e in warehouse.require().of_table("embeddings") if e.variant}
        ):
            rows = _read(warehouse, "embeddings", ["vector"], variant)
            if rows is None or not set(images.names.tolist()) <= set(rows["name"].to_pylist()):
                continue
            vectors = np.nan_to_num(lists_or_nan(_of_images(rows, images)["vector"]))
            yield of_embedding(vectors, images.train, _COMPONENTS, f"{mark}embedding {variant}")


def _pixels(table: pa.Table, images: Images) -> Iterator[bytes]:
    place = {name: row for row, name in enumerate(table["name"].to_pylist())}
    pixels = table["pixels"]  # taken one by one: all together may be more than a column holds
    for name in images.names.tolist():
        yield pixels[place[name]].as_buffer()


def _bags(words: pa.Table) -> sp.csr_array:
    def lists(name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        column = words[name].combine_chunks()
        return to_lists(column.chunk(0) if isinstance(column, pa.ChunkedArray) else column)

    held, offsets = lists("words")
    counts, _ = lists("counts")
    rows = np.repeat(np.arange(len(words)), np.diff(offsets))
    shape = (len(words), int(held.max(initial=0)) + 1)
    return sp.csr_array((counts.astype(np.float64), (rows, held)), shape=shape)


def plain(row: Compared) -> dict[str, Any]:
    """Return a row as JSON values."""

    def told(one: Measured) -> dict[str, float | None]:
        error = round(one.error, 4) if np.isfinite(one.error) else None
        return {"value": round(one.value, 4), "error": error}

    return {
        "representation": row.representation,
        "method": row.method,
        "balanced": row.balanced,
        "ami": told(row.ami),
        "nmi": told(row.nmi),
        "clusters": round(row.clusters, 1),
    }
