"""Whether the images of a structure show the same thing: do its features lie alike in them?"""

from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.features.tables import FEATURES
from minia_spark.geometry.settings import GeometrySettings
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.structures.tables import STRUCTURE_IMAGES
from minia_spark.words.tables import WORDS

GEOMETRY = Stage(
    name="geometry",
    about="look whether the features of a structure lie alike in pairs of its images",
    line="discovery",
    scope="collection",
    reads=(FEATURES, WORDS, STRUCTURE_IMAGES),
    writes=(VERIFICATIONS,),
    uses=(Use(GeometrySettings, ("pairs",)), Use(GeometrySettings, when="geometry.pairs")),
    run="minia_spark.geometry.stage:run",
    cost="minia_spark.geometry.cost:cost",
)

ROOM = Room(
    name="geometry",
    about="Whether the features of a structure lie alike in its images.",
    settings={"geometry": GeometrySettings},
    outputs=(VERIFICATIONS,),
    stages=(GEOMETRY,),
)

__all__ = ["GEOMETRY", "ROOM"]
