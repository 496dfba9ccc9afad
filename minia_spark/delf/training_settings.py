"""Settings of a training: they lie beside what it makes, as no warehouse has a part in it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from minia_spark.base.settings import StageSettings

__all__ = ["TrainingSettings"]


class TrainingSettings(StageSettings):
    """How a network is trained; with minIA's defaults."""

    train: str = Field(
        min_length=1, description="Folder of the TFRecords: train-* and, to validate, validation-*."
    )
    max_iters: int = Field(
        15_000,
        ge=1,
        description="Steps; the learning rate falls linearly to 0 over them.",
    )
    initial_lr: float = Field(0.045, gt=0, le=100, description="Learning rate of the first step.")
    batch_size: int = Field(50, ge=1, le=100_000, description="Images of a step, on all GPUs.")
    num_classes: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="Classes; null: as many as the manifest beside the TFRecords names, else 9.",
    )
    image_size: int = Field(
        321, ge=16, le=4096, description="Side in pixels to which crops of images are scaled."
    )
    seed: int = Field(0, ge=0, description="Of the first weights, the order and the crops.")
    imagenet_checkpoint: str | None = Field(
        None,
        description="File with ImageNet's weights of ResNet50 in Keras' legacy HDF5 format "
        "(resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5); null: from scratch.",
    )
    mixed_precision: bool = Field(
        False,
        description="Whether the inside computes in bfloat16, which recent GPUs do faster; weights "
        "and losses stay float32.",
    )
    targets: Literal["classes", "votes"] = Field(
        "classes", description="What is learnt: the class of an image, or shares of its votes."
    )
    votes: str | None = Field(
        None,
        description="CSV for targets votes: a header, then a name without extension and a share "
        "for every class.",
    )
    block3_strides: bool = Field(
        True, description="Whether features are taken every 32 pixels instead of every 16."
    )
    autoencoder: bool = Field(
        True, description="Whether descriptors are reduced to 128 numbers, instead of 1,024."
    )
    width: float = Field(
        1.0,
        ge=1 / 64,
        le=1,
        description="Share of ResNet50's channels; less is faster and learns less, and ImageNet's "
        "weights fit 1 only.",
    )
    depth: float = Field(
        1.0,
        ge=1 / 64,
        le=1,
        description="Share of ResNet50's blocks, one at least in each stage; less is faster, sees "
        "smaller parts of an image and learns less, and ImageNet's weights fit 1 only.",
    )
    checkpoint_every: int = Field(
        1000, ge=1, description="Steps after which it validates and writes a checkpoint."
    )
    log_every: int = Field(
        50, ge=1, description="Steps after which it prints a line and writes TensorBoard's figures."
    )

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> TrainingSettings:
        if (self.targets == "votes") != (self.votes is not None):
            raise ValueError("targets votes and a votes file belong together")
        if self.imagenet_checkpoint is not None and (self.width != 1 or self.depth != 1):
            raise ValueError("imagenet_checkpoint fits width 1 and depth 1 only")
        return self
