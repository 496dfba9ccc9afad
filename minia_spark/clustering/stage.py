"""Clusterings fitted to the training images, and every image placed in them, on Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.arrow import lists_or_nan
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.clustering import fit
from minia_spark.clustering.place import place
from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.som import Lattice, errors
from minia_spark.clustering.spark import kmeans_centres, sample_of, trained_map
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.context import Context
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import pair_of
from minia_spark.engine.table import Table
from minia_spark.galaxies.frozen import Model
from minia_spark.galaxies.spark import (
    is_outdated,
    load_model,
    save_model,
    training_digest,
    training_rows,
)
from minia_spark.galaxies.tables import FACETS
from minia_spark.reduce.tables import REDUCTIONS
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["check", "fitted", "placed", "wants_anew"]

_OTHERS_SAMPLE = 20_000
"""Images that clusters of k-means are numbered by, and maps judged and started by."""


def wants_anew(
    _settings: Settings, _warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether other vectors would be learned from than those that were."""
    return is_outdated(view, CLUSTERINGS, _training(view, variant), variant)


def check(settings: Settings, _warehouse: Warehouse, variant: str | None) -> None:
    """Raise SettingsError where an embedding is to be clustered that is not to be made."""
    wanted, made = pair_of(str(variant))[1], settings.get("embedding.methods")
    if wanted not in made:
        both = ",".join([*made, wanted])
        raise SettingsError(
            f"clustering.embeddings names {wanted}, and embedding.methods are {', '.join(made)}: "
            f"--set embedding.methods=[{both}]"
        )


def _table(context: Context) -> Table:
    """Return the table with the vectors: of the components, or of an embedding."""
    return REDUCTIONS if REDUCTIONS in context.stage.reads else EMBEDDINGS


def _training(view: Catalogue, variant: str | None) -> str:
    embedding = pair_of(str(variant))[1]
    if not embedding:
        return training_digest(view, REDUCTIONS, FACETS)
    return training_digest(view, EMBEDDINGS, FACETS, variant=embedding)


def fitted(context: Context) -> None:
    """Fit one clustering to the vectors of the training images.

    Raises
    ------
    InputError
        There is no training image with finite numbers.
    """
    settings = context.settings(ClusteringSettings)
    rows = training_rows(context, _table(context))
    finite = F.forall("vector", lambda x: ~F.isnan(x) & (F.abs(x) < F.lit(float("inf"))))
    told = rows.agg(F.count("*").alias("all"), F.count_if(finite).alias("good")).first()
    assert told is not None
    total = told["good"]
    if total < told["all"]:
        context.progress.warn(
            f"{context.title}: {told['all'] - total:,} training images have no vector of finite "
            "numbers and are left out"
        )
        rows = rows.where(finite)
    if not total:
        raise InputError(
            f"{context.title}: no training image has a vector of finite numbers: add images, or "
            "lower galaxies.test_share"
        )
    model, used = _fit(context, settings, rows, total)
    training = _training(context.view, context.variant)
    about = {**model.told, "images": total, "fitted_to": used}
    save_model(
        context,
        CLUSTERINGS,
        kind=model.kind,
        arrays=model.arrays,
        told=about,
        training=training,
    )
    context.counts |= {"images": total, "clusters": model.told["clusters"]}
    if used < total:
        context.counts["sample"] = used
    if model.told.get("noise"):
        context.counts["noise"] = model.told["noise"]
    if not model.told.get("converged", True):
        context.progress.warn(
            f"{context.title}: not at its end after {model.told['iterations']:,} iterations; "
            "raise clustering.mixture.iterations"
        )


def _fit(
    context: Context, settings: ClusteringSettings, rows: DataFrame, total: int
) -> tuple[Model, int]:
    """Return the model, and how many images it was fitted to."""
    method, _ = pair_of(str(context.variant))
    own = getattr(settings, method)
    wanted = getattr(own, "sample", _OTHERS_SAMPLE)
    with context.watched("training images"):
        sample = sample_of(rows, wanted, total, settings.seed)
    used = len(sample.names)
    if method == "kmeans":
        with context.watched("MLlib"):
            centres = kmeans_centres(rows, settings.clusters, settings.seed, own)
        return fit.kmeans(centres, sample.vectors), total
    if method == "som":
        lattice = Lattice(own.rows, own.columns, own.shape)
        with context.watched("passes"):
            units = trained_map(rows, sample, lattice, own.passes)
        quantisation, topographic = errors(sample.vectors, units, lattice)
        told = {
            **own.model_dump(),
            "quantisation_error": quantisation,
            "topographic_error": topographic,
        }
        return fit.som(units, told), total
    if method == "mixture":
        model = fit.mixture(
            sample.vectors,
            settings.clusters,
            settings.seed,
            tolerance=own.tolerance,
            iterations=own.iterations,
        )
        return model, used
    if method == "hierarchical":
        model = fit.hierarchical(sample.vectors, settings.clusters)
    else:
        model = fit.density(sample.vectors, own.smallest, own.neighbours)
    return replace(model, arrays={**model.arrays, "names": sample.names}), used


def placed(context: Context) -> None:
    """Write the cluster of every image of a batch.

    Images that a tree was made of keep its labels; all others go where the model places them.
    """
    model = load_model(context, CLUSTERINGS)
    method, _ = pair_of(str(context.variant))
    dims = model.arrays["centres"].shape[1]
    shared = context.spark.sparkContext.broadcast(model)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        frozen = shared.value
        names = frozen.arrays.get("names", np.empty(0, np.str_)).tolist()
        known = dict(zip(names, frozen.arrays.get("labels", ()), strict=bool(names)))
        for batch in batches:
            vectors = lists_or_nan(batch["vector"], dims)
            clusters, distances = place(frozen, vectors)
            pairs = zip(batch["batch"].to_pylist(), batch["image_id"].to_pylist(), strict=True)
            for i, (own, image) in enumerate(pairs):
                label = known.get(f"{own}/{image}")
                if label is None or label == clusters[i]:
                    continue
                clusters[i] = label
                distances[i] = (
                    np.nan
                    if label < 0
                    else np.linalg.norm(vectors[i] - frozen.arrays["centres"][label])
                )
            yield pa.RecordBatch.from_pydict(
                {
                    "batch": batch["batch"],
                    "image_id": batch["image_id"],
                    "method": pa.array([method] * len(clusters), pa.string()),
                    "cluster": clusters,
                    "distance": pa.array(distances, from_pandas=True),
                }
            )

    source = _table(context)
    rows = context.read(source).select("batch", "image_id", "vector")
    made = rows.mapInArrow(work, CLUSTERS.schema())
    measures = {"noise": F.count_if(F.col("cluster") < 0)}
    context.write(CLUSTERS, made, measures=measures)
    shared.destroy()
    found = context.entries[-1].rows or 0
    context.check_counts("vectors", context.rows(source), found)
    context.counts["images"] = found
