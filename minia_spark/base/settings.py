"""The base of every settings model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["StageSettings"]


class StageSettings(BaseModel):
    """A frozen model: unknown keys are errors, every field has a sentence and a range.

    A room's model stands in its ``settings.py``; :mod:`minia_spark.engine.settings` joins them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
