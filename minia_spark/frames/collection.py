"""What a warehouse holds, for notebooks: one state of it, read without Spark.

::

    collection = minia_spark.open("W")
    collection.frame("structures")
    collection.neighbours("night1/a.png")
    collection.map("words")
    collection.figure_map("words", colour="label").savefig("map.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from minia_spark.base.errors import InputError
from minia_spark.frames.figures import scatter
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = ["Collection"]


class Collection:
    """One state of a warehouse; what is published later does not change it.

    Parameters
    ----------
    location : str
        Local path or URI.
    state : int or None
        Number of a state that is kept; None: the newest.

    Raises
    ------
    InputError
        There is no warehouse, or no such state.
    """

    def __init__(self, location: str, state: int | None = None) -> None:
        self._warehouse = Warehouse(str(location))
        self._state: Catalogue = (
            self._warehouse.require() if state is None else self._warehouse.catalogue(state)
        )

    def __repr__(self) -> str:
        """Say where it is and how much there is."""
        images = sum(e.rows or 0 for e in self._state.of_table("images"))
        return f"<state {self.state} of {self._warehouse.storage}: {images:,} images>"

    @property
    def state(self) -> int:
        """Number of the state."""
        return self._state.version

    @property
    def tables(self) -> dict[str, int]:
        """The tables, and the rows of each, all variants together."""
        return self._state.rows()

    @property
    def batches(self) -> list[str]:
        """Names of the batches."""
        return self._state.batches

    def variants(self, table: str) -> list[str]:
        """Return the variants in which there is a table; none where it comes in one alone."""
        return sorted({e.variant for e in self._state.of_table(table) if e.variant is not None})

    # -- tables -----------------------------------------------------------------------------------

    def arrow(
        self,
        table: str,
        *,
        variant: str | None = None,
        batch: str | None = None,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
    ) -> pa.Table:
        """Return a table.

        Parameters
        ----------
        table : str
            One of :attr:`tables`.
        variant, batch : str or None
            Only this one; None: all, one below the other.
        columns : sequence of str or None
            None: all.
        where : pyarrow.dataset.Expression or None
            Only these rows, e.g. ``pyarrow.dataset.field("label") == "Edge"``.

        Raises
        ------
        InputError
            There is no such table, or none of this variant or batch, or column.
        """
        entries = self._entries(table, variant, batch)
        for _, files in self._warehouse.datasets(entries):
            unknown = [c for c in columns or () if c not in files.schema.names]
            if unknown:
                there = ", ".join(files.schema.names)
                raise InputError(f"table {table} has no column {unknown[0]!r}; columns: {there}")
        return self._warehouse.rows_of(entries, columns or None, where)

    def frame(self, table: str, **chosen: Any) -> pd.DataFrame:
        """Return a table as a frame of pandas; the arguments are those of :meth:`arrow`."""
        found: pd.DataFrame = self.arrow(table, **chosen).to_pandas()
        return found

    def _entries(self, table: str, variant: str | None, batch: str | None) -> list[Entry]:
        found = [e for e in self._state.of_table(table) if e.rows is not None]
        if not found:
            there = ", ".join(self.tables)
            raise InputError(f"there is no table {table!r} in {self!r}; tables: {there}")
        for name, wanted in (("variant", variant), ("batch", batch)):
            there = ", ".join(sorted({str(getattr(e, name)) for e in found}))
            found = [e for e in found if wanted in (None, getattr(e, name))]
            if not found:
                raise InputError(f"table {table} has no {name} {wanted!r}; there are: {there}")
        return found

    def _only(self, table: str, variant: str | None) -> str:
        """Return the variant that is meant: the one that is named, else the first."""
        there = self.variants(table)
        if variant is None and there:
            return "words" if "words" in there else there[0]
        self._entries(table, variant, None)
        assert variant is not None
        return variant

    # -- images -----------------------------------------------------------------------------------

    def neighbours(
        self, image_id: str, *, batch: str | None = None, variant: str | None = None
    ) -> pd.DataFrame:
        """Return the nearest images of an image, the nearest first.

        Parameters
        ----------
        image_id : str
        batch : str or None
            Needed where several batches have an image of this name.
        variant : str or None
            Method of the embedding; None: words, or the first there is.

        Returns
        -------
        pandas.DataFrame
            Columns batch, image_id, distance.

        Raises
        ------
        InputError
            There is no such image, or it has no embedding, or several are meant.
        """
        method = self._only("neighbours", variant)
        row = self.arrow(
            "neighbours", variant=method, batch=None, where=ds.field("image_id") == image_id
        )
        if batch is not None:
            row = row.filter(pc.equal(row["batch"], batch))
        if row.num_rows != 1:
            what = (
                f"batches {', '.join(sorted(row['batch'].to_pylist()))} have one: give batch="
                if row.num_rows
                else f"it is not in the collection, or has no embedding by {method}"
            )
            raise InputError(f"image {image_id!r}: {what}")
        import pandas as pd  # noqa: PLC0415 - only for those who want a frame

        return pd.DataFrame(
            {
                "batch": row["batches"][0].as_py(),
                "image_id": row["neighbours"][0].as_py(),
                "distance": row["distances"][0].as_py(),
            }
        )

    def map(self, variant: str | None = None) -> pd.DataFrame:
        """Return the map with what is known of its images.

        Parameters
        ----------
        variant : str or None
            Method of the embedding; None: words, or the first there is.

        Returns
        -------
        pandas.DataFrame
            Columns batch, image_id, x, y, z (empty in two dimensions), fitted, label, uri, sorted
            by batch and image_id.
        """
        method = self._only("map", variant)
        places = self.frame("map", variant=method).drop(columns="variant")
        known = self.frame("images", columns=["batch", "image_id", "label", "uri"])
        joined = places.merge(known, on=["batch", "image_id"], how="left", validate="1:1")
        return joined.sort_values(["batch", "image_id"], ignore_index=True)

    def note(self, variant: str | None = None) -> str | None:
        """Return what everybody who sees a map must know, e.g. of random weights; None: nothing."""
        method = self._only("map_frames", variant)
        noted: str | None = self.arrow("map_frames", variant=method)["note"][0].as_py()
        return noted

    def figure_map(
        self,
        variant: str | None = None,
        *,
        colour: str | ArrayLike | None = "label",
        size_inches: tuple[float, float] = (8.0, 8.0),
    ) -> Figure:
        """Return a figure of the map; ``.savefig("map.png")`` or ``.pdf`` writes it.

        Parameters
        ----------
        variant : str or None
            Method of the embedding; None: words, or the first there is.
        colour : str, array or None
            ``label``, ``batch`` or another column of :meth:`map`, or a value for each of its rows;
            None: one colour.
        size_inches : (float, float)

        Raises
        ------
        InputError
            There is no such column, or the array has not a value an image.
        """
        method = self._only("map", variant)
        places = self.map(method)
        frame = self.arrow("map_frames", variant=method).to_pylist()[0]
        values: Any = colour
        if isinstance(colour, str):
            if colour not in places.columns:
                there = ", ".join(places.columns)
                raise InputError(f"the map has no column {colour!r}; columns: {there}")
            values = places[colour].to_numpy()
        elif colour is not None:
            values = np.asarray(colour)
            if values.shape != (len(places),):
                raise InputError(
                    f"colour has shape {values.shape}, and there are {len(places)} images"
                )
        axes = ["x", "y"] if frame["dimensions"] == 2 else ["x", "y", "z"]
        return scatter(
            places[axes].to_numpy(),
            values,
            low=np.array(frame["low"]),
            high=np.array(frame["high"]),
            title=f"{len(places):,} images by {method}",
            note=frame["note"],
            size_inches=size_inches,
        )
