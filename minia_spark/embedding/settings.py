"""Settings of the embeddings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from minia_spark.base.settings import StageSettings

__all__ = [
    "DelfEmbeddingSettings",
    "EmbeddingSettings",
    "OnnxSettings",
    "PcaSettings",
    "ResnetSettings",
    "WordsEmbeddingSettings",
]


class WordsEmbeddingSettings(StageSettings):
    """Bags of visual words, weighted by tf-idf."""

    extractor: Literal["sift", "surf", "delf", "imported"] = Field(
        default="sift", description="Whose words: one of features.extractors."
    )
    dimensions: int = Field(
        default=64,
        ge=0,
        le=4096,
        description="Numbers of an embedding: the strongest components of the weighted words "
        "(latent semantic analysis), fewer where there are fewer words or images; 0: a number a "
        "word.",
    )
    sample: int = Field(
        default=50_000, ge=2, le=10_000_000, description="Images that components are fitted to."
    )


class PcaSettings(StageSettings):
    """Principal components of the pixels."""

    side_px: int = Field(
        default=24, ge=2, le=64, description="Side of the square that images are scaled to."
    )
    crop: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of the shorter side that is cut from the middle.",
    )
    dimensions: int = Field(
        default=50,
        ge=1,
        le=4096,
        description="Numbers of an embedding; fewer where there are fewer pixels or images.",
    )
    sample: int = Field(
        default=50_000, ge=2, le=1_000_000, description="Images that components are fitted to."
    )


class ResnetSettings(StageSettings):
    """ResNet50 of Keras without its last layer."""

    weights: str | None = Field(
        default=None,
        description="File of Keras' weights (.h5 or .weights.h5, with or without the last layer), "
        "which every worker reads; random: weights that mean nothing, for trials.",
    )
    batch_images: int = Field(
        default=16, ge=1, le=1024, description="Images that go through the network at once."
    )

    def content_of(self, name: str, value: Any) -> Any:
        """Return for the file what is in it."""
        from minia_spark.embedding.files import identity_of  # noqa: PLC0415

        return identity_of(value) if name == "weights" else value


class OnnxSettings(StageSettings):
    """Any network as an ONNX file."""

    model: str | None = Field(
        default=None,
        description="The .onnx file; beside it, with the ending .yaml, a file that says what the "
        "network takes. Every worker reads both.",
    )
    batch_images: int = Field(
        default=16, ge=1, le=1024, description="Images that go through the network at once."
    )

    def content_of(self, name: str, value: Any) -> Any:
        """Return for the network what is in both of its files."""
        from minia_spark.embedding.files import identity_of, side_file  # noqa: PLC0415

        if name != "model" or value is None:
            return value
        return [identity_of(value), identity_of(str(side_file(value)))]


class DelfEmbeddingSettings(StageSettings):
    """The network that 'minia delf train' trained: the mean of its descriptors, by attention."""

    model: str | None = Field(
        default=None, description="Folder that 'minia delf export' wrote; every worker reads it."
    )
    side_px: int = Field(
        default=224, ge=32, le=2048, description="Side of the square that images are scaled to."
    )
    batch_images: int = Field(
        default=16, ge=1, le=1024, description="Images that go through the network at once."
    )

    def content_of(self, name: str, value: Any) -> Any:
        """Return for the network the hash of its weights."""
        from minia_spark.features.delf_model import identity_of  # noqa: PLC0415

        return identity_of(value, "model") if name == "model" else value


class EmbeddingSettings(StageSettings):
    """A vector an image: which kinds, and how they are computed."""

    methods: tuple[Literal["words", "pca", "resnet50", "onnx", "delf"], ...] = Field(
        default=("words",),
        min_length=1,
        description="Kinds of embeddings; neighbours, layout and map are made once for each.",
    )
    words: WordsEmbeddingSettings = Field(
        default_factory=WordsEmbeddingSettings, description="Embeddings by bags of words."
    )
    pca: PcaSettings = Field(default_factory=PcaSettings, description="Embeddings by pixels.")
    resnet50: ResnetSettings = Field(
        default_factory=ResnetSettings, description="Embeddings by ResNet50."
    )
    onnx: OnnxSettings = Field(
        default_factory=OnnxSettings, description="Embeddings by an ONNX file."
    )
    delf: DelfEmbeddingSettings = Field(
        default_factory=DelfEmbeddingSettings, description="Embeddings by our own network."
    )
