"""Tables of the features."""

from minia_spark.engine.table import Column, Table

__all__ = ["FEATURES"]

FEATURES = Table(
    "features",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("n_features", "int", "How many features it has."),
        Column("n_found", "int", "How many there were before features.max_features cut."),
        Column("x", "array<float>", "Centre, from the centre of the left pixel.", "pixels", True),
        Column("y", "array<float>", "Centre, from the centre of the top pixel.", "pixels", True),
        Column("size", "array<float>", "Diameter.", "pixels", True),
        Column("angle", "array<float>", "Orientation, from x to y; -1: none.", "degrees", True),
        Column("response", "array<float>", "Strength, on the extractor's own scale.", null=True),
        Column(
            "descriptors",
            "binary",
            "All descriptors, row-major; the column's metadata say type, dimension and, for surf, "
            "who computed them.",
            null=True,
            described=True,
        ),
        Column("reason", "string", "Why it could not be extracted; null: it could.", null=True),
        Column("detail", "string", "The same as a sentence.", null=True),
    ),
    variants=True,
)
