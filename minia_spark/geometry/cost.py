"""What the geometric check costs."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.geometry.settings import GeometrySettings

__all__ = ["cost"]

_PAIR_SECONDS = 1e-3
_STRUCTURES = 100
"""A guess: nobody knows before mining."""


def cost(sizes: Sizes) -> Cost:
    """Return what looking at the pairs takes; nothing where it is off."""
    pairs = sizes.settings.of(GeometrySettings).pairs
    return Cost(
        tasks=sizes.tasks if pairs else 0,
        core_seconds=_STRUCTURES * pairs * _PAIR_SECONDS,
        driver_seconds=2.0 if pairs else 0.0,
        written_bytes=_STRUCTURES * 30,
        task_bytes=64 << 20 if pairs else 0,
        because="pairs of images with their features",
    )
