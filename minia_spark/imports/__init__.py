"""Taking in features that another program extracted, minIA above all; the images may be absent."""

from minia_spark.engine.room import Command, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.features import EXTRACTORS
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.imports.reasons import Reason
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import IMAGES, REJECTS

IMPORT = Stage(
    name="import",
    about="take in features that minIA, or another program, extracted",
    line="discovery",
    scope="batch",
    source="features",
    digest="minia_spark.imports.sources:source_digest",
    writes=(IMAGES, FEATURES, REJECTS),
    uses=(Use(FeaturesSettings, ("max_features",)), Use(IngestSettings, without=("labels",))),
    variants=EXTRACTORS,
    run="minia_spark.imports.stage:run",
    cost="minia_spark.imports.cost:cost",
)

ROOM = Room(
    name="imports",
    about="Features that were extracted elsewhere come in.",
    stages=(IMPORT,),
    commands=(
        Command(
            "import",
            IMPORT.about,
            "minia_spark.imports.command:take_in",
            "minia_spark.imports.command:arguments",
            "The reverse of 'minia export features'. CSV has the columns location_x, location_y,\n"
            "size and image_name, and perhaps score, one row a feature; TXT has the descriptors,\n"
            "one a line, numbers between spaces, in the same order. Rows of an image stand\n"
            "together. 'minia run' goes on from there: codebook, words, structures, page.\n"
            "\n"
            "The images need not be there. They are known by name; with --images DIR those found\n"
            "there, by path, file name or name without extension, are shown on the page.\n"
            "\n"
            "128 whole numbers from 0 to 255 are taken for descriptors of SIFT, anything else is\n"
            "the extractor 'imported', of whatever dimension; --extractor says otherwise. All\n"
            "features of a warehouse are of one kind. A row that cannot be used is a row of table\n"
            "rejects with its line and the reason; files of different lengths are refused.",
            "  minia import features night1.csv night1.txt --batch night1 --warehouse W\n"
            "  minia import features n1.csv n1.txt --images DIR --batch night1 --warehouse W\n"
            "  minia run --warehouse W",
        ),
    ),
    reasons=Reason,
)

__all__ = ["IMPORT", "ROOM"]
