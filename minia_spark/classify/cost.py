"""What networks cost."""

from minia_spark.classify.settings import ClassifySettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.reduce.settings import ReduceSettings

__all__ = ["evaluate_cost", "predict_cost", "train_cost"]

_PRODUCTS = 3.4e8 / 174**2
"""Of the study's network, an input pixel."""
_BACKWARD = 3
_CLASSES = 12
_NETWORK_BYTES = 8e6


def _an_image(sizes: Sizes) -> float:
    side = sizes.settings.of(ReduceSettings).side_px
    return _PRODUCTS * side * side * sizes.rates.product


def train_cost(sizes: Sizes) -> Cost:
    """Return what training takes, on the driver: every fold, and once more on all."""
    settings = sizes.settings.of(ClassifySettings)
    images = float(sizes.images)
    if (sizes.variant or "").endswith("balanced"):
        images = float(settings.per_class * _CLASSES)
    fits = settings.folds + 1
    side = sizes.settings.of(ReduceSettings).side_px
    return Cost(
        driver_seconds=10 + images * settings.epochs * fits * _BACKWARD * _an_image(sizes),
        core_seconds=sizes.images * 1e-6,
        written_bytes=_NETWORK_BYTES + 1e-9 * sizes.images,
        task_bytes=30.0 * side * side,
        because="crops",
    )


def predict_cost(sizes: Sizes) -> Cost:
    """Return what a network's look at every crop takes."""
    side = sizes.settings.of(ReduceSettings).side_px
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * _an_image(sizes) + 8 * sizes.tasks,
        written_bytes=sizes.images * 20.0 * _CLASSES,
        task_bytes=(400 << 20) + 64 * 4.0 * 64 * side * side,
        because="TensorFlow, and 64 crops in the network",
    )


def evaluate_cost(sizes: Sizes) -> Cost:
    """Return what the measures take."""
    return Cost(driver_seconds=5 + 1e-5 * sizes.images, written_bytes=1e5 + 1e-9 * sizes.images)
