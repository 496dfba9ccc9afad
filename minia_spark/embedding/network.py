"""Networks that turn an image into a vector.

Images go through a network in batches of one size; a batch that is not full is filled with black
images. So the arithmetic of an image does not depend on which others are there.
"""
# ruff: noqa: PLC0415 - networks take seconds to load

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import cv2
import numpy as np

from minia_spark.base.errors import InputError, MiniaError, Rejected
from minia_spark.base.networks import load_tensorflow
from minia_spark.embedding.files import RANDOM, sha256_of
from minia_spark.embedding.reasons import Reason
from minia_spark.images.failures import sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Pixels: TypeAlias = NDArray[np.uint8]
    _Numbers: TypeAlias = NDArray[np.float32]

__all__ = ["DelfNetwork", "Network", "OnnxNetwork", "ResnetNetwork", "embed", "make", "square"]


class Network(Protocol):
    """What turns images into vectors.

    Attributes
    ----------
    height, width : int
        Of the images that it takes, in pixels.
    fit : str
        ``squeeze``: the whole image; ``crop``: the square in its middle. See :func:`square`.
    batch_images : int
        Images that go through it at once.
    """

    height: int
    width: int
    fit: str
    batch_images: int

    def __call__(self, images: _Pixels) -> _Numbers:
        """Return the vectors (batch_images, d) of RGB images (batch_images, height, width, 3)."""


def square(pixels: _Pixels, height: int, width: int, fit: str = "squeeze") -> _Pixels:
    """Return an image as a network takes it: RGB, of its size.

    Parameters
    ----------
    pixels : uint8 array, shape (h, w) or (h, w, 3)
    height, width : int
    fit : str
        ``squeeze``: sides are scaled by different factors where the proportions differ; ``crop``:
        the largest part in the middle that has the proportions.
    """
    rows, columns = pixels.shape[:2]
    if fit == "crop":
        kept = min(rows / height, columns / width)
        tall, wide = max(1, round(kept * height)), max(1, round(kept * width))
        top, left = (rows - tall) // 2, (columns - wide) // 2
        pixels = pixels[top : top + tall, left : left + wide]
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=kind)
    found = np.asarray(scaled, np.uint8)
    return np.repeat(found[..., None], 3, axis=2) if found.ndim == 2 else found


def embed(network: Network, images: Sequence[_Pixels | Rejected]) -> list[_Numbers | Rejected]:
    """Return the vector of every image, float32, shape (d,), or why it has none."""
    found: list[_Numbers | Rejected | None] = []
    ready: list[tuple[int, _Pixels]] = []
    for number, image in enumerate(images):
        if isinstance(image, Rejected):
            found.append(image)
            continue
        try:
            ready.append((number, square(image, network.height, network.width, network.fit)))
            found.append(None)
        except (cv2.error, ValueError, MemoryError) as error:
            found.append(Reason.EMBEDDING_FAILED.reject(f"It cannot be scaled: {sentence(error)}"))
    size = network.batch_images
    for first in range(0, len(ready), size):
        here = ready[first : first + size]
        batch = np.zeros((size, network.height, network.width, 3), np.uint8)
        for place, (_, pixels) in enumerate(here):
            batch[place] = pixels
        for (number, _), vector in zip(here, network(batch), strict=False):
            found[number] = _checked(vector)
    return [one for one in found if one is not None]


def _checked(vector: _Numbers) -> _Numbers | Rejected:
    bad = int((~np.isfinite(vector)).sum())
    if not bad:
        return vector
    return Reason.EMBEDDING_NOT_FINITE.reject(
        f"{bad} of the {len(vector)} numbers of its embedding are not finite."
    )


def make(place: str, threads: int, **options: Any) -> Network:
    """Make a network, once in a process: workers are reused, and it is costly to load.

    Parameters
    ----------
    place : str
        ``module:class``.
    threads : int
        Cores of a task.
    **options
        Of the class.
    """
    return _made(place, threads, json.dumps(options, sort_keys=True))


@functools.lru_cache(maxsize=3)
def _made(place: str, threads: int, options: str) -> Network:
    cv2.setNumThreads(1)
    module, _, name = place.partition(":")
    made: Network = getattr(importlib.import_module(module), name)(
        threads=threads, **json.loads(options)
    )
    return made


def _require_the_same(path: str, wanted: str) -> None:
    """Raise MiniaError where a worker finds another file than the driver did."""
    try:
        found = sha256_of(Path(path))
    except OSError as error:
        raise MiniaError(
            f"{path} cannot be read on this machine ({error.strerror}): it has to be on storage "
            "that all machines share"
        ) from None
    if found != wanted:
        raise MiniaError(
            f"{path} is another file here than where the run was started: it has to be on storage "
            "that all machines share"
        )


class ResnetNetwork:
    """ResNet50 of Keras without its last layer, averaged over positions: 2,048 numbers.

    Parameters
    ----------
    weights : str
        File of Keras' weights, or ``random``.
    sha256 : str
        Of the file, as the driver found it; ``random`` for none.
    batch_images, threads : int

    Raises
    ------
    InputError
        The file is not one, or does not fit the network; all problems are named.
    """

    height = width = 224
    fit = "squeeze"

    def __init__(self, *, weights: str, sha256: str, batch_images: int, threads: int) -> None:
        from minia_spark.delf.network import load_backbone

        if weights != RANDOM:
            _require_the_same(weights, sha256)
        self.batch_images = batch_images
        self._tf = tf = load_tensorflow(threads, gpu=None)
        import keras

        keras.utils.set_random_seed(1)
        model = keras.applications.ResNet50(
            include_top=False, weights=None, pooling="avg", input_shape=(224, 224, 3)
        )
        if weights != RANDOM:
            load_backbone(model, Path(weights))
        # keras' preprocess_input in its mode "caffe"
        mean = tf.constant([103.939, 116.779, 123.68])

        def vectors(images: Any) -> Any:
            blue_first = tf.reverse(tf.cast(images, tf.float32), [-1])
            return model(blue_first - mean, training=False)

        signature = [tf.TensorSpec((batch_images, 224, 224, 3), tf.uint8)]
        self._vectors = tf.function(vectors, input_signature=signature, autograph=False)

    def __call__(self, images: _Pixels) -> _Numbers:
        """Return the vectors of a full batch."""
        return np.asarray(self._vectors(self._tf.constant(images)).numpy(), np.float32)


class OnnxNetwork:
    """Any network as an ONNX file, by ONNX Runtime.

    Parameters
    ----------
    model, sha256 : str
        The file, and its hash as the driver found it.
    size : (int, int)
        Height and width of its images, in pixels.
    order : str
        ``rgb``, ``bgr`` or ``grey``.
    layout : str
        ``nchw`` or ``nhwc``.
    mean, scale : sequences of float
        Of every channel: the network gets (pixel - mean) / scale, with pixels of 0 to 255.
    fit : str
        See :func:`square`.
    output : str
        Name of the output; one of more than two axes is averaged over its positions.
    batch_images, threads : int

    Raises
    ------
    InputError
        ONNX Runtime cannot load it, or it has not such an input or output.
    """

    def __init__(
        self,
        *,
        model: str,
        sha256: str,
        size: Sequence[int],
        order: str,
        layout: str,
        mean: Sequence[float],
        scale: Sequence[float],
        fit: str,
        output: str,
        batch_images: int,
        threads: int,
    ) -> None:
        import onnxruntime

        _require_the_same(model, sha256)
        self.height, self.width = size
        self.fit, self.batch_images = fit, batch_images
        self._order, self._layout = order, layout
        self._mean, self._scale = np.array(mean, np.float32), np.array(scale, np.float32)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise InputError(
                f"embedding.onnx.model: {model} cannot be loaded by ONNX Runtime "
                f"({str(error).splitlines()[0][:300]}); copy or export it again"
            ) from None
        inputs = self._session.get_inputs()
        outputs = [found.name for found in self._session.get_outputs()]
        if len(inputs) != 1:
            raise InputError(f"embedding.onnx.model: {model} has {len(inputs)} inputs, not one")
        if output not in outputs:
            raise InputError(
                f"embedding.onnx.model: {model} has no output {output!r}; outputs: "
                f"{', '.join(outputs)}"
            )
        self._input, self._output = inputs[0].name, output
        fixed = inputs[0].shape[0] if inputs[0].shape else None
        if isinstance(fixed, int):  # exported for batches of one size
            self.batch_images = fixed
        try:
            found = self(np.zeros((self.batch_images, *size, 3), np.uint8))
        except Exception as error:
            raise InputError(
                f"embedding.onnx.model: {model} does not take images as its side file says "
                f"({str(error).splitlines()[0][:300]})"
            ) from None
        if found.ndim != 2 or len(found) != self.batch_images:
            raise InputError(
                f"embedding.onnx.model: output {output!r} of {model} has shape {found.shape}, not "
                "a vector an image"
            )

    def __call__(self, images: _Pixels) -> _Numbers:
        """Return the vectors of a full batch."""
        if self._order == "bgr":
            images = images[..., ::-1]
        if self._order == "grey":
            grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
            images = np.asarray(grey, np.uint8)[..., None]
        values = (images.astype(np.float32) - self._mean) / self._scale
        if self._layout == "nchw":
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        (found,) = self._session.run([self._output], {self._input: values})
        result = np.asarray(found, np.float32)
        if result.ndim == 4:
            axes = (2, 3) if self._layout == "nchw" else (1, 2)
            result = result.mean(axis=axes, dtype=np.float64)
        elif result.ndim == 3:  # of a transformer: a vector a patch
            result = result.mean(axis=1, dtype=np.float64)
        return result.astype(np.float32)


class DelfNetwork:
    """The mean of the descriptors of our own network, each counting by its attention; length 1.

    Parameters
    ----------
    model : str
        Folder that ``minia delf export`` wrote.
    weights : str
        Hash of its weights, as the driver found it.
    side_px, batch_images, threads : int
    """

    fit = "squeeze"

    def __init__(
        self, *, model: str, weights: str, side_px: int, batch_images: int, threads: int
    ) -> None:
        from minia_spark.features.delf import SavedNetwork
        from minia_spark.features.delf_model import read_manifest

        if read_manifest(Path(model)).weights != weights:
            raise MiniaError(
                f"{model} holds another network here than where the run was started: it has to be "
                "on storage that all machines share"
            )
        self.height = self.width = side_px
        self.batch_images = batch_images
        self._network = SavedNetwork(Path(model), threads, None)

    def __call__(self, images: _Pixels) -> _Numbers:
        """Return the vectors of a full batch."""
        scores, features = self._network(images, 1.0)
        weights = scores.astype(np.float64)[..., None]
        means = (weights * features).sum(axis=(1, 2))
        lengths = np.sqrt((means * means).sum(axis=1, keepdims=True))
        return np.asarray(means / np.where(lengths > 0, lengths, np.nan), np.float32)
