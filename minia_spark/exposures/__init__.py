"""Quality of whole exposures, from FITS files and without labels."""

from minia_spark.desom.settings import DesomSettings
from minia_spark.engine.room import Command, Panel, Room
from minia_spark.engine.stage import Stage, Use
from minia_spark.exposures.reasons import ExposureReason
from minia_spark.exposures.settings import ExposureSettings
from minia_spark.exposures.tables import (
    CELLS,
    CUTOUT_MAP,
    CUTOUT_TRAINING,
    CUTOUTS,
    EXPOSURE_DRIFT,
    EXPOSURE_MAP,
    EXPOSURE_PAGE,
    EXPOSURE_TRAINING,
    EXPOSURES,
    FLAGS,
    PLACES,
)
from minia_spark.ingest.settings import IngestSettings
from minia_spark.ingest.tables import REJECTS

_HERE = "minia_spark.exposures"
_OF_CUTOUTS = ("per_ccd", "margin_px", "threshold", "least_px", "seed")
_OF_VECTORS = ("per_ccd", "usual_ccds")

CUTOUTS_STAGE = Stage(
    name="cutouts",
    about="cut the sources out of every CCD of a folder of exposures",
    line="exposures",
    scope="batch",
    source="exposures",
    digest=f"{_HERE}.sources:source_digest",
    writes=(EXPOSURES, CUTOUTS, REJECTS),
    revision=2,  # cutouts have pictures of the CCDs
    uses=(
        Use(ExposureSettings, (*_OF_CUTOUTS, "max_pixels", "max_file_mib")),
        Use(IngestSettings, ("follow_links_outside",)),
    ),
    run=f"{_HERE}.stages.cutouts:cutouts",
    cost=f"{_HERE}.cost:cutouts",
)

CUTOUT_MAP_STAGE = Stage(
    name="cutout_map",
    about="train the map of cutouts (DESOM-1)",
    line="exposures",
    scope="collection",
    reads=(CUTOUTS,),
    writes=(CUTOUT_MAP, CUTOUT_TRAINING),
    # those of the cutouts too: a map fits only cutouts that were made alike
    uses=(Use(DesomSettings, ("cutouts",)), Use(ExposureSettings, _OF_CUTOUTS)),
    frozen=True,
    replaces="the map of cutouts",
    check=f"{_HERE}.sources:check_cutout_map",
    wants_anew=f"{_HERE}.sources:wants_new_cutout_map",
    run=f"{_HERE}.stages.cutout_map:cutout_map",
    cost=f"{_HERE}.cost:cutout_map",
)

CELLS_STAGE = Stage(
    name="cells",
    about="give every cutout its cell, every exposure its bag of cells",
    line="exposures",
    scope="batch",
    reads=(EXPOSURES, CUTOUTS, CUTOUT_MAP),
    writes=(CELLS,),
    uses=(Use(ExposureSettings, _OF_VECTORS),),
    check=f"{_HERE}.sources:check_networks",
    run=f"{_HERE}.stages.cells:cells",
    cost=f"{_HERE}.cost:cells",
)

EXPOSURE_MAP_STAGE = Stage(
    name="exposure_map",
    about="train the map of exposures (DESOM-2)",
    line="exposures",
    scope="collection",
    reads=(CELLS, CUTOUT_MAP),
    writes=(EXPOSURE_MAP, EXPOSURE_TRAINING),
    uses=(
        Use(DesomSettings, ("exposures",)),
        Use(ExposureSettings, (*_OF_CUTOUTS, *_OF_VECTORS)),
    ),
    frozen=True,
    replaces="the map of exposures",
    check=f"{_HERE}.sources:check_exposure_map",
    wants_anew=f"{_HERE}.sources:wants_new_exposure_map",
    run=f"{_HERE}.stages.exposure_map:exposure_map",
    cost=f"{_HERE}.cost:exposure_map",
)

PLACES_STAGE = Stage(
    name="places",
    about="place every exposure, and its CCDs, on the map of exposures",
    line="exposures",
    scope="batch",
    reads=(CELLS, CUTOUT_MAP, EXPOSURE_MAP),
    writes=(PLACES, EXPOSURE_DRIFT),
    uses=(Use(ExposureSettings, _OF_VECTORS),),
    consults=(ExposureSettings,),  # limits: what is measured is the same whatever they are
    check=f"{_HERE}.sources:check_networks",
    run=f"{_HERE}.stages.places:places",
    cost=f"{_HERE}.cost:places",
)

FLAGS_STAGE = Stage(
    name="flags",
    about="flag the quality of every exposure, and of its CCDs, by the labels of cells",
    line="exposures",
    scope="batch",
    reads=(CELLS, PLACES, EXPOSURE_MAP),
    writes=(FLAGS,),
    uses=(Use(ExposureSettings, ("labels", "labelled_map")),),
    check=f"{_HERE}.sources:check_networks",
    run=f"{_HERE}.stages.flags:flags",
    cost=f"{_HERE}.cost:flags",
)

PAGE_STAGE = Stage(
    name="exposure_page",
    about="build the page of exposures",
    line="exposures",
    scope="collection",
    reads=(
        *(EXPOSURES, CUTOUTS, CUTOUT_MAP, CUTOUT_TRAINING, CELLS, EXPOSURE_MAP),
        *(EXPOSURE_TRAINING, PLACES, EXPOSURE_DRIFT, FLAGS),
    ),
    writes=(EXPOSURE_PAGE,),
    uses=(Use(ExposureSettings, ("max_error_ratio",)),),
    exact=True,
    revision=2,  # a page at an address that stays
    run=f"{_HERE}.stages.exposure_page:exposure_page",
    cost=f"{_HERE}.cost:page",
)

COMMANDS = (
    Command(
        "cutouts",
        CUTOUTS_STAGE.about,
        f"{_HERE}.command:cut_out",
        f"{_HERE}.command:cut_arguments",
        "Takes a batch of exposures in and does no more; 'minia exposures run' does everything.",
        "  minia cutouts --exposures night1/ --batch night1 --warehouse W",
    ),
    Command(
        "exposures run",
        "take in exposures, and bring their maps, places and flags up to date",
        f"{_HERE}.command:run",
        f"{_HERE}.command:run_arguments",
        "Cuts sources out of every CCD, trains a map of the cutouts and a map of the exposures\n"
        "where there are none yet, and places every exposure on the latter. Later batches are\n"
        "placed on the maps that are there. Needs TensorFlow: pip install\n"
        "'minia-spark[networks]'.",
        "  minia exposures run --exposures night1/ --batch night1 --warehouse W\n"
        "  minia exposures run --exposures night2/ --batch night2 --warehouse W",
    ),
    Command(
        "exposures train",
        "train both maps anew, from all batches, and place everything on them",
        f"{_HERE}.command:train",
        f"{_HERE}.command:train_arguments",
        "Labels are of the cells of a map: label the new one.",
        "  minia exposures train --warehouse W\n"
        "  minia exposures train --warehouse W --set desom.cutouts.steps=50000",
    ),
    Command(
        "exposures label",
        "say what cells of the map of exposures mean, and flag all exposures by it",
        f"{_HERE}.command:label",
        f"{_HERE}.command:label_arguments",
        "CSV has the columns cell and quality, or exposure_id and quality: then a cell gets the\n"
        "label that most of its exposures have. It takes the place of earlier labels. Cells\n"
        "without a label get that which a random walk between neighbouring prototypes is most\n"
        "likely to meet first; how likely is the confidence. The page's cells.csv tells which\n"
        "cells to label first: a fifth of them says most of the others.",
        "  minia exposures label qualities.csv --warehouse W",
    ),
    Command(
        "exposures report",
        "build the page of exposures, and tell where it is",
        f"{_HERE}.command:report",
        f"{_HERE}.command:report_arguments",
        "Both maps, members of cells, histo-vectors, and exposures by night and filter.",
        "  minia exposures report --warehouse W",
    ),
    Command(
        "exposures demo",
        "generate two nights of exposures with known faults and run everything on them",
        f"{_HERE}.command:demo",
        f"{_HERE}.command:demo_arguments",
        "Writes 150 and 30 exposures of six qualities beside the warehouse, trains small maps on\n"
        "the first night, labels a fifth of its exposures, flags the second night, and says how\n"
        "far that agrees with the truth.",
        "  minia exposures demo --warehouse demo/exposures",
    ),
    Command(
        "exposures mine",
        "mine kinds of sources that occur together in exposures, as words do in images",
        f"{_HERE}.command:mine",
        f"{_HERE}.command:mine_arguments",
        "A document is an exposure, a word a cell of the map of cutouts. What is written and\n"
        "printed is that of 'minia mine --words': structures of cells, those first that are\n"
        "significant and reproducible; settings mining.* hold.",
        "  minia exposures mine --warehouse W --model cells.model --assessment cells.csv",
    ),
    Command(
        "exposures flags",
        "tell the quality of exposures, also as CSV, FITS keywords and exit code",
        f"{_HERE}.command:flags",
        f"{_HERE}.command:flags_arguments",
        "FITS keywords are lines of 80 characters, MIQUAL, MICONF and MICELL, below a comment\n"
        "line with exposure_id (and the number of the extension in brackets), for programs that\n"
        "edit headers.",
        "  minia exposures flags --warehouse W --batch night2 --csv night2.csv\n"
        "  minia exposures flags --warehouse W --batch night2 --bad-exit-code 10",
    ),
)

ROOM = Room(
    name="exposures",
    about="Quality of whole exposures, from FITS files and without labels.",
    settings={"exposures": ExposureSettings},
    outputs=(
        EXPOSURES,
        CUTOUTS,
        CUTOUT_MAP,
        CUTOUT_TRAINING,
        CELLS,
        EXPOSURE_MAP,
        EXPOSURE_TRAINING,
        PLACES,
        EXPOSURE_DRIFT,
        FLAGS,
        EXPOSURE_PAGE,
    ),
    stages=(
        CUTOUTS_STAGE,
        CUTOUT_MAP_STAGE,
        CELLS_STAGE,
        EXPOSURE_MAP_STAGE,
        PLACES_STAGE,
        FLAGS_STAGE,
        PAGE_STAGE,
    ),
    commands=COMMANDS,
    reasons=ExposureReason,
    panel=Panel(
        "Exposures",
        (EXPOSURE_MAP, PLACES, FLAGS),
        f"{_HERE}.stages.exposure_page:panel",
        page=EXPOSURE_PAGE,
    ),
)

__all__ = ["COMMANDS", "ROOM"]
