"""Why an image is refused: the words that the ``rejects`` table is grouped by."""

from __future__ import annotations

from minia_spark.base.errors import Reasons

__all__ = ["Reason"]


class Reason(Reasons):
    """One word for each way in which a record can fail; ``meaning`` says it in a sentence."""

    EMPTY_FILE = "empty_file", "The file has no bytes."
    NOT_AN_IMAGE = "not_an_image", "The content is not in any known image format."
    UNSUPPORTED_FORMAT = "unsupported_format", "A known format, but not one that is read here."
    UNSUPPORTED_COLOUR = "unsupported_colour", "The colour model has no agreed way to RGB or grey."
    TRUNCATED = "truncated", "The file ends before its content does."
    CORRUPT = "corrupt", "The content contradicts its own format."
    ZERO_SIZED = "zero_sized", "The image has no rows or no columns."
    PIXEL_LIMIT = "pixel_limit", "The header asks for more pixels than the limit; not decoded."
    FILE_LIMIT = "file_limit", "The file, or what it unpacks to, has more bytes than the limit."
    NO_IMAGE_DATA = "no_image_data", "A readable FITS file without a two-dimensional image."
    SEVERAL_IMAGES = "several_images", "The file holds several images and none of them is the one."
    NOT_FINITE = "not_finite", "No pixel has a finite value."
    UNREADABLE = "unreadable", "The operating system did not give the file's bytes."
    OUTSIDE_ROOT = "outside_root", "A link or name that leaves the input folder or the archive."
    ID_CONFLICT = "id_conflict", "Two images of one batch have the same image_id."
    OUT_OF_MEMORY = "out_of_memory", "The worker had too little memory; no verdict on the file."
    DECODER_FAILED = "decoder_failed", "A decoder failed as it never should; see the detail."
    EXTRACTION_FAILED = "extraction_failed", "The extractor could not work on a decoded image."
