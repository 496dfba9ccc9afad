"""Settings of the nearest images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
