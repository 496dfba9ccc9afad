"""What the map costs."""

import math

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.layout.settings import LayoutSettings
from minia_spark.neighbours.cost import numbers

__all__ = ["fitted", "judged", "placed"]

_POINT_SECONDS = 2e-6
"""Of an image and iteration of the fit, beside the logarithm of how many there are."""
_PLACING_SECONDS = 4e-3
_READING = 2e-5


def fitted(sizes: Sizes) -> Cost:
    """Return what the fit takes, on the driver."""
    own = sizes.settings.of(LayoutSettings)
    images = min(sizes.images, own.sample)
    steps = images * own.iterations * _POINT_SECONDS * math.log2(2 + images) / 4
    pairs = float(images) ** 2 * (numbers(sizes) + 120) * sizes.rates.product / 4
    return Cost(
        driver_seconds=2 + steps + pairs + sizes.images * _READING,
        written_bytes=images * (numbers(sizes) * 4.0 + 24),
        task_bytes=0,
        because="nothing",
    )


def placed(sizes: Sizes) -> Cost:
    """Return what placing the images takes that the map was not fitted to."""
    own = sizes.settings.of(LayoutSettings)
    held = min(sizes.images, own.sample)
    return Cost(
        tasks=sizes.tasks,
        core_seconds=max(0, sizes.images - own.sample) * _PLACING_SECONDS + sizes.images * _READING,
        driver_seconds=0.2,
        written_bytes=sizes.images * 30.0,
        task_bytes=held * numbers(sizes) * 8.0 + (256 << 20),
        because="the embeddings that the map was fitted to (layout.sample)",
    )


def judged(sizes: Sizes) -> Cost:
    """Return what measuring the quality takes, on the driver."""
    images = min(sizes.images, 20_000)
    asked = min(sizes.images, 2_000)
    products = float(images) * asked * (numbers(sizes) + 1000) * sizes.rates.product
    return Cost(
        driver_seconds=1 + products + sizes.images * _READING,
        written_bytes=1000,
        task_bytes=0,
        because="nothing",
    )
