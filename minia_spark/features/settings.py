"""Settings of feature extraction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from minia_spark.base.settings import StageSettings

__all__ = ["FeaturesSettings", "SiftSettings"]


class SiftSettings(StageSettings):
    """Parameters of SIFT, with OpenCV's defaults."""

    nfeatures: int = Field(
        default=0, ge=0, description="How many of the strongest features SIFT keeps; 0 keeps all."
    )
    n_octave_layers: int = Field(default=3, ge=1, le=20, description="Layers of each octave.")
    contrast_threshold: float = Field(
        default=0.04,
        ge=0,
        le=1,
        description="Weakest contrast of a feature, as a share of full scale.",
    )
    edge_threshold: float = Field(
        default=10.0,
        gt=0,
        description="Ratio of curvatures beyond which a feature is an edge and dropped.",
    )
    sigma: float = Field(
        default=1.6,
        gt=0,
        le=20,
        description="Gaussian that is taken to blur the first octave, in pixels.",
    )
    enable_precise_upscale: bool = Field(
        default=False, description="Whether doubling the image keeps pixel centres exact."
    )


class FeaturesSettings(StageSettings):
    """Which features are extracted, and from which pixels."""

    extractors: tuple[Literal["sift", "imported"], ...] = Field(
        default=("sift",),
        min_length=1,
        description="Kinds of local features; everything after them is done once for each. "
        "Those that another program made ('minia import features') are sift's or imported.",
    )
    sift: SiftSettings = Field(default_factory=SiftSettings, description="Parameters of SIFT.")
    median_filter: int = Field(
        default=0,
        ge=0,
        le=255,
        description="Side of a median filter on the grey image, in pixels, odd; 0 for none "
        "(minIA: 9).",
    )
    background_mask: bool = Field(
        default=False,
        description="Whether pixels outside of sources are set to black (minIA's filter).",
    )
    max_features: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Most features of one image; the strongest are kept.",
    )
    max_pixels: int = Field(
        default=16_000_000,
        ge=1,
        description="Largest image that is extracted, in pixels; "
        "SIFT takes about 230 bytes of memory a pixel.",
    )

    @field_validator("median_filter")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value == 1 or (value and value % 2 == 0):
            raise ValueError("must be 0 or an odd number of at least 3")
        return value
