"""Embeddings on Spark: networks in the pass over the pixels, words and components after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark import TaskContext
from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import from_lists, to_lists
from minia_spark.base.errors import InputError, Rejected
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.embedding.methods import RANDOM_WEIGHTS, fitted_to, network_of
from minia_spark.embedding.pca import Pca, fit, moments, project, scaled
from minia_spark.embedding.reasons import Reason
from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS, SCALED_PIXELS
from minia_spark.embedding.tfidf import components, idf, projected, weighted
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Image, Kernel
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Table
from minia_spark.images.failures import sentence
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.words.tables import WORD_COUNTS, WORDS

__all__ = [
    "embed",
    "embed_pca",
    "embed_words",
    "fit_pca",
    "fit_words",
    "network_kernel",
    "note_network",
    "scale",
    "scale_kernel",
]

Batches = Iterator[pa.RecordBatch]
_Columns = Callable[[Sequence[Image]], Mapping[str, pa.Array]]

# -- over the pixels ------------------------------------------------------------------------------


def network_kernel(context: Context) -> Kernel:
    """Return what the pass does with every image: its vector by a network, or why it has none."""
    assert context.variant is not None
    place, options = network_of(context.settings(EmbeddingSettings), context.variant)
    return Kernel(_own_columns(EMBEDDINGS), partial(_vectors, place, options))


def _vectors(place: str, options: dict[str, Any]) -> _Columns:
    from minia_spark.embedding.network import embed, make  # noqa: PLC0415

    task = TaskContext.get()
    network = make(place, task.cpus() if task is not None else 1, **options)

    def columns(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        pixels = [image if isinstance(image, Rejected) else image.pixels for image in images]
        found = embed(network, pixels)
        good = [None if isinstance(one, Rejected) else one for one in found]
        return {"vector": pa.array(good, pa.list_(pa.float32()))} | _reasons(found)

    return columns


def scale_kernel(context: Context) -> Kernel:
    """Return what the pass does with every image: a small square of its pixels."""
    own = context.settings(EmbeddingSettings).pca
    return Kernel(_own_columns(SCALED_PIXELS), partial(_small_squares, own.side_px, own.crop))


def _small_squares(side_px: int, crop: float) -> _Columns:
    cv2.setNumThreads(1)

    def one(image: Image) -> bytes | Rejected:
        if isinstance(image, Rejected):
            return image
        try:
            return scaled(image.pixels, side_px, crop).tobytes()
        except (cv2.error, MemoryError) as error:
            return Reason.EMBEDDING_FAILED.reject(f"It cannot be scaled: {sentence(error)}")

    def columns(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        found = [one(image) for image in images]
        good = [None if isinstance(pixels, Rejected) else pixels for pixels in found]
        return {"pixels": pa.array(good, pa.binary())} | _reasons(found)

    return columns


def _own_columns(table: Table) -> tuple[Any, ...]:
    return tuple(c for c in table.columns if c.name not in ("batch", "image_id"))


def _reasons(found: Sequence[object]) -> dict[str, pa.Array]:
    rejected = [one if isinstance(one, Rejected) else None for one in found]
    return {
        "reason": pa.array([one and one.reason for one in rejected], pa.string()),
        "detail": pa.array([one and one.detail for one in rejected], pa.string()),
    }


def embed(context: Context) -> None:
    """Write the vectors of a batch by a network, and which images have none."""
    _write_with_rejects(context, EMBEDDINGS)
    if context.variant == "resnet50":
        _warn_of_random(context)


def scale(context: Context) -> None:
    """Write the small squares of a batch, and which images have none."""
    _write_with_rejects(context, SCALED_PIXELS)


def _write_with_rejects(context: Context, table: Table) -> None:
    rejects = F.count("reason")
    written = context.write(table, context.passed(), measures={"rejects": rejects})
    images = context.read(IMAGES).select("image_id", "uri")
    count = context.rows(IMAGES)
    found = context.entries[-1].rows or 0
    context.counts |= {"images": found, "without_pixels": count - found}
    if found and context.counts["rejects"] == found:
        row = written.orderBy("image_id").first()
        assert row is not None
        raise InputError(
            f"no image of batch {context.batch} has an embedding, e.g. {row['image_id']}: "
            f"{row['detail']} Nothing was published."
        )
    if context.counts["rejects"]:
        bad = written.where("reason is not null").select("batch", "image_id", "reason", "detail")
        named = bad.join(images, "image_id").withColumn("stage", F.lit(context.stage.name))
        context.write(REJECTS, named.coalesce(1))
    else:
        context.write_rows(REJECTS, REJECTS.arrow_schema().empty_table())
    context.check_counts("rejects", int(context.counts["rejects"]), context.entries[-1].rows or 0)


def _warn_of_random(context: Context) -> None:
    if context.settings(EmbeddingSettings).resnet50.weights == "random":
        context.progress.warn(f"{context.title}: {RANDOM_WEIGHTS}")


# -- what is frozen -------------------------------------------------------------------------------


def note_network(context: Context) -> None:
    """Write which network it is."""
    assert context.variant is not None
    settings = context.settings(EmbeddingSettings)
    _, options = network_of(settings, context.variant)
    source = options["weights"] if context.variant == "delf" else options["sha256"]
    is_random = context.variant == "resnet50" and settings.resnet50.weights == "random"
    _write_model(context, source=source, note=RANDOM_WEIGHTS if is_random else None)


def fit_words(context: Context) -> None:
    """Fit weights and components of the words."""
    own = context.settings(EmbeddingSettings).words
    words = context.rows(CODEBOOKS)
    images = np.zeros(words, np.int64)
    for rows in context.rows_here(WORD_COUNTS, ["word", "images"]):
        np.add.at(images, rows["word"].to_numpy(), rows["images"].to_numpy())
    frame = (
        context.read(WORDS)
        .where(F.size("words") > 0)
        .select("batch", "image_id", "words", "counts")
    )
    total = context.rows(WORDS)
    if not images.any():
        raise InputError(
            "no image has a visual word: there is nothing to weight; other settings of "
            "features.* find more, or another embedding.methods needs none"
        )
    weights = idf(images, total)
    matrix, strengths, used = None, None, 0
    if own.dimensions:
        sample = _sample(context, frame, total, own.sample)
        bags = weighted(*_bags(sample), weights)
        matrix, strengths = components(bags, own.dimensions)
        used = sample.num_rows
        context.counts |= {"images": used, "dimensions": matrix.shape[1]}
        if not matrix.shape[1]:
            raise InputError(
                "every image has the same visual words: there is nothing that tells them apart; "
                "more images, or a larger codebook.size, may"
            )
    _write_model(context, images=used, weights=weights, matrix=matrix, variances=strengths)


def fit_pca(context: Context) -> None:
    """Fit the principal components of the small squares."""
    own = context.settings(EmbeddingSettings).pca
    frame = context.read(SCALED_PIXELS).where("reason is null")
    sample = _sample(
        context,
        frame.select("batch", "image_id", "pixels"),
        context.rows(SCALED_PIXELS),
        own.sample,
    )
    if not sample.num_rows:
        raise InputError("no image has pixels that could be scaled: there is nothing to fit")
    found = fit(moments(_pixels(sample["pixels"].combine_chunks())), own.dimensions)
    context.counts |= {"images": sample.num_rows, "dimensions": found.matrix.shape[1]}
    _write_model(
        context,
        images=sample.num_rows,
        weights=found.mean,
        matrix=found.matrix,
        variances=found.variances,
    )


def _sample(context: Context, frame: DataFrame, images: int, most: int) -> pa.Table:
    """Return some images, chosen by a hash of their names, in the order of their names."""
    names = ["batch", "image_id"]
    if images > most:
        frame = frame.orderBy(F.xxhash64(*names), *names).limit(most)
    with context.watched("sample"):
        return frame.toArrow().sort_by([(name, "ascending") for name in names])


def _write_model(
    context: Context,
    *,
    images: int = 0,
    weights: NDArray[np.float64] | None = None,
    matrix: NDArray[np.float64] | None = None,
    variances: NDArray[np.float64] | None = None,
    source: str | None = None,
    note: str | None = None,
) -> None:
    none = np.zeros(0)
    weights, variances = (none if a is None else a for a in (weights, variances))
    flat = none if matrix is None else matrix.ravel()
    version = fingerprint(
        context.variant, weights.tolist(), flat.tolist(), variances.tolist(), source
    )
    row = {
        "version": version,
        "images": images,
        "weights": weights,
        "components": flat,
        "variances": variances,
        "source": source,
        "note": note,
    }
    digest = version
    if context.variant in ("words", "pca"):
        digest = f"{version}-{fitted_to(context.all_settings, context.view, context.variant)}"
    table = pa.Table.from_pylist([row], EMBEDDING_MODELS.arrow_schema())
    context.write_rows(EMBEDDING_MODELS, table, digest=digest)


def _model(context: Context) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the weights and the components, or None where there are none."""
    table = context.small(EMBEDDING_MODELS)
    weights, flat = (
        np.asarray(table[name][0].values.to_numpy(), np.float64)
        for name in ("weights", "components")
    )
    return weights, flat.reshape(len(weights), -1) if len(flat) else None


# -- with what is frozen --------------------------------------------------------------------------


def embed_words(context: Context) -> None:
    """Write the embeddings of a batch by its words."""
    shared = context.spark.sparkContext.broadcast(_model(context))

    def work(batches: Batches) -> Batches:
        weights, matrix = shared.value
        for batch in batches:
            bags = weighted(*_bags(batch), weights)
            vectors, has = projected(bags, matrix)
            yield _embedded(batch, vectors, has, Reason.NO_WORDS)

    rows = context.read(WORDS).select("batch", "image_id", "words", "counts")
    _write_embedded(context, rows.mapInArrow(work, EMBEDDINGS.schema()), WORDS)
    shared.destroy()


def embed_pca(context: Context) -> None:
    """Write the embeddings of a batch by its small squares."""
    mean, matrix = _model(context)
    assert matrix is not None
    shared = context.spark.sparkContext.broadcast(Pca(mean, matrix, np.zeros(0)))

    def work(batches: Batches) -> Batches:
        for batch in batches:
            vectors = project(_pixels(batch["pixels"]), shared.value)
            every = np.ones(len(vectors), np.bool_)
            yield _embedded(batch, vectors, every, Reason.EMBEDDING_FAILED)

    scaled_rows = context.read(SCALED_PIXELS)
    good = scaled_rows.where("reason is null").select("batch", "image_id", "pixels")
    empty: SparkColumn = F.lit(None).cast("array<float>")
    bad = scaled_rows.where("reason is not null").select(
        "batch", "image_id", empty.alias("vector"), "reason", "detail"
    )
    made = good.mapInArrow(work, EMBEDDINGS.schema()).unionByName(bad)
    _write_embedded(context, made, SCALED_PIXELS)
    shared.destroy()


def _write_embedded(context: Context, frame: DataFrame, source: Table) -> None:
    context.write(EMBEDDINGS, frame, measures={"without": F.count("reason")})
    found = context.entries[-1].rows or 0
    context.check_counts("images", context.rows(source), found)
    context.counts["images"] = found
    if context.counts["without"]:
        context.progress.warn(
            f"{context.title}: {context.counts['without']:,} images have no embedding; column "
            "reason of table embeddings says why"
        )


def _embedded(
    batch: pa.RecordBatch, vectors: NDArray[np.float32], has: NDArray[np.bool_], reason: Reason
) -> pa.RecordBatch:
    lists = from_lists(vectors.ravel(), np.arange(len(vectors) + 1) * vectors.shape[1])
    none = pa.scalar(None, pa.string())
    kept = pa.array(has)
    return pa.RecordBatch.from_pydict(
        {
            "batch": batch["batch"],
            "image_id": batch["image_id"],
            "vector": pc.if_else(kept, lists, pa.scalar(None, lists.type)),
            "reason": pc.if_else(kept, none, pa.scalar(reason.value, pa.string())),
            "detail": pc.if_else(kept, none, pa.scalar(reason.meaning, pa.string())),
        }
    )


def _bags(
    rows: pa.Table | pa.RecordBatch,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    columns = [rows[name] for name in ("words", "counts")]
    arrays = [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns]
    (words, offsets), (counts, _) = map(to_lists, arrays)
    return words, counts, offsets


def _pixels(column: pa.Array) -> NDArray[np.uint8]:
    values = b"".join(column.to_pylist())
    return np.frombuffer(values, np.uint8).reshape(len(column), -1)
