"""What the comparison and the pictures cost."""

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.lab.settings import LabSettings
from minia_spark.reduce.settings import ReduceSettings

__all__ = ["agreement_cost", "figures_cost"]

_PAIRS = 300
"""Of groups that an image is in, about."""
_FIT_SECONDS = 3e-4
"""Of an image of a fit, on average over the methods; the mixture takes most."""


def agreement_cost(sizes: Sizes) -> Cost:
    """Return what counting the pairs of groups takes, the errors, and fitting again."""
    own, fitted = sizes.settings.of(LabSettings), sizes.settings.of(ClusteringSettings)
    sample = min(sizes.images / 2, own.silhouette_sample)
    fits = 2 * own.repeats * (1 + len(fitted.embeddings))  # to all, and to balanced images
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * _PAIRS * 1e-6,
        driver_seconds=20.0 + fits * sample * len(fitted.methods) * _FIT_SECONDS,
        written_bytes=1e6 + 1e-9 * sizes.images,
        task_bytes=64 << 20,
        because="groups of an image",
    )


def figures_cost(sizes: Sizes) -> Cost:
    """Return what drawing takes; only the images that are shown are read."""
    dims = 3 * sizes.settings.of(ReduceSettings).side_px ** 2
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * 1e-5,
        driver_seconds=30.0,
        written_bytes=1e7 + 1e-9 * sizes.images,
        task_bytes=100.0 * dims,
        because="crops that are shown",
    )
