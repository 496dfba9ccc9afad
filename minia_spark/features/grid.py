"""SIFT descriptors on a grid of positions at several scales, instead of at keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from minia_spark.features.extractor import Features
from minia_spark.images.objects import Frame
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Numbers: TypeAlias = NDArray[np.float64]

__all__ = ["PATCH", "grid_features"]

PATCH = 24
"""Side in pixels of a patch when it is described: 4 x 4 cells of 6 pixels."""

_SIZE = PATCH / 6
"""OpenCV's size of a keypoint whose patch is so wide: a cell is 1.5 times it."""


def grid_features(
    sift: Any,
    grey: NDArray[np.uint8],
    *,
    step: float,
    scales: tuple[float, ...],
    mask: NDArray[np.bool_] | None = None,
    frame: Frame | None = None,
    frame_radius: float = 1.0,
    most_pixels: int = 1 << 26,
) -> Features:
    """Describe patches of an image on a grid.

    For every scale the image is resampled so that a patch is 24 pixels wide, smoothed first where
    that makes it smaller. The grid has a position at the middle of the image, or of the frame.

    Parameters
    ----------
    sift : cv2.SIFT
        Only its `sigma` matters.
    grey : uint8 array, shape (height, width)
        The image.
    step : float
        Distance of neighbouring positions in pixels, the same for all scales.
    scales : tuple of float
        Sides of the patches in pixels.
    mask : bool array, shape (height, width), optional
        Where centres of patches may be; everywhere by default.
    frame : Frame, optional
        Turns the grid and the patches along the object's major axis, and makes `step` and `scales`
        count in pixels of an image in which the object's radius is `frame_radius`.
    frame_radius : float
        In pixels.
    most_pixels : int
        Of a resampled image.

    Returns
    -------
    Features
        Of patches that lie inside the image in whole and are not of one grey level. `size` is the
        side of the patch, in pixels of the image; `angle` that of the frame, or -1; `response` the
        standard deviation of the patch's grey levels. Positions are in pixels of the image.

    Raises
    ------
    Rejected
        ``pixel_limit``: resampled, the part of the image with the patches would have more pixels
        than `most_pixels`; it takes about 25 bytes of memory a pixel.
    """
    height, width = grey.shape
    own = np.ones(grey.shape, dtype=bool) if mask is None else mask
    middle, unit, degrees = ((width - 1) / 2, (height - 1) / 2), 1.0, 0.0
    if frame is not None:
        middle, unit, degrees = (frame.x, frame.y), frame.radius / frame_radius, frame.angle
    angle = -1.0 if frame is None else frame.angle
    _check_span(own, unit * min(scales) / PATCH, frame, most_pixels)
    placings = [_Placing.of(middle, unit * scale / PATCH, degrees) for scale in scales]
    found = [
        _of_scale(sift, grey, mask=own, placing=one, step=unit * step, angle=angle)
        for one in placings
    ]
    x, y, size, orientation, response = np.ascontiguousarray(
        np.concatenate([rows for rows, _ in found]).T
    )
    descriptors = np.concatenate([descriptors for _, descriptors in found])
    return Features(x, y, size, orientation, response, descriptors, found=len(x))


@dataclass(frozen=True)
class _Placing:
    """A similarity from the grid's own pixels, in which a patch is `PATCH` wide, to the image's.

    A point (u, v) of the grid is at (x, y) + `zoom` * rotated(u, v) in the image.
    """

    x: float
    y: float
    cosine: float
    sine: float
    zoom: float

    @classmethod
    def of(cls, middle: tuple[float, float], zoom: float, degrees: float) -> _Placing:
        """Return the placing that has the grid's origin in the middle; quarter turns are exact."""
        quarters, rest = divmod(degrees, 90.0)
        cosine, sine = np.cos(np.radians(rest)), np.sin(np.radians(rest))
        for _ in range(int(quarters)):
            cosine, sine = -sine, cosine
        return cls(*middle, float(cosine), float(sine), zoom)

    def to_image(self, u: _Numbers, v: _Numbers) -> tuple[_Numbers, _Numbers]:
        return (
            self.x + self.zoom * (self.cosine * u - self.sine * v),
            self.y + self.zoom * (self.sine * u + self.cosine * v),
        )

    def from_image(self, x: _Numbers, y: _Numbers) -> tuple[_Numbers, _Numbers]:
        dx, dy = (x - self.x) / self.zoom, (y - self.y) / self.zoom
        return self.cosine * dx + self.sine * dy, self.cosine * dy - self.sine * dx


def _check_span(
    mask: NDArray[np.bool_], zoom: float, frame: Frame | None, most_pixels: int
) -> None:
    """Raise Rejected where a mask spans too many pixels of so fine a grid."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    turned = 1 if frame is None else np.hypot(height, width) ** 2 / (height * width)
    if height * width * turned / zoom**2 > most_pixels:
        radius = "" if frame is None else f" and has a radius of {frame.radius:.1f}"
        raise Reason.PIXEL_LIMIT.reject(
            f"What is described spans {width} x {height} pixels{radius}; magnified "
            f"{1 / zoom:.1f} times it would have more than {most_pixels} pixels: larger "
            "features.sift.grid.scales, or a smaller radius, magnify less."
        )


def _of_scale(
    sift: Any,
    grey: NDArray[np.uint8],
    *,
    mask: NDArray[np.bool_],
    placing: _Placing,
    step: float,
    angle: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return rows of x, y, size, angle, response and their descriptors, for one scale."""
    u, v = _positions(mask, placing, step)
    if not len(u):
        return np.zeros((0, 5), np.float32), np.zeros((0, 128), np.uint8)
    room = PATCH  # cells reach 15 pixels by their weights, and SIFT's Gaussian 7 farther
    left, top = int(u.min()) - room, int(v.min()) - room
    width, height = int(u.max()) + room - left + 1, int(v.max()) + room - top + 1
    patches = _resampled(grey, placing, (left, top), (width, height))
    contrast = _contrast(patches, u - left, v - top)
    points = [
        cv2.KeyPoint(float(a), float(b), _SIZE, 0.0) for a, b in zip(u - left, v - top, strict=True)
    ]
    kept, descriptors = sift.compute(patches, points)
    assert len(kept) == len(points)
    x, y = placing.to_image(u, v)
    rows = np.empty((len(u), 5), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 4] = x, y, contrast
    rows[:, 2], rows[:, 3] = PATCH * placing.zoom, angle
    seen = descriptors.any(axis=1)
    return rows[seen], descriptors[seen]


def _positions(
    mask: NDArray[np.bool_], placing: _Placing, step: float
) -> tuple[_Numbers, _Numbers]:
    """Return the whole-numbered grid positions with centres in the mask, patches in the image."""
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return np.zeros(0), np.zeros(0)
    corners_x = np.array([xs.min(), xs.max(), xs.min(), xs.max()], float)
    corners_y = np.array([ys.min(), ys.min(), ys.max(), ys.max()], float)
    own = step / placing.zoom
    sides = [
        np.rint(own * np.arange(np.floor(c.min() / own), np.ceil(c.max() / own) + 1))
        for c in placing.from_image(corners_x, corners_y)
    ]
    u, v = (side.ravel() for side in np.meshgrid(*map(np.unique, sides)))
    x, y = placing.to_image(u, v)
    height, width = mask.shape
    half = PATCH / 2 * placing.zoom * (abs(placing.cosine) + abs(placing.sine))
    inside = (x - half >= -0.5) & (x + half <= width - 0.5)
    inside &= (y - half >= -0.5) & (y + half <= height - 0.5)
    u, v, x, y = u[inside], v[inside], x[inside], y[inside]
    on = mask[np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)]
    return u[on], v[on]


def _resampled(
    grey: NDArray[np.uint8], placing: _Placing, corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the image in the grid's pixels from a corner (u, v) on, of size (width, height)."""
    if placing.zoom > 1:  # pixels are wider than those of the image: smooth as they would be
        blur = 0.5 * np.sqrt(placing.zoom**2 - 1)
        grey = cv2.GaussianBlur(grey, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    zoom, cosine, sine = placing.zoom, placing.cosine, placing.sine
    x0, y0 = placing.to_image(*np.array(corner, dtype=np.float64)[:, None])
    to_image = np.array([[zoom * cosine, -zoom * sine, x0[0]], [zoom * sine, zoom * cosine, y0[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(grey, to_image, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.uint8)


def _contrast(patches: NDArray[np.uint8], u: _Numbers, v: _Numbers) -> _Numbers:
    """Return the standard deviation of the grey levels of every patch; sums are whole numbers."""
    sums, squares = cv2.integral2(patches, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    left, top = (side.astype(np.intp) - PATCH // 2 for side in (u, v))
    right, bottom = left + PATCH, top + PATCH
    total, square = (
        table[bottom, right] - table[bottom, left] - table[top, right] + table[top, left]
        for table in (sums, squares)
    )
    pixels = PATCH * PATCH
    deviation: _Numbers = np.sqrt(np.maximum(0, pixels * square - total**2)) / pixels
    return deviation
