"""What the nearest images cost."""

from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.neighbours.cells import cells_for
from minia_spark.neighbours.settings import NeighboursSettings

__all__ = ["cost", "numbers"]

_NETWORK_NUMBERS = 2048
_LOOKED_AT = 120.0
"""Multiplications that looking at a product is worth."""
_BLOCK = 1024.0
"""Vectors of a cell that are compared at once, or room for so many."""


def numbers(sizes: Sizes) -> int:
    """Return the numbers of an embedding."""
    own = sizes.settings.of(EmbeddingSettings)
    known = {"words": own.words.dimensions, "pca": own.pca.dimensions}
    return known.get(sizes.variant or "words", _NETWORK_NUMBERS) or 1000


def cost(sizes: Sizes) -> Cost:
    """Return what comparing all with all, or those of near cells, takes.

    Of a new batch only its share; each image is also compared with all cells.
    """
    own = sizes.settings.of(NeighboursSettings)
    dimension = numbers(sizes)
    compared = float(sizes.images)
    if own.exact_up_to is not None and sizes.images > own.exact_up_to:
        cells = cells_for(sizes.images)
        compared = cells + min(own.probes, cells) * max(compared / cells, _BLOCK)
    products = sizes.images * compared * (dimension + _LOOKED_AT)
    return Cost(
        tasks=max(sizes.tasks, -(-sizes.images // 16_384)),
        core_seconds=products * sizes.rates.product / 4 + 1e-4 * sizes.images,
        driver_seconds=1.5,
        written_bytes=sizes.images * own.count * 40.0,
        task_bytes=16_384 * dimension * 12.0 + sizes.images * 50.0 + (256 << 20),
        because="images that are compared, and the names of all",
    )
