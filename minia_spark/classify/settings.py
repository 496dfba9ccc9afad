"""Settings of the networks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from minia_spark.base.settings import StageSettings

__all__ = ["ClassifySettings"]

Network = Literal["study", "study_balanced", "ours", "ours_balanced"]


class ClassifySettings(StageSettings):
    """Which networks learn which classes, and for how long."""

    networks: tuple[Network, ...] = Field(
        (),
        description="Networks that are trained, none unless asked for: the study's design or ours, "
        "on the images as they are, or on the same number of every class.",
    )
    target: Literal["galaxy_class", "label", "votes"] = Field(
        "galaxy_class",
        description="What is learned: the classes of Galaxy Zoo 2, the labels of the images, or "
        "the shares of the votes (galaxies.votes), of which the answer with most is the class.",
    )
    pixels: Literal["crops", "reconstructed"] = Field(
        "crops",
        description="What networks see: the crops, or what the principal components keep of them, "
        "as in the study.",
    )
    per_class: int = Field(
        400,
        ge=2,
        le=100_000,
        description="With balanced networks: images of a class; more are left out, missing ones "
        "are rotated copies.",
    )
    folds: int = Field(
        5, ge=2, le=20, description="Of the stratified cross-validation on the training images."
    )
    epochs: int = Field(50, ge=1, le=10_000, description="Passes over the images, at most.")
    batch_size: int = Field(32, ge=1, le=4096, description="Images of a step.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Of Adam, at the beginning.")
    patience: int = Field(
        8,
        ge=1,
        le=1000,
        description="Epochs without a smaller validation loss after which training ends; after "
        "half as many the learning rate is halved.",
    )
    mirror: bool = Field(
        True,
        description="Whether our design also sees images mirrored; false where classes are "
        "handed, such as clockwise and anticlockwise spirals.",
    )
    seed: int = Field(1, ge=0, description="Of folds, weights, order and copies.")

    @field_validator("networks")
    @classmethod
    def _once(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        if len(set(value)) < len(value):
            raise ValueError("names a network twice")
        return value
