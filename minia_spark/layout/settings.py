"""Settings of the map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["LayoutSettings"]


class LayoutSettings(StageSettings):
    """The map: how it is fitted, and how images that come later are placed on it."""

    dimensions: Literal[2, 3] = Field(2, description="Of the map.")
    perplexity: float = Field(
        20.0,
        ge=1,
        le=1000,
        description="Neighbours that count for an image, about; a third of the images at most.",
    )
    iterations: int = Field(
        2000,
        ge=1,
        le=100_000,
        description="Of the fit, exaggerated_iterations among them.",
    )
    exaggerated_iterations: int = Field(
        250, ge=0, le=100_000, description="First ones, in which attraction is exaggerated."
    )
    exaggeration: float = Field(12.0, ge=1, le=100, description="How much, by a factor.")
    seed: int = Field(8, ge=0, le=2**31 - 1, description="Of the fit.")
    sample: int = Field(
        50_000,
        ge=4,
        le=1_000_000,
        description="Most images that the map is fitted to, chosen by hash; others are placed.",
    )
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Between two embeddings."
    )
    margin: float = Field(
        0.1, ge=0, le=10, description="Around the map in its box, as a share of its width."
    )
    compared: int = Field(
        15, ge=1, le=1000, description="Nearest images that the map's quality is measured by."
    )
    least_recall: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Of the recall of the images that the map was fitted to, the share below which "
        "a batch is told to be placed badly.",
    )
