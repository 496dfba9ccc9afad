"""What the nearest images cost."""

from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.neighbours.settings import NeighboursSettings

__all__ = ["cost", "numbers"]

_NETWORK_NUMBERS = 2048
_LOOKED_AT = 120.0
"""Multiplications that looking at a product is worth."""


def numbers(sizes: Sizes) -> int:
    """Return the numbers of an embedding."""
    own = sizes.settings.of(EmbeddingSettings)
    known = {"words": own.words.dimensions, "pca": own.pca.dimensions}
    return known.get(sizes.variant or "words", _NETWORK_NUMBERS) or 1000


def cost(sizes: Sizes) -> Cost:
    """Return what comparing all with all takes: of a new batch only its share."""
    count = sizes.settings.of(NeighboursSettings).count
    dimension = numbers(sizes)
    products = float(sizes.images) ** 2 * (dimension + _LOOKED_AT)
    return Cost(
        tasks=max(sizes.tasks, -(-sizes.images // 16_384)),
        core_seconds=products * sizes.rates.product / 4 + 1e-4 * sizes.images,
        driver_seconds=1.5,
        written_bytes=sizes.images * count * 40.0,
        task_bytes=16_384 * dimension * 12.0 + sizes.images * 50.0 + (256 << 20),
        because="images that are compared, and the names of all",
    )
