"""What the gallery costs."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.gallery.settings import GallerySettings
from minia_spark.words.cost import occurrences

__all__ = ["cost"]

_PICTURE_SECONDS = 9e-4  # to decode, scale and encode
_FEATURE_SECONDS = 2e-7
_BYTES_A_PIXEL = 0.13  # of a JPEG
_FEATURE_BYTES = 9.0


def cost(sizes: Sizes) -> Cost:
    """Return what collecting and drawing takes, on the driver, if all batches are new."""
    own = sizes.settings.of(GallerySettings)
    large = 11_000.0 if own.large_copies else 0.0
    features = occurrences(sizes)
    return Cost(
        driver_seconds=1.0 + sizes.images * _PICTURE_SECONDS + features * _FEATURE_SECONDS,
        written_bytes=sizes.images * (large + own.cell_px**2 * _BYTES_A_PIXEL)
        + features * _FEATURE_BYTES,
        task_bytes=0,
        because="nothing",
    )
