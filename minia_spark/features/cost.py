"""What features cost."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.features.extractors import extractor_of
from minia_spark.features.settings import FeaturesSettings

__all__ = ["cost", "descriptor_bytes", "dimension"]

_NUMBERS_BYTES = 5 * 4
"""x, y, size, angle, response."""


def dimension(sizes: Sizes) -> int:
    """Return the numbers of a descriptor."""
    settings = sizes.settings.of(FeaturesSettings)
    return extractor_of(sizes.variant or settings.extractors[0]).dimension(settings)


def descriptor_bytes(sizes: Sizes) -> int:
    """Return the bytes of a descriptor as it is stored."""
    settings = sizes.settings.of(FeaturesSettings)
    known = extractor_of(sizes.variant or settings.extractors[0])
    return known.dimension(settings) * int(known.dtype[-1])


def cost(sizes: Sizes) -> Cost:
    """Return what the search for features takes; the images are open already."""
    settings = sizes.settings.of(FeaturesSettings)
    known = extractor_of(sizes.variant or settings.extractors[0])
    total = sizes.images * sizes.features
    a_pixel = sizes.rates.pixel
    if known.products is not None:
        a_pixel += known.products(settings) * sizes.rates.product
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * sizes.pixels * a_pixel,
        written_bytes=total * (descriptor_bytes(sizes) + _NUMBERS_BYTES),
        task_bytes=known.task_bytes(settings, sizes.pixels),
        because="an image, with the extractor's copies of it",
    )
