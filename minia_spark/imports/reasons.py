"""Why a row of imported features is refused: the words that ``rejects`` is grouped by."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Reason"]


class Reason(StrEnum):
    """One word for each way in which a row can fail; the row's detail says what was found."""

    MALFORMED_ROW = "malformed_row"
    """A field is missing, too many, no number or impossible."""
    NUMBER_NOT_FINITE = "number_not_finite"
    """NaN, infinite, or beyond what 32 bits hold."""
    OTHER_DIMENSION = "other_dimension"
    """A descriptor of more or fewer numbers than the first one."""
    NOT_WHOLE = "not_whole"
    """Descriptors of this kind are whole numbers from 0 to 255, and this is none."""
    BAD_NAME = "bad_name"
    """The image's name is empty or too long."""
    REPEATED_IMAGE = "repeated_image"
    """Rows of an image stand in two places; the first are taken."""
