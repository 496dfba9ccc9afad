"""What the map's page costs."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.explorer.settings import ExplorerSettings
from minia_spark.thumbnails.settings import ThumbnailsSettings

__all__ = ["cost"]

_POINT_SECONDS = 1.5e-5
_PICTURE_SECONDS = 6e-4  # to decode, scale and encode
_BYTES_A_PIXEL = 0.13  # of a JPEG
_POINT_BYTES = 60.0


def cost(sizes: Sizes) -> Cost:
    """Return what collecting and drawing takes, on the driver, if all batches are new."""
    own = sizes.settings.of(ExplorerSettings)
    side = min(sizes.settings.of(ThumbnailsSettings).side_px, sizes.pixels**0.5)
    large = side * side * _BYTES_A_PIXEL * 4 / 3 if own.large_copies else 0.0
    return Cost(
        driver_seconds=2.0 + sizes.images * (_POINT_SECONDS + _PICTURE_SECONDS),
        written_bytes=sizes.images
        * (_POINT_BYTES + large + own.cell_px * own.cell_px * 3 * _BYTES_A_PIXEL),
        task_bytes=0,
        because="nothing",
    )
