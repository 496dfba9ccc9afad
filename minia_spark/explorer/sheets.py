"""Sheets: 16 x 16 small images in one picture, so that a map needs few files."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["ACROSS", "IMAGES", "decoded", "sheet"]

ACROSS = 16
"""Images side by side; as many rows."""
IMAGES = ACROSS * ACROSS
"""Images of a sheet."""


def sheet(
    pictures: Sequence[bytes | None], side_px: int, quality: int = 85
) -> tuple[bytes, list[bool]]:
    """Put encoded images into one picture.

    Parameters
    ----------
    pictures : sequence of bytes or None
        At most `IMAGES` encoded images (JPEG, PNG), row by row from the upper left; None: none.
    side_px : int
        Side of a cell. An image is scaled until its longer side fits, and centred on black.
    quality : int
        JPEG quality.

    Returns
    -------
    bytes
        A JPEG file of 16 x 16 cells; of fewer rows where there are few images.
    list of bool
        Whether each image is there: None, and what cannot be decoded, is a black cell.

    Raises
    ------
    ValueError
        There are too many images, or none.
    """
    if not 0 < len(pictures) <= IMAGES:
        raise ValueError(f"a sheet holds 1 to {IMAGES} images, not {len(pictures)}")
    rows = -(-len(pictures) // ACROSS)
    page = np.zeros((rows * side_px, ACROSS * side_px, 3), np.uint8)
    there = []
    for place, picture in enumerate(pictures):
        pixels = None if picture is None else decoded(picture)
        there.append(pixels is not None)
        if pixels is None:
            continue
        top, left = (side_px * part for part in divmod(place, ACROSS))
        _fit(pixels, page[top : top + side_px, left : left + side_px])
    done, data = cv2.imencode(
        ".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    )
    assert done
    return bytes(data.tobytes()), there


def decoded(picture: bytes) -> NDArray[np.uint8] | None:
    """Return an encoded image as blue, green, red, shape (height, width, 3); None: it is broken."""
    if not picture:
        return None
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _fit(pixels: NDArray[np.uint8], cell: NDArray[np.uint8]) -> None:
    side = len(cell)
    height, width = pixels.shape[:2]
    longer = max(height, width)
    high, wide = (max(1, (2 * part * side + longer) // (2 * longer)) for part in (height, width))
    way = cv2.INTER_AREA if longer > side else cv2.INTER_LINEAR
    top, left = (side - high) // 2, (side - wide) // 2
    cell[top : top + high, left : left + wide] = cv2.resize(pixels, (wide, high), interpolation=way)
