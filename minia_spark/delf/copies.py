"""Moved and masked copies of images, as minIA adds them to a training set."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from minia_spark.delf.draw import fractions
from minia_spark.images.preprocess import apply_mask, background_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LARGEST_ANGLE",
    "LARGEST_SHIFT",
    "MASKED",
    "MOVED",
    "Movement",
    "as_jpeg",
    "masked",
    "moved",
    "movement_of",
]

MASKED, MOVED = "F", "A"
"""What the names of copies begin with: moved and masked (filtered), and moved only (augmented)."""

LARGEST_SHIFT = 1 / 8  # of width and height
LARGEST_ANGLE = 30.0  # degrees
_QUALITY = 95


@dataclass(frozen=True)
class Movement:
    """How an image is moved.

    Attributes
    ----------
    right, down : float
        Shares of width and height, from -1/8 to 1/8.
    angle_deg : float
        From -30 to 30 degrees about the centre, clockwise as one sees it.
    mirror, upend : bool
        Whether left and right, top and bottom change places, before the rest.
    """

    right: float
    down: float
    angle_deg: float
    mirror: bool
    upend: bool


def movement_of(name: str, seed: int) -> Movement:
    """Draw the movement of an image: evenly from what :class:`Movement` can be, by its name."""
    right, down, angle, mirror, upend = fractions(seed, "movement", name, 5)
    return Movement(
        (2 * right - 1) * LARGEST_SHIFT,
        (2 * down - 1) * LARGEST_SHIFT,
        (2 * angle - 1) * LARGEST_ANGLE,
        mirror < 0.5,
        upend < 0.5,
    )


def moved(pixels: NDArray[np.uint8], movement: Movement) -> NDArray[np.uint8]:
    """Return an image moved as one: interpolated once, linearly; black where nothing was.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width, 3)
    movement : Movement
    """
    height, width = pixels.shape[:2]
    angle = math.radians(movement.angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    mirror, upend = (-1 if movement.mirror else 1), (-1 if movement.upend else 1)
    linear = np.array([[cos * mirror, -sin * upend], [sin * mirror, cos * upend]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([movement.right * width, movement.down * height])
    shift += centre - linear @ centre
    matrix = np.column_stack([linear, shift])
    found = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return np.asarray(found, dtype=np.uint8)


def masked(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image that is black outside its sources, by minIA's filter."""
    return apply_mask(pixels, background_mask(pixels))


def as_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return an RGB image as JPEG, of quality 95 and with colour as fine as brightness."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return out.getvalue()
