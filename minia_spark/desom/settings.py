"""Settings of the two maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["CutoutMapSettings", "DesomSettings", "ExposureMapSettings", "MapSettings"]

_OF_TRAINING = ("steps", "rate", "gamma", "batch", "refits", "ramp")


class MapSettings(StageSettings):
    """How a map is trained, or where its weights are from."""

    side: int = Field(25, ge=2, le=100, description="Rows of the map, and columns.")
    steps: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Batches that it is trained with; the neighbourhood shrinks over them.",
    )
    rate: float = Field(0.001, gt=0, le=1, description="Learning rate of Adam.")
    gamma: float = Field(
        0.001,
        ge=0,
        le=100,
        description="Weight of the map's part of the loss beside the autoencoder's.",
    )
    batch: int = Field(256, ge=1, le=65_536, description="Inputs of a batch.")
    refits: int = Field(
        40,
        ge=0,
        le=10_000_000,
        description="How many times during the training the map is laid out anew over the latent "
        "vectors; Adam alone (0), as in the article, leaves most prototypes where no input comes.",
    )
    ramp: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the training over which gamma grows to its value; from the start "
        "(0), as in the article, a large map may draw all inputs into one point.",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="Seed of the training and of its sample.")
    sample: int = Field(
        100_000,
        ge=4,
        le=10_000_000,
        description="Most inputs that are drawn to train on; the driver holds them.",
    )
    weights: str | None = Field(
        None,
        description="Published weights to load instead of training: a folder that minia published "
        "(artefact cutout_map or exposure_map), or a legacy HDF5 file of Keras.",
    )

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> MapSettings:
        fields = type(self).model_fields
        moved = [n for n in _OF_TRAINING if getattr(self, n) != fields[n].default]
        if self.weights is not None and moved:
            raise ValueError(f"{', '.join(moved)} would have no effect: weights are loaded")
        return self

    def content_of(self, name: str, value: Any) -> Any:
        """Return for weights what is in them: a file that moves is the same one."""
        from minia_spark.desom.files import identity_of  # noqa: PLC0415

        if name == "weights" and value is not None:
            return identity_of(Path(value)) or value
        return value


class CutoutMapSettings(MapSettings):
    """The map of cutouts (DESOM-1)."""


class ExposureMapSettings(MapSettings):
    """The map of exposures (DESOM-2)."""

    side: int = Field(20, ge=2, le=100, description="Rows of the map, and columns.")
    rate: float = Field(0.002, gt=0, le=1, description="Learning rate of Adam.")


class DesomSettings(StageSettings):
    """The two maps of exposures: of their cutouts, and of themselves."""

    cutouts: CutoutMapSettings = Field(
        default_factory=CutoutMapSettings, description="The map of cutouts (DESOM-1)."
    )
    exposures: ExposureMapSettings = Field(
        default_factory=ExposureMapSettings, description="The map of exposures (DESOM-2)."
    )
