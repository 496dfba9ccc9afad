"""Settings of the report page."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["ReportSettings"]


class ReportSettings(StageSettings):
    """How much the report page shows."""

    title: str = Field(
        "Visual structures", min_length=1, max_length=200, description="Heading of the page."
    )
    structures: int = Field(
        60, ge=0, le=10_000, description="Most structures that are shown, in their ranking."
    )
    images_per_structure: int = Field(
        12, ge=0, le=1000, description="Most images that are shown of a structure, best first."
    )
    thumbnail_px: int = Field(
        360, ge=64, le=2048, description="Longer side of a drawn image, in pixels."
    )
    sampled_descriptors: int = Field(
        10_000, ge=0, le=200_000, description="Descriptors in the plot of the vocabulary."
    )
