"""Table of the drift."""

from minia_spark.engine.table import Column, Table

__all__ = ["DRIFT"]

DRIFT = Table(
    "drift",
    "a batch",
    (
        Column("batch", "string", "The batch."),
        Column("codebook", "string", "Version of the codebook that it is compared with."),
        Column("in_training", "boolean", "Whether the codebook was made from it, among others."),
        Column("images", "bigint", "Images with features."),
        Column("features", "bigint", "Their features."),
        Column("words", "int", "Words of the codebook."),
        Column("error", "double", "Mean squared distance of a descriptor to its word.", null=True),
        Column("error_deviation", "double", "Standard error of it.", null=True),
        Column(
            "expected_error", "double", "The same for unseen images like the training's.", null=True
        ),
        Column("divergence", "double", "Jensen-Shannon, from the training's words.", "bits", True),
        Column("expected_divergence", "double", "What chance makes of it.", "bits", True),
        Column("divergence_deviation", "double", "Standard deviation of that.", "bits", True),
        Column("dead_words", "array<int>", "Words that are missing though expected."),
        Column("overfull_words", "array<int>", "Words more than twice as frequent as expected."),
    ),
    variants=True,
)
