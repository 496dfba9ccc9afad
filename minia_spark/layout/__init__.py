"""The map: images that are alike lie together, and new ones come without moving the others."""

from minia_spark.embedding import METHODS
from minia_spark.embedding.tables import EMBEDDING_MODELS, EMBEDDINGS
from minia_spark.engine.room import Command, Facet, Room
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
    facets=(
        Facet(
            "placement",
            MAP,
            "fitted",
            "Whether the map was fitted to the image, or the image was placed on it later.",
            text="placed later|fitted",
        ),
    ),
    commands=(
        Command(
            "map refit",
            "fit embeddings and map anew, to all batches, and lay the new map onto the old one",
            f"{_HERE}.command:refit",
            f"{_HERE}.command:refit_arguments",
            "Weights and components of the embeddings, and the map, are fitted to the batches\n"
            "that are there now; every image gets its new place, and all is published at once.\n"
            "The new map is turned, mirrored, scaled and shifted so that images which both have\n"
            "lie as near as can be to where they lay.",
            "  minia map refit --warehouse W",
        ),
        Command(
            "map sweep",
            "maps of several perplexities and seeds beside each other, and which to take",
            f"{_HERE}.command:sweep",
            f"{_HERE}.command:sweep_arguments",
            "Fits a map of some images for every perplexity and seed. Nothing is changed, and no\n"
            "Spark is started.\n"
            "\n"
            "  trustworthiness  1: who is near on the map is near by embedding; 0.5: by chance\n"
            "  recall           share of the 15 nearest by embedding that are so on the map\n"
            "  agreement        chance that an image and one of its 15 nearest on the map have\n"
            "                   the same label; 0: as any two images, 1: always\n"
            "  divergence       what the fit makes small; maps of one perplexity can be compared\n"
            "\n"
            "Numbers after +- are standard errors by bootstrap.",
            "  minia map sweep --warehouse W\n"
            "  minia map sweep --warehouse W --perplexities 10,20,30,50,100 --sample 3000",
        ),
        Command(
            "map quality",
            "how well the maps show who is near whom, of every batch",
            f"{_HERE}.command:quality",
            f"{_HERE}.command:quality_arguments",
            examples="  minia map quality --warehouse W",
        ),
    ),
)

__all__ = ["ROOM"]
