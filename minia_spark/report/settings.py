"""Settings of the report page."""

from __future__ import annotations

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["ReportSettings"]

_MOST_ROWS = 10_000_000


class ReportSettings(StageSettings):
    """How much the report page shows."""

    title: str = Field(
        "Visual structures", min_length=1, max_length=200, description="Heading of the page."
    )
    structures: int = Field(
        60, ge=0, le=10_000, description="Most structures that are shown, in their ranking."
    )
    images_per_structure: int = Field(
        24, ge=0, le=1000, description="Most images that are shown of a structure, best first."
    )
    csv_rows: int = Field(
        10_000,
        ge=0,
        le=1_000_000,
        description="Most rows of a structure's CSV file of images, best first; 0 writes none.",
    )
    sampled_descriptors: int = Field(
        10_000,
        ge=0,
        le=200_000,
        description="About how many descriptors the plot of the codebook samples; 0: none.",
    )

    @model_validator(mode="after")
    def _rows_fit_into_memory(self) -> ReportSettings:
        rows = self.structures * max(self.csv_rows, self.images_per_structure)
        if rows > _MOST_ROWS:
            raise ValueError(
                f"structures x csv_rows is {rows:,}, more than the {_MOST_ROWS:,} rows that one "
                "machine should hold; lower one of them"
            )
        return self
