"""Settings of the bags of visual words."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = ["WordsSettings"]


class WordsSettings(StageSettings):
    """How words are weighted in an image and which are left out of mining."""

    weight: Literal["frequency", "size"] = Field(
        "frequency",
        description="Weight of a word in an image: its count, or the rounded sum of its sizes.",
    )
    drop_outliers: bool = Field(
        False,
        description="Leave words out whose corpus count is outside mean +- deviations * sd.",
    )
    outlier_deviations: float = Field(
        2.0, gt=0, le=100, description="Standard deviations from the mean that are still kept."
    )
