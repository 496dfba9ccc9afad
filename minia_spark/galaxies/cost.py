"""What the facets cost."""

from minia_spark.engine.cost import Cost, Sizes

__all__ = ["cost"]

_LOOK_SECONDS = 2e-5


def cost(sizes: Sizes) -> Cost:
    """Return what looking up the class of every image takes."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * _LOOK_SECONDS,
        written_bytes=sizes.images * 100.0,
        task_bytes=128 << 20,
        because="the table of classes, 300 bytes a row",
    )
