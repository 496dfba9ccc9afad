"""The page that people look at first: what was found, what is new, how the run went."""

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.drift.settings import DriftSettings
from minia_spark.drift.tables import DRIFT
from minia_spark.engine.room import Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.features.tables import FEATURES
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import BACKGROUND, FACTORS, STRUCTURES, TUNING
from minia_spark.report.settings import ReportSettings
from minia_spark.report.tables import SITE
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import LINEAGE, PATTERNS, STRUCTURE_IMAGES, STRUCTURE_NAMES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS, WORDS

REPORT = Stage(
    name="report",
    about="build the page",
    line="discovery",
    scope="collection",
    all_variants=True,
    reads=(
        *(IMAGES, REJECTS, FEATURES, THUMBNAILS, CODEBOOKS, WORDS, WORD_COUNTS, DRIFT),
        *(TUNING, BACKGROUND, FACTORS),
        *(STRUCTURES, STRUCTURE_IMAGES, PATTERNS, LINEAGE, VERIFICATIONS),
    ),
    optional=(STRUCTURE_NAMES,),
    writes=(SITE,),
    revision=5,  # patterns
    uses=(
        ReportSettings,
        WordsSettings,  # the bounds of outliers are drawn also where outliers are kept
        DriftSettings,
        Use(CodebookSettings, ("seed",)),
        Use(StructuresSettings, ("exclude_kinds",)),
        Use(MiningSettings, ("decoys", "seeds", "max_q", "min_stability")),
    ),
    exact=True,
    gathers="panels",
    run="minia_spark.report.stage:run",
    cost="minia_spark.report.cost:cost",
)

ROOM = Room(
    name="report",
    about="The page that people look at.",
    settings={"report": ReportSettings},
    outputs=(SITE,),
    stages=(REPORT,),
)

__all__ = ["REPORT", "ROOM"]
