"""SIFT by OpenCV (Lowe 2004), with all its parameters, at keypoints or on a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from minia_spark.features.extractor import Features, check_size, ordered, strongest
from minia_spark.features.grid import grid_features
from minia_spark.images.failures import sentence
from minia_spark.images.objects import frame_of, object_mask
from minia_spark.images.preprocess import prepared, to_grey
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SiftExtractor", "root_sift"]

_DIM = 128
_MOST_MAGNIFIED = 4
"""How many times `max_pixels` an image may have when its patches are described on a grid: that
takes about 25 bytes a pixel, a tenth of what keypoints take."""


class SiftExtractor:
    """SIFT features of an image; see :class:`~minia_spark.features.extractor.Extractor`.

    Parameters
    ----------
    nfeatures : int
        How many of the strongest OpenCV keeps; 0 keeps all.
    n_octave_layers : int
        Layers of each octave.
    contrast_threshold : float
        Weakest contrast kept; it is divided by the number of layers.
    edge_threshold : float
        Ratio of curvatures beyond which a point is an edge and dropped; larger keeps more.
    sigma : float
        Gaussian of the first octave, in pixels.
    enable_precise_upscale : bool
        Whether the doubled first octave keeps pixel centres exact.
    root : bool
        Whether descriptors are RootSIFT, see :func:`root_sift`.
    grid : mapping
        ``step``: None for keypoints, or the distance of the positions of a grid, whose patches are
        described instead (:func:`~minia_spark.features.grid.grid_features`); ``scales``;
        ``within``: ``object`` or ``image``; ``threshold`` of the object, see
        :func:`~minia_spark.images.objects.object_mask`; ``frame`` and ``radius``.
    median_filter : int
        Side of a median filter on the grey image, in pixels, odd; 0 for none.
    background_mask : bool
        Whether pixels outside sources are set to black. The mask comes from the image as it was
        read; it is applied after the median filter.
    max_features : int
        The strongest so many are kept.
    max_pixels : int
        Larger images are refused: SIFT takes about 230 bytes of memory a pixel.
    """

    name = "sift"
    descriptor_dtype: np.dtype[Any] = np.dtype(np.uint8)
    descriptor_dim = _DIM

    def __init__(
        self,
        *,
        nfeatures: int,
        n_octave_layers: int,
        contrast_threshold: float,
        edge_threshold: float,
        sigma: float,
        enable_precise_upscale: bool,
        root: bool,
        grid: Mapping[str, Any],
        median_filter: int,
        background_mask: bool,
        max_features: int,
        max_pixels: int,
    ) -> None:
        self._sift = cv2.SIFT.create(
            nfeatures,
            n_octave_layers,
            contrast_threshold,
            edge_threshold,
            sigma,
            cv2.CV_8U,  # the descriptors are whole numbers in either type
            enable_precise_upscale,
        )
        self._root = root
        self._grid = grid
        self._median_filter = median_filter
        self._background_mask = background_mask
        self._max_features = max_features
        self._max_pixels = max_pixels

    def extract(self, pixels: NDArray[np.uint8]) -> Features:
        """Return the SIFT features of a grey or RGB image, ordered; none gives empty arrays.

        Raises
        ------
        Rejected
            ``pixel_limit`` for an image too large for the memory, ``extraction_failed`` if OpenCV
            cannot work on it (with `enable_precise_upscale`: a side of 16,384 pixels or more).
        """
        check_size(pixels, self._max_pixels)
        grey = prepared(pixels, self._median_filter, self._background_mask)
        try:
            if self._grid["step"] is None:
                found = _features(*self._sift.detectAndCompute(grey, None))
            else:
                found = self._on_grid(pixels, grey)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:  # says nothing about the image: fail the task
                raise MemoryError(sentence(error)) from error
            height, width = grey.shape
            raise Reason.EXTRACTION_FAILED.reject(
                f"OpenCV cannot extract SIFT from {width} x {height} pixels: {error.err}"
            ) from error
        if self._root:
            found = replace(found, descriptors=root_sift(found.descriptors))
        return strongest(ordered(found), self._max_features)

    def _on_grid(self, pixels: NDArray[np.uint8], grey: NDArray[np.uint8]) -> Features:
        grid, mask, frame = self._grid, None, None
        if grid["within"] == "object":
            seen = to_grey(pixels)  # as it was read, like the background mask
            mask = object_mask(seen, grid["threshold"])
            if grid["frame"] and mask.any():
                frame = frame_of(seen, mask)
        return grid_features(
            self._sift,
            grey,
            step=grid["step"],
            scales=tuple(grid["scales"]),
            mask=mask,
            frame=frame,
            frame_radius=grid["radius"],
            most_pixels=_MOST_MAGNIFIED * self._max_pixels,
        )


def root_sift(descriptors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RootSIFT (Arandjelovic & Zisserman 2012) in whole numbers.

    This is equivalent to::

        numpy.rint(255 * numpy.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True)))

    Euclidean distances of these are Hellinger distances of the histograms. Zeros stay zeros.

    Parameters
    ----------
    descriptors : uint8 array, shape (n, 128)

    Returns
    -------
    uint8 array, shape (n, 128)
        Of length 255, up to rounding.
    """
    total = descriptors.sum(axis=1, keepdims=True, dtype=np.int64)
    shares = descriptors / np.maximum(total, 1)
    whole: NDArray[np.uint8] = np.rint(255 * np.sqrt(shares)).astype(np.uint8)
    return whole


def _features(keypoints: Any, descriptors: Any) -> Features:
    if not keypoints:
        descriptors = np.empty((0, _DIM), dtype=np.uint8)
    table = np.array(
        [(*k.pt, k.size, k.angle, k.response) for k in keypoints], dtype=np.float32
    ).reshape(-1, 5)
    x, y, size, angle, response = np.ascontiguousarray(table.T)
    return Features(
        x=x,
        y=y,
        size=size,
        angle=angle,
        response=response,
        descriptors=descriptors,
        found=len(keypoints),
    )
