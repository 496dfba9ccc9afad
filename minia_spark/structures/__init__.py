"""The images of every structure, and what became of those before."""

from minia_spark.codebook.tables import CODEBOOKS, WORD_MAP
from minia_spark.engine.room import Command, Facet, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import STRUCTURES
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import (
    ENDED_STRUCTURES,
    LINEAGE,
    PATTERNS,
    STRUCTURE_IMAGES,
    STRUCTURE_NAMES,
)
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS, WORDS

STRUCTURES_STAGE = Stage(
    name="structures",
    about="find the images of every structure, and what became of those before",
    line="discovery",
    scope="collection",
    reads=(CODEBOOKS, WORDS, WORD_COUNTS, STRUCTURES, LINEAGE),
    writes=(STRUCTURE_IMAGES,),
    optional=(STRUCTURE_NAMES,),  # who is left out is said of a lineage
    uses=(
        StructuresSettings,
        Use(WordsSettings, ("weight", "drop_outliers")),
        Use(WordsSettings, ("outlier_deviations",), when="words.drop_outliers"),
    ),
    revision=2,
    run="minia_spark.structures.stage:run",
    cost="minia_spark.structures.cost:structures",
)

LINEAGE_STAGE = Stage(
    name="lineage",
    about="say what became of every structure of the state before",
    line="discovery",
    scope="collection",
    command="structures",
    reads=(CODEBOOKS, STRUCTURES),
    optional=(WORD_MAP,),  # there is one after the codebook was fitted anew
    writes=(LINEAGE, ENDED_STRUCTURES),
    previous=True,
    revision=2,
    run="minia_spark.structures.stage:trace_lineage",
    cost="minia_spark.structures.cost:lineage",
)

PATTERNS_STAGE = Stage(
    name="patterns",
    about="say how structures stand out, and which show the same pattern",
    line="discovery",
    scope="collection",
    command="structures",
    reads=(CODEBOOKS, STRUCTURES, STRUCTURE_IMAGES),
    writes=(PATTERNS,),
    uses=(Use(MiningSettings, ("decoys", "seeds")),),
    run="minia_spark.structures.stage:group_patterns",
    cost="minia_spark.structures.cost:patterns",
)

ROOM = Room(
    name="structures",
    about="The images of every structure, and its history.",
    settings={"structures": StructuresSettings},
    outputs=(STRUCTURE_IMAGES, PATTERNS, LINEAGE, ENDED_STRUCTURES, STRUCTURE_NAMES),
    stages=(STRUCTURES_STAGE, LINEAGE_STAGE, PATTERNS_STAGE),
    facets=(
        Facet(
            "structure",
            STRUCTURE_IMAGES,
            "structure_id",
            "Structures that the image holds.",
            several=True,
            text="s{:04d}",
            link="gallery/index.html#/s/{variant}/{text}",
        ),
    ),
    commands=(
        Command(
            "structures",
            f"{STRUCTURES_STAGE.about}; 'new', 'diff': what is new; 'name', 'names': what they are",
            "minia_spark.structures.command:structures",
            "minia_spark.structures.command:arguments",
            "Without a word it brings the images of the structures up to date. diff compares\n"
            "two states. new tells what a batch brought: structures that were born or grew,\n"
            "those that are more frequent in it than chance explains, and its images that are\n"
            "unlike anything. name says what a structure is; that stays with it under its\n"
            "lineage, also when structures are mined anew. names lists it.",
            "  minia structures --warehouse W\n"
            "  minia structures diff 3 4 --warehouse W\n"
            "  minia structures new --batch night2 --alert-exit-code 10 --warehouse W\n"
            "  minia structures name s0003 --kind artefact --note 'satellite trail' --warehouse W\n"
            "  minia structures names --json --warehouse W\n"
            "  minia run --set structures.exclude_kinds=[artefact] --warehouse W",
        ),
    ),
)

__all__ = ["LINEAGE_STAGE", "PATTERNS_STAGE", "ROOM", "STRUCTURES_STAGE"]
