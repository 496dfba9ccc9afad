"""What a warehouse holds, for notebooks: one state of it, read without Spark.

::

    collection = minia_spark.open("W")
    collection.frame("structures")
    collection.neighbours("night1/a.png")
    collection.search_structure("s0003", threshold=0.2)
    collection.search_image("new.png").by_words["sift"].structures
    collection.map("words")
    collection.figure_map("words", colour="label").savefig("map.png")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.features.told import told_of_descriptors
from minia_spark.frames.figures import Tile, scatter, tiles
from minia_spark.frames.news import News, news
from minia_spark.frames.scan import Work
from minia_spark.frames.search import ImageFound, search_image
from minia_spark.structures.rows import find_structure
from minia_spark.structures.tables import STRUCTURE_NAMES
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from pyspark.sql import SparkSession

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

    @classmethod
    def of_state(cls, warehouse: Warehouse, state: Catalogue) -> Collection:
        """Return what a state holds, also of one that is not published yet."""
        made = cls.__new__(cls)
        made._warehouse, made._state = warehouse, state
        return made

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

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the state was made with: section to values."""
        return self._state.settings

    def implementation(self, extractor: str) -> str | None:
        """Return who computed an extractor's descriptors, where there are several who can."""
        told = told_of_descriptors(self._warehouse, self._state, extractor) or {}
        return told.get("implementation")

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

    def batches_of(self, table: str, variant: str | None = None) -> list[Entry]:
        """Return the pieces of a table, a batch each, from the state alone."""
        return self._entries(table, variant, None)

    def newest_batch(self) -> str:
        """Return the batch of images that was read last."""
        entries = self._entries("images", None, None)
        return max((entry.run, entry.batch or "") for entry in entries)[1]

    def structure_names(self, variant: str | None = None) -> pd.DataFrame:
        """Return what people said of structures: lineage_id, name, kind, note, named_at.

        Parameters
        ----------
        variant : str or None
            Extractor; None: all.

        Returns
        -------
        pandas.DataFrame
            Empty where nobody said anything.
        """
        if "structure_names" in self.tables:
            there = self.variants("structure_names")
            if variant is None or variant in there:
                return self.frame("structure_names", variant=variant)
        none: pd.DataFrame = STRUCTURE_NAMES.arrow_schema().empty_table().to_pandas()
        return none

    def news(
        self, batch: str | None = None, *, variant: str | None = None, rate: float = 0.01
    ) -> News:
        """Tell what a batch brought; see :func:`minia_spark.frames.news.news`."""
        return news(self, batch=batch, variant=variant, rate=rate)

    # -- search -----------------------------------------------------------------------------------

    def structure_variant(self, variant: str | None) -> str:
        """Return the extractor whose structures are meant: the only one, where none is named.

        Raises
        ------
        InputError
            There are no structures.
        SettingsError
            There are none of this extractor, or several extractors and none is named.
        """
        there = self.variants("structures")
        if not there:
            raise InputError(f"there are no structures in {self!r}: 'minia run' mines them")
        if variant is None and len(there) > 1:
            raise SettingsError(f"there are structures of {', '.join(there)}: choose a variant")
        if variant is not None and variant not in there:
            raise SettingsError(
                f"there are no structures of {variant!r}, only of {', '.join(there)}"
            )
        return variant or there[0]

    def search_structure(
        self, structure: str | int, *, threshold: float = 0.0, variant: str | None = None
    ) -> pd.DataFrame:
        """Return the images of a structure, by falling overlap.

        Parameters
        ----------
        structure : str or int
            Its number in this state (3, ``s0003``), or its lineage (``2.5``), which stays.
        threshold : float
            Least overlap, 0 to 1; below ``structures.min_overlap`` the table has none.
        variant : str or None
            Extractor; None where there is one alone.

        Returns
        -------
        pandas.DataFrame
            Columns rank, batch, image_id, overlap, words_held, label.

        Raises
        ------
        InputError
            There is no such structure.
        SettingsError
            The threshold is not within 0 to 1, or the variant is not clear.
        """
        if not 0 <= threshold <= 1:
            raise SettingsError(f"the threshold must be within 0..1, got {threshold}")
        name = self.structure_variant(variant)
        number, _ = find_structure(str(structure), self.arrow("lineage", variant=name))
        columns = ["rank", "batch", "image_id", "overlap", "words_held"]
        chosen = (ds.field("structure_id") == number) & (ds.field("overlap") >= threshold)
        rows = self.arrow("structure_images", variant=name, columns=columns, where=chosen)
        labels = self.frame("images", columns=["batch", "image_id", "label"])
        found: pd.DataFrame = rows.sort_by("rank").to_pandas()
        return found.merge(labels, on=["batch", "image_id"], how="left", validate="m:1")

    def figure_structure(
        self,
        structure: str | int,
        *,
        threshold: float = 0.0,
        images: int = 9,
        variant: str | None = None,
    ) -> Figure:
        """Return a figure of a structure's best images, the matched features drawn as circles.

        Parameters
        ----------
        structure, threshold, variant
            As for :meth:`search_structure`.
        images : int
            Most that are drawn.

        Raises
        ------
        InputError, SettingsError
            As :meth:`search_structure` does.
        """
        name = self.structure_variant(variant)
        best = self.search_structure(structure, threshold=threshold, variant=name).head(images)
        if not len(best):
            raise InputError(
                f"nothing to draw: no image holds structure {structure} with an overlap of at "
                f"least {threshold:g}, or its kind is left out (structures.exclude_kinds)"
            )
        number, lineage_id = find_structure(str(structure), self.arrow("lineage", variant=name))
        (words,) = self.arrow(
            "structures", variant=name, columns=["words"], where=ds.field("structure_id") == number
        )["words"].to_pylist()
        wanted = ds.field("image_id").isin(best["image_id"].tolist())
        keys = ["batch", "image_id"]

        def rows(table: str, columns: list[str], where: ds.Expression) -> dict[Any, Any]:
            own = name if self.variants(table) else None
            found = self.arrow(table, variant=own, columns=[*keys, *columns], where=where)
            return {(row["batch"], row["image_id"]): row for row in found.to_pylist()}

        matched = rows(
            "structure_images", ["features"], wanted & (ds.field("structure_id") == number)
        )
        places = rows("features", ["x", "y", "size"], wanted)
        of_words = rows("words", ["feature_words"], wanted)
        pictures = rows("thumbnails", ["data"], wanted)
        sizes = rows("images", ["width", "height"], wanted)
        drawn = []
        for row in best.itertuples():
            key: Any = (row.batch, row.image_id)
            at = np.array(matched[key]["features"], np.int64)
            x, y, size = (np.array(places[key][what])[at] for what in ("x", "y", "size"))
            colours = [words.index(of_words[key]["feature_words"][place]) for place in at]
            drawn.append(
                Tile(
                    title=f"{row.image_id}\noverlap {row.overlap:.3f}",
                    picture=pictures.get(key, {}).get("data"),
                    width=sizes[key]["width"] or int(max(x, default=1)) + 1,
                    height=sizes[key]["height"] or int(max(y, default=1)) + 1,
                    x=x,
                    y=y,
                    size=size,
                    colours=np.array(colours, np.int64),
                )
            )
        return tiles(drawn, title=f"structure s{number:04d} ({lineage_id}), {name}")

    def search_image(
        self,
        file: str | Path,
        *,
        variant: str | None = None,
        count: int = 12,
        geometry: bool = False,
        spark: SparkSession | None = None,
    ) -> ImageFound:
        """Tell what the collection says of an image, which need not be in it.

        Parameters
        ----------
        file : str or path
            A JPEG, PNG, TIFF or FITS file.
        variant : str or None
            Only this extractor; None: all whose words are there.
        count : int
            Nearest images that are wanted.
        geometry : bool
            Whether it is looked how many features lie alike in these images.
        spark : SparkSession or None
            Goes through the images' words and embeddings, where they are too many for one machine;
            the result is the same.

        Raises
        ------
        InputError
            The file is not there or cannot be decoded, there are no words, or nothing is found
            in it that could be compared.
        SettingsError
            There is no such extractor, or a network's file is missing.
        """
        scan: Any = self._scan
        if spark is not None:
            from minia_spark.frames.spark import SparkScan  # noqa: PLC0415 - only with Spark

            scan = SparkScan(spark, self._warehouse, self._state)
        return search_image(self, scan, file, variant=variant, count=count, geometry=geometry)

    def _scan(self, table: str, variant: str | None, columns: list[str], work: Work) -> pa.Table:
        """Apply work to the rows of a table, some at a time."""
        storage = self._warehouse.storage
        found = []
        for entry in self._entries(table, variant, None):
            place = storage.full(entry.path)
            files = ds.dataset(place, filesystem=storage.filesystem, format="parquet")
            found += list(work(files.to_batches(columns=columns)))
        return pa.Table.from_batches(
            found,
            pa.schema(
                [("batch", pa.string()), ("image_id", pa.string()), ("distance", pa.float64())]
            ),
        )

    # -- the map ----------------------------------------------------------------------------------

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
