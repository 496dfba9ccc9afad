"""How far a batch is from what the codebook was made of."""

from minia_spark.codebook.tables import CODEBOOKS, TRAINING_BATCHES
from minia_spark.drift.settings import DriftSettings
from minia_spark.drift.tables import DRIFT
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage
from minia_spark.features.tables import FEATURES
from minia_spark.words.tables import WORDS

DRIFT_STAGE = Stage(
    name="drift",
    about="measure how far every batch is from the codebook",
    line="discovery",
    scope="batch",
    command="words",
    reads=(FEATURES, CODEBOOKS, TRAINING_BATCHES, WORDS),
    writes=(DRIFT,),
    consults=(DriftSettings,),  # what is measured is the same whatever the limits
    revision=2,
    run="minia_spark.drift.stage:run",
    cost="minia_spark.drift.cost:cost",
)

ROOM = Room(
    name="drift",
    about="How far batches are from the codebook.",
    settings={"drift": DriftSettings},
    outputs=(DRIFT,),
    stages=(DRIFT_STAGE,),
)

__all__ = ["DRIFT_STAGE", "ROOM"]
