"""Images as short vectors: square crops, principal components, a scaler."""

from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.galaxies.settings import GalaxiesSettings
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.tables import COMPONENTS, CROPS, REDUCTIONS

_CUT = ("crop", "side_px", "object_threshold")

STRETCH = Use(IngestSettings, ("fits_interval", "fits_stretch"))
"""What decides which grey levels pixels have."""

SPLIT = (
    Use(GalaxiesSettings, ("test_share", "seed")),
    Use(GalaxiesSettings, ("classes",), when="galaxies.classes.split_column"),
)
"""What decides which images are learned from."""

CROPS_STAGE = Stage(
    name="crops",
    about="cut a square of one size out of every image",
    line="lab",
    scope="batch",
    over="pixels",
    command="reduce",
    reads=(IMAGES,),
    writes=(CROPS,),
    uses=(Use(ReduceSettings, _CUT), STRETCH),
    kernel="minia_spark.reduce.stage:kernel",
    run="minia_spark.reduce.stage:crops",
    cost="minia_spark.reduce.cost:crops_cost",
)

COMPONENTS_STAGE = Stage(
    name="components",
    about="fit principal components and a scaler to the training images",
    line="lab",
    scope="collection",
    command="reduce",
    reads=(CROPS, FACETS),
    writes=(COMPONENTS,),
    uses=(ReduceSettings, STRETCH, *SPLIT),
    frozen=True,
    run="minia_spark.reduce.stage:components",
    wants_anew="minia_spark.reduce.stage:wants_anew",
    cost="minia_spark.reduce.cost:components_cost",
)

REDUCE = Stage(
    name="reduce",
    about="make images short vectors: crops, principal components, a scaler",
    line="lab",
    scope="batch",
    reads=(CROPS, COMPONENTS),
    writes=(REDUCTIONS,),
    run="minia_spark.reduce.stage:reductions",
    cost="minia_spark.reduce.cost:reductions_cost",
)

ROOM = Room(
    name="reduce",
    about="Images as short vectors.",
    settings={"reduce": ReduceSettings},
    outputs=(CROPS, COMPONENTS, REDUCTIONS),
    stages=(CROPS_STAGE, COMPONENTS_STAGE, REDUCE),
)

__all__ = ["COMPONENTS_STAGE", "CROPS_STAGE", "REDUCE", "ROOM", "SPLIT", "STRETCH"]
