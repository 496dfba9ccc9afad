"""The map: images that are alike lie together, and new ones come without moving the others."""

from minia_spark.embedding import METHODS
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.ingest.tables import IMAGES
from minia_spark.layout.settings import LayoutSettings
from minia_spark.layout.tables import LAYOUTS, MAP, MAP_FRAMES, MAP_QUALITY

_JUDGED = ("compared", "least_recall")
_HERE = "minia_spark.layout"

LAYOUT = Stage(
    name="layout",
    about="fit the map to the embeddings",
    line="map",
    scope="collection",
    reads=(EMBEDDINGS, EMBEDDING_MODELS),
    writes=(LAYOUTS, MAP_FRAMES),
    uses=(Use(LayoutSettings, without=_JUDGED),),
    variants=METHODS,
    frozen=True,
    replaces="the map",
    wants_anew=f"{_HERE}.refit:wants_anew",
    run=f"{_HERE}.stage:fit",
    cost=f"{_HERE}.cost:fitted",
)

PLACE = Stage(
    name="place",
    about="place the images of every batch on the map",
    line="map",
    scope="batch",
    command="layout",
    reads=(EMBEDDINGS, LAYOUTS, MAP_FRAMES),
    writes=(MAP,),
    uses=(Use(LayoutSettings, ("distance",)),),
    variants=METHODS,
    run=f"{_HERE}.stage:place",
    cost=f"{_HERE}.cost:placed",
)

QUALITY = Stage(
    name="map_quality",
    about="measure how well the map shows who is near whom",
    line="map",
    scope="collection",
    command="layout",
    reads=(IMAGES, EMBEDDINGS, MAP),
    writes=(MAP_QUALITY,),
    uses=(Use(LayoutSettings, (*_JUDGED, "distance")),),
    variants=METHODS,
    exact=True,  # labels count
    run=f"{_HERE}.stage:judge",
    cost=f"{_HERE}.cost:judged",
)

ROOM = Room(
    name="layout",
    about="The map: images that are alike lie together.",
    settings={"layout": LayoutSettings},
    outputs=(LAYOUTS, MAP_FRAMES, MAP, MAP_QUALITY),
    stages=(LAYOUT, PLACE, QUALITY),
)

__all__ = ["ROOM"]
