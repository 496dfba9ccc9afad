"""What embeddings cost."""

from minia_spark.codebook.cost import words_of
from minia_spark.embedding.settings import EmbeddingSettings
from minia_spark.engine.cost import Cost, Sizes

__all__ = ["fitted_pca", "fitted_words", "networks", "note", "projected", "scaled"]

_PRODUCTS = {"resnet50": 3.9e9, "onnx": 3.9e9, "delf": 3.1e9}
"""Multiplications of an image: of ResNet50, which others are taken to be like."""
_NETWORK_BYTES = 900 << 20
_DIMENSION = 2048
_SCALED = 0.03  # share of a search for features that scaling a pixel takes
_ROW_SECONDS = 5e-5


def networks(sizes: Sizes) -> Cost:
    """Return what a network takes; the images are open already."""
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images
        * _PRODUCTS[sizes.variant or "resnet50"]
        * sizes.rates.product
        / 4,
        written_bytes=sizes.images * _DIMENSION * 4,
        task_bytes=_NETWORK_BYTES,
        because="a network",
    )


def note(sizes: Sizes) -> Cost:
    """Return what a line takes."""
    return Cost(driver_seconds=0.1, written_bytes=1000)


def scaled(sizes: Sizes) -> Cost:
    """Return what scaling takes."""
    side = sizes.settings.of(EmbeddingSettings).pca.side_px
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * sizes.pixels * sizes.rates.pixel * _SCALED,
        written_bytes=sizes.images * 3.0 * side * side,
        task_bytes=6 * sizes.pixels,
        because="an image",
    )


def fitted_pca(sizes: Sizes) -> Cost:
    """Return what the fit takes: products of all pairs of numbers, on the driver."""
    own = sizes.settings.of(EmbeddingSettings).pca
    numbers = 3.0 * own.side_px**2
    images = min(sizes.images, own.sample)
    products = images * numbers**2 * 2 + 4 * numbers**3
    return Cost(
        driver_seconds=0.5 + products * sizes.rates.product,
        written_bytes=8 * numbers * own.dimensions,
        task_bytes=0,
        because="nothing",
    )


def fitted_words(sizes: Sizes) -> Cost:
    """Return what weights and components take, on the driver."""
    own = sizes.settings.of(EmbeddingSettings).words
    images = min(sizes.images, own.sample)
    found = images * min(sizes.features, float(words_of(sizes)))
    return Cost(
        driver_seconds=0.5 + found * own.dimensions * 40 * 1e-9,
        written_bytes=8.0 * words_of(sizes) * (1 + own.dimensions),
        task_bytes=0,
        because="nothing",
    )


def projected(sizes: Sizes) -> Cost:
    """Return what weighting and projecting takes."""
    own = sizes.settings.of(EmbeddingSettings)
    numbers = own.pca.dimensions if sizes.variant == "pca" else own.words.dimensions
    numbers = numbers or words_of(sizes)
    return Cost(
        tasks=sizes.tasks,
        core_seconds=sizes.images * _ROW_SECONDS,
        driver_seconds=0.2,
        written_bytes=sizes.images * 4.0 * numbers,
        task_bytes=64 << 20,
        because="components",
    )
