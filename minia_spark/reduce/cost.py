"""What the reduction costs."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.reduce.pca import BLOCK_BYTES, block_rows
from minia_spark.reduce.settings import ReduceSettings

__all__ = ["components_cost", "crops_cost", "reductions_cost"]

_LEFT_OF_A_CROP = 0.6  # after Zstandard; noise does not compress
_KEPT = 2
"""Directions of a part, in multiples of the components wanted."""


def _dimensions(sizes: Sizes) -> int:
    return 3 * sizes.settings.of(ReduceSettings).side_px ** 2


def crops_cost(sizes: Sizes) -> Cost:
    """Return what cutting takes; the images are open already."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * _dimensions(sizes) * 1e-9,
        written_bytes=sizes.images * _dimensions(sizes) * _LEFT_OF_A_CROP,
        task_bytes=6 * sizes.pixels,
        because="an image",
    )


def components_cost(sizes: Sizes) -> Cost:
    """Return what the decompositions and merges take: products of blocks with themselves."""
    settings = sizes.settings.of(ReduceSettings)
    dims = _dimensions(sizes)
    kept = _KEPT * settings.components
    rows = block_rows(dims, kept)
    blocks = max(1.0, sizes.images / rows)
    products = blocks * dims * (rows * rows + rows * kept + 3 * kept * kept)
    return Cost(
        tasks=max(1, int(blocks / 4)),
        core_seconds=products * sizes.rates.product,
        driver_seconds=3.0,
        written_bytes=4.0 * dims * settings.components + 1e-9 * sizes.images,
        task_bytes=2.5 * BLOCK_BYTES + 12 * kept * dims,
        because="a block of crops and the directions of two parts",
    )


def reductions_cost(sizes: Sizes) -> Cost:
    """Return what projecting every crop takes."""
    settings = sizes.settings.of(ReduceSettings)
    dims = _dimensions(sizes)
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * dims * settings.components * 4 * sizes.rates.product,
        written_bytes=sizes.images * settings.components * 4.0,
        task_bytes=4.0 * dims * settings.components + 1000 * dims,
        because="components, and crops of a thousand images",
    )
