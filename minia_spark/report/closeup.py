"""Close-ups: what of an image a structure is in, as the gallery draws it too."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CloseUp", "close_up"]

_MOST_OF_THEM = 0.8  # of the features are in it: a few may lie elsewhere
_MARGIN = 2.0
_LEAST, _MOST = 0.12, 0.5  # half of its side, as a share of the image's longer side
_CONTEXT = 0.16  # the least of a cutout of a galaxy, which it shows too
_ALIKE_DEG = 0.06


class CloseUp(NamedTuple):
    """A square of an image, in pixels; (0, 0) is the upper left corner of the image."""

    x: float
    y: float
    half: float
    """Half of its side."""
    turn: float
    """Degrees from x to y by which what is in it was turned."""


def close_up(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    size: NDArray[np.float32],
    angle: NDArray[np.float32],
    *,
    width: int,
    height: int,
) -> CloseUp | None:
    """Return the square in which most features of an image lie.

    Parameters
    ----------
    x, y : float arrays, shape (n,)
        Positions in pixels; (0, 0) is the middle of the first pixel.
    size : float array, shape (n,)
        Diameters in pixels.
    angle : float array, shape (n,)
        How far each was turned, in degrees from x to y; below 0 or NaN: not known. Where all are
        the same, the image was turned to the frame of its galaxy, and so is the close-up, which
        shows the middle of the image too.
    width, height : int
        Of the image, in pixels, at least 1.

    Returns
    -------
    CloseUp or None
        None: there are no features, or none with finite numbers.
    """
    longer = max(width, height)
    good = np.isfinite(x) & np.isfinite(y) & np.isfinite(size)
    if not good.any():
        return None
    places = np.array([x, y, size, angle], dtype=np.float64)[:, good]
    middle_x, middle_y = (float(np.median(row)) for row in places[:2])
    far = np.sort(np.hypot(places[0] - middle_x, places[1] - middle_y) + places[2] / 2)
    reach = float(far[int(np.ceil(_MOST_OF_THEM * len(far))) - 1])
    half = min(_MOST * longer, max(_LEAST * longer, _MARGIN * reach))
    turns = places[3]
    alike = len(turns) > 1 and float(turns.min()) >= 0 and float(np.ptp(turns)) < _ALIKE_DEG
    if not alike:
        return CloseUp(middle_x + 0.5, middle_y + 0.5, half, 0.0)
    off = float(np.hypot(middle_x + 0.5 - width / 2, middle_y + 0.5 - height / 2))
    half = min(_MOST * longer, max(_CONTEXT * longer, half, _MARGIN * off))
    return CloseUp(middle_x + 0.5, middle_y + 0.5, half, float(turns[0]))
