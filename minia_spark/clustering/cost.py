"""What the clusterings cost."""

from dataclasses import replace

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.engine.stage import pair_of
from minia_spark.neighbours.cost import numbers
from minia_spark.reduce.settings import ReduceSettings

__all__ = ["fit_cost", "place_cost"]

_PAIR_SECONDS = {"hierarchical": 60e-9, "hdbscan": 300e-9}
"""Of the matrix of distances between images, with what trees are made of."""


def _sizes(sizes: Sizes) -> tuple[ClusteringSettings, str, int]:
    """Return the settings, the method, and the numbers of a vector."""
    method, embedding = pair_of(str(sizes.variant))
    dims = sizes.settings.of(ReduceSettings).components
    if embedding:
        dims = numbers(replace(sizes, variant=embedding))
    return sizes.settings.of(ClusteringSettings), method, dims


def fit_cost(sizes: Sizes) -> Cost:
    """Return what fitting takes: passes over the vectors, or a sample on the driver."""
    settings, method, dims = _sizes(sizes)
    passes, work, most = 0.0, 0.0, 0
    if method == "kmeans":
        passes = 0.2 * settings.kmeans.starts * settings.kmeans.iterations * settings.clusters
    elif method == "som":
        passes = float(settings.som.passes * settings.som.rows * settings.som.columns)
    elif method == "mixture":
        most = min(sizes.images, settings.mixture.sample)
        work = most * dims * dims * settings.clusters * 100 * sizes.rates.product
    else:
        chosen = settings.hdbscan if method == "hdbscan" else settings.hierarchical
        most = min(sizes.images, chosen.sample)
        work = most * float(most) * _PAIR_SECONDS[method]
    return Cost(
        tasks=1 if method == "kmeans" else sizes.tasks,
        core_seconds=sizes.images * (passes * dims * 4 * sizes.rates.product + 2e-6),
        driver_seconds=2.0 + work,
        written_bytes=8.0 * dims * (settings.clusters + most) + 1e-9 * sizes.images,
        task_bytes=64 << 20,
        because="vectors of a block",
    )


def place_cost(sizes: Sizes) -> Cost:
    """Return what placing every image takes."""
    settings, method, dims = _sizes(sizes)
    compared = settings.clusters
    if method == "hdbscan":
        compared = min(sizes.images, settings.hdbscan.sample)
    elif method == "som":
        compared = settings.som.rows * settings.som.columns
    elif method == "mixture":
        compared = settings.clusters * dims
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * (compared * dims * 10 * sizes.rates.product + 5e-6),
        written_bytes=sizes.images * 60.0,
        task_bytes=16.0 * compared * 1024 + 8.0 * compared * dims,
        because="distances of a thousand images to what they are compared with",
    )
