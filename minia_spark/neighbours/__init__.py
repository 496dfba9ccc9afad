"""The nearest images of every image: exactly, or of many by an inverted file."""

from minia_spark.embedding import METHODS
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage
from minia_spark.neighbours.settings import NeighboursSettings
from minia_spark.neighbours.tables import NEIGHBOUR_BATCHES, NEIGHBOUR_CELLS, NEIGHBOURS

NEIGHBOURS_STAGE = Stage(
    name="neighbours",
    about="find the nearest images of every image",
    line="map",
    scope="collection",
    reads=(EMBEDDINGS,),
    writes=(NEIGHBOURS, NEIGHBOUR_BATCHES, NEIGHBOUR_CELLS),
    uses=(NeighboursSettings,),
    variants=METHODS,
    run="minia_spark.neighbours.stage:run",
    cost="minia_spark.neighbours.cost:cost",
)

ROOM = Room(
    name="neighbours",
    about="The nearest images of every image.",
    settings={"neighbours": NeighboursSettings},
    outputs=(NEIGHBOURS, NEIGHBOUR_BATCHES, NEIGHBOUR_CELLS),
    stages=(NEIGHBOURS_STAGE,),
)

__all__ = ["ROOM"]
