"""Tables of the codebook."""

from minia_spark.engine.table import Column, Table

__all__ = ["CODEBOOKS", "TRAINING_BATCHES", "WORD_MAP"]

CODEBOOKS = Table(
    "codebooks",
    "a visual word; MLlib's own KMeansModel lies beside, in ../mllib",
    (
        Column("version", "string", "Hash of the centres, their scale and the extractor."),
        Column("word", "int", "Number of the word, from 0."),
        Column("centre", "array<float>", "Centre of the word, in the descriptors' units."),
        Column("occurrences", "bigint", "Training descriptors that are nearest to it."),
        Column("error", "double", "Mean squared distance of those to it.", null=True),
        Column("dead", "boolean", "Whether there are none."),
        Column("scale", "double", "Grid units in a descriptor's unit."),
        Column("extractor", "string", "Extractor of the descriptors."),
        Column("cost_history", "array<double>", "Cost per descriptor before each pass and after."),
        Column("size_reason", "string", "Why there are so many words."),
    ),
    variants=True,
)

TRAINING_BATCHES = Table(
    "training_batches",
    "a batch that the codebook was made from",
    (
        Column("version", "string", "The codebook."),
        Column("batch", "string", "The batch."),
        Column("digest", "string", "Of its features."),
    ),
    variants=True,
)

WORD_MAP = Table(
    "word_map",
    "a word of an older codebook",
    (
        Column("older_version", "string", "The older codebook."),
        Column("older_word", "int", "Its word."),
        Column("newer_version", "string", "The newer codebook."),
        Column("newer_word", "int", "The nearest word of the newer one."),
        Column("distance", "double", "Between the two centres, in the descriptors' units."),
        Column(
            "share",
            "double",
            "Share of the older word's features that are now of the newer one.",
            null=True,
        ),
    ),
    variants=True,
)
