"""Local features: an image in, a set of described points out.

:mod:`.extractor` says what an extractor is and makes the chosen one; :mod:`.sift` is one.
"""

from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use, Variants
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES, REJECTS

EXTRACTORS = Variants(FeaturesSettings, "extractors")

FEATURES_STAGE = Stage(
    name="features",
    about="extract local descriptors of every image",
    line="discovery",
    scope="batch",
    over="pixels",
    reads=(IMAGES,),
    writes=(FEATURES, REJECTS),
    # the stretch decides which grey levels the extractor sees
    uses=(FeaturesSettings, Use(IngestSettings, ("fits_interval", "fits_stretch"))),
    variants=EXTRACTORS,
    replaces="the features",
    kernel="minia_spark.features.stage:kernel",
    check="minia_spark.features.extractors:check_extracted",
    run="minia_spark.features.stage:run",
    cost="minia_spark.features.cost:cost",
)

ROOM = Room(
    name="features",
    about="Local features of every image.",
    settings={"features": FeaturesSettings},
    outputs=(FEATURES,),
    stages=(FEATURES_STAGE,),
)

__all__ = ["EXTRACTORS", "FEATURES_STAGE", "ROOM"]
