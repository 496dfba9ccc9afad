"""Why a CCD or an exposure is refused, besides what is wrong with its file."""

from __future__ import annotations

from minia_spark.base.errors import Reasons

__all__ = ["ExposureReason"]


class ExposureReason(Reasons):
    """One word for each way in which a CCD can fail; ``meaning`` says it in a sentence."""

    TOO_CROWDED = "too_crowded", "More pixels stand out from the sky than the finder can hold."
    TOO_SMALL = "too_small", "The CCD is smaller than a cutout with its margins."
