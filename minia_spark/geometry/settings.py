"""Settings of the geometric check."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["GeometrySettings"]


class GeometrySettings(StageSettings):
    """Whether the features of a structure lie alike in pairs of its images."""

    pairs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Pairs of images that are looked at, of every structure; 0: none, as that can "
        "take longer than mining.",
    )
    least: int = Field(
        3,
        ge=3,
        le=100,
        description="Features that must lie alike: a shift, turn and scale fits any two.",
    )
    tolerance: float = Field(
        0.5,
        gt=0,
        le=10,
        description="How far a feature may be from where it should be, in diameters of a feature.",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the choice of pairs.")
