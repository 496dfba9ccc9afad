"""The object at the middle of a cutout: its pixels, its place and its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Frame", "frame_of", "object_mask", "sky_of"]

_BLUR = 2.0
"""Standard deviation in pixels of the Gaussian before the threshold: arms are faint and wide."""
_NOISE_OF_MAD = 1.4826
_LEAST_NOISE = 0.5
"""Grey levels: JPEG and stretches can leave a sky of one value."""
_REACH = 0.1
"""How far from the middle an object may begin, as a share of the shorter side."""


def sky_of(grey: NDArray[np.uint8]) -> tuple[float, float]:
    """Return level and noise of the sky: the median, and 1.4826 times the median deviation from it.

    Parameters
    ----------
    grey : uint8 array, shape (height, width)
        Most of it should be sky.

    Returns
    -------
    level, noise : float
        In grey levels; the noise is at least 0.5.
    """
    level = float(np.median(grey))
    noise = _NOISE_OF_MAD * float(np.median(np.abs(grey.astype(np.float32) - level)))
    return level, max(noise, _LEAST_NOISE)


def object_mask(grey: NDArray[np.uint8], threshold: float) -> NDArray[np.bool_]:
    """Find the object at the middle of an image.

    The image is smoothed by a Gaussian of 2 pixels. Its pixels that are more than `threshold` times
    the sky's noise above the sky are joined to components (8 neighbours); the object is the one
    nearest to the middle.

    Parameters
    ----------
    grey : uint8 array, shape (height, width)
        The image, larger than the object.
    threshold : float
        In units of the sky's noise, see :func:`sky_of`; both are of the smoothed image.

    Returns
    -------
    bool array, shape (height, width)
        Empty (all False) where no component begins within a tenth of the shorter side from the
        middle, as in an image without sources.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), _BLUR, borderType=cv2.BORDER_REPLICATE)
    level, noise = sky_of(smooth)
    bright = (smooth > level + threshold * noise).astype(np.uint8)
    _, labels = cv2.connectedComponents(bright, connectivity=8)
    height, width = grey.shape
    y, x = np.nonzero(labels)
    if not len(y):
        return np.zeros(grey.shape, dtype=bool)
    away = (2 * y - (height - 1)) ** 2 + (2 * x - (width - 1)) ** 2  # twice the distance, squared
    nearest = int(np.argmin(away))
    if away[nearest] > max(1.0, 2 * _REACH * min(height, width)) ** 2:
        return np.zeros(grey.shape, dtype=bool)
    return np.asarray(labels == labels[y[nearest], x[nearest]])


@dataclass(frozen=True)
class Frame:
    """Where an object lies.

    Attributes
    ----------
    x, y : float
        Its centre, in pixels from the centre of the top left pixel.
    angle : float
        Of its major axis, in degrees from +x towards +y, 0 <= angle < 360. Of the two directions
        the one in which the light reaches farther.
    radius : float
        Twice the standard deviation of its light along the major axis, in pixels, at least 1.
    """

    x: float
    y: float
    angle: float
    radius: float


def frame_of(grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Frame:
    """Return where an object lies, by the moments of its light above the sky.

    Parameters
    ----------
    grey : uint8 array, shape (height, width)
        The image.
    mask : bool array, shape (height, width)
        The object's pixels, at least one.
    """
    light = cv2.subtract(grey, np.full_like(grey, int(sky_of(grey)[0])))
    light[~mask] = 0
    if not light.any():  # nothing of it is above the sky: by its shape alone
        light = mask.astype(np.uint8)
    moments = cv2.moments(light)  # sums of whole numbers: no order of adding changes them
    total = moments["m00"]
    xx, yy, xy = (moments[name] / total for name in ("mu20", "mu02", "mu11"))
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    variance = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
    cosine, sine = np.cos(angle), np.sin(angle)
    skew = (
        cosine**3 * moments["mu30"]
        + 3 * cosine**2 * sine * moments["mu21"]
        + 3 * cosine * sine**2 * moments["mu12"]
        + sine**3 * moments["mu03"]
    )
    if skew < 0:
        angle += np.pi
    degrees = float(np.degrees(angle) % 360)
    return Frame(
        x=moments["m10"] / total,
        y=moments["m01"] / total,
        angle=0.0 if degrees == 360 else degrees,  # the remainder of a tiny negative number
        radius=max(1.0, 2 * float(np.sqrt(max(0.0, variance)))),
    )
