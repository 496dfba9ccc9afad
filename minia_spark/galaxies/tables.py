"""Table of the facets."""

from minia_spark.engine.table import Column, Table
from minia_spark.galaxies.morphology import LEGEND

__all__ = ["FACETS", "VOTES"]

_BOOLEAN = {"edge_on", "bar"}

FACETS = Table(
    "facets",
    "an image",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("split", "string", "train or test: only train is ever learned from."),
        Column("gz2_class", "string", "Class string as Galaxy Zoo 2 has it.", null=True),
        Column(
            "galaxy_class",
            "string",
            "The class of twelve that it is reduced to; other labels are their own class.",
            null=True,
        ),
        *(
            Column(name, "boolean" if name in _BOOLEAN else "string", about, null=True)
            for name, about in LEGEND.items()
        ),
    ),
)

VOTES = Table(
    "votes",
    "an image that got votes",
    (
        Column("batch", "string", "Batch of the image."),
        Column("image_id", "string", "The image."),
        Column("answers", "array<string>", "What could be voted for: galaxies.votes.columns."),
        Column("votes", "array<double>", "Fractions or numbers of votes, as the table has them."),
    ),
)
