"""Settings of the thumbnails."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["ThumbnailsSettings"]


class ThumbnailsSettings(StageSettings):
    """How small the copies of the images are that pages show."""

    side_px: int = Field(
        256,
        ge=32,
        le=2048,
        description="Longer side of a thumbnail, in pixels; smaller images keep their size.",
    )
    quality: int = Field(
        85,
        ge=1,
        le=100,
        description="JPEG quality of a thumbnail; at 85 and 256 pixels it takes about 8 kB.",
    )
