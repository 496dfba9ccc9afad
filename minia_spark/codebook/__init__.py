"""The codebook of visual words: distributed k-means."""

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS, TRAINING_BATCHES, WORD_MAP
from minia_spark.engine.room import Command, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.settings import IngestSettings

CODEBOOK = Stage(
    name="codebook",
    about="fit the visual words (distributed k-means)",
    line="discovery",
    scope="collection",
    reads=(FEATURES,),
    writes=(CODEBOOKS, TRAINING_BATCHES, WORD_MAP),
    # those of the features too: another warehouse's codebook fits only the same features
    uses=(
        CodebookSettings,
        FeaturesSettings,
        Use(IngestSettings, ("fits_interval", "fits_stretch")),
    ),
    revision=3,
    frozen=True,
    replaces="the codebook",
    check="minia_spark.codebook.reuse:check",
    mllib=True,
    wants_anew="minia_spark.codebook.reuse:wants_anew",
    run="minia_spark.codebook.stage:run",
    cost="minia_spark.codebook.cost:cost",
)

ROOM = Room(
    name="codebook",
    about="The codebook of visual words.",
    settings={"codebook": CodebookSettings},
    outputs=(CODEBOOKS, TRAINING_BATCHES, WORD_MAP),
    stages=(CODEBOOK,),
    commands=(
        Command(
            "codebook",
            f"{CODEBOOK.about}; 'refit': the next ones, from all batches",
            "minia_spark.codebook.command:codebook",
            "minia_spark.codebook.command:arguments",
            examples="  minia codebook --warehouse W\n  minia codebook refit --warehouse W",
            aliases=("vocabulary",),
        ),
    ),
)

__all__ = ["CODEBOOK", "ROOM"]
