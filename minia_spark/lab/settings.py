"""Settings of the lab's comparison and pictures."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["LabSettings"]


class LabSettings(StageSettings):
    """How clusterings are compared and shown."""

    seed: int = Field(31, ge=0, description="Of errors and of the images that are shown.")
    silhouette_sample: int = Field(
        2000,
        ge=2,
        le=20_000,
        description="Training and test images, of either at most so many, whose silhouette is "
        "measured and that clusterings are fitted to again.",
    )
    repeats: int = Field(
        3,
        ge=0,
        le=100,
        description="How often every clustering is fitted again, to nine tenths of the training "
        "images and to as many of every class, for its error; 0: not at all.",
    )
    clusters_shown: int = Field(
        24,
        ge=1,
        le=400,
        description="Clusters of a method that pictures show, the largest; the titles say of how "
        "many.",
    )
    members: int = Field(5, ge=1, le=50, description="Images of a cluster that are shown.")
    reconstructions: int = Field(
        12, ge=1, le=100, description="Test images that are shown beside what is left of them."
    )
