"""Images with circles on them: arrays in, arrays out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["OTHER_COLOUR", "PALETTE", "colour_numbers", "encode_jpeg", "thumbnail"]

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

_SUBPIXEL_BITS = 4
_SMALLEST_RADIUS = 2.5  # drawn pixels: a smaller circle reads as a dot
_JPEG_QUALITY = 88


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
    coloured = ranking[: len(PALETTE)]
    same = words[:, None] == coloured[None, :]
    return np.where(same.any(axis=1), same.argmax(axis=1) if coloured.size else 0, len(PALETTE))


def thumbnail(
    image: NDArray[np.uint8],
    *,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    size: NDArray[np.float32],
    colours: NDArray[np.intp] | None = None,
    longer_side_px: int = 360,
) -> NDArray[np.uint8]:
    """Scale an image and draw features on it as circles of their size.

    Parameters
    ----------
    image : uint8 array, shape (height, width), (height, width, 1) or (height, width, 3)
        Grey, or red, green, blue; at least one pixel.
    x, y : float arrays, shape (n,)
        Positions in pixels of `image`; (0, 0) is the middle of the first pixel.
    size : float array, shape (n,)
        Diameters in pixels of `image`. A circle that would be too small to see is drawn larger.
        Features whose numbers are not finite are left out.
    colours : integer array, shape (n,), optional
        Numbers from `colour_numbers`; None draws all in the first colour.
    longer_side_px : int
        Longer side of the result; small images are enlarged, the shorter side is at least 1.

    Returns
    -------
    uint8 array, shape (height', width', 3)
        Red, green, blue; `image` itself is not changed.

    Raises
    ------
    ValueError
        `image` has another shape or type, or no pixels.
    """
    scaled, scale = _scaled_rgb(image, longer_side_px)
    if colours is None:
        colours = np.zeros(len(x), dtype=np.intp)
    drawable = np.isfinite(x) & np.isfinite(y) & np.isfinite(size)
    # Middles of pixels map to middles of pixels, hence the halves.
    centre_x = (np.asarray(x, np.float64) + 0.5) * scale - 0.5
    centre_y = (np.asarray(y, np.float64) + 0.5) * scale - 0.5
    radius = np.maximum(np.asarray(size, np.float64) / 2 * scale, _SMALLEST_RADIUS)
    # A circle that cannot touch the image would overflow OpenCV's fixed-point numbers.
    height, width = scaled.shape[:2]
    drawable &= (np.abs(centre_x - width / 2) < width / 2 + radius) & (radius < 4 * longer_side_px)
    drawable &= np.abs(centre_y - height / 2) < height / 2 + radius
    line = max(1, round(longer_side_px / 200))
    table = [*PALETTE, OTHER_COLOUR]
    order = np.flatnonzero(drawable)
    for i in order[np.argsort(-radius[order], kind="stable")]:  # small ones end on top
        circle = [round(v * 2**_SUBPIXEL_BITS) for v in (centre_x[i], centre_y[i], radius[i])]
        # A dark rim keeps the circle visible on bright parts.
        for colour, thickness in (((0, 0, 0), line + 2), (table[int(colours[i])], line)):
            cv2.circle(
                scaled,
                (circle[0], circle[1]),
                circle[2],
                colour,
                thickness,
                cv2.LINE_AA,
                _SUBPIXEL_BITS,
            )
    return scaled


def _scaled_rgb(image: NDArray[np.uint8], longer_side_px: int) -> tuple[NDArray[np.uint8], float]:
    grey = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
    if image.dtype != np.uint8 or not (grey or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(
            f"an image to draw on must be uint8 with 1 or 3 channels, this is {image.dtype} "
            f"of shape {image.shape}"
        )
    if image.size == 0:
        raise ValueError(f"an image to draw on must have pixels, this has shape {image.shape}")
    height, width = image.shape[:2]
    scale = longer_side_px / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(np.ascontiguousarray(image), shape, interpolation=method)
    if grey:
        scaled = cv2.cvtColor(scaled, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(scaled), scale


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an RGB image, shape (height, width, 3), as the bytes of a JPEG file."""
    encoded, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    assert encoded, f"JPEG encoding failed for shape {image.shape}"
    return bytes(data.tobytes())
