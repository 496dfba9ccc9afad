"""What becomes of a descriptor when the image is turned or mirrored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TURNS", "turns_of"]

TURNS = (
    "",
    "turned by 90\N{DEGREE SIGN}",
    "turned by 180\N{DEGREE SIGN}",
    "turned by 270\N{DEGREE SIGN}",
    "mirrored",
    "mirrored and turned by 90\N{DEGREE SIGN}",
    "mirrored and turned by 180\N{DEGREE SIGN}",
    "mirrored and turned by 270\N{DEGREE SIGN}",
)
"""What is done to the image: first mirrored, top to bottom, then turned from +x to +y."""

_CELLS, _BINS = 4, 8


def turns_of(extractor: str) -> NDArray[np.int64]:
    """Return how the numbers of a descriptor change places when the image is turned.

    SIFT sums gradients in 4 x 4 cells by 8 directions (Lowe 2004, IJCV 60:91, section 6.1), so a
    quarter turn, or a mirror, only changes the places of its 128 numbers.

    Parameters
    ----------
    extractor : str
        Of the descriptors.

    Returns
    -------
    int64 array, shape (8, 128), or (1, 0)
        ``descriptor[rows[k]]`` is what is found of the image after ``TURNS[k]``. Of descriptors
        whose numbers have no such places one row, for the image as it is.
    """
    if extractor != "sift":
        return np.zeros((1, 0), np.int64)
    rows = []
    for mirrored in (False, True):
        # from the top row down, from left to right; directions from +x to -y (counter-clockwise)
        places = np.arange(_CELLS * _CELLS * _BINS).reshape(_CELLS, _CELLS, _BINS)
        if mirrored:
            places = places[::-1, :, -np.arange(_BINS) % _BINS]
        for _ in range(4):
            rows.append(places.ravel())
            # what was on the left comes to the top: np.rot90 with k = -1 is clockwise
            places = np.roll(np.rot90(places, -1), -_BINS // 4, axis=-1)
    return np.array(rows)
