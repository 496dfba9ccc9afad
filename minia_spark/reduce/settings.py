"""Settings of the reduction of images to vectors."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["ReduceSettings"]


class ReduceSettings(StageSettings):
    """How an image becomes a vector: a square crop, principal components, a scaler."""

    crop: Literal["centre", "object"] = Field(
        "centre",
        description="centre: the square at the middle of the image, pixel for pixel; object: the "
        "one that just holds the object at the middle, scaled to side_px.",
    )
    side_px: int = Field(
        174, ge=8, le=1024, description="Side of the crop, in pixels; the study's is 174."
    )
    object_threshold: float = Field(
        3.0,
        gt=0,
        le=100,
        description="With crop=object: how far the object is above the sky, in units of its noise.",
    )
    components: int = Field(
        75,
        ge=1,
        le=4096,
        description="Principal components: 75 is an image of 5 x 5 pixels in three colours, 147 "
        "one of 7 x 7. Fewer where the training images have not so many.",
    )
    scale: bool = Field(
        True,
        description="Whether every component is divided by its standard deviation over the "
        "training images.",
    )

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        default = type(self).model_fields["object_threshold"].default
        if self.crop == "centre" and self.object_threshold != default:
            raise ValueError("object_threshold would have no effect: crop is centre")
        return self
