"""Why an image has no place in a training set, beside what its bytes may be like."""

from __future__ import annotations

from minia_spark.base.errors import Reasons

__all__ = ["Reason"]


class Reason(Reasons):
    """One word for each; ``meaning`` says it in a sentence."""

    BAD_ID = "bad_id", "The object id is no whole number."
    BAD_VOTES = "bad_votes", "A vote fraction is no number from 0 to 1."
    BAD_NAME = "bad_name", "The image's name cannot stand in a training set."
    DUPLICATE = "duplicate", "Rows with the same object id have different votes."
    NO_MAPPING = "no_mapping", "No row of the mapping says which image the object has."
    SHARED_IMAGE = "shared_image", "The mapping gives the image to several objects."
    NO_IMAGE = "no_image", "There is no such file."
    NOT_RGB = "not_rgb", "The image has no three colours."
