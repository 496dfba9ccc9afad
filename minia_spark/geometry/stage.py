"""The geometric check on Spark: pairs are chosen on the driver, looked at on the executors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import to_lists
from minia_spark.engine.context import Context
from minia_spark.features.tables import FEATURES
from minia_spark.geometry.alike import Placed, alike, sampled_pairs
from minia_spark.geometry.settings import GeometrySettings
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.structures.tables import STRUCTURE_IMAGES
from minia_spark.words.tables import WORDS

__all__ = ["run"]

_PLACED = ("x", "y", "size", "angle")
_NUMBERS = ("word", *_PLACED)


def run(context: Context) -> None:
    """Look at pairs of the images of every structure."""
    settings = context.settings(GeometrySettings)
    if not settings.pairs:
        context.write_rows(VERIFICATIONS, VERIFICATIONS.arrow_schema().empty_table())
        return
    matches = context.read(STRUCTURE_IMAGES)
    with context.watched("images of structures"):
        sizes = matches.groupBy("structure_id").count().orderBy("structure_id").toArrow()
    pairs = _pairs(sizes, settings.pairs, settings.seed)
    context.say(f"{len(pairs):,} pairs of images of {len(sizes):,} structures")
    chosen = context.spark.createDataFrame(pairs)
    placed = _placed(context, matches, chosen)
    sides = [
        placed.select(
            "structure_id",
            F.col("rank").alias(side),
            *(F.col(name).alias(f"{side}_{name}") for name in _NUMBERS),
        )
        for side in ("left", "right")
    ]
    joined = chosen.join(sides[0], ["structure_id", "left"]).join(
        sides[1], ["structure_id", "right"]
    )
    least, tolerance = settings.least, settings.tolerance

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            left, right = (_sides(batch, side) for side in ("left", "right"))
            found = [
                alike(a, b, least=least, tolerance=tolerance) > 0
                for a, b in zip(left, right, strict=True)
            ]
            yield pa.RecordBatch.from_pydict(
                {"structure_id": batch["structure_id"], "alike": pa.array(found, pa.bool_())}
            )

    looked = joined.mapInArrow(look, "structure_id int, alike boolean")
    told = looked.groupBy("structure_id").agg(
        F.count("*").alias("pairs"), F.count_if("alike").alias("alike")
    )
    with context.watched("pairs"):
        table = told.orderBy("structure_id").toArrow()
    context.check_counts("pairs", len(pairs), int(np.sum(table["pairs"].to_numpy())))
    context.write_rows(VERIFICATIONS, _with_all(sizes, table))
    context.counts |= {"pairs": len(pairs), "alike": int(np.sum(table["alike"].to_numpy()))}


def _pairs(sizes: pa.Table, wanted: int, seed: int) -> pa.Table:
    ids, ranks = [], [np.zeros((0, 2), np.int64)]
    for row in sizes.to_pylist():
        found = sampled_pairs(row["count"], wanted, (seed, row["structure_id"]))
        ids += [row["structure_id"]] * len(found)
        ranks.append(1 + found)
    left, right = np.concatenate(ranks).T.astype(np.int32)
    return pa.table({"structure_id": pa.array(ids, pa.int32()), "left": left, "right": right})


def _placed(context: Context, matches: DataFrame, chosen: DataFrame) -> DataFrame:
    """Return the features of the structures in the images of the pairs."""
    sides = [chosen.select("structure_id", F.col(side).alias("rank")) for side in ("left", "right")]
    wanted = sides[0].unionByName(sides[1]).distinct()
    images = ["batch", "image_id"]
    features = context.read(FEATURES).select(*images, *_PLACED)
    words = context.read(WORDS).select(*images, "feature_words")
    found = (
        matches.join(wanted, ["structure_id", "rank"]).join(features, images).join(words, images)
    )
    columns = {"word": "feature_words"} | {name: name for name in _PLACED}
    return found.select(
        "structure_id",
        "rank",
        *(_at("features", column).alias(name) for name, column in columns.items()),
    )


def _at(places: str, column: str) -> Column:
    return F.transform(places, lambda place: F.get(F.col(column), place))


def _sides(batch: pa.RecordBatch, side: str) -> list[Placed]:
    values, offsets = {}, np.zeros(1, np.int64)
    for name in _NUMBERS:
        values[name], offsets = to_lists(batch[f"{side}_{name}"])
    rows = []
    for row in range(batch.num_rows):
        part = slice(offsets[row], offsets[row + 1])
        places = np.stack([values["x"][part], values["y"][part]], axis=1)
        own = (values[name][part].astype(np.float32) for name in ("size", "angle"))
        words = values["word"][part].astype(np.int32)
        rows.append(Placed(words, places.astype(np.float32), *own))
    return rows


def _with_all(sizes: pa.Table, table: pa.Table) -> pa.Table:
    """Return a row a structure, also for one whose images make no pair."""
    known = {row["structure_id"]: row for row in table.to_pylist()}
    rows = []
    for structure in sizes["structure_id"].to_pylist():
        row = known.get(structure, {"pairs": 0, "alike": 0})
        share = row["alike"] / row["pairs"] if row["pairs"] else None
        rows.append(
            {
                "structure_id": structure,
                "pairs": row["pairs"],
                "alike": row["alike"],
                "verified": share,
            }
        )
    return pa.Table.from_pylist(rows, VERIFICATIONS.arrow_schema())
