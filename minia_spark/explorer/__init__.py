"""The map's page: every image a dot, to be looked at, coloured, searched and selected."""

from minia_spark.engine.room import Panel, Room
from minia_spark.engine.stage import Stage
from minia_spark.explorer.settings import ExplorerSettings
from minia_spark.explorer.tables import EXPLORER
from minia_spark.ingest.tables import IMAGES
from minia_spark.layout.tables import MAP, MAP_FRAMES, MAP_QUALITY
from minia_spark.thumbnails.tables import THUMBNAILS

EXPLORER_STAGE = Stage(
    name="explorer",
    about="build the page of the map",
    line="map",
    scope="collection",
    all_variants=True,
    reads=(IMAGES, MAP, MAP_FRAMES),
    optional=(THUMBNAILS, MAP_QUALITY),
    gathers="facets",
    writes=(EXPLORER,),
    revision=3,  # structures lead to the gallery
    uses=(ExplorerSettings,),
    exact=True,  # labels count
    previous=True,  # what did not change is taken from the page before
    run="minia_spark.explorer.stage:run",
    cost="minia_spark.explorer.cost:cost",
)

ROOM = Room(
    name="explorer",
    about="The page of the map.",
    settings={"explorer": ExplorerSettings},
    outputs=(EXPLORER,),
    stages=(EXPLORER_STAGE,),
    panel=Panel("Map", (EXPLORER,), "minia_spark.explorer.panel:show", page=EXPLORER),
)

__all__ = ["EXPLORER_STAGE", "ROOM"]
