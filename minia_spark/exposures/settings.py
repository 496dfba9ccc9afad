"""Settings of exposures: their cutouts, and what the cells of their map mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from minia_spark.base.settings import StageSettings

__all__ = ["ExposureSettings"]

_Cell = Annotated[int, Field(ge=0, le=9_999)]
_Quality = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[ -~]+$")]


class ExposureSettings(StageSettings):
    """How exposures are cut up, and what the cells of their map are called."""

    per_ccd: int = Field(
        100, ge=1, le=10_000, description="Cutouts that are drawn of every CCD, with replacement."
    )
    usual_ccds: int = Field(
        36,
        ge=1,
        le=10_000,
        description="CCDs of an exposure as most are: histo-vectors count its sources per so many "
        "times per_ccd cutouts. Where an exposure has more cutouts, 36/40 of its sources count.",
    )
    margin_px: int = Field(
        37,
        ge=16,
        le=10_000,
        description="Sources count that are more than so many pixels from every border.",
    )
    threshold: float = Field(
        1.5,
        gt=0,
        le=1_000,
        description="How bright the pixels of a source are, in standard deviations of the sky.",
    )
    least_px: int = Field(5, ge=1, le=10_000, description="Pixels so bright that make a source.")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the draw of sources.")
    max_pixels: int = Field(
        400_000_000, ge=1, description="Largest width times height of a CCD, in pixels."
    )
    max_file_mib: int = Field(
        4_096,
        ge=1,
        le=1 << 20,
        description="Most that a file packed by gzip or bzip2 may unpack to, in MiB; fpack's "
        "files are unpacked a CCD at a time.",
    )
    labels: dict[_Quality, tuple[_Cell, ...]] = Field(
        default_factory=dict,
        description="What cells of the map of exposures mean: {good: [0, 1], bad focus: [7]}; "
        "'minia exposures label' sets it.",
    )
    labelled_map: str | None = Field(
        None, description="The map that the labels are of; 'minia exposures label' sets it."
    )
    max_error_ratio: float = Field(
        1.25,
        gt=1,
        le=100,
        description="Warn when the quantisation error of a batch is larger than so many times "
        "that of exposures which a map was not trained on.",
    )

    @field_validator("labels")
    @classmethod
    def _once(cls, value: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        cells = [cell for cells in value.values() for cell in cells]
        twice = sorted({cell for cell in cells if cells.count(cell) > 1})
        if twice:
            raise ValueError(f"cell {twice[0]} has several labels")
        return value

    @property
    def cells(self) -> dict[int, str]:
        """The quality of every labelled cell."""
        return {cell: quality for quality, cells in self.labels.items() for cell in cells}
