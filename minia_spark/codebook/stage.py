"""The codebook on Spark. The passes are in :mod:`.passes`.

1. A sample of descriptors, chosen by hash, deduplicated and sorted, goes to MLlib in one
   partition.
2. The centres are rounded to the grid.
3. Lloyd iterations over all descriptors.
4. The centres are saved as table ``codebooks`` and as an MLlib ``KMeansModel`` beside it.

With ``sample_size: null`` MLlib sees all descriptors in all partitions; with ``refine_iterations:
0`` too, its model is saved as it is, and the words are those of its centres on the grid.

Or the codebook of another warehouse is taken over as it is. Where there was another one before,
table ``word_map`` says what became of its words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.ml.clustering import KMeansModel
from pyspark.mllib.common import _py2java
from pyspark.mllib.linalg import Vectors
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.codebook.kmeans import ClusterSums, NearestCentre, to_grid
from minia_spark.codebook.reuse import elsewhere, training_digest
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.size import choose_size
from minia_spark.codebook.spark import (
    Descriptors,
    count_moves,
    descriptors_of,
    mllib_model,
    refine,
    starting_centres,
)
from minia_spark.codebook.tables import CODEBOOKS, TRAINING_BATCHES, WORD_MAP
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.features.tables import FEATURES

__all__ = ["Codebook", "load_codebook", "run"]


@dataclass(frozen=True)
class Codebook:
    """A codebook as the words stage needs it.

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


def load_codebook(table: pa.Table) -> Codebook:
    """Return the codebook that table ``codebooks`` holds."""
    table = table.sort_by("word")
    scale = table["scale"][0].as_py()
    centres = to_lists(table["centre"].combine_chunks())[0].reshape(len(table), -1)
    return Codebook(
        version=table["version"][0].as_py(),
        centres=to_grid(centres, scale),
        scale=scale,
        extractor=table["extractor"][0].as_py(),
    )


def run(context: Context) -> None:
    """Fit the codebook or take it over; map the words of the one before."""
    older = None
    if context.entries_of(CODEBOOKS):
        older = load_codebook(context.small(CODEBOOKS))
    features = context.read(FEATURES).select("image_id", "n_features", "descriptors")
    if context.settings(CodebookSettings).reuse is None:
        newer, descriptors, model = _fit(context, features)
    else:
        newer, descriptors = _take_over(context, features)
        model = None
    _save_mllib_model(context, model or _as_mllib_model(context, newer.centres / newer.scale))
    if older is None or older.version == newer.version:
        return
    if (older.extractor, older.centres.shape[1]) == (newer.extractor, newer.centres.shape[1]):
        _map_words(context, descriptors, older, newer)
    else:
        context.progress.warn(
            "the older codebook is of other descriptors: structures of both cannot be compared"
        )


def _fit(context: Context, features: DataFrame) -> tuple[Codebook, Descriptors, KMeansModel | None]:
    """Fit and write a codebook; return MLlib's model too where it is the result itself."""
    settings = context.settings(CodebookSettings)
    row = features.agg(F.sum("n_features"), F.count_if(F.col("n_features") > 0)).first()
    assert row is not None
    total, images = int(row[0] or 0), int(row[1])
    size, reason = _size(context, images, total)
    if total < size:
        raise InputError(
            f"{total} descriptors were extracted, fewer than the {size} words asked for; "
            "set codebook.size lower, give more images, or lower the extractor's threshold"
        )
    descriptors = descriptors_of(features)
    scale = descriptors.scale
    model = stored = None
    if settings.sample_size is None and settings.refine_iterations == 0:
        model = mllib_model(context, features, total, size)
        stored = np.array(model.clusterCenters(), dtype=np.float32)
        centres = to_grid(stored, scale)
    else:
        centres = starting_centres(context, features, descriptors, total, size)
    context.counts |= {"descriptors": total, "words": len(centres)}
    history, centres, found = refine(context, descriptors, total, centres)
    extractor = features.schema["descriptors"].metadata["extractor"]
    exact = centres if stored is None else stored
    version = fingerprint("codebook", extractor, scale, exact.tolist())
    if stored is None:
        stored = (centres / scale).astype(np.float32)
    table = _as_table(found, scale, stored).append_column(
        "version", pa.array([version] * len(centres))
    )
    for name, value in (
        ("scale", scale),
        ("extractor", extractor),
        ("cost_history", history),
        ("size_reason", reason),
    ):
        table = table.append_column(name, pa.array([value] * len(centres)))
    context.write_rows(CODEBOOKS, table, within="words", digest=version)
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
    _warn_of_few_words(context, size, len(centres), dead)
    return Codebook(version, centres, scale, extractor), descriptors, model


def _as_table(found: ClusterSums, scale: float, centres: NDArray[np.float32]) -> pa.Table:
    """Return what is known of each word: its centre, and how its descriptors lie round it."""
    errors = [
        int(cost) / scale**2 / int(n) if n else None
        for n, cost in zip(found.counts, found.costs, strict=True)
    ]
    return pa.table(
        {
            "word": pa.array(range(len(centres)), pa.int32()),
            "centre": list(centres),
            "occurrences": found.counts,
            "error": errors,
            "dead": found.counts == 0,
        }
    )


def _warn_of_few_words(context: Context, wanted: int, words: int, dead: int) -> None:
    if not dead and words == wanted:
        return
    lack = f"{dead} of {words} words have no descriptor"
    if words < wanted:
        lack = f"MLlib found only {words} different centres for {wanted} words"
    context.progress.warn(f"{lack}; a smaller codebook.size fits this collection better")


def _size(context: Context, images: int, total: int) -> tuple[int, str]:
    """Return the number of words, and why."""
    settings = context.settings(CodebookSettings)
    if settings.size != "auto":
        return settings.size, f"{settings.size:,} words are set."
    size, reason = choose_size(images, total)
    if settings.sample_size is not None and settings.sample_size < size:
        size = settings.sample_size
        reason += f" No more than codebook.sample_size: {size:,}."
    context.say(reason)
    return size, reason


# -- the codebook of another warehouse ----------------------------------------------------------


def _take_over(context: Context, features: DataFrame) -> tuple[Codebook, Descriptors]:
    other, entries = elsewhere(context.all_settings, context.warehouse, context.variant)
    for table, within in ((CODEBOOKS, "words"), (TRAINING_BATCHES, "")):
        entry = entries[table.name]
        rows = other.rows_of([entry], [column.name for column in table.columns])
        context.write_rows(table, rows, within=within, digest=entry.digest)
        context.check_counts(
            f"rows of {table.name}", entry.rows or 0, context.entries[-1].rows or 0
        )
        if table is CODEBOOKS:
            taken = load_codebook(rows)
    layout = features.schema["descriptors"].metadata
    here = layout["extractor"], int(layout["dimension"])
    there = taken.extractor, taken.centres.shape[1]
    if here != there:
        raise SettingsError(
            f"codebook.reuse: the codebook of {other.storage} is of {there[0]} descriptors of "
            f"{there[1]} numbers; those here are {here[0]} of {here[1]}"
        )
    context.say(f"taken over from {other.storage}")
    context.counts["words"] = len(taken.centres)
    return taken, descriptors_of(features, taken.scale)


# -- from one codebook to the next --------------------------------------------------------------


def _map_words(
    context: Context, descriptors: Descriptors, older: Codebook, newer: Codebook
) -> None:
    """Write the nearest new word of every old word, with what is known of earlier codebooks."""
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
    schema = WORD_MAP.arrow_schema()
    table = pa.Table.from_pylist(rows, schema)
    if context.has(WORD_MAP):
        known = context.small(WORD_MAP, schema.names).cast(schema)
        ours = (pc.field("older_version") == older.version) & (
            pc.field("newer_version") == newer.version
        )
        table = pa.concat_tables([known.filter(~ours), table])
    context.write_rows(WORD_MAP, table, digest=newer.version)
    context.counts["moved_with_their_word"] = round(int(moved.sum()) / max(1, int(total.sum())), 4)


def _as_mllib_model(context: Context, centres: NDArray[np.float64]) -> KMeansModel:
    """Return centres (K, D) as MLlib's own model, for users who want to go on with MLlib."""
    spark = context.spark.sparkContext
    jvm = spark._jvm
    assert jvm is not None
    # A tuple goes over in one piece, a list vector by vector: seconds for 1,000.
    vectors = _py2java(spark, tuple(Vectors.dense(centre) for centre in centres))
    inner = jvm.org.apache.spark.mllib.clustering.KMeansModel(jvm.java.util.Arrays.asList(vectors))
    return KMeansModel(jvm.org.apache.spark.ml.clustering.KMeansModel("minia-codebook", inner))


def _save_mllib_model(context: Context, model: KMeansModel) -> None:
    model.write().overwrite().save(context.uri(f"{context.folder(CODEBOOKS)}/mllib"))
