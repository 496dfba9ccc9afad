"""Tables and artefacts of exposures."""

from minia_spark.engine.table import Artefact, Column, Table

__all__ = [
    "CELLS",
    "CUTOUTS",
    "CUTOUT_MAP",
    "CUTOUT_TRAINING",
    "EXPOSURES",
    "EXPOSURE_DRIFT",
    "EXPOSURE_MAP",
    "EXPOSURE_PAGE",
    "EXPOSURE_TRAINING",
    "FLAGS",
    "PLACES",
]

_BATCH = Column("batch", "string", "Batch that the exposure came with.")
_ID = Column("exposure_id", "string", "The exposure: its path below the input folder.")
_FACTS = (
    Column("exposure_seconds", "double", "EXPTIME of the header.", "seconds", null=True),
    Column("filter", "string", "FILTER of the header.", null=True),
    Column("mjd", "double", "MJD-OBS of the header.", "days", null=True),
    Column("object", "string", "OBJECT of the header.", null=True),
)

EXPOSURES = Table(
    "exposures",
    "an exposure with a CCD that can be read",
    (
        _BATCH,
        _ID,
        Column("uri", "string", "Where its file is."),
        Column("ccds", "int", "CCDs that can be read."),
        Column("dead_ccds", "array<string>", "Those of them without a source."),
        Column("sources", "bigint", "Sources found on all CCDs (W)."),
        Column("cutouts", "int", "Cutouts of all CCDs."),
        *_FACTS,
    ),
)

CUTOUTS = Table(
    "cutouts",
    "an image extension of an exposure: a CCD with its cutouts, or why it gives none",
    (
        _BATCH,
        _ID,
        Column(
            "hdu", "int", "Number of the extension, 0 the primary one; null: the file.", null=True
        ),
        Column("ccd", "string", "EXTNAME, or the number.", null=True),
        Column("uri", "string", "Where the file is."),
        Column("width", "int", "Width of the CCD.", "pixels", null=True),
        Column("height", "int", "Height of the CCD.", "pixels", null=True),
        Column("sources", "int", "Sources found.", null=True),
        Column("background", "double", "Level of the sky; null: no pixel.", "counts", null=True),
        Column("noise", "double", "Standard deviation of the sky.", "counts", null=True),
        Column("dead", "boolean", "Whether it has no source.", null=True),
        *_FACTS,
        Column(
            "x",
            "array<float>",
            "Where the sources of the cutouts are, from 0 at the centre of the first pixel: "
            "1 less than in FITS.",
            "pixels",
            null=True,
        ),
        Column("y", "array<float>", "The same, upwards.", "pixels", null=True),
        Column("low", "array<float>", "1st percentile of every cutout.", "counts", null=True),
        Column("high", "array<float>", "95th percentile of every cutout.", "counts", null=True),
        Column(
            "pixels",
            "binary",
            "Cutouts of 32 x 32 pixels, a byte each, row after row: a count c became "
            "round(255 (c - low) / (high - low)), c limited to low and high; 0 where these are "
            "equal.",
            null=True,
        ),
        Column(
            "picture",
            "binary",
            "The CCD as a JPEG file of at most 256 pixels a side: means of blocks, arcsinh of the "
            "height over the sky.",
            null=True,
        ),
        Column("reason", "string", "Why there are none, a fixed word.", null=True),
        Column("detail", "string", "The same as a sentence.", null=True),
    ),
)


def _training(name: str, what: str) -> Table:
    return Table(
        name,
        f"a measurement during the training of the map of {what}",
        (
            Column("step", "int", "Steps that were done."),
            Column("reconstruction", "double", "Mean squared error of the autoencoder."),
            Column("som", "double", "The map's part of the loss, before its weight gamma."),
            Column("kmeans", "double", "Of that, the squared distance to the nearest prototype."),
            Column("topology", "double", "Of that, what the other prototypes add."),
            Column("temperature", "double", "Width of the neighbourhood.", "cells"),
            Column("quantisation_error", "double", "Mean distance to the nearest prototype."),
            Column(
                "topographic_error",
                "double",
                "Share of the inputs whose two nearest prototypes are no neighbours.",
            ),
        ),
    )


CUTOUT_TRAINING = _training("cutout_training", "cutouts")
EXPOSURE_TRAINING = _training("exposure_training", "exposures")
CUTOUT_MAP = Artefact("cutout_map", "The map of cutouts: weights, structure, manifest.")
EXPOSURE_MAP = Artefact("exposure_map", "The map of exposures: weights, structure, manifest.")

CELLS = Table(
    "cells",
    "an exposure as a bag of cells of the map of cutouts",
    (
        _BATCH,
        _ID,
        Column("sources", "bigint", "Sources found on all CCDs (W)."),
        Column("words", "array<int>", "The different cells of its cutouts, ascending."),
        Column("counts", "array<int>", "How many cutouts are in each."),
        Column(
            "histo_vector",
            "array<int>",
            "Cutouts of every cell of the transposed map, as if all sources had been cut out.",
        ),
        Column(
            "quantisation_error",
            "double",
            "Mean distance of its cutouts to their prototypes; null without cutouts.",
            null=True,
        ),
        Column("dead_ccds", "array<string>", "CCDs without a source."),
        Column("hdus", "array<int>", "The extensions of its CCDs, ascending."),
        Column("ccds", "array<string>", "Their names."),
        Column("ccd_sources", "array<int>", "Sources of each."),
        Column("ccd_cutouts", "array<int>", "Cutouts of each."),
        Column("cutout_cells", "array<int>", "The cell of every cutout, CCD after CCD."),
    ),
)

_OF_CCD = (
    _BATCH,
    _ID,
    Column("hdu", "int", "Extension of the CCD; null: the exposure as a whole.", null=True),
    Column("ccd", "string", "Name of the CCD; null: the exposure as a whole.", null=True),
    Column("cell", "int", "Cell of the map of exposures; null without a cutout.", null=True),
)

PLACES = Table(
    "places",
    "an exposure, or one of its CCDs, on the map of exposures",
    (
        *_OF_CCD,
        Column("x", "int", "Cell divided by the map's side.", "cells", null=True),
        Column("y", "int", "What is left over.", "cells", null=True),
        Column("distance", "double", "From the latent vector to the prototype.", null=True),
    ),
)

EXPOSURE_DRIFT = Table(
    "exposure_drift",
    "a batch beside the exposures that the maps were trained on",
    (
        _BATCH,
        Column("map", "string", "cutouts or exposures."),
        Column("exposures", "int", "Exposures of the batch on this map."),
        Column("error", "double", "Their mean quantisation error; null: none.", null=True),
        Column("expected_error", "double", "Of exposures that the map was not trained on."),
        Column("expected_deviation", "double", "Standard deviation of one exposure's."),
        Column("expected_from", "int", "So many exposures; 0: of those that it was trained on."),
    ),
)

FLAGS = Table(
    "flags",
    "an exposure, or one of its CCDs, and its quality",
    (
        *_OF_CCD,
        Column(
            "quality",
            "string",
            "Label of the cell, its own or from the nearest labelled ones; dead: without a source; "
            "null: there are no labels, or no cutout.",
            null=True,
        ),
        Column("confidence", "double", "From 0 to 1; null as quality.", null=True),
    ),
)

EXPOSURE_PAGE = Artefact(
    "exposure_page", "The page of exposures: maps, cells, their members.", page=True
)
