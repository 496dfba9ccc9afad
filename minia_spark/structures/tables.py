"""Tables of the structures' images and of their history."""

from minia_spark.engine.table import Column, Table

__all__ = ["ENDED_STRUCTURES", "LINEAGE", "PATTERNS", "STRUCTURE_IMAGES", "STRUCTURE_NAMES"]

STRUCTURE_IMAGES = Table(
    "structure_images",
    "an image of a structure",
    (
        Column("structure_id", "int", "The structure."),
        Column("rank", "int", "Place of the image in it, from 1: by overlap, then by name."),
        Column("image_id", "string", "The image."),
        Column("batch", "string", "Batch of the image."),
        Column("overlap", "double", "Multiset overlap of structure and image, 0 to 1."),
        Column("words_held", "int", "Words of the structure that the image has."),
        Column("features", "array<int>", "Numbers of the image's features of these.", null=True),
    ),
    variants=True,
)

PATTERNS = Table(
    "patterns",
    "a structure",
    (
        Column("structure_id", "int", "The structure."),
        Column(
            "place",
            "int",
            "From 0: strong ones first, then moderate, weak, and not established ones; each as "
            "they are numbered.",
        ),
        Column(
            "strength",
            "string",
            "How far an established one stands out: strong, from three times as many images as by "
            "chance on; moderate; weak, below one and a half times. null: it is not established, "
            "or that was not measured.",
            null=True,
        ),
        Column(
            "pattern",
            "int",
            "The first structure, by place, that shows the same pattern; its own number: it does.",
        ),
        Column(
            "same_images_as",
            "int",
            "The first structure, by place, that is in much the same images (Jaccard similarity of "
            "a third or more); null: there is none.",
            null=True,
        ),
        Column(
            "turn",
            "string",
            "What makes images of the pattern's first structure look like those of this one, as "
            "turned by 90\N{DEGREE SIGN}; empty: nothing has to be done; null: it does not look "
            "like the first, but like another one, or it is there for its images.",
            null=True,
        ),
    ),
    variants=True,
)

LINEAGE = Table(
    "lineage",
    "a structure, and those of the state before that ended",
    (
        Column("lineage_id", "string", "Stays with a structure from run to run."),
        Column("structure_id", "int", "The structure; null: it ended.", null=True),
        Column(
            "event",
            "string",
            "born, same, grown, shrunk, changed, split, merged, gone; returned: it had ended.",
        ),
        Column(
            "older_state",
            "bigint",
            "State that was compared with; null: there never were any.",
            null=True,
        ),
        Column("older_structure_id", "int", "The structure in it.", null=True),
        Column("words_gained", "bigint", "Words that came."),
        Column("words_lost", "bigint", "Words that went."),
    ),
    variants=True,
)

ENDED_STRUCTURES = Table(
    "ended_structures",
    "a structure that ended in this or an earlier state, by which it is known when it returns",
    (
        Column("lineage_id", "string", "The structure, as of table lineage."),
        Column("ended_state", "bigint", "State in which it was missing first."),
        Column("words", "array<int>", "Its words, as those of this state's codebook; ascending."),
    ),
    variants=True,
)

STRUCTURE_NAMES = Table(
    "structure_names",
    "a structure that people named; written by 'minia structures name', not by a stage",
    (
        Column("lineage_id", "string", "The structure, as of table lineage."),
        Column("name", "string", "What people call it.", null=True),
        Column("kind", "string", "What kind of thing it is, e.g. artefact.", null=True),
        Column("note", "string", "What else is to be known.", null=True),
        Column("named_at", "string", "When that was said last, ISO 8601."),
    ),
    variants=True,
)
