"""What happens to the pixels before features are looked for: grey, median, background mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apply_mask", "background_mask", "median", "prepared", "to_grey"]

_MASK_MEDIAN = 3  # pixels
_MASK_THRESHOLD = 11  # grey levels; brighter is source
_ERODE = (5, 3)  # diameter of the ellipse in pixels, repetitions
_DILATE = (11, 2)


def to_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the grey image, shape (height, width): 0.299 R + 0.587 G + 0.114 B by OpenCV.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        Grey passes through.
    """
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    return _uint8(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY))


def median(grey: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the median of each pixel's `size` x `size` neighbourhood; edges repeat outwards.

    Parameters
    ----------
    grey : uint8 array, shape (height, width)
        The image.
    size : int
        Odd, at least 3.
    """
    return _uint8(cv2.medianBlur(grey, size))


def background_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find where the sources of a galaxy cutout are (minIA's filter).

    Grey, 3x3 median, brighter than 11; eroded three times by an ellipse of 5 pixels, which removes
    small sources, and dilated twice by one of 11, which gives the large ones room.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        The image as it was read.

    Returns
    -------
    bool array, shape (height, width)
        True on sources. Beyond the image's edge there is neither source nor background: a source
        at the edge is not eroded from outside.
    """
    smooth = median(to_grey(pixels), _MASK_MEDIAN)
    mask = (smooth > _MASK_THRESHOLD).astype(np.uint8)
    mask = cv2.erode(mask, _ellipse(_ERODE[0]), iterations=_ERODE[1])
    mask = cv2.dilate(mask, _ellipse(_DILATE[0]), iterations=_DILATE[1])
    return np.asarray(mask, dtype=bool)


def apply_mask(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a copy of the image that is black where the mask is False.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        The image.
    mask : bool array, shape (height, width)
        What to keep.
    """
    return np.where(mask if pixels.ndim == 2 else mask[..., None], pixels, np.uint8(0))


def prepared(pixels: NDArray[np.uint8], median_filter: int, masked: bool) -> NDArray[np.uint8]:
    """Return the grey image in which features are looked for.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
        The image as it was read.
    median_filter : int
        Side of a median filter in pixels, odd; 0 for none.
    masked : bool
        Whether pixels outside sources are set to black, after the median filter. The mask comes
        from the image as it was read.
    """
    grey = to_grey(pixels)
    if median_filter:
        grey = median(grey, median_filter)
    return apply_mask(grey, background_mask(pixels)) if masked else grey


def _ellipse(diameter: int) -> Any:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))


def _uint8(image: Any) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8)
