"""Settings of the image search of structures."""

from __future__ import annotations

import unicodedata
from typing import Literal

from pydantic import Field, field_validator

from minia_spark.base.settings import StageSettings

__all__ = ["StructuresSettings"]


class StructuresSettings(StageSettings):
    """Which images belong to a structure."""

    min_overlap: float = Field(
        0.0, ge=0, le=1, description="Least multiset overlap of an image with a structure."
    )
    structure_counts: Literal["model", "ones"] = Field(
        "model",
        description="How often a structure counts its words in the overlap: by their frequency "
        "(minIA), or once each.",
    )
    exclude_kinds: tuple[str, ...] = Field(
        (),
        description="Kinds of structures ('minia structures name ID --kind K') that are left out: "
        "they get no images, here and in what follows.",
    )

    @field_validator("exclude_kinds")
    @classmethod
    def _as_names_are_kept(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unicodedata.normalize("NFC", kind).strip() for kind in value)
