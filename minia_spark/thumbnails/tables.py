"""Table of the thumbnails."""

from minia_spark.engine.table import Column, Table

__all__ = ["THUMBNAILS"]

THUMBNAILS = Table(
    "thumbnails",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("width", "int", "Width of the image itself.", "pixels"),
        Column("height", "int", "Height of the image itself.", "pixels"),
        Column("format", "string", "Of the small copy: jpeg."),
        Column("data", "binary", "The small copy, encoded."),
    ),
)
