"""SURF (Bay, Ess, Tuytelaars & Van Gool 2008): by OpenCV where it has it, else with mahotas.

OpenCV's wheels are built without SURF. There mahotas finds the points (its box filters have the
sizes of OpenCV's), and the descriptor is computed here, since mahotas' own is neither upright nor
extended.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import cv2
import numpy as np

from minia_spark.features.extractor import Features, check_size, ordered, strongest
from minia_spark.images.failures import sentence
from minia_spark.images.preprocess import prepared
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Numbers: TypeAlias = NDArray[np.float64]

__all__ = ["Implementation", "SurfExtractor", "available", "describe", "detect", "orientations"]

Implementation: TypeAlias = Literal["opencv", "mahotas"]

_TWICE_PIXELS_A_LOBE = 0.4
"""A filter of three lobes of L pixels has the scale 1.2 / 9 * 3 L."""
_FACTOR_OF_THE_SMALLEST = (27 / 5) ** 2
_CHUNK = 256
"""Features that are described at once; each takes about 30 kB."""
_WINDOWS = 72
"""Directions that are tried for the orientation: every 5 degrees."""


def available() -> tuple[Implementation, ...]:
    """Return the implementations of this machine, the preferred one first."""
    found: list[Implementation] = []
    try:
        cv2.xfeatures2d.SURF.create()
    except (AttributeError, cv2.error):  # no contrib modules, or not the non-free ones
        pass
    else:
        found.append("opencv")
    if importlib.util.find_spec("mahotas") is not None:
        found.append("mahotas")
    return tuple(found)


class SurfExtractor:
    """SURF features of an image; see :class:`~minia_spark.features.extractor.Extractor`.

    Parameters
    ----------
    implementation : {"opencv", "mahotas"}
        One of :func:`available`.
    hessian_threshold : float
        Least determinant of the Hessian, in OpenCV's units; see :func:`detect` for mahotas.
    octaves, layers : int
        Octaves, and layers of each in which points are looked for.
    extended : bool
        128 numbers a descriptor instead of 64.
    upright : bool
        Whether patches are taken along the image's axes instead of along their orientation.
    median_filter, background_mask, max_features, max_pixels
        As of :class:`~minia_spark.features.sift.SiftExtractor`.
    """

    name = "surf"
    descriptor_dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        *,
        implementation: Implementation,
        hessian_threshold: float,
        octaves: int,
        layers: int,
        extended: bool,
        upright: bool,
        median_filter: int,
        background_mask: bool,
        max_features: int,
        max_pixels: int,
    ) -> None:
        self.descriptor_dim = 128 if extended else 64
        self._threshold, self._octaves, self._layers = hessian_threshold, octaves, layers
        self._extended, self._upright = extended, upright
        self._median_filter = median_filter
        self._background_mask = background_mask
        self._max_features = max_features
        self._max_pixels = max_pixels
        self._surf = None
        if implementation == "opencv":
            self._surf = cv2.xfeatures2d.SURF.create(
                hessian_threshold, octaves, layers, extended, upright
            )

    def extract(self, pixels: NDArray[np.uint8]) -> Features:
        """Return the SURF features of a grey or RGB image, ordered; none gives empty arrays.

        Raises
        ------
        Rejected
            ``pixel_limit`` for an image too large for the memory, ``extraction_failed`` if OpenCV
            cannot work on it.
        """
        check_size(pixels, self._max_pixels)
        grey = prepared(pixels, self._median_filter, self._background_mask)
        found = self._by_opencv(grey) if self._surf is not None else self._by_mahotas(grey)
        return strongest(ordered(found), self._max_features)

    def _by_opencv(self, grey: NDArray[np.uint8]) -> Features:
        assert self._surf is not None
        try:
            keypoints, descriptors = self._surf.detectAndCompute(grey, None)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:  # says nothing about the image: fail the task
                raise MemoryError(sentence(error)) from error
            height, width = grey.shape
            raise Reason.EXTRACTION_FAILED.reject(
                f"OpenCV cannot extract SURF from {width} x {height} pixels: {error.err}"
            ) from error
        points = np.array(
            [(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32
        ).reshape(-1, 5)
        if self._upright:
            points[:, 3] = -1
        if not keypoints:
            descriptors = np.zeros((0, self.descriptor_dim), np.float32)
        return _features(points, descriptors)

    def _by_mahotas(self, grey: NDArray[np.uint8]) -> Features:
        x, y, scale, response = detect(
            grey, threshold=self._threshold, octaves=self._octaves, layers=self._layers
        )
        sums, margin = _padded_sums(grey, x, y, scale)
        angle = np.zeros(len(x))
        descriptors = np.zeros((len(x), self.descriptor_dim), np.float32)
        for start in range(0, len(x), _CHUNK):
            part = slice(start, start + _CHUNK)
            at = x[part] + margin, y[part] + margin, scale[part]
            if not self._upright:
                angle[part] = orientations(sums, *at)
            descriptors[part] = describe(sums, *at, angle[part], extended=self._extended)
        degrees = np.full(len(x), -1.0) if self._upright else np.degrees(angle) % 360
        points = np.stack([x, y, 7.5 * scale, degrees, response], axis=1).astype(np.float32)
        points[points[:, 3] >= 360, 3] = 0  # 359.99... as a float32
        return _features(points, descriptors)


def _features(points: NDArray[np.float32], descriptors: NDArray[np.float32]) -> Features:
    x, y, size, angle, response = np.ascontiguousarray(points.T)
    return Features(x, y, size, angle, response, descriptors, found=len(points))


def detect(
    grey: NDArray[np.uint8], *, threshold: float, octaves: int, layers: int
) -> tuple[_Numbers, _Numbers, _Numbers, _Numbers]:
    """Find points where the determinant of the Hessian is largest, with mahotas.

    mahotas divides the sums of the three boxes of a second derivative by the filter's area 9 L**2,
    OpenCV by the area L (2 L - 1) of a box. So mahotas' determinant times (9 L / (2 L - 1))**2 is
    OpenCV's, of which `threshold` is the least; that is exact where the mixed derivative is zero,
    and mahotas subtracts less for it elsewhere (0.13 to 0.09 of its square, OpenCV 0.81): at
    corners and on slopes the same threshold keeps more.

    Parameters
    ----------
    grey : uint8 array, shape (height, width)
    threshold : float
        In OpenCV's units, >= 0.
    octaves, layers : int
        Octave o has filters of 3 (2**(o + 1) (i + 1) + 1) pixels, i = 0 to `layers` + 1; points are
        found in all but the first and the last. mahotas looks at no pixel closer to the edge than
        2**o times half the width of the octave's last filter: an octave whose border does not fit
        into the image finds nothing.

    Returns
    -------
    x, y, scale, response : float64 arrays, shape (n,)
        In pixels; the filter is 7.5 times the scale wide. The response is in OpenCV's units.
    """
    from mahotas.features import surf  # noqa: PLC0415 - not needed where OpenCV has SURF

    least = threshold / _FACTOR_OF_THE_SMALLEST
    points = surf.interest_points(grey, octaves, layers + 2, 1, least)
    y, x, scale, score = np.ascontiguousarray(points[:, :4].T)
    lobe = scale / _TWICE_PIXELS_A_LOBE
    response = score * (9 * lobe / (2 * lobe - 1)) ** 2
    kept = response >= threshold
    return x[kept], y[kept], scale[kept], response[kept]


def _padded_sums(
    grey: NDArray[np.uint8], x: _Numbers, y: _Numbers, scale: _Numbers
) -> tuple[NDArray[np.int64], int]:
    """Return sums of the image with its edge repeated outwards as far as descriptors reach."""
    height, width = grey.shape
    reach = 16 * scale + 2  # the corner of 20 x 20 samples, and half a wavelet
    beyond = [reach - x, reach - y, x + reach - width, y + reach - height]
    margin = max(0, int(np.ceil(max(side.max(initial=0) for side in beyond))))
    wide = np.pad(grey, margin, mode="edge")
    sums = np.zeros((wide.shape[0] + 1, wide.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(wide, axis=0, dtype=np.int64), axis=1, out=sums[1:, 1:])
    return sums, margin


def _wavelets(
    sums: NDArray[np.int64], x: _Numbers, y: _Numbers, half: NDArray[np.int64]
) -> tuple[_Numbers, _Numbers]:
    """Return mean grey level right minus left, and below minus above, of squares of 2 half pixels.

    Parameters
    ----------
    sums : int64 array, shape (height + 1, width + 1)
        ``sums[r, c]`` is the sum of the rows above r and the columns left of c.
    x, y : float64 arrays
        Middles of the squares; they are moved to the nearest corner of a pixel.
    half : int64 array
        Broadcasts with them.
    """
    column = np.floor(x + 1).astype(np.intp)
    row = np.floor(y + 1).astype(np.intp)
    left, right, top, bottom = column - half, column + half, row - half, row + half
    corners = {
        (r, c): sums[(top, row, bottom)[r], (left, column, right)[c]]
        for r in range(3)
        for c in range(3)
        if (r, c) != (1, 1)
    }
    whole = corners[2, 2] - corners[0, 2] - corners[2, 0] + corners[0, 0]
    west = corners[2, 1] - corners[0, 1] - corners[2, 0] + corners[0, 0]
    north = corners[1, 2] - corners[0, 2] - corners[1, 0] + corners[0, 0]
    area = 2 * half * half
    return (whole - 2 * west) / area, (whole - 2 * north) / area


def orientations(sums: NDArray[np.int64], x: _Numbers, y: _Numbers, scale: _Numbers) -> _Numbers:
    """Return the direction in which the image becomes brighter around each point, in radians.

    Wavelets of 4 scales at 109 places within 6 scales, weighted by a Gaussian of 2.5 scales, are
    added up within 60 degrees around each of 72 directions; the longest sum wins.

    Parameters
    ----------
    sums : int64 array, shape (height + 1, width + 1)
        As of :func:`describe`.
    x, y, scale : float64 arrays, shape (n,)

    Returns
    -------
    float64 array, shape (n,)
        From +x towards +y.
    """
    v, u = np.mgrid[-6:7, -6:7]
    near = u * u + v * v < 36
    u, v = u[near].astype(float), v[near].astype(float)
    half = np.maximum(1, np.rint(2 * scale)).astype(np.int64)[:, None]
    dx, dy = _wavelets(sums, x[:, None] + scale[:, None] * u, y[:, None] + scale[:, None] * v, half)
    weight = np.exp(-(u * u + v * v) / (2 * 2.5**2))
    dx, dy = dx * weight, dy * weight
    steps = np.arange(_WINDOWS) * (2 * np.pi / _WINDOWS)
    away = np.angle(np.exp(1j * (np.arctan2(dy, dx)[:, None, :] - steps[:, None])))
    within = np.abs(away) < np.pi / 6
    along, across = ((within * d[:, None, :]).sum(axis=2) for d in (dx, dy))
    best = np.argmax(along**2 + across**2, axis=1)[:, None]
    direction: _Numbers = np.arctan2(
        np.take_along_axis(across, best, 1)[:, 0], np.take_along_axis(along, best, 1)[:, 0]
    )
    return direction


def describe(
    sums: NDArray[np.int64],
    x: _Numbers,
    y: _Numbers,
    scale: _Numbers,
    angle: _Numbers,
    *,
    extended: bool,
) -> NDArray[np.float32]:
    """Return SURF descriptors of length 1; a patch of one grey level has zeros.

    A square of 20 scales, turned by the angle, has 4 x 4 cells of 5 x 5 places. At each place a
    wavelet of 2 scales gives dx and dy in the square's own directions, weighted by a Gaussian of
    3.3 scales around the middle. A cell gives the sums of dx, dy, |dx| and |dy|; extended, those of
    dx and |dx| for dy < 0 and dy >= 0 apart, and those of dy and |dy| for dx < 0 and dx >= 0.

    Parameters
    ----------
    sums : int64 array, shape (height + 1, width + 1)
        ``sums[r, c]`` is the sum of the pixels in the rows above r and the columns left of c. All
        squares lie inside.
    x, y, scale, angle : float64 arrays, shape (n,)
        In pixels and radians.
    extended : bool

    Returns
    -------
    float32 array, shape (n, 64) or (n, 128)
    """
    v, u = np.mgrid[0:20, 0:20] - 9.5
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    size = scale[:, None, None]
    half = np.maximum(1, np.rint(size)).astype(np.int64)
    right, down = _wavelets(
        sums,
        x[:, None, None] + size * (cosine * u - sine * v),
        y[:, None, None] + size * (sine * u + cosine * v),
        half,
    )
    weight = np.exp(-(u * u + v * v) / (2 * 3.3**2))
    dx = weight * (cosine * right + sine * down)
    dy = weight * (cosine * down - sine * right)
    if extended:
        rising, brighter = dy >= 0, dx >= 0
        parts = [
            *(np.where(side, d, 0) for side in (~rising, rising) for d in (dx, np.abs(dx))),
            *(np.where(side, d, 0) for side in (~brighter, brighter) for d in (dy, np.abs(dy))),
        ]
    else:
        parts = [dx, dy, np.abs(dx), np.abs(dy)]
    cells = np.stack(parts, axis=-1).reshape(len(x), 4, 5, 4, 5, len(parts)).sum(axis=(2, 4))
    vectors = cells.reshape(len(x), -1)
    norms = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    unit: NDArray[np.float32] = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit
