"""What the page costs."""

from minia_spark.codebook.cost import ROW_SECONDS
from minia_spark.engine.cost import Cost, Sizes

__all__ = ["cost"]


def cost(sizes: Sizes) -> Cost:
    """Return what collecting and drawing what is shown takes."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * ROW_SECONDS,
        driver_seconds=3.0,
        written_bytes=10 << 20,
        task_bytes=64 << 20,
        because="what the page shows",
    )
