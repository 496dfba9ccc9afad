"""The vocabulary on Spark. The passes are in :mod:`.passes`.

1. A sample of descriptors, chosen by hash, deduplicated and sorted, goes to MLlib in one
   partition: k-means|| or random points, whichever ends cheaper after a few iterations.
2. The centres are rounded to the grid.
3. Lloyd iterations over all descriptors.
4. The centres are saved as table ``codebooks`` and as an MLlib ``KMeansModel`` beside it.

Or the vocabulary of another warehouse is taken over as it is. Where there was another one before,
table ``word_map`` says what became of its words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.clustering import KMeansModel
from pyspark.mllib.common import _py2java
from pyspark.mllib.linalg import Vectors
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.codebook.kmeans import NearestCentre, to_grid
from minia_spark.codebook.passes import (
    Descriptors,
    count_moves,
    descriptors_of,
    mllib_centres,
    refine,
)
from minia_spark.codebook.reuse import elsewhere, training_digest
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS, TRAINING_BATCHES, WORD_MAP
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.features.tables import FEATURES

__all__ = ["Codebook", "load_codebook", "run"]


@dataclass(frozen=True)
class Codebook:
    """A vocabulary as the words stage needs it.

    Attributes
    ----------
    version : str
        Hash of the centres, their scale and the extractor.
    centres : int array, shape (K, D)
        In grid units.
    scale : float
        Grid units in a descriptor's unit.
    extractor : str
    """

    version: str
    centres: NDArray[np.integer]
    scale: float
    extractor: str


def load_codebook(frame: DataFrame) -> Codebook:
    """Return the vocabulary that table ``codebooks`` holds."""
    table = frame.orderBy("word").toArrow()
    scale = table["scale"][0].as_py()
    centres = np.array(table["centre"].to_pylist(), dtype=np.float64)
    return Codebook(
        version=table["version"][0].as_py(),
        centres=np.rint(centres * scale).astype(np.int32),
        scale=scale,
        extractor=table["extractor"][0].as_py(),
    )


def run(context: Context) -> None:
    """Fit the codebook or take it over; map the words of the one before."""
    older = None
    if context.entries_of(CODEBOOKS):
        older = load_codebook(context.read(CODEBOOKS))
    features = context.read(FEATURES).select("image_id", "n_features", "descriptors")
    if context.settings(CodebookSettings).reuse is None:
        newer, descriptors = _fit(context, features)
    else:
        newer, descriptors = _take_over(context, features)
    _save_mllib_model(context, newer.centres / newer.scale)
    if older is None or older.version == newer.version:
        return
    if (older.extractor, older.centres.shape[1]) == (newer.extractor, newer.centres.shape[1]):
        _map_words(context, descriptors, older, newer)
    else:
        context.progress.warn(
            "the older vocabulary is of other descriptors: structures of both cannot be compared"
        )


def _fit(context: Context, features: DataFrame) -> tuple[Codebook, Descriptors]:
    settings = context.settings(CodebookSettings)
    row = features.agg(F.sum("n_features")).first()
    total = int(row[0] or 0) if row else 0
    if total < settings.size:
        raise InputError(
            f"{total} descriptors were extracted, fewer than the {settings.size} words asked for; "
            "set codebook.size lower, give more images, or lower the extractor's threshold"
        )
    descriptors = descriptors_of(features)
    scale = descriptors.scale
    centres = to_grid(mllib_centres(context, features, total), scale)
    context.counts |= {"descriptors": total, "words": settings.size}
    history, centres, found = refine(context, descriptors, centres)
    extractor = features.schema["descriptors"].metadata["extractor"]
    version = fingerprint("codebook", extractor, scale, centres.tolist())
    same = {"version": version, "scale": scale, "extractor": extractor, "cost_history": history}
    rows = [
        same
        | {
            "word": word,
            "centre": (centre / scale).tolist(),
            "occurrences": int(n),
            "error": int(cost) / scale**2 / int(n) if n else None,
            "dead": bool(n == 0),
        }
        for word, (centre, n, cost) in enumerate(
            zip(centres, found.counts, found.costs, strict=True)
        )
    ]
    frame = context.spark.createDataFrame(rows, CODEBOOKS.schema()).coalesce(1)
    context.write(CODEBOOKS, frame, within="words", digest=version)
    batches = [
        {"version": version, "batch": e.batch, "digest": e.digest}
        for e in context.entries_of(FEATURES)
    ]
    context.write_rows(
        TRAINING_BATCHES,
        pa.Table.from_pylist(batches, TRAINING_BATCHES.arrow_schema()),
        digest=training_digest(context.view, context.variant),
    )
    dead = int((found.counts == 0).sum())
    context.counts |= {"cost_per_descriptor": history[-1], "dead_words": dead}
    if dead:
        context.progress.warn(
            f"{dead} of {settings.size} words have no descriptor; a smaller codebook.size fits "
            "this collection better"
        )
    return Codebook(version, centres, scale, extractor), descriptors


# -- the codebook of another warehouse ----------------------------------------------------------


def _take_over(context: Context, features: DataFrame) -> tuple[Codebook, Descriptors]:
    other, entries = elsewhere(context.all_settings, context.warehouse, context.variant)
    for table, within in ((CODEBOOKS, "words"), (TRAINING_BATCHES, "")):
        entry = entries[table.name]
        frame = context.spark.read.schema(table.schema()).parquet(other.storage.pattern(entry.path))
        written = context.write(table, frame.coalesce(1), within=within, digest=entry.digest)
        context.check_counts(
            f"rows of {table.name}", entry.rows or 0, context.entries[-1].rows or 0
        )
        if table is CODEBOOKS:
            taken = load_codebook(written)
    layout = features.schema["descriptors"].metadata
    here = layout["extractor"], int(layout["dimension"])
    there = taken.extractor, taken.centres.shape[1]
    if here != there:
        raise SettingsError(
            f"codebook.reuse: the vocabulary of {other.storage} is of {there[0]} descriptors of "
            f"{there[1]} numbers; those here are {here[0]} of {here[1]}"
        )
    context.say(f"taken over from {other.storage}")
    context.counts["words"] = len(taken.centres)
    return taken, descriptors_of(features, taken.scale)


# -- from one vocabulary to the next --------------------------------------------------------------


def _map_words(
    context: Context, descriptors: Descriptors, older: Codebook, newer: Codebook
) -> None:
    """Write the nearest new word of every old word, with what is known of earlier vocabularies."""
    before = to_grid(older.centres / older.scale, newer.scale)
    nearest, squared = NearestCentre(newer.centres).find(before)
    total, moved = count_moves(context, descriptors, before, newer.centres, nearest)
    rows = [
        {
            "older_version": older.version,
            "older_word": word,
            "newer_version": newer.version,
            "newer_word": int(nearest[word]),
            "distance": float(np.sqrt(squared[word])) / newer.scale,
            "share": int(moved[word]) / int(total[word]) if total[word] else None,
        }
        for word in range(len(nearest))
    ]
    frame = context.spark.createDataFrame(rows, WORD_MAP.schema())
    if context.entries_of(WORD_MAP):
        known = context.read(WORD_MAP).drop("variant")
        again = (F.col("older_version") == older.version) & (
            F.col("newer_version") == newer.version
        )
        frame = known.where(~again).unionByName(frame)
    context.write(WORD_MAP, frame.coalesce(1), digest=newer.version)
    context.counts["moved_with_their_word"] = round(int(moved.sum()) / max(1, int(total.sum())), 4)


def _save_mllib_model(context: Context, centres: NDArray[np.float64]) -> None:
    """Save the centres as MLlib's own model, for users who want to go on with MLlib."""
    spark = context.spark.sparkContext
    jvm = spark._jvm
    assert jvm is not None
    vectors = _py2java(spark, [Vectors.dense(centre) for centre in centres])
    inner = jvm.org.apache.spark.mllib.clustering.KMeansModel(vectors)
    java_model = jvm.org.apache.spark.ml.clustering.KMeansModel("minia-vocabulary", inner)
    model = KMeansModel(java_model)
    model.write().overwrite().save(context.uri(f"{context.folder(CODEBOOKS)}/mllib"))
