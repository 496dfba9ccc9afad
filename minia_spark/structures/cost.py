"""What finding the images of structures, and their history, costs."""

from minia_spark.codebook.cost import ROW_SECONDS
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.words.cost import occurrences

__all__ = ["lineage", "patterns", "structures"]

_COUNTED = 2_000.0  # multiplications of a large product that an occurrence takes


def structures(sizes: Sizes) -> Cost:
    """Return what comparing every image with every structure takes."""
    work = occurrences(sizes) * _COUNTED * sizes.rates.product
    return Cost(
        tasks=sizes.tasks,
        core_seconds=work + sizes.images * ROW_SECONDS,
        driver_seconds=0.5,
        written_bytes=occurrences(sizes) * 2,
        task_bytes=64 << 20,
        because="a batch of images with their words",
    )


def lineage(_sizes: Sizes) -> Cost:
    """Return what comparing the structures of two states takes: the driver alone does it."""
    return Cost(driver_seconds=0.5, written_bytes=10_000)


def patterns(_sizes: Sizes) -> Cost:
    """Return what comparing structures with each other takes: the driver alone does it."""
    return Cost(driver_seconds=0.5, written_bytes=10_000)
