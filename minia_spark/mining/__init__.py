"""Structures: sets of visual words that keep occurring together, by Sampled Min-Hashing."""

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.room import Command, Room
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Stage, Use
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import (
    BACKGROUND,
    FACTORS,
    PAIR_BATCHES,
    PAIRS,
    STRUCTURES,
    TUNING,
)
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS, WORDS

_OUTLIERS = (
    Use(WordsSettings, ("drop_outliers",)),
    Use(WordsSettings, ("outlier_deviations",), when="words.drop_outliers"),
)
_WEIGHT = Use(WordsSettings, ("weight",), when="mining.expand")


def _are_chosen(settings: Settings) -> bool:
    """Tell whether the layout of the hash tables is chosen rather than set."""
    return None in (settings.get("mining.tuple_size"), settings.get("mining.tables"))


TUNE = Stage(
    name="tune",
    about="choose the background that chance has, or how the hash tables are laid out",
    line="discovery",
    scope="collection",
    command="mine",
    reads=(CODEBOOKS, WORD_COUNTS, WORDS),
    writes=(TUNING, BACKGROUND),
    uses=(
        Use(MiningSettings, ("chance", "tuple_size", "tables", "link")),
        Use(MiningSettings, ("seed", "partners_by_chance", "min_lift"), when=_are_chosen),
        Use(CodebookSettings, ("reuse",), when=_are_chosen),
        Use(WordsSettings, ("drop_outliers",), when=_are_chosen),
        Use(
            WordsSettings,
            ("outlier_deviations",),
            when=lambda s: _are_chosen(s) and bool(s.get("words.drop_outliers")),
        ),
    ),
    frozen=True,
    revision=2,
    run="minia_spark.mining.stage:tune",
    cost="minia_spark.mining.cost:tune",
)

FACTOR = Stage(
    name="factors",
    about="tell the images of every batch by the factors of the background",
    line="discovery",
    scope="batch",
    command="mine",
    reads=(CODEBOOKS, WORDS, TUNING, BACKGROUND),
    writes=(FACTORS,),
    uses=(),
    run="minia_spark.mining.stage:factors",
    cost="minia_spark.mining.cost:factors",
)

PAIR = Stage(
    name="pairs",
    about="count what pairs of words share beyond the background",
    line="discovery",
    scope="collection",
    command="mine",
    reads=(CODEBOOKS, TUNING, BACKGROUND, WORDS),
    writes=(PAIRS, PAIR_BATCHES),
    uses=(Use(MiningSettings, ("seed", "seeds", "decoys")),),
    run="minia_spark.mining.stage:pairs",
    cost="minia_spark.mining.cost:pairs",
)

MINE = Stage(
    name="mine",
    about="mine the structures: words that keep occurring together",
    line="discovery",
    scope="collection",
    reads=(CODEBOOKS, TUNING, BACKGROUND, PAIRS, WORDS, WORD_COUNTS),
    writes=(STRUCTURES,),
    uses=(
        # the way that was chosen stands in table tuning
        Use(MiningSettings, without=("chance", "tuple_size", "tables")),
        _WEIGHT,
        *_OUTLIERS,
    ),
    revision=5,
    run="minia_spark.mining.stage:mine",
    cost="minia_spark.mining.cost:mine",
)

ROOM = Room(
    name="mining",
    about="Structures: sets of words that keep occurring together.",
    settings={"mining": MiningSettings},
    outputs=(TUNING, BACKGROUND, FACTORS, PAIRS, PAIR_BATCHES, STRUCTURES),
    stages=(TUNE, FACTOR, PAIR, MINE),
    commands=(
        Command(
            "mine",
            MINE.about,
            "minia_spark.mining.command:mine",
            "minia_spark.mining.command:arguments",
            examples="  minia mine --warehouse W --set mining.decoys=20\n"
            "  minia mine --words corpus.words --model OUT --assessment OUT.csv\n"
            "  minia mine --words corpus.words --model OUT --link single  # as smhcmd does",
        ),
    ),
)

__all__ = ["FACTOR", "MINE", "PAIR", "ROOM", "TUNE"]
