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
        12,
        ge=0,
        le=1_000,
        description="Most structures that are shown, in their ranking; the gallery has all.",
    )
    images_per_structure: int = Field(
        6, ge=0, le=60, description="Most images that are shown of a structure, best first."
    )
    sampled_descriptors: int = Field(
        10_000,
        ge=0,
        le=200_000,
        description="About how many descriptors the plot of the codebook samples; 0: none.",
    )
