"""Small copies of the images, made in the pass over the pixels, for pages that show images."""

from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES
from minia_spark.thumbnails.settings import ThumbnailsSettings
from minia_spark.thumbnails.tables import THUMBNAILS

THUMBNAILS_STAGE = Stage(
    name="thumbnails",
    about="make a small copy of every image, for the page",
    line="discovery",
    scope="batch",
    over="pixels",
    reads=(IMAGES,),
    writes=(THUMBNAILS,),
    uses=(ThumbnailsSettings, Use(IngestSettings, ("fits_interval", "fits_stretch"))),
    kernel="minia_spark.thumbnails.stage:kernel",
    run="minia_spark.thumbnails.stage:run",
    cost="minia_spark.thumbnails.cost:cost",
)

ROOM = Room(
    name="thumbnails",
    about="Small copies of the images.",
    settings={"thumbnails": ThumbnailsSettings},
    outputs=(THUMBNAILS,),
    stages=(THUMBNAILS_STAGE,),
)

__all__ = ["ROOM", "THUMBNAILS_STAGE"]
