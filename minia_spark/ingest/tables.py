"""Tables of ingest."""

from minia_spark.engine.table import Column, Table

__all__ = ["IMAGES", "REJECTS"]

IMAGES = Table(
    "images",
    "a readable image, or one known by name only",
    (
        Column("image_id", "string", "Name of the image: its path below the input folder."),
        Column("batch", "string", "Batch that it came with."),
        Column(
            "uri", "string", "Where its bytes are; null, as what follows, where nowhere.", null=True
        ),
        Column("width", "int", "Width.", "pixels", null=True),
        Column("height", "int", "Height.", "pixels", null=True),
        Column("channels", "int", "1 for grey, 3 for colour.", null=True),
        Column("format", "string", "jpeg, png, tiff or fits.", null=True),
        Column(
            "stretch",
            "string",
            "How deeper counts became eight bits, e.g. zscale+asinh; null where they were.",
            null=True,
        ),
        Column("size_bytes", "bigint", "Size of the encoded image.", "bytes", null=True),
        Column("content_hash", "string", "SHA-256 of the encoded bytes, hexadecimal.", null=True),
        Column("label", "string", "Class from the labels file or the folder.", null=True),
        Column("ra_deg", "double", "Right ascension.", "degrees", null=True),
        Column("dec_deg", "double", "Declination.", "degrees", null=True),
    ),
)

REJECTS = Table(
    "rejects",
    "something that could not be used",
    (
        Column("batch", "string", "Batch that it came with."),
        Column("uri", "string", "Where it is."),
        Column("stage", "string", "The stage that could not use it."),
        Column("reason", "string", "A fixed word to group by."),
        Column("detail", "string", "One sentence: what was found."),
    ),
    variants=True,
)
