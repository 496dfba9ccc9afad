"""Tables of the embeddings."""

from minia_spark.engine.table import Column, Table

__all__ = ["EMBEDDINGS", "EMBEDDING_MODELS", "SCALED_PIXELS"]

SCALED_PIXELS = Table(
    "scaled_pixels",
    "an image, scaled down for the embedding by principal components",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("pixels", "binary", "Eight bits each; rows of red, green and blue.", null=True),
        Column("reason", "string", "Why it could not be scaled; null: it could.", null=True),
        Column("detail", "string", "The same as a sentence.", null=True),
    ),
    variants=True,
)

EMBEDDING_MODELS = Table(
    "embedding_models",
    "one: what an embedding is computed with, frozen with the map",
    (
        Column("version", "string", "Hash of all that follows."),
        Column("images", "bigint", "Images that it was fitted to; 0: none, it came from a file."),
        Column("weights", "array<double>", "words: idf of each word; pca: mean of each number."),
        Column(
            "components",
            "array<double>",
            "Row-major, a number of an image a row; empty: none are used.",
        ),
        Column("variances", "array<double>", "Of the images along each component."),
        Column("source", "string", "Hash of the network's file; null: no network.", null=True),
        Column("note", "string", "What everybody who sees the result must know.", null=True),
    ),
    variants=True,
)

EMBEDDINGS = Table(
    "embeddings",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("vector", "array<float>", "Its embedding.", null=True),
        Column("reason", "string", "Why it has none; null: it has one.", null=True),
        Column("detail", "string", "The same as a sentence.", null=True),
    ),
    variants=True,
)
