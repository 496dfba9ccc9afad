"""A square cut out of an image, of one size for all: what reduction and networks see."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from minia_spark.images.objects import object_mask

__all__ = ["CHANNELS", "crop"]

CHANNELS = 3
_MARGIN = 1.2
"""Of the object's box: its outskirts are fainter than the mask's threshold."""


def crop(
    pixels: NDArray[np.uint8],
    side_px: int,
    kind: Literal["centre", "object"] = "centre",
    threshold: float = 3.0,
) -> NDArray[np.uint8]:
    """Cut a square of colour out of an image.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        Grey becomes three equal channels.
    side_px : int
        Of the result.
    kind : ``centre`` or ``object``
        Centre: the square of this side at the middle, pixel for pixel; where the image is smaller,
        the rest has the image's median colour. Object: the smallest square, with a margin of a
        fifth, round the object at the middle (:func:`~minia_spark.images.objects.object_mask`),
        scaled to the side; without an object the whole image's largest central square.
    threshold : float
        Of the object above the sky, in units of the sky's noise.

    Returns
    -------
    uint8 array, shape (side_px, side_px, 3)
        C-contiguous.
    """
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], CHANNELS, axis=2)
    if kind == "centre":
        return _square(colour, side_px, *_middle(colour.shape))
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mask = object_mask(np.ascontiguousarray(grey, dtype=np.uint8), threshold)
    side, y, x = min(colour.shape[:2]), *_middle(colour.shape)
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        # twice the middle of the box, in whole numbers
        y, x = int(rows[0] + rows[-1] + 1), int(columns[0] + columns[-1] + 1)
        longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        side = max(1, int(np.ceil(_MARGIN * longest)))
    cut = _square(colour, side, y, x)
    if side == side_px:
        return cut
    how = cv2.INTER_AREA if side > side_px else cv2.INTER_LINEAR
    scaled = cv2.resize(cut, (side_px, side_px), interpolation=how)
    return np.ascontiguousarray(scaled, dtype=np.uint8)


def _middle(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], shape[1]


def _square(colour: NDArray[np.uint8], side: int, y2: int, x2: int) -> NDArray[np.uint8]:
    """Cut a square round (y2 / 2, x2 / 2); what lies outside has the median colour."""
    height, width = colour.shape[:2]
    top, left = (y2 - side) // 2, (x2 - side) // 2
    found = np.empty((side, side, CHANNELS), np.uint8)
    inside = (
        slice(max(top, 0), min(top + side, height)),
        slice(max(left, 0), min(left + side, width)),
    )
    if inside[0].stop - inside[0].start < side or inside[1].stop - inside[1].start < side:
        found[:] = np.median(colour.reshape(-1, CHANNELS), axis=0).astype(np.uint8)
    found[
        inside[0].start - top : inside[0].stop - top,
        inside[1].start - left : inside[1].stop - left,
    ] = colour[inside]
    return found
