"""Columns of tables as what the map's page shows: rows in any order in, one value a point out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Column", "by_batch", "column", "placed", "telling", "values_of"]

Kind = Literal["category", "tags", "number"]


@dataclass(frozen=True)
class Column:
    """One value, or several, for some images.

    Attributes
    ----------
    kind : str
        As of :class:`minia_spark.explorer.site.Field`.
    batches, image_ids : arrays of str
        Of every row; an image may have several rows where `kind` is ``tags``.
    values : array
        Texts, or numbers; never missing.
    """

    kind: Kind
    batches: pa.Array
    image_ids: pa.Array
    values: pa.Array


def column(rows: pa.Table, name: str, *, several: bool = False, text: str = "") -> Column:
    """Return a column of a table.

    Parameters
    ----------
    rows : pyarrow.Table
        With the columns batch, image_id and `name`; rows without a value are passed over.
    name : str
    several : bool
        Whether an image may have several values.
    text : str
        As of :class:`minia_spark.engine.room.Facet`.
    """
    rows = rows.select(["batch", "image_id", name]).combine_chunks()
    rows = rows.filter(pc.is_valid(rows[name]))
    values = _flat(rows[name])
    if pa.types.is_boolean(values.type):
        no, yes = text.split("|")
        values = pc.if_else(values, yes, no)
    elif text:
        known = {value: text.format(value) for value in pc.unique(values).to_pylist()}
        values = pa.array([known[value] for value in values.to_pylist()], pa.string())
    elif not pa.types.is_string(values.type):
        values = values.cast(pa.float64())
    texts = pa.types.is_string(values.type)
    kind: Kind = "tags" if several else "category" if texts else "number"
    return Column(kind, _flat(rows["batch"]), _flat(rows["image_id"]), values)


def telling(found: Column, images: int) -> bool:
    """Tell whether a column tells images apart, of so many: another value, or one is missing."""
    return bool(len(found.values)) and (
        pc.count_distinct(found.values).as_py() > 1 or len(found.values) < images
    )


def by_batch(batches: pa.Array) -> Callable[[str], NDArray[np.int64]]:
    """Return what gives the rows of a batch, in their order."""
    encoded = pc.dictionary_encode(batches)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable").astype(np.int64)
    names = encoded.dictionary.to_pylist()
    ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
    found = {name: order[ends[i] : ends[i + 1]] for i, name in enumerate(names)}
    none = np.empty(0, np.int64)
    return lambda batch: found.get(batch, none)


def values_of(found: Column, rows: NDArray[np.int64], image_ids: pd.Index) -> pa.Array:
    """Return the value, or the list of values, of every image of a batch.

    Parameters
    ----------
    found : Column
    rows : int array
        Those of the batch.
    image_ids : pandas.Index, shape (n,)
        All different.

    Returns
    -------
    pyarrow.Array, shape (n,)
        Null, or an empty list, where there is none. Lists are sorted.
    """
    taken = pa.array(rows)
    places = image_ids.get_indexer(pd.Index(found.image_ids.take(taken).to_pylist(), dtype=object))
    values = found.values.take(taken)
    there = np.flatnonzero(places >= 0)
    places = places[there]
    values = values.take(pa.array(there))
    if found.kind == "tags":
        order = pc.sort_indices(
            pa.table({"place": places, "value": values}),
            sort_keys=[("place", "ascending"), ("value", "ascending")],
        )
        counts = np.bincount(places, minlength=len(image_ids))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), values.take(order))
    indices = np.full(len(image_ids), -1, np.int64)
    indices[places] = np.arange(len(places))
    return values.take(pa.array(indices, mask=indices < 0))


def placed(
    rows: NDArray[np.int64], names: pa.Array, points: NDArray[np.float64], image_ids: pd.Index
) -> NDArray[np.float64]:
    """Return the position of every image of a batch, shape (n, 2); NaN: not on the map."""
    places = image_ids.get_indexer(pd.Index(names.take(pa.array(rows)).to_pylist(), dtype=object))
    found = np.full((len(image_ids), 2), np.nan)
    found[places[places >= 0]] = points[rows[places >= 0]]
    return found


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
