"""Counts of images in pairs of groups, on Spark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from minia_spark.clustering.tables import CLUSTERS
from minia_spark.engine.context import Context
from minia_spark.galaxies.morphology import LEGEND
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.tables import IMAGES
from minia_spark.lab.agreement import enrichment
from minia_spark.structures.tables import STRUCTURE_IMAGES

__all__ = ["ANY", "class_counts", "contingencies", "groups_of", "pair_counts"]

ANY = "*"
"""The group of all images of which a kind is known: its counts are the margins."""
_KEYS = ("batch", "image_id")


def _known(frame: DataFrame, kind: Column, value: Column) -> DataFrame:
    rows = frame.select(*_KEYS, kind.alias("kind"), value.cast("string").alias("value"))
    return rows.where("value is not null")


def _clustering() -> Column:
    """Return the kind of a cluster: ``cluster kmeans``, ``cluster kmeans of words``."""
    return F.concat(F.lit("cluster "), F.replace("variant", F.lit("-"), F.lit(" of ")))


def groups_of(context: Context) -> DataFrame:
    """Return the groups that every image is in: batch, image_id, family, kind, value."""
    facets = context.read(FACETS)
    images = context.read(IMAGES).select(*_KEYS, "label")
    parts: list[tuple[str, DataFrame]] = [
        (
            "cluster",
            _known(context.read(CLUSTERS), _clustering(), F.col("cluster")),
        ),
        ("class", _known(facets, F.lit("galaxy_class"), F.col("galaxy_class"))),
        ("class", _known(images, F.lit("label"), F.col("label"))),
        *(("facet", _known(facets, F.lit(f"facet {n}"), F.col(n))) for n in LEGEND),
    ]
    known = [frame.withColumn("family", F.lit(family)) for family, frame in parts]
    groups = reduce(DataFrame.unionByName, known)
    anywhere = groups.select(*_KEYS, "family", "kind").distinct()
    groups = groups.unionByName(anywhere.withColumn("value", F.lit(ANY)))
    if not context.has(STRUCTURE_IMAGES):
        return groups
    # an image may be in several structures, and is known to be in none of the others
    found = context.read(STRUCTURE_IMAGES)
    kind = F.concat(F.lit("structure "), "variant")
    held = _known(found, kind, F.col("structure_id"))
    kinds = found.select(kind.alias("kind")).distinct()
    everywhere = images.select(*_KEYS).crossJoin(kinds).withColumn("value", F.lit(ANY))
    whole = held.unionByName(everywhere).withColumn("family", F.lit("structure"))
    return groups.unionByName(whole)


def pair_counts(groups: DataFrame) -> DataFrame:
    """Count the images in every pair of groups of different families.

    Parameters
    ----------
    groups : DataFrame
        As :func:`groups_of` gives it.

    Returns
    -------
    DataFrame
        left_kind, left, right_kind, right, images; `ANY` is a group too.
    """
    one = F.struct("family", "kind", "value")
    held = groups.groupBy(*_KEYS).agg(F.sort_array(F.collect_list(one)).alias("all"))
    left = held.select("all", F.explode("all").alias("a"))
    pairs = left.select("a", F.explode("all").alias("b")).where("a.family < b.family")
    # both are read from the same string: that they agree says nothing
    told = (F.col("a.kind") == "galaxy_class") & (F.col("b.family") == "facet")
    pairs = pairs.where(~told)
    return pairs.groupBy(
        F.col("a.kind").alias("left_kind"),
        F.col("a.value").alias("left"),
        F.col("b.kind").alias("right_kind"),
        F.col("b.value").alias("right"),
    ).agg(F.count("*").alias("images"))


def contingencies(pairs: pa.Table) -> pa.Table:
    """Return the rows of table ``contingencies`` from the counts of pairs.

    Parameters
    ----------
    pairs : pyarrow.Table
        As :func:`pair_counts` gives it.
    """
    order = [(n, "ascending") for n in ("left_kind", "left", "right_kind", "right")]
    rows = pairs.sort_by(order).to_pylist()
    counts = {(r["left_kind"], r["left"], r["right_kind"], r["right"]): r["images"] for r in rows}
    kept = [key for key in counts if ANY not in (key[1], key[3])]

    def column(
        keys: Sequence[tuple[str, str, str, str]],
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([counts[key] for key in keys], dtype=np.int64)

    both = column(kept)
    left = column([(a, v, b, ANY) for a, v, b, _ in kept])
    right = column([(a, ANY, b, w) for a, _, b, w in kept])
    total = column([(a, ANY, b, ANY) for a, _, b, _ in kept])
    lift, p, q = enrichment(both, left, right, total)
    names = ("left_kind", "left", "right_kind", "right")
    found = {name: [key[i] for key in kept] for i, name in enumerate(names)}
    numbers = {
        "images": both,
        "left_images": left,
        "right_images": right,
        "all_images": total,
        "lift": lift,
        "p": p,
        "q": q,
    }
    texts = {name: pa.array(values, pa.string()) for name, values in found.items()}
    return pa.table(texts | {name: pa.array(values) for name, values in numbers.items()})


def class_counts(context: Context) -> pa.Table:
    """Count the images of every class in every cluster, on either side of the split.

    Returns
    -------
    pyarrow.Table
        variant, split, classes, class (null: none), cluster, images.
    """
    facets = context.read(FACETS).select(*_KEYS, "split", "galaxy_class")
    images = context.read(IMAGES).select(*_KEYS, "label")
    clusters = context.read(CLUSTERS).select(*_KEYS, "variant", "cluster")
    joined = clusters.join(facets, list(_KEYS)).join(images, list(_KEYS))
    kinds = F.array(
        F.struct(F.lit("galaxy_class").alias("classes"), F.col("galaxy_class").alias("class")),
        F.struct(F.lit("label").alias("classes"), F.col("label").alias("class")),
    )
    spread = joined.select("variant", "split", "cluster", F.inline(kinds))
    names = ["variant", "split", "classes", "class", "cluster"]
    counted = spread.groupBy(*names).agg(F.count("*").alias("images"))
    return counted.toArrow().sort_by([(name, "ascending") for name in names])
