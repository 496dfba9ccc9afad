"""What the drift costs."""

from minia_spark.codebook.cost import ROW_SECONDS, words_of
from minia_spark.engine.cost import Cost, Sizes

__all__ = ["cost"]


def cost(sizes: Sizes) -> Cost:
    """Return what sums over the words of a batch take."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=2 * sizes.images * ROW_SECONDS,
        driver_seconds=0.5,
        written_bytes=1000,
        task_bytes=100 * words_of(sizes),
        because="counts of the words",
    )
