"""What thumbnails cost."""

from minia_spark.engine.cost import Cost, Sizes
from minia_spark.thumbnails.settings import ThumbnailsSettings

__all__ = ["cost"]

_SCALED = 0.03  # share of a search for features that scaling a pixel takes
_BYTES_A_PIXEL = 0.13  # of a JPEG


def cost(sizes: Sizes) -> Cost:
    """Return what scaling and encoding takes; the images are open already."""
    side = sizes.settings.of(ThumbnailsSettings).side_px
    small = min(sizes.pixels, float(side * side))
    work = sizes.images * (sizes.pixels + small) * sizes.rates.pixel * _SCALED
    return Cost(
        tasks=sizes.tasks,
        core_seconds=work,
        written_bytes=sizes.images * small * _BYTES_A_PIXEL,
        task_bytes=6 * sizes.pixels,
        because="an image",
    )
