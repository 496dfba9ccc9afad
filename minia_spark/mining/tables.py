"""Tables of the mining."""

from minia_spark.engine.table import Column, Table

__all__ = ["BACKGROUND", "FACTORS", "PAIRS", "PAIR_BATCHES", "STRUCTURES", "TUNING"]

TUNING = Table(
    "tuning",
    "one: how words are mined",
    (
        Column("link", "string", "consensus or single, see mining.link."),
        Column("chance", "string", "totals: hash tables propose; background: pairs are counted."),
        Column("tuple_size", "int", "MinHashes in a tuple, r.", null=True),
        Column("tables", "int", "Number of hash tables, l.", null=True),
        Column("factors", "int", "Number of factors of the background."),
        Column("eta", "double", "Similarity of words that they are made for.", null=True),
        Column("chance_median", "double", "Median similarity of words by chance.", null=True),
        Column("chance_high", "double", "What one pair of words in 1,000 exceeds.", null=True),
        Column("reasons", "array<string>", "Sentences on why."),
    ),
    variants=True,
)

BACKGROUND = Table(
    "background",
    "a word, as the background has it; none where totals are enough",
    (
        Column("word", "bigint", "The word."),
        Column("logit", "int", "How common it is, b.", "1/1024"),
        Column("loadings", "array<int>", "How it goes with each factor, v.", "1/1024"),
        Column("spreads", "array<double>", "Spread of z without factors, with one, ..."),
    ),
    variants=True,
)

FACTORS = Table(
    "factors",
    "an image, by what images differ in; none where totals are enough",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column(
            "total", "int", "How many words it holds, a; null without words.", "1/1024", null=True
        ),
        Column(
            "scores",
            "array<int>",
            "Where it stands on each factor, u, the factor that explains most first.",
            "1/1024",
            null=True,
        ),
    ),
    variants=True,
)

PAIRS = Table(
    "pairs",
    "65,536 pairs of words, in ascending order, and what they share beyond the background",
    (
        Column("part", "int", "0: variances; then parts of the images; then decoys."),
        Column("block", "int", "Which pairs, from 0."),
        Column("sums", "binary", "64-bit whole numbers.", "2**-32"),
    ),
    variants=True,
)

PAIR_BATCHES = Table(
    "pair_batches",
    "a batch whose images are in table pairs",
    (
        Column("batch", "string", "The batch."),
        Column("words", "string", "Fingerprint of its words."),
        Column("sums", "string", "Fingerprint of what is summed: background, seeds, decoys."),
    ),
    variants=True,
)

STRUCTURES = Table(
    "structures",
    "a structure: those first that are significant and reproducible, the most surprising first",
    (
        Column("structure_id", "int", "Number of the structure, its rank, from 0."),
        Column("words", "array<bigint>", "Its words, by falling frequency."),
        Column(
            "frequencies", "array<bigint>", "Sets, or images, of the structure that hold each word."
        ),
        Column(
            "sets",
            "bigint",
            "Mined sets that were joined into it; without hash tables, its support.",
        ),
        Column("support", "bigint", "Images that hold more than half of its words."),
        Column("expected_support", "double", "The same if only totals mattered."),
        Column("lift", "double", "Support / expected support.", null=True),
        Column("expected_beyond", "double", "Expected support if broad differences mattered too."),
        Column("lift_beyond", "double", "Support / expected_beyond.", null=True),
        Column("surprise", "double", "-log10 of the chance of that support, by expected_beyond."),
        Column(
            "q", "double", "Estimated share of false ones among those as surprising.", null=True
        ),
        Column("stability", "double", "Share of other seeds under which it comes out.", null=True),
        Column("significant", "boolean", "q <= mining.max_q."),
        Column("reproducible", "boolean", "stability >= mining.min_stability."),
    ),
    variants=True,
)
