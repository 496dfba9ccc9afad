"""Settings of the codebook."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings
from minia_spark.codebook.size import LARGEST

__all__ = ["CodebookSettings"]


class CodebookSettings(StageSettings):
    """How the codebook of visual words (distributed k-means) is fitted."""

    reuse: str | None = Field(
        None,
        description="Another warehouse, whose codebook is taken over as it is; null fits one.",
    )
    size: Literal["auto"] | Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        "auto",
        description="Number of visual words, K; auto: chosen from the images and features that are "
        "there when the codebook is fitted.",
    )
    start: Literal["oversampled", "random", "k-means||", "best"] = Field(
        "oversampled",
        description="How MLlib chooses its first centres. oversampled: twice as many as words at "
        "random, fitted, of which a greedy k-means++ keeps K (random for more than 5,000 words, or "
        "with refine_iterations 0); best: the cheaper fit of random and k-means||.",
    )
    sample_size: int | None = Field(
        12_000,
        ge=2,
        le=5_000_000,
        description="Descriptors that MLlib sees for the starting centres, chosen by a hash; null: "
        "all, in all partitions, and the result depends on these in its last digits.",
    )
    init_steps: int = Field(1, ge=1, le=10, description="Steps of MLlib's k-means|| start.")
    mllib_iterations: int = Field(
        1, ge=1, le=1000, description="Lloyd iterations of MLlib on the sample."
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
        if self.size == "auto" or self.sample_size is None:
            return self
        if self.sample_size < self.size:
            raise ValueError(
                f"sample_size {self.sample_size} is smaller than size {self.size}: "
                "every word needs at least one descriptor to start from"
            )
        return self

    @property
    def at_most(self) -> int:
        """Words there can be: what memory and disk must hold."""
        return LARGEST if self.size == "auto" else self.size
