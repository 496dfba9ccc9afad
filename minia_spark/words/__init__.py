"""Bags of visual words: the nearest word of every descriptor, the words of every image."""

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS, WORDS

WORDS_STAGE = Stage(
    name="words",
    about="give every descriptor its word, every image its bag of words",
    line="discovery",
    scope="batch",
    reads=(IMAGES, FEATURES, REJECTS, CODEBOOKS),
    writes=(WORDS, WORD_COUNTS),
    # weights and outliers are chosen when words are mined or exported: both are stored
    run="minia_spark.words.stage:run",
    cost="minia_spark.words.cost:cost",
)

ROOM = Room(
    name="words",
    about="Bags of visual words.",
    settings={"words": WordsSettings},
    outputs=(WORDS, WORD_COUNTS),
    stages=(WORDS_STAGE,),
)

__all__ = ["ROOM", "WORDS_STAGE"]
