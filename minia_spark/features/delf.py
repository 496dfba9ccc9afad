"""DELF (Noh et al. 2017): local features of a trained network, where its attention is high.

The network comes from ``minia delf export``. Images of equal size go through it together, as many
as fit into a number of pixels; a batch that is not full is filled with black images. So the
arithmetic of an image does not depend on which others are there: its features are the same bit for
bit on one processor, however images are spread over tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from minia_spark.base.errors import MiniaError, Rejected
from minia_spark.base.networks import load_tensorflow
from minia_spark.features.delf_model import read_manifest, read_pca
from minia_spark.features.extractor import Features, ordered, strongest
from minia_spark.features.regions import best, receptive_boxes, scaled_size
from minia_spark.images.preprocess import apply_mask, background_mask
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Numbers: TypeAlias = NDArray[np.float32]

__all__ = ["LEAST_PIXELS", "DelfExtractor", "SavedNetwork", "batch_size", "unit"]

LEAST_PIXELS = 10
"""An image with a shorter side has no features."""
_SIZE = 32.0
"""Diameter of a feature at scale 1, in pixels."""
_MOST_IMAGES = 32
_ANGLE = -1.0
"""There is no orientation."""


def batch_size(height: int, width: int, scale: float, batch_pixels: int) -> int:
    """Return how many images of a size go through the network at once: 1 to 32.

    It follows from the size and the scale alone, not from how many images there are.
    """
    rows, columns = scaled_size(height, width, scale)
    return max(1, min(_MOST_IMAGES, batch_pixels // (rows * columns)))


def unit(vectors: _Numbers) -> _Numbers:
    """Return vectors, shape (n, d), of length 1; zeros stay."""
    norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    scaled: _Numbers = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class _Found:
    """Positions of one image at one scale whose score is high enough."""

    boxes: _Numbers
    scores: _Numbers
    features: _Numbers
    sizes: _Numbers


class DelfExtractor:
    """DELF features of images; see :class:`~minia_spark.features.extractor.Extractor`.

    Parameters
    ----------
    model : str
        Folder of the exported network.
    weights : str
        Hash of its weights, as the driver found it.
    scales : sequence of float
    threshold : float
        Least attention score.
    limit : int
        Most features of an image, over all scales.
    nms_iou : float
        See :func:`minia_spark.features.regions.best`.
    pca : str or None
        File with a projection; see :func:`minia_spark.features.delf_model.read_pca`.
    batch_pixels : int
        See :func:`batch_size`.
    threads : int
        Cores of a task.
    gpu : int or None
        Number of the GPU to use.
    median_filter, background_mask, max_features, max_pixels
        As of :class:`~minia_spark.features.sift.SiftExtractor`, but the median is of each colour.

    Raises
    ------
    MiniaError
        The network cannot be loaded, is not the one that the driver found, or there is no such GPU.
    """

    name = "delf"
    descriptor_dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(
        self,
        *,
        model: str,
        weights: str,
        scales: Sequence[float],
        threshold: float,
        limit: int,
        nms_iou: float,
        pca: str | None,
        batch_pixels: int,
        threads: int,
        gpu: int | None,
        median_filter: int,
        background_mask: bool,
        max_features: int,
        max_pixels: int,
    ) -> None:
        manifest = read_manifest(Path(model))
        if manifest.weights != weights:
            raise MiniaError(
                f"{model} holds another network here than where the run was started: it has to be "
                "on storage that all machines share"
            )
        self._field, self._stride = manifest.receptive_field, manifest.stride
        self._padding, self._dimension = manifest.padding, manifest.dimension
        self._pca = None if pca is None else read_pca(Path(pca))
        self.descriptor_dim = self._dimension if self._pca is None else len(self._pca.matrix)
        self._scales, self._threshold, self._limit = tuple(scales), threshold, limit
        self._iou, self._batch_pixels = nms_iou, batch_pixels
        self._median_filter, self._background_mask = median_filter, background_mask
        self._max_features, self._max_pixels = max_features, max_pixels
        self._network = SavedNetwork(Path(model), threads, gpu)

    def extract(self, pixels: NDArray[np.uint8]) -> Features:
        """Return the features of a grey or RGB image, ordered; none gives empty arrays.

        Raises
        ------
        Rejected
            ``pixel_limit`` for an image too large for the memory.
        """
        (found,) = self.extract_many([pixels])
        if isinstance(found, Rejected):
            raise found
        return found

    def extract_many(self, images: Sequence[NDArray[np.uint8]]) -> list[Features | Rejected]:
        """Return the features of some images, or why there are none, in their order."""
        results: list[Features | Rejected | None] = [None] * len(images)
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, pixels in enumerate(images):
            results[number] = rejected = self._too_large(pixels)
            if rejected is not None:
                continue
            groups.setdefault(pixels.shape[:2], []).append(number)
        for (height, width), numbers in groups.items():
            found: dict[int, list[_Found]] = {number: [] for number in numbers}
            if min(height, width) >= LEAST_PIXELS:
                ready = {number: self._prepared(images[number]) for number in numbers}
                for scale in self._scales:
                    for number, part in self._at_scale(ready, scale):
                        found[number].append(part)
            for number in numbers:
                results[number] = self._features(found[number])
        return [result for result in results if result is not None]

    def _too_large(self, pixels: NDArray[np.uint8]) -> Rejected | None:
        """Return why the memory does not hold an image at its largest scale; None: it does."""
        height, width = pixels.shape[:2]
        scale = max(1.0, *self._scales)
        rows, columns = scaled_size(height, width, scale)
        if rows * columns <= self._max_pixels:
            return None
        return Reason.PIXEL_LIMIT.reject(
            f"The image has {width} x {height} pixels, at scale {scale:g} {columns} x {rows}; the "
            f"limit of extraction is {self._max_pixels} (features.max_pixels, or leave out large "
            "scales: features.delf.scales)."
        )

    def _prepared(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        colours = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
        if self._median_filter:
            smooth = cv2.medianBlur(np.ascontiguousarray(colours), self._median_filter)
            colours = np.asarray(smooth, np.uint8)
        return apply_mask(colours, background_mask(pixels)) if self._background_mask else colours

    def _at_scale(
        self, images: dict[int, NDArray[np.uint8]], scale: float
    ) -> Iterator[tuple[int, _Found]]:
        """Yield what each of some images of one size has at a scale."""
        numbers = list(images)
        height, width = images[numbers[0]].shape[:2]
        size = batch_size(height, width, scale, self._batch_pixels)
        boxes = None
        for start in range(0, len(numbers), size):
            here = numbers[start : start + size]
            batch = np.zeros((size, height, width, 3), np.uint8)
            for place, number in enumerate(here):
                batch[place] = images[number]
            scores, features = self._network(batch, scale)
            rows, columns = scores.shape[1:]
            if boxes is None:
                boxes = receptive_boxes(
                    rows,
                    columns,
                    field=self._field,
                    stride=self._stride,
                    padding=self._padding,
                    scale=scale,
                )
            for place, number in enumerate(here):
                flat = scores[place].reshape(-1)
                kept = np.flatnonzero(flat >= np.float32(self._threshold))
                described = features[place].reshape(-1, self._dimension)[kept]
                sizes = np.full(len(kept), _SIZE / scale, np.float32)
                yield number, _Found(boxes[kept], flat[kept], described, sizes)

    def _features(self, found: Sequence[_Found]) -> Features:
        """Join the scales, keep the best, and describe them."""
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *(f.boxes for f in found)])
        scores = np.concatenate([np.zeros(0, np.float32), *(f.scores for f in found)])
        sizes = np.concatenate([np.zeros(0, np.float32), *(f.sizes for f in found)])
        vectors = np.concatenate(
            [np.zeros((0, self._dimension), np.float32), *(f.features for f in found)]
        )
        kept = best(boxes, scores, iou=self._iou, limit=self._limit)
        descriptors = unit(vectors[kept])
        if self._pca is not None:
            descriptors = unit(self._pca(descriptors))
        centres = (boxes[kept, :2] + boxes[kept, 2:]) / 2
        features = Features(
            x=np.ascontiguousarray(centres[:, 1]),
            y=np.ascontiguousarray(centres[:, 0]),
            size=sizes[kept],
            angle=np.full(len(kept), _ANGLE, np.float32),
            response=scores[kept],
            descriptors=descriptors,
            found=len(kept),
        )
        return strongest(ordered(features), self._max_features)


class SavedNetwork:
    """An exported network, loaded."""

    def __init__(self, model: Path, threads: int, gpu: int | None) -> None:
        self._tf = tf = load_tensorflow(threads, gpu)
        self._device = "/CPU:0" if gpu is None else f"/GPU:{gpu}"
        if gpu is not None and gpu >= len(tf.config.list_logical_devices("GPU")):
            raise MiniaError(
                f"GPU {gpu} was offered, and TensorFlow finds none of this number: install its "
                "CUDA libraries (pip install 'tensorflow[and-cuda]'), or set "
                "features.delf.gpu=never"
            )
        try:
            with tf.device(self._device):
                self._loaded = tf.saved_model.load(str(model))
            self._batch = self._loaded.signatures["batch"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise MiniaError(
                f"the network in {model} cannot be loaded ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}); export it again"
            ) from None

    def __call__(self, images: NDArray[np.uint8], scale: float) -> tuple[_Numbers, _Numbers]:
        """Return scores (n, rows, columns) and features (n, rows, columns, d)."""
        tf = self._tf
        try:
            with tf.device(self._device):
                found = self._batch(
                    input_images=tf.constant(images), input_scale=tf.constant(scale, tf.float32)
                )
                return found["scores"].numpy(), found["features"].numpy()
        except tf.errors.ResourceExhaustedError as error:  # says nothing about the image
            raise MemoryError(
                f"at scale {scale}: lower features.delf.batch_pixels, or leave out large "
                f"at scale {scale}: lower features.delf.batch_pixels, or leave out large "
                f"scales ({error.message.splitlines()[0]})"
            ) from None
