"""Settings of the gallery."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["GallerySettings"]


class GallerySettings(StageSettings):
    """What the gallery holds."""

    cell_px: int = Field(
        96, ge=16, le=256, description="Side of an image where many are shown, in pixels."
    )
    large_copies: bool = Field(
        True,
        description="Whether the thumbnails are taken over too, to be shown large and cut into "
        "patches: about 11 kB an image.",
    )
    odd_images: int = Field(
        12,
        ge=0,
        le=1000,
        description="Images of the newest batch that are listed as unlike anything; 0 looks for "
        "none.",
    )
