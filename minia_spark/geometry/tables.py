"""The table of the geometric check."""

from minia_spark.engine.table import Column, Table

__all__ = ["VERIFICATIONS"]

VERIFICATIONS = Table(
    "verifications",
    "a structure whose geometry was looked at",
    (
        Column("structure_id", "int", "The structure."),
        Column("pairs", "bigint", "Pairs of its images that were looked at."),
        Column("alike", "bigint", "Pairs in which its features lie alike."),
        Column("verified", "double", "Share of the pairs; null: it has no pair.", null=True),
    ),
    variants=True,
)
