"""What is known of galaxies: classes and facets of Galaxy Zoo 2, and which of them teach."""

from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage
from minia_spark.galaxies.settings import GalaxiesSettings
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.tables import IMAGES

FACETS_STAGE = Stage(
    name="facets",
    about="give every image its class and facets of Galaxy Zoo 2, and its side of the split",
    line="lab",
    scope="batch",
    reads=(IMAGES,),
    writes=(FACETS,),
    uses=(GalaxiesSettings,),
    exact=True,  # labels are no content of images, but classes follow from them
    run="minia_spark.galaxies.stage:facets",
    cost="minia_spark.galaxies.cost:cost",
)

ROOM = Room(
    name="galaxies",
    about="Classes and facets of galaxies, and which of them teach.",
    settings={"galaxies": GalaxiesSettings},
    outputs=(FACETS,),
    stages=(FACETS_STAGE,),
)

__all__ = ["FACETS_STAGE", "ROOM"]
