"""What the page shows of structures and of images, read by Spark or here.

Only what is shown comes to the driver. Tables with rows of images are read by Spark, in as few jobs
as possible; tables of a row a structure or a word are read here, which takes no job at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from minia_spark.base.settings import StageSettings
from minia_spark.engine.context import Context
from minia_spark.engine.table import Table
from minia_spark.features.tables import FEATURES
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.ingest.tables import IMAGES
from minia_spark.mining.tables import STRUCTURES
from minia_spark.report.data import MatchedImage, StructureCard, Thumbnail
from minia_spark.report.settings import ReportSettings
from minia_spark.structures.rows import of_kinds
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import LINEAGE, PATTERNS, STRUCTURE_IMAGES, STRUCTURE_NAMES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse.records import Entry

__all__ = ["Tables", "cards_of", "columns_of", "patterns_of", "said_of", "thumbnails_of"]

_Model = TypeVar("_Model", bound=StageSettings)


_IMAGES_AT_ONCE = 1_000  # whose thumbnails are held at the same time


@dataclass(frozen=True)
class Tables:
    """What the step may read of one variant: its tables, and those that have no variants.

    Attributes
    ----------
    context : Context
    variant : str or None
    """

    context: Context
    variant: str | None

    def settings(self, model: type[_Model]) -> _Model:
        """Return a section of the settings."""
        return self.context.settings(model)

    def entries(self, table: Table) -> list[Entry]:
        """Return what a table consists of."""
        found = self.context.entries_of(table)
        return [e for e in found if not table.variants or e.variant == self.variant]

    def count(self, table: Table) -> int:
        """Return its number of rows."""
        return sum(entry.rows or 0 for entry in self.entries(table))

    def rows(
        self, table: Table, columns: Sequence[str], where: ds.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows without Spark, file after file; `where` is a filter."""
        return self.context.of_variant(self.variant).rows_here(table, list(columns), where)

    def columns(self, table: Table, *names: str) -> DataFrame:
        """Return some columns of a table."""
        return columns_of(self.context, table, self.entries(table), names)

    def collected(self, frame: DataFrame, what: str) -> pa.Table:
        """Return all rows; `what` they are is told while they are waited for."""
        with self.context.watched(" ".join(filter(None, (self.variant, what)))):
            return frame.toArrow()


def columns_of(
    context: Context, table: Table, entries: Sequence[Entry], names: Sequence[str]
) -> DataFrame:
    """Return some columns of a table; their types are known, so no job has to look for them."""
    schema = StructType([f for f in table.stored_schema().fields if f.name in names])
    paths = [context.pattern(entry.path) for entry in entries]
    return context.spark.read.schema(schema).parquet(*paths)


_STRUCTURE = ("structure_id", "words", "sets", "support", "expected_support")
_JUDGEMENT = ("lift", "q", "stability", "significant", "reproducible")
_BEYOND = ("expected_beyond", "lift_beyond", "surprise")
_FATE = ("structure_id", "lineage_id", "event", "older_state", "older_structure_id")
_CHANGE = ("words_gained", "words_lost")


@dataclass(frozen=True)
class Said:
    """What people said of a structure.

    Attributes
    ----------
    name, kind : str or None
    left_out : bool
        Whether structures of this kind are to be left out.
    """

    name: str | None = None
    kind: str | None = None
    left_out: bool = False


def said_of(tables: Tables) -> dict[str, Said]:
    """Return what people said of structures, by lineage."""
    if not tables.context.has(STRUCTURE_NAMES):
        return {}
    unwanted = tables.settings(StructuresSettings).exclude_kinds
    return {
        row["lineage_id"]: Said(row["name"], row["kind"], of_kinds(row["kind"], unwanted))
        for batch in tables.rows(STRUCTURE_NAMES, ["lineage_id", "name", "kind"])
        for row in batch.to_pylist()
    }


def patterns_of(tables: Tables) -> dict[int, dict[str, Any]]:
    """Return the rows of table ``patterns`` by structure."""
    return _rows_of(tables, PATTERNS, ("structure_id", "place", "strength", "pattern"))


def cards_of(
    tables: Tables,
    said: Mapping[str, Said],
    told: Mapping[int, Mapping[str, Any]],
    *,
    judged: bool,
    beyond: bool,
) -> list[StructureCard]:
    """Return the structures that the page shows: one a pattern, the first ones.

    Parameters
    ----------
    tables : Tables
    said : mapping
        As :func:`said_of` returns it.
    told : mapping
        As :func:`patterns_of` returns it.
    judged : bool
        Whether decoys and other seeds tell how far a structure is to be believed.
    beyond : bool
        Whether there is a background beyond which they have a lift.
    """
    size = Counter(row["pattern"] for row in told.values())
    first = [row for number, row in told.items() if row["pattern"] == number]
    first.sort(key=lambda row: int(row["place"]))
    shown = [row["structure_id"] for row in first[: tables.settings(ReportSettings).structures]]
    if not shown:
        return []
    wanted = ds.field("structure_id").isin(shown)
    structures = _rows_of(tables, STRUCTURES, (*_STRUCTURE, *_JUDGEMENT, *_BEYOND), wanted)
    fates = _rows_of(tables, LINEAGE, (*_FATE, *_CHANGE), wanted)
    matches = _matches(tables, shown)
    images = _best_images(tables, matches)
    verified = _rows_of(tables, VERIFICATIONS, ("structure_id", "verified"), wanted)
    cards = [
        replace(
            _card(
                structures[number],
                fates[number],
                said.get(fates[number]["lineage_id"], Said()),
                matches,
                images[number],
                verified=verified.get(number, {}).get("verified"),
                judged=judged,
                beyond=beyond,
            ),
            strength=told[number]["strength"],
            alike=size[number] - 1,
        )
        for number in shown
    ]
    return sorted(cards, key=lambda card: card.left_out)


def _rows_of(
    tables: Tables, table: Table, columns: Sequence[str], where: ds.Expression | None = None
) -> dict[int, dict[str, Any]]:
    """Return the rows of a table by their structures."""
    batches = tables.rows(table, columns, where)
    return {int(row["structure_id"]): row for batch in batches for row in batch.to_pylist()}


def _card(
    row: Mapping[str, Any],
    fate: Mapping[str, Any],
    said: Said,
    matches: pa.Table,
    images: Sequence[MatchedImage],
    *,
    verified: float | None,
    judged: bool,
    beyond: bool,
) -> StructureCard:
    own = matches.filter(pc.equal(matches["structure_id"], row["structure_id"]))
    labels: dict[str, int] = defaultdict(int)
    for label, count in zip(own["label"].to_pylist(), own["images"].to_pylist(), strict=True):
        if label is not None:
            labels[label] += count
    older = fate["older_structure_id"]
    return StructureCard(
        structure=_name(row["structure_id"]),
        words=row["words"],
        sets=None if beyond else row["sets"],
        images_total=pc.sum(own["images"]).as_py() or 0,
        images=images,
        labels=labels,
        support=row["support"],
        expected_support=row["expected_support"],
        lift=row["lift"],
        expected_beyond=row["expected_beyond"] if beyond else None,
        lift_beyond=row["lift_beyond"] if beyond else None,
        surprise=row["surprise"] if np.isfinite(row["surprise"]) else None,
        q=row["q"],
        stability=row["stability"],
        verified=verified,
        lineage=fate["lineage_id"],
        event=fate["event"],
        older_state=fate["older_state"],
        older_structure=None if older is None else _name(older),
        words_gained=fate["words_gained"],
        words_lost=fate["words_lost"],
        established=row["significant"] and row["reproducible"] if judged else None,
        called=said.name,
        kind=said.kind,
        left_out=said.left_out,
    )


def _name(structure_id: int) -> str:
    return f"s{structure_id:04d}"


def _matches(tables: Tables, shown: Sequence[int]) -> pa.Table:
    """Return the images of the structures shown, by structure and rank.

    One row an image that is drawn, with the numbers of the features that matched; the images behind
    these are counted by label: their rows have no rank, and `images` says how many they are.
    """
    settings = tables.settings(ReportSettings)
    of_match = ("structure_id", "rank", "image_id", "batch", "features")
    matches = tables.columns(STRUCTURE_IMAGES, *of_match).where(
        F.col("structure_id").isin(list(shown))
    )
    images = tables.columns(IMAGES, "batch", "image_id", "label")
    joined = matches.join(images, ["batch", "image_id"])
    own = ("rank", "batch", "image_id", "features")
    row = F.when(F.col("rank") <= settings.images_per_structure, F.struct(*own))
    counted = joined.groupBy("structure_id", "label", row.alias("row")).agg(
        F.count("*").alias("images")
    )
    flat = counted.select(
        *("structure_id", "label", "images"), *(F.col(f"row.{name}").alias(name) for name in own)
    )
    return tables.collected(flat, "images of structures").sort_by(
        [("structure_id", "ascending"), ("rank", "ascending")]
    )


def _best_images(tables: Tables, matches: pa.Table) -> dict[int, list[MatchedImage]]:
    """Return the images to draw of every structure, by rank, with the features that matched."""
    drawn = matches.filter(pc.is_valid(matches["features"])).to_pylist()
    found: dict[int, list[MatchedImage]] = defaultdict(list)
    if not drawn:
        return found
    needed: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in drawn:
        needed[row["batch"], row["image_id"]].update(row["features"])
    numbers = {key: np.array(sorted(own), dtype=np.int32) for key, own in needed.items()}
    located = _located(tables, numbers)
    for row in drawn:
        key = (row["batch"], row["image_id"])
        at = np.searchsorted(numbers[key], row["features"])
        x, y, size, angle = (values[at] for values in located[key])
        found[row["structure_id"]].append(
            MatchedImage(
                batch=row["batch"],
                image_id=row["image_id"],
                x=x,
                y=y,
                size=size,
                angle=angle,
            )
        )
    return found


def _located(
    tables: Tables, numbers: Mapping[tuple[str, str], NDArray[np.int32]]
) -> dict[tuple[str, str], tuple[NDArray[Any], ...]]:
    """Return x, y, size and angle of some features of some images."""
    keys = _keys(tables, numbers, numbers.values())
    places = ("x", "y", "size", "angle")

    def of_matched(name: str) -> Column:
        return F.transform("numbers", lambda number: F.get(name, number)).alias(name)

    features = tables.columns(FEATURES, "batch", "image_id", *places).join(
        F.broadcast(keys), ["batch", "image_id"]
    )
    both = features.select("batch", "image_id", *map(of_matched, places))
    return {
        (row["batch"], row["image_id"]): tuple(np.array(row[name], np.float32) for name in places)
        for row in tables.collected(both, "matched features").to_pylist()
    }


def thumbnails_of(tables: Tables, wanted: Sequence[tuple[str, str]]) -> Iterator[Thumbnail]:
    """Yield the thumbnails of some images, so many at once."""
    columns = ("batch", "image_id", "width", "height", "format", "data")
    table = tables.columns(THUMBNAILS, *columns)
    for first in range(0, len(wanted), _IMAGES_AT_ONCE):
        keys = _keys(tables, wanted[first : first + _IMAGES_AT_ONCE])
        chosen = table.join(F.broadcast(keys), ["batch", "image_id"])
        for row in tables.collected(chosen, "thumbnails").to_pylist():
            yield Thumbnail(
                batch=row["batch"],
                image_id=row["image_id"],
                width=row["width"],
                height=row["height"],
                data=row["data"],
                format=row["format"],
            )


def _keys(
    tables: Tables,
    images: Iterable[tuple[str, str]],
    numbers: Iterable[NDArray[np.int32]] | None = None,
) -> DataFrame:
    """Return a small table of images, and of numbers of their features, to join with."""
    batches, image_ids = zip(*images, strict=True)
    columns = {
        "batch": pa.array(batches, pa.string()),
        "image_id": pa.array(image_ids, pa.string()),
    }
    if numbers is not None:
        columns["numbers"] = pa.array([own.tolist() for own in numbers], pa.list_(pa.int32()))
    return tables.context.spark.createDataFrame(pa.table(columns))
