"""Taking in images: from a folder, a list, an archive or Parquet to a batch of ``images``."""

from minia_spark.engine.room import Facet, Room
from minia_spark.engine.stage import Stage
from minia_spark.images.reasons import Reason
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES, REJECTS

INGEST = Stage(
    name="ingest",
    about="read a folder of images into a batch",
    line="discovery",
    scope="batch",
    source="images",
    digest="minia_spark.ingest.sources:source_digest",
    gives="pixels",
    revision=2,  # FITS images have the positions that their headers tell
    rows="minia_spark.ingest.stage:READER",
    writes=(IMAGES, REJECTS),
    uses=(IngestSettings,),
    run="minia_spark.ingest.stage:run",
    cost="minia_spark.ingest.cost:cost",
)

ROOM = Room(
    name="ingest",
    about="Images come in: listed, opened, decoded, named, labelled.",
    settings={"ingest": IngestSettings},
    outputs=(IMAGES, REJECTS),
    stages=(INGEST,),
    reasons=Reason,
    facets=(
        Facet("label", IMAGES, "label", "The class from the labels file, or the folder's name."),
        Facet("right ascension", IMAGES, "ra_deg", "In degrees."),
        Facet("declination", IMAGES, "dec_deg", "In degrees."),
        Facet("width", IMAGES, "width", "Of the image, in pixels."),
        Facet("height", IMAGES, "height", "Of the image, in pixels."),
        Facet("format", IMAGES, "format", "Of the image's file."),
    ),
)

__all__ = ["INGEST", "ROOM"]
