"""What the clusterings write."""

from minia_spark.engine.table import Artefact, Column, Table

__all__ = ["CLUSTERINGS", "CLUSTERS"]

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
        Column("method", "string", "The clustering, as the variant says too."),
        Column("cluster", "int", "Number of the cluster, from 0; -1 for noise."),
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
