"""Settings of the map's page."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["ExplorerSettings"]


class ExplorerSettings(StageSettings):
    """What the map's page holds."""

    title: str = Field(
        "Map of the images", min_length=1, max_length=200, description="Heading of the map's page."
    )
    cell_px: int = Field(
        64,
        ge=16,
        le=128,
        description="Side of the small images that dots become on the map, in pixels; 64 take "
        "0.5 to 2 kB an image.",
    )
    large_copies: bool = Field(
        True,
        description="Also put the thumbnails as they are into the page, for images that are "
        "chosen; they take about 11 kB an image.",
    )
    figure_thumbnails: int = Field(
        18,
        ge=0,
        le=60,
        description="How many thumbnails fit side by side in the figures (PNG, PDF); 0: none.",
    )
