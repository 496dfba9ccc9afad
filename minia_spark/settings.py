"""The base of every settings model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["StageSettings"]


class StageSettings(BaseModel):
    """A frozen model: unknown keys are errors, every field has a sentence and a range.

    A stage's model stands in ``<stage>/settings.py``; :mod:`minia_spark.config` puts them together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
