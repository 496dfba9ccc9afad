"""Settings of the visual vocabulary."""

from __future__ import annotations

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["CodebookSettings"]


class CodebookSettings(StageSettings):
    """How the visual vocabulary (distributed k-means) is fitted."""

    reuse: str | None = Field(
        None,
        description="Another warehouse, whose vocabulary is taken over as it is; null fits one.",
    )
    size: int = Field(1000, ge=2, le=1_000_000, description="Number of visual words, K.")
    sample_size: int = Field(
        20_000,
        ge=2,
        le=5_000_000,
        description="Descriptors that MLlib sees for the starting centres; chosen by a hash.",
    )
    init_steps: int = Field(1, ge=1, le=10, description="Steps of MLlib's k-means|| start.")
    mllib_iterations: int = Field(
        3, ge=1, le=1000, description="Lloyd iterations of MLlib on the sample."
    )
    refine_iterations: int = Field(
        10,
        ge=0,
        le=1000,
        description="Most Lloyd iterations over all descriptors; 0 is MLlib's result alone.",
    )
    tolerance: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Refinement stops when the cost falls by less than this share.",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the sample and of MLlib.")

    @model_validator(mode="after")
    def _sample_holds_the_words(self) -> CodebookSettings:
        if self.sample_size < self.size:
            raise ValueError(
                f"sample_size {self.sample_size} is smaller than size {self.size}: "
                "every word needs at least one descriptor to start from"
            )
        return self
