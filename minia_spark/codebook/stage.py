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

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from pyspark.ml.clustering import KMeansModel
from pyspark.mllib.common import _py2java
from pyspark.mllib.linalg import Vectors
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.base.arrow import to_lists
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.codebook.kmeans import NearestCentre, to_grid
from minia_spark.codebook.passes import (
    Descriptors,
    count_moves,
    descriptors_of,
    mllib_model,
    refine,
    starting_centres,
)
from minia_spark.codebook.size import choose_size
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Stage, StageContext, fingerprint
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["CODEBOOKS", "STAGE", "TRAINING_BATCHES", "WORD_MAP", "Codebook"]
__all__ += ["is_newest", "load_codebook"]

CODEBOOKS = StructType(
    [
        StructField("version", StringType(), False),
        StructField("word", IntegerType(), False),
        StructField("centre", ArrayType(FloatType(), False), False),
        StructField("occurrences", LongType(), False),
        StructField("error", DoubleType(), True),
        StructField("dead", BooleanType(), False),
        StructField("scale", DoubleType(), False),
        StructField("extractor", StringType(), False),
        StructField("cost_history", ArrayType(DoubleType(), False), False),
        StructField("size_reason", StringType(), False),
    ]
)

TRAINING_BATCHES = StructType(
    [
        StructField("version", StringType(), False),
        StructField("batch", StringType(), False),
        StructField("digest", StringType(), False),
    ]
)

WORD_MAP = StructType(
    [
        StructField("older_version", StringType(), False),
        StructField("older_word", IntegerType(), False),
        StructField("newer_version", StringType(), False),
        StructField("newer_word", IntegerType(), False),
        StructField("distance", DoubleType(), False),
        StructField("share", DoubleType(), True),
    ]
)


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


def load_codebook(frame: DataFrame) -> Codebook:
    """Return the codebook that table ``codebooks`` holds."""
    table = frame.toArrow().sort_by("word")
    scale = table["scale"][0].as_py()
    centres = to_lists(table["centre"].combine_chunks())[0].reshape(len(table), -1)
    return Codebook(
        version=table["version"][0].as_py(),
        centres=to_grid(centres, scale),
        scale=scale,
        extractor=table["extractor"][0].as_py(),
    )


def _run(context: StageContext) -> None:
    older = None
    if context.view.of_table("codebooks"):
        older = load_codebook(context.read("codebooks"))
    features = context.read("features").select("image_id", "n_features", "descriptors")
    if context.settings.codebook.reuse is None:
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


def _fit(
    context: StageContext, features: DataFrame
) -> tuple[Codebook, Descriptors, KMeansModel | None]:
    """Fit and write a codebook; return MLlib's model too where it is the result itself."""
    settings = context.settings.codebook
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
    model = None
    if settings.sample_size is None and settings.refine_iterations == 0:
        model = mllib_model(context, features, total, size)
        stored = np.array(model.clusterCenters(), dtype=np.float32)
        centres = to_grid(stored, scale)
    else:
        centres = starting_centres(context, features, descriptors, total, size)
    context.counts |= {"descriptors": total, "words": len(centres)}
    history, centres, found = refine(context, descriptors, total, centres)
    if model is None:
        stored = (centres / scale).astype(np.float32)
    extractor = features.schema["descriptors"].metadata["extractor"]
    exact = centres if model is None else stored
    version = fingerprint("codebook", extractor, scale, exact.tolist())
    rows = len(centres)
    table = pa.table(
        {
            "version": [version] * rows,
            "word": pa.array(range(rows), pa.int32()),
            "centre": list(stored),
            "occurrences": found.counts,
            "error": [
                int(cost) / scale**2 / int(n) if n else None
                for n, cost in zip(found.counts, found.costs, strict=True)
            ],
            "dead": found.counts == 0,
            "scale": [scale] * rows,
            "extractor": [extractor] * rows,
            "cost_history": [history] * rows,
            "size_reason": [reason] * rows,
        }
    )
    frame = context.spark.createDataFrame(table, CODEBOOKS).coalesce(1)
    context.write("codebooks", frame, CODEBOOKS, within="words", digest=version)
    batches = [(version, *known) for known in _batches(context.view)]
    frame = context.spark.createDataFrame(batches, TRAINING_BATCHES).coalesce(1)
    digest = _training_digest(context.view)
    context.write("training_batches", frame, TRAINING_BATCHES, digest=digest)
    dead = int((found.counts == 0).sum())
    context.counts |= {"cost_per_descriptor": history[-1], "dead_words": dead}
    if dead or rows < size:
        lack = f"{dead} of {rows} words have no descriptor"
        if rows < size:
            lack = f"MLlib found only {rows} different centres for {size} words"
        context.progress.warn(f"{lack}; a smaller codebook.size fits this collection better")
    return Codebook(version, centres, scale, extractor), descriptors, model


def _size(context: StageContext, images: int, total: int) -> tuple[int, str]:
    """Return the number of words, and why."""
    settings = context.settings.codebook
    if settings.size != "auto":
        return settings.size, f"{settings.size:,} words are set."
    size, reason = choose_size(images, total)
    if settings.sample_size is not None and settings.sample_size < size:
        size = settings.sample_size
        reason += f" No more than codebook.sample_size: {size:,}."
    context.say(reason)
    return size, reason


def _batches(view: Catalogue) -> list[tuple[str | None, str]]:
    return [(e.batch, e.digest) for e in view.of_table("features")]


def _training_digest(view: Catalogue) -> str:
    """Return a hash of the features of all batches; equal ones give equal codebooks."""
    return fingerprint("training", _batches(view))


def is_newest(settings: Settings, warehouse: Warehouse, view: Catalogue) -> bool:
    """Tell whether fitting anew would give the codebook that is there.

    Parameters
    ----------
    settings : Settings
        Those that the codebook was made with.
    warehouse : Warehouse
    view : Catalogue
        The codebook, and the features of all batches.

    Raises
    ------
    SettingsError
        It is to be taken from another warehouse and cannot be.
    """
    if settings.codebook.reuse is not None:
        _, entries = _elsewhere(settings, warehouse)
        wanted, table = entries["codebooks"].digest, "codebooks"
    else:
        wanted, table = _training_digest(view), "training_batches"
    return [e.digest for e in view.of_table(table)] == [wanted]


# -- the codebook of another warehouse ----------------------------------------------------------


def _check(settings: Settings, warehouse: Warehouse) -> None:
    if settings.codebook.reuse is not None:
        _elsewhere(settings, warehouse)


def _elsewhere(settings: Settings, warehouse: Warehouse) -> tuple[Warehouse, dict[str, Entry]]:
    """Return the warehouse to take the codebook from, and its tables.

    Raises
    ------
    SettingsError
        There is none, or it is of other features or of another size.
    """
    assert settings.codebook.reuse is not None
    other = Warehouse(settings.codebook.reuse)
    state = other.catalogue()
    entries = {e.table: e for e in state.of_step(STAGE.name, None)}
    if not {"codebooks", "training_batches"} <= set(entries):
        raise SettingsError(
            f"codebook.reuse: there is no codebook in {other.storage}; 'minia {STAGE.name} "
            f"--warehouse {other.storage}' makes one"
        )
    if other.storage.location == warehouse.storage.location:
        raise SettingsError(
            "codebook.reuse names this warehouse itself; without it the codebook stays anyway"
        )
    entry = entries["codebooks"]
    try:
        made_with = Settings.model_validate(other.run(entry.run).settings)
    except (InputError, FileNotFoundError, ValidationError) as error:
        raise SettingsError(
            f"codebook.reuse: with which settings the codebook of {other.storage} was made "
            f"cannot be read: {str(error).splitlines()[0]}"
        ) from None
    theirs, ours = dict(_of_features(made_with)), dict(_of_features(settings))
    different = [
        f"{name} is {json.dumps(theirs.get(name))} there and {json.dumps(ours.get(name))} here"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    ]
    if settings.codebook.size not in ("auto", entry.rows):
        different.append(f"codebook.size is {entry.rows} there and {settings.codebook.size} here")
    if different:
        raise SettingsError(
            f"codebook.reuse: the codebook of {other.storage} is not one for these settings: "
            f"{'; '.join(different)}"
        )
    return other, entries


def _of_features(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of every setting that descriptors depend on."""
    yield from _flat("features", settings.features.model_dump(mode="json"))
    yield "ingest.fits_interval", settings.ingest.fits_interval
    yield "ingest.fits_stretch", settings.ingest.fits_stretch


def _flat(name: str, value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    else:
        yield name, value


def _take_over(context: StageContext, features: DataFrame) -> tuple[Codebook, Descriptors]:
    other, entries = _elsewhere(context.settings, context.warehouse)
    for table, schema, within in (
        ("codebooks", CODEBOOKS, "words"),
        ("training_batches", TRAINING_BATCHES, ""),
    ):
        entry = entries[table]
        frame = context.spark.read.schema(schema).parquet(other.storage.pattern(entry.path))
        digest = entry.digest
        written = context.write(table, frame.coalesce(1), schema, within=within, digest=digest)
        context.check_counts(f"rows of {table}", entry.rows, context.entries[-1].rows)
        if table == "codebooks":
            taken = load_codebook(written)
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
    context: StageContext, descriptors: Descriptors, older: Codebook, newer: Codebook
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
    frame = context.spark.createDataFrame(rows, WORD_MAP)
    if context.view.of_table("word_map"):
        known = context.read("word_map")
        again = (F.col("older_version") == older.version) & (
            F.col("newer_version") == newer.version
        )
        frame = known.where(~again).unionByName(frame)
    context.write("word_map", frame.coalesce(1), WORD_MAP, digest=newer.version)
    context.counts["moved_with_their_word"] = round(int(moved.sum()) / max(1, int(total.sum())), 4)


def _as_mllib_model(context: StageContext, centres: NDArray[np.float64]) -> KMeansModel:
    """Return centres (K, D) as MLlib's own model, for users who want to go on with MLlib."""
    spark = context.spark.sparkContext
    jvm = spark._jvm
    assert jvm is not None
    vectors = _py2java(spark, [Vectors.dense(centre) for centre in centres])
    inner = jvm.org.apache.spark.mllib.clustering.KMeansModel(vectors)
    return KMeansModel(jvm.org.apache.spark.ml.clustering.KMeansModel("minia-codebook", inner))


def _save_mllib_model(context: StageContext, model: KMeansModel) -> None:
    model.write().overwrite().save(context.uri(f"{context.folder('codebooks')}/mllib"))


def _fingerprinted(settings: Settings) -> dict[str, object]:
    codebook = settings.codebook.model_dump(mode="json")
    if settings.codebook.reuse is not None:  # nothing is fitted here
        codebook = {
            "reuse": Storage(settings.codebook.reuse).location,
            "size": settings.codebook.size,
        }
    return {"codebook": codebook, "features": settings.features.model_dump(mode="json")}


STAGE = Stage(
    name="vocabulary",
    per_batch=False,
    after=("features",),
    revision=3,
    settings=_fingerprinted,
    run=_run,
    frozen=True,
    check=_check,
)
