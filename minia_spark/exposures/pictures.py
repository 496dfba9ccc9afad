"""Small pictures of CCDs, and the tiles of an exposure that one can zoom into."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CCD_PX", "TILE_PX", "columns_of", "exposure_picture", "picture", "tiles", "unpacked"]

CCD_PX = 256
"""Most pixels of a side of a CCD's picture."""
TILE_PX = 256
"""Height and width of a tile; those at the right and lower edge are smaller."""
_QUALITY = 85
_GAP_PX = 4
_DARKEST, _BRIGHTEST = -2.0, 30.0  # standard deviations of the sky, of one pixel


def picture(pixels: NDArray[np.float32], background: float, noise: float) -> bytes:
    """Return a CCD as a JPEG file: means of square blocks, as arcsinh of the height over the sky.

    Black is 2 standard deviations below the sky, white 30 above. North is where the array has it:
    its first row is the lowest.

    Parameters
    ----------
    pixels : float array, shape (height, width)
        Counts; NaN where there are none.
    background, noise : float
        Level of the sky and its standard deviation; without noise all is black.
    """
    binned = _means(pixels, math.ceil(max(pixels.shape) / CCD_PX))
    if not (noise > 0 and math.isfinite(background)):
        levels = np.zeros(binned.shape, np.uint8)
    else:
        over = np.clip((binned - background) / noise, _DARKEST, _BRIGHTEST) - _DARKEST
        grey = np.arcsinh(over) / np.arcsinh(_BRIGHTEST - _DARKEST)
        levels = np.nan_to_num(np.rint(255 * grey)).astype(np.uint8)
    return _jpeg(np.ascontiguousarray(levels[::-1]))


def _means(pixels: NDArray[np.float32], block: int) -> NDArray[np.float64]:
    """Return the means of blocks, also of those cut off at the edges; NaN where none is known."""
    known = np.isfinite(pixels)
    sums, counts = np.where(known, pixels, 0).astype(np.float64), known.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], block)
        sums = np.add.reduceat(sums, starts, axis=axis)
        counts = np.add.reduceat(counts, starts, axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _jpeg(levels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def unpacked(content: bytes) -> NDArray[np.uint8]:
    """Return the grey levels of a picture, shape (height, width)."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return np.asarray(image.convert("L"))


def columns_of(ccds: int) -> int:
    """Return how many of so many CCDs stand in a row."""
    return math.ceil(math.sqrt(ccds))


def exposure_picture(ccds: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the CCDs of an exposure, at least one, beside each other in rows from the left above.

    They lie in the order in which the file has them, in about as many rows as columns, black lines
    between: where they are on the sky the picture does not say.
    """
    columns = columns_of(len(ccds))
    rows = math.ceil(len(ccds) / columns)
    height = max(ccd.shape[0] for ccd in ccds) + _GAP_PX
    width = max(ccd.shape[1] for ccd in ccds) + _GAP_PX
    whole = np.zeros((rows * height - _GAP_PX, columns * width - _GAP_PX), np.uint8)
    for number, ccd in enumerate(ccds):
        row, column = divmod(number, columns)
        top, left = row * height, column * width
        whole[top : top + ccd.shape[0], left : left + ccd.shape[1]] = ccd
    return whole


def tiles(whole: NDArray[np.uint8]) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield the tiles of a picture at all scales, as JPEG files.

    Yields
    ------
    (level, row, column, bytes)
        Level 0 is the picture itself, each further one half as large (rounded up), until one tile
        holds all.
    """
    image = Image.fromarray(whole)
    level = 0
    while True:
        for row in range(math.ceil(image.height / TILE_PX)):
            for column in range(math.ceil(image.width / TILE_PX)):
                left, top = column * TILE_PX, row * TILE_PX
                box = (
                    left,
                    top,
                    min(left + TILE_PX, image.width),
                    min(top + TILE_PX, image.height),
                )
                yield level, row, column, _jpeg(np.asarray(image.crop(box)))
        if max(image.size) <= TILE_PX:
            return
        half = (math.ceil(image.width / 2), math.ceil(image.height / 2))
        image = image.resize(half, Image.Resampling.BOX)
        level += 1
