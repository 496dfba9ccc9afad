"""The gallery: a page of every structure, image and word, to be sorted, filtered and looked at."""

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.room import Panel, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.features.tables import FEATURES
from minia_spark.gallery.settings import GallerySettings
from minia_spark.gallery.tables import GALLERY
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.layout.tables import MAP, MAP_FRAMES
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import STRUCTURES, TUNING
from minia_spark.neighbours.tables import NEIGHBOURS
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import LINEAGE, PATTERNS, STRUCTURE_IMAGES, STRUCTURE_NAMES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.words.tables import WORD_COUNTS, WORDS

GALLERY_STAGE = Stage(
    name="gallery",
    about="build the page of every structure, image and word",
    line="discovery",
    scope="collection",
    all_variants=True,
    reads=(
        *(IMAGES, REJECTS, FEATURES, THUMBNAILS, CODEBOOKS, WORDS, WORD_COUNTS),
        *(TUNING, STRUCTURES, STRUCTURE_IMAGES, PATTERNS, LINEAGE, VERIFICATIONS),
    ),
    optional=(STRUCTURE_NAMES, MAP, MAP_FRAMES, NEIGHBOURS),
    gathers="facets",
    writes=(GALLERY,),
    revision=7,  # patterns
    uses=(
        GallerySettings,
        Use(MiningSettings, ("decoys", "seeds", "max_q", "min_stability")),
        Use(StructuresSettings, ("exclude_kinds",)),
    ),
    exact=True,  # labels and positions count
    previous=True,  # what did not change is taken from the page before
    run="minia_spark.gallery.stage:run",
    cost="minia_spark.gallery.cost:cost",
)

ROOM = Room(
    name="gallery",
    about="The page of every structure, image and word.",
    settings={"gallery": GallerySettings},
    outputs=(GALLERY,),
    stages=(GALLERY_STAGE,),
    panel=Panel(
        "Gallery",
        (GALLERY,),
        "minia_spark.gallery.panel:show",
        page=GALLERY,
        attention="minia_spark.gallery.panel:attention",
    ),
)

__all__ = ["GALLERY_STAGE", "ROOM"]
