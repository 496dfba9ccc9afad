"""What is known of galaxies: classes and facets of Galaxy Zoo 2, and which of them teach."""

from minia_spark.engine.room import Facet, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.galaxies.morphology import LEGEND
from minia_spark.galaxies.settings import GalaxiesSettings
from minia_spark.galaxies.tables import FACETS, VOTES
from minia_spark.ingest.tables import IMAGES

FACETS_STAGE = Stage(
    name="facets",
    about="give every image its class and facets of Galaxy Zoo 2, and its side of the split",
    line="lab",
    scope="batch",
    reads=(IMAGES,),
    writes=(FACETS,),
    uses=(Use(GalaxiesSettings, without=("votes",)),),
    exact=True,  # labels are no content of images, but classes follow from them
    run="minia_spark.galaxies.stage:facets",
    cost="minia_spark.galaxies.cost:cost",
)

VOTES_STAGE = Stage(
    name="votes",
    about="give every image the votes that it got",
    line="lab",
    scope="batch",
    command="facets",
    reads=(IMAGES,),
    writes=(VOTES,),
    uses=(Use(GalaxiesSettings, ("votes",)),),
    run="minia_spark.galaxies.stage:votes",
    cost="minia_spark.galaxies.cost:cost",
)

ROOM = Room(
    name="galaxies",
    about="Classes and facets of galaxies, and which of them teach.",
    settings={"galaxies": GalaxiesSettings},
    outputs=(FACETS, VOTES),
    stages=(FACETS_STAGE, VOTES_STAGE),
    facets=(
        Facet("galaxy class", FACETS, "galaxy_class", "The class of twelve, or the label."),
        *(
            Facet(
                name.replace("_", " "),
                FACETS,
                name,
                about,
                text="no|yes" if name in ("edge_on", "bar") else "",
            )
            for name, about in LEGEND.items()
        ),
    ),
)

__all__ = ["FACETS_STAGE", "ROOM", "VOTES_STAGE"]
