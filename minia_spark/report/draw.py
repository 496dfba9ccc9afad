"""Circles that mark features on an image: arrays in, numbers for the page out.

The page lays them over the image as vector graphics: sharp at any size, and they can be hidden.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_CIRCLES", "OTHER_COLOUR", "PALETTE", "Circle", "circles", "colour_numbers"]

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (255, 176, 0),
    (86, 180, 233),
    (255, 111, 145),
    (95, 211, 141),
    (201, 160, 255),
    (240, 228, 66),
    (255, 140, 66),
    (77, 224, 216),
)
"""Red, green, blue of a structure's first words; all are legible on black."""
OTHER_COLOUR: Colour = (217, 217, 217)
"""The colour of all further words."""
MOST_CIRCLES = 200
"""Circles on one image; more would hide it."""

_SMALLEST_RADIUS = 0.012  # of the longer side: a smaller circle reads as a dot
_FINE_BELOW_PX = 200  # smaller images need another decimal


class Circle(NamedTuple):
    """A circle in pixels of the original image; (0, 0) is its upper left corner."""

    x: float
    y: float
    radius: float
    colour: int
    """As :func:`colour_numbers` returns it."""


def colour_numbers(words: NDArray[np.int32], ranking: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the number of every word's colour: its place in a ranking, cut at the palette's end.

    Parameters
    ----------
    words : integer array, shape (n,)
    ranking : integer array, shape (m,)
        A structure's words, most frequent first.

    Returns
    -------
    intp array, shape (n,)
        In [0, len(PALETTE)]; len(PALETTE) stands for `OTHER_COLOUR`.
    """
    return np.minimum(_places(words, ranking), len(PALETTE))


def circles(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    size: NDArray[np.float32],
    *,
    words: NDArray[np.int32],
    ranking: NDArray[np.int32],
    width: int,
    height: int,
) -> list[Circle]:
    """Return the circles of an image's features, large ones first, so that small ones are on top.

    Parameters
    ----------
    x, y : float arrays, shape (n,)
        Positions in pixels; (0, 0) is the middle of the first pixel.
    size : float array, shape (n,)
        Diameters in pixels. A circle that would be too small to see becomes larger.
    words : integer array, shape (n,)
        Word of every feature.
    ranking : integer array, shape (m,)
        The structure's words, most frequent first.
    width, height : int
        Of the original image, in pixels, at least 1.

    Returns
    -------
    list of Circle
        At most `MOST_CIRCLES`; of more, those of the most frequent words, then the largest. Those
        that do not touch the image, are several times its size, or whose numbers are not finite
        are left out.
    """
    longer = max(width, height)
    # Middles of pixels are half a pixel from their corners.
    centre_x, centre_y = (np.asarray(values, dtype=np.float64) + 0.5 for values in (x, y))
    radius = np.maximum(np.asarray(size, dtype=np.float64) / 2, _SMALLEST_RADIUS * longer)
    visible = np.isfinite(centre_x) & np.isfinite(centre_y) & (radius < 4 * longer)
    with np.errstate(invalid="ignore"):
        for centre, side in ((centre_x, width), (centre_y, height)):
            visible &= np.abs(centre - side / 2) < side / 2 + radius
    places = _places(np.asarray(words), ranking)
    found = np.flatnonzero(visible)
    kept = found[np.lexsort((found, -radius[found], places[found]))][:MOST_CIRCLES]
    ordered = kept[np.lexsort((kept, -radius[kept]))]
    digits = 1 if longer >= _FINE_BELOW_PX else 2
    return [
        Circle(
            round(float(centre_x[i]), digits),
            round(float(centre_y[i]), digits),
            round(float(radius[i]), digits),
            min(int(places[i]), len(PALETTE)),
        )
        for i in ordered
    ]


def _places(words: NDArray[np.int32], ranking: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return the place of every word in a ranking of different words; its length where it is not.

    Sorted and looked up: an image may hold many features of a structure of many words.
    """
    order = np.argsort(ranking, kind="stable")
    at = np.searchsorted(ranking, words, sorter=order)
    known = at < len(ranking)
    places = np.full(len(words), len(ranking), dtype=np.intp)
    places[known] = order[at[known]]
    wrong = np.ones(len(words), dtype=bool)
    wrong[known] = ranking[places[known]] != np.asarray(words)[known]
    places[wrong] = max(len(ranking), len(PALETTE))
    return places
