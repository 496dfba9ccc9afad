"""Tables of the words."""

from minia_spark.engine.table import Column, Table

__all__ = ["WORDS", "WORD_COUNTS"]

WORDS = Table(
    "words",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("feature_words", "array<int>", "The word of every feature.", null=True),
        Column("words", "array<int>", "The different words, ascending.", null=True),
        Column("counts", "array<int>", "How often each occurs.", null=True),
        Column("sizes", "array<int>", "Rounded sum of its features' sizes.", "pixels", True),
        Column(
            "quantisation_error",
            "double",
            "Mean squared distance of the descriptors to their words; null without features.",
            null=True,
        ),
    ),
    variants=True,
)

WORD_COUNTS = Table(
    "word_counts",
    "a word of a batch",
    (
        Column("batch", "string", "The batch."),
        Column("word", "int", "The word."),
        Column("images", "bigint", "Images of the batch that have it."),
        Column("occurrences", "bigint", "How often it occurs in them."),
    ),
    variants=True,
)
