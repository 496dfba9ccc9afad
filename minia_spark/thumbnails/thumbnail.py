"""A small JPEG copy of an image: pixels in, the bytes of a file out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FORMAT", "thumbnail", "thumbnail_size"]

FORMAT = "jpeg"
"""What the bytes of `thumbnail` are; other formats may come, so tables say it."""


def thumbnail_size(height: int, width: int, side_px: int) -> tuple[int, int]:
    """Return (height, width) of the thumbnail of an image, in pixels.

    The longer side becomes `side_px`, the shorter one keeps the proportion and at least one pixel.
    An image that is not longer keeps its size.
    """
    longer = max(height, width)
    if longer <= side_px:
        return height, width
    # halves are rounded up, in integers: the same on every machine
    scaled = [max(1, (2 * side * side_px + longer) // (2 * longer)) for side in (height, width)]
    return scaled[0], scaled[1]


def thumbnail(pixels: NDArray[np.uint8], side_px: int, quality: int) -> bytes:
    """Scale an image down and encode it as JPEG.

    Each pixel of the thumbnail is the mean of the area it covers (OpenCV's INTER_AREA). The same
    pixels give the same bytes wherever the same OpenCV runs.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        Grey, or red, green, blue. Any strides; not changed.
    side_px : int
        Longest side of the thumbnail, at least 1; a smaller image is not enlarged.
    quality : int
        JPEG quality, 1 to 100.

    Returns
    -------
    bytes
        A JPEG file with one channel for a grey image and three for a coloured one.

    Raises
    ------
    ValueError
        `pixels` has another shape or type, or no pixels; `side_px` or `quality` is out of range.
    """
    if pixels.dtype != np.uint8 or not (
        pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    ):
        raise ValueError(
            "a thumbnail is made from uint8 pixels of shape (height, width) or (height, width, 3), "
            f"not from {pixels.dtype} of shape {pixels.shape}"
        )
    if pixels.size == 0:
        raise ValueError(f"a thumbnail needs pixels, this image has shape {pixels.shape}")
    if side_px < 1:
        raise ValueError(f"the side of a thumbnail must be at least 1 pixel, not {side_px}")
    if not 1 <= quality <= 100:
        raise ValueError(f"the JPEG quality must be from 1 to 100, not {quality}")
    height, width = thumbnail_size(pixels.shape[0], pixels.shape[1], side_px)
    scaled = np.ascontiguousarray(pixels)
    if (height, width) != scaled.shape[:2]:
        scaled = np.asarray(
            cv2.resize(scaled, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    if scaled.ndim == 3:
        scaled = np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    encoded, data = cv2.imencode(
        ".jpg",
        scaled,
        [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    )
    assert encoded, f"JPEG encoding failed for shape {scaled.shape}"
    return bytes(data.tobytes())
