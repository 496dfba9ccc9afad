"""What taking in features costs."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.features.cost import descriptor_bytes, dimension

__all__ = ["cost"]

_NUMBER_SECONDS = 190e-9  # 42,000 descriptors of 128 numbers a second and core
_PLACE_BYTES = 20


def cost(sizes: Sizes) -> Cost:
    """Return what reading the numbers of the two files takes."""
    features = sizes.images * sizes.features
    return Cost(
        tasks=sizes.tasks,
        core_seconds=features * dimension(sizes) * _NUMBER_SECONDS,
        driver_seconds=1.0,
        written_bytes=features * (descriptor_bytes(sizes) + _PLACE_BYTES),
        task_bytes=64 << 20,
        because="some thousand rows of the two files",
    )
