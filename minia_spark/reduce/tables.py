"""What the reduction writes."""

from minia_spark.engine.table import Artefact, Column, Table

__all__ = ["COMPONENTS", "CROPS", "REDUCTIONS"]

CROPS = Table(
    "crops",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column(
            "pixels",
            "binary",
            "Its square crop: side x side x 3 bytes, row by row, red, green, blue.",
        ),
    ),
)

COMPONENTS = Artefact(
    "components",
    "Principal components and scaler: model.npz (mean, directions, variances, scales), and "
    "manifest.json.",
)

REDUCTIONS = Table(
    "reductions",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("vector", "array<float>", "Its scores on the principal components, scaled."),
    ),
)
