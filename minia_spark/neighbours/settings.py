"""Settings of the nearest images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["NeighboursSettings"]


class NeighboursSettings(StageSettings):
    """The nearest images of every image."""

    count: int = Field(
        50, ge=1, le=1000, description="How many of an image; fewer where there are fewer images."
    )
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean",
        description="Between two embeddings; cosine: 1 - the cosine of their angle.",
    )
    exact_up_to: int | None = Field(
        1_000_000,
        ge=0,
        description="Images with a vector up to which all are compared with all; beyond, an "
        "inverted file is used: an image is compared with those of its nearest cells. null: always "
        "exactly.",
    )
    probes: int = Field(
        16,
        ge=1,
        le=1000,
        description="Cells of the inverted file that an image searches, of about the square root "
        "of as many as there are images.",
    )

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> NeighboursSettings:
        if self.exact_up_to is None and self.probes != type(self).model_fields["probes"].default:
            raise ValueError("probes would have no effect: exact_up_to is null")
        return self
