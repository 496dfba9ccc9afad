"""What the clusterings write."""

from minia_spark.engine.stage import pair_of
from minia_spark.engine.table import Artefact, Column, Table

__all__ = ["CLUSTERINGS", "CLUSTERS", "method_and_vectors", "title_of"]

CLUSTERINGS = Artefact(
    "clusterings",
    "A fitted clustering: model.npz (centres, and what the method places images by), and "
    "manifest.json.",
    variants=True,
)

CLUSTERS = Table(
    "clusters",
    "an image, by one method",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column(
            "method",
            "string",
            "The clustering; the variant is the same, or METHOD-EMBEDDING where embeddings are "
            "clustered.",
        ),
        Column("cluster", "int", "Number of the cluster, from 0; -1: noise, or no vector."),
        Column(
            "distance",
            "double",
            "To the centre of the cluster, in the space of the vectors (mixture: Mahalanobis' "
            "distance); null for noise.",
            null=True,
        ),
    ),
    variants=True,
)


def method_and_vectors(variant: str) -> tuple[str, str]:
    """Return the method of a variant, and what it clusters: ``components``, or an embedding."""
    method, embedding = pair_of(variant)
    return method, embedding or "components"


def title_of(variant: str) -> str:
    """Return a variant as people call it: ``kmeans``, ``kmeans of words``."""
    return " of ".join(filter(None, pair_of(variant)))
