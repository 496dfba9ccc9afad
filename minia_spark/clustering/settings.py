"""Settings of the clusterings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from minia_spark.base.settings import StageSettings

__all__ = ["ClusteringSettings", "DensitySettings", "HierarchicalSettings", "KMeansSettings"]
__all__ += ["MapSettings", "MixtureSettings"]

Method = Literal["kmeans", "hierarchical", "hdbscan", "som", "mixture"]
Embedding = Literal["words", "pca", "resnet50", "onnx", "delf"]


class KMeansSettings(StageSettings):
    """K-means by Spark MLlib."""

    starts: int = Field(
        5, ge=1, le=1000, description="Fits from different starts, of which the cheapest is kept."
    )
    iterations: int = Field(100, ge=1, le=10_000, description="Iterations of a fit at most.")


class HierarchicalSettings(StageSettings):
    """Ward's hierarchical clustering by scipy."""

    sample: int = Field(
        10_000,
        ge=2,
        le=50_000,
        description="Training images that the tree is made of, at most: it takes 4 bytes for every "
        "pair. The others go to the nearest centre.",
    )


class DensitySettings(StageSettings):
    """HDBSCAN by scikit-learn."""

    smallest: int = Field(5, ge=2, le=100_000, description="Smallest number of images a cluster.")
    neighbours: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Neighbours that make a place dense; if not set, as many as smallest.",
    )
    sample: int = Field(
        20_000,
        ge=2,
        le=200_000,
        description="Training images that it is fitted to, at most; the others are placed by the "
        "nearest of these.",
    )


class MapSettings(StageSettings):
    """A self-organising map; every unit is a cluster."""

    rows: int = Field(3, ge=1, le=200, description="Rows of units.")
    columns: int = Field(
        4,
        ge=1,
        le=200,
        description="Units of a row; rows x columns is the number of clusters, whatever "
        "clustering.clusters is.",
    )
    shape: Literal["rectangular", "hexagonal"] = Field(
        "rectangular", description="Of the lattice: 8 or 6 neighbours a unit."
    )
    passes: int = Field(20, ge=1, le=10_000, description="Passes over the training images.")


class MixtureSettings(StageSettings):
    """A mixture of Gaussians by scikit-learn, its means from k-means++."""

    sample: int = Field(
        20_000, ge=2, le=1_000_000, description="Training images that it is fitted to, at most."
    )
    tolerance: float = Field(
        1e-7, gt=0, description="Change of the mean log-likelihood at which it ends."
    )
    iterations: int = Field(1000, ge=1, le=100_000, description="Iterations at most.")


class ClusteringSettings(StageSettings):
    """Into how many clusters images fall, and by which methods."""

    methods: tuple[Method, ...] = Field(
        ("kmeans", "hierarchical", "hdbscan", "som", "mixture"),
        min_length=1,
        description="Clusterings that are made, each a variant of table clusters.",
    )
    embeddings: tuple[Embedding, ...] = Field(
        (),
        description="Embeddings of the map (embedding.methods) that every method clusters too, "
        "beside the components; words: bags of words. What they are computed with was fitted to "
        "all images, without their classes; clusterings of them to training images only.",
    )
    clusters: int = Field(
        12,
        ge=1,
        le=10_000,
        description="Clusters, 12 to match the classes; hdbscan chooses its own number.",
    )
    seed: int = Field(1, ge=0, description="Of starts and samples.")
    kmeans: KMeansSettings = Field(
        default_factory=KMeansSettings, description="K-means by Spark MLlib."
    )
    hierarchical: HierarchicalSettings = Field(
        default_factory=HierarchicalSettings, description="Ward's clustering by scipy."
    )
    hdbscan: DensitySettings = Field(
        default_factory=DensitySettings, description="HDBSCAN by scikit-learn."
    )
    som: MapSettings = Field(default_factory=MapSettings, description="Self-organising map.")
    mixture: MixtureSettings = Field(
        default_factory=MixtureSettings, description="Mixture of Gaussians."
    )

    @field_validator("methods", "embeddings")
    @classmethod
    def _once(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"names {'a method' if info.field_name == 'methods' else 'one'} twice")
        return value
