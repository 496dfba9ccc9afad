"""Tables of the map."""

from minia_spark.engine.table import Column, Table

__all__ = ["LAYOUTS", "MAP", "MAP_FRAMES", "MAP_QUALITY"]

_PLACE = (
    Column("x", "double", "Place on the map, from its middle to the right."),
    Column("y", "double", "Place on the map, from its middle upwards."),
    Column("z", "double", "Place in the depth of a map of three dimensions.", null=True),
)

LAYOUTS = Table(
    "layouts",
    "an image that the map was fitted to",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        *_PLACE,
        Column("vector", "array<float>", "Its embedding then: new images are placed by it."),
    ),
    variants=True,
)

MAP_FRAMES = Table(
    "map_frames",
    "one: how the map was fitted, and the box that it is drawn in",
    (
        Column("version", "string", "Hash of the places and of the embeddings there."),
        Column("method", "string", "t-sne, or pca where there are too few images for it."),
        Column("images", "bigint", "Images that it was fitted to."),
        Column("of_images", "bigint", "Images that there were then."),
        Column("dimensions", "int", "2 or 3."),
        Column("perplexity", "double", "As used: lower than set where there are few images."),
        Column("parameters", "string", "All other parameters, as JSON."),
        Column("kl_divergence", "double", "Of the map from the embeddings.", null=True),
        Column("low", "array<double>", "Lower corner of the box, with a margin around the map."),
        Column("high", "array<double>", "Upper corner of the box."),
        Column(
            "registered_to",
            "string",
            "Version of the older map onto which it was turned, scaled and shifted.",
            null=True,
        ),
        Column(
            "registration_error",
            "double",
            "Root mean square distance of images that both have, by the spread of the older map.",
            null=True,
        ),
        Column("note", "string", "What everybody who sees the map must know.", null=True),
    ),
    variants=True,
)

MAP = Table(
    "map",
    "an image on the map",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        *_PLACE,
        Column("fitted", "boolean", "Whether the map was fitted to it; else it was placed."),
    ),
    variants=True,
)

MAP_QUALITY = Table(
    "map_quality",
    "a batch on the map, or all of them",
    (
        Column("batch", "string", "The batch; null: all.", null=True),
        Column("images", "bigint", "Its images on the map."),
        Column("asked", "bigint", "Images that were looked at."),
        Column("placed", "bigint", "Of its images, those that were placed after the fit."),
        Column("neighbours", "int", "Nearest images that are compared, k."),
        Column(
            "trustworthiness",
            "double",
            "1: the k nearest on the map are near by their"
            " embeddings; 0.5: no more than by chance.",
            null=True,
        ),
        Column("recall", "double", "Share of the k nearest that are so on the map.", null=True),
        Column("recall_error", "double", "Standard error by bootstrap.", null=True),
        Column(
            "agreement",
            "double",
            "Chance that an image and one of its k nearest on the map"
            " have the same label; 0: as any two, 1: always.",
            null=True,
        ),
        Column("agreement_error", "double", "Standard error by bootstrap.", null=True),
        Column(
            "embedding_agreement", "double", "The same of the k nearest by embedding.", null=True
        ),
        Column("embedding_agreement_error", "double", "Standard error by bootstrap.", null=True),
        Column("advice", "string", "What to do about a batch that is placed badly.", null=True),
    ),
    variants=True,
)
