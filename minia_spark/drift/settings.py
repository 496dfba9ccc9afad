"""Settings of the drift of batches."""

from __future__ import annotations

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["DriftSettings"]


class DriftSettings(StageSettings):
    """How far a batch may be from the codebook before re-fitting is advised."""

    max_error_ratio: float = Field(
        1.25,
        ge=1,
        description="Quantisation error, as a multiple of what unseen images of the kind that the "
        "codebook was made from would have.",
    )
    max_divergence: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Jensen-Shannon divergence of the words, in bits beyond what chance makes; "
        "1 never advises.",
    )
    max_dead_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the words that are missing though expected; 1 never advises.",
    )
    max_overfull_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the words that are more than twice as frequent as expected; 1 never "
        "advises.",
    )
