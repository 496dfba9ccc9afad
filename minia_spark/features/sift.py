"""SIFT by OpenCV (Lowe 2004), with all its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from minia_spark.features.extractor import Features, ordered, strongest
from minia_spark.images.failures import sentence
from minia_spark.images.preprocess import apply_mask, background_mask, median, to_grey
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SiftExtractor"]

_DIM = 128


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
        height, width = pixels.shape[:2]
        if height * width > self._max_pixels:
            raise Reason.PIXEL_LIMIT.reject(
                f"The image has {width} x {height} pixels; the limit of extraction is "
                f"{self._max_pixels} (features.max_pixels)."
            )
        try:
            keypoints, descriptors = self._sift.detectAndCompute(self._prepare(pixels), None)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:  # says nothing about the image: fail the task
                raise MemoryError(sentence(error)) from error
            raise Reason.EXTRACTION_FAILED.reject(
                f"OpenCV cannot extract SIFT from {width} x {height} pixels: {error.err}"
            ) from error
        return strongest(ordered(_features(keypoints, descriptors)), self._max_features)

    def _prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = to_grey(pixels)
        if self._median_filter:
            grey = median(grey, self._median_filter)
        if self._background_mask:
            grey = apply_mask(grey, background_mask(pixels))
        return grey


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
