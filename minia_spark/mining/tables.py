"""Tables of the mining."""

from minia_spark.engine.table import Column, Table

__all__ = ["SIGNATURES", "STRUCTURES", "TUNING"]

TUNING = Table(
    "tuning",
    "one: how the hash tables are laid out",
    (
        Column("link", "string", "consensus or single, see mining.link."),
        Column("tuple_size", "int", "MinHashes in a tuple, r."),
        Column("tables", "int", "Number of hash tables, l."),
        Column("eta", "double", "Similarity of words that they are made for.", null=True),
        Column("chance_median", "double", "Median similarity of words by chance.", null=True),
        Column("chance_high", "double", "What one pair of words in 1,000 exceeds.", null=True),
        Column("reasons", "array<string>", "Sentences on why."),
    ),
    variants=True,
)

SIGNATURES = Table(
    "signatures",
    "a word of a batch, for a seed and a range of hash tables",
    (
        Column("trial", "int", "0: the seed; 1 and up: the others."),
        Column("first_table", "int", "First hash table of the range."),
        Column("item", "bigint", "The word."),
        Column("documents", "bigint", "Images of the batch that have it."),
        Column("occurrences", "bigint", "How often it occurs in them."),
        Column("minima", "binary", "Its MinHashes, 32-bit, table by table."),
    ),
    variants=True,
)

STRUCTURES = Table(
    "structures",
    "a structure, those first that are significant and reproducible",
    (
        Column("structure_id", "int", "Number of the structure, its rank, from 0."),
        Column("words", "array<bigint>", "Its words, by falling frequency."),
        Column("frequencies", "array<bigint>", "Sets of the structure that hold each word."),
        Column("sets", "bigint", "Mined sets that were joined into it."),
        Column("support", "bigint", "Images that hold more than half of its words."),
        Column("expected_support", "double", "The same if only totals mattered."),
        Column("lift", "double", "Support / expected support.", null=True),
        Column(
            "q", "double", "Estimated share of false ones among those as surprising.", null=True
        ),
        Column("stability", "double", "Share of other seeds under which it comes out.", null=True),
        Column("significant", "boolean", "q <= mining.max_q."),
        Column("reproducible", "boolean", "stability >= mining.min_stability."),
    ),
    variants=True,
)
