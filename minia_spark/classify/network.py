"""The networks: the study's, and ours. TensorFlow is loaded when one is built."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import InputError
from minia_spark.base.networks import load_tensorflow

__all__ = ["as_bytes", "build", "from_bytes", "probabilities"]

_TOGETHER = 64
_LEAST_SIDE = 32


def build(design: str, side_px: int, classes: int, seed: int) -> Any:
    """Return an untrained network, from crops (bytes as numbers, 0 to 255) to probabilities.

    Parameters
    ----------
    design : ``study`` or ``ours``
        study: three convolutions, two pools by 3, a dense layer, dropout. ours: half the
        resolution first, four pairs of convolutions with normalisation, mean and maximum over what
        is left, so that neither the place nor the number of pixels counts.
    side_px : int
        Of a crop.
    classes, seed : int

    Raises
    ------
    InputError
        The crop is too small for the study's pools.
    """
    if side_px < _LEAST_SIDE:
        raise InputError(
            f"reduce.side_px is {side_px}, and networks need crops of at least {_LEAST_SIDE}"
        )
    tf = load_tensorflow()
    keras = tf.keras
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    start = layers.Input((side_px, side_px, 3))
    x = layers.Rescaling(1 / 255)(start)
    if design == "study":
        x = layers.Conv2D(64, 6, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(3)(x)
        x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(3)(x)
        x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = layers.Flatten()(x)
        x = layers.Dense(64, activation="relu")(x)
        x = layers.Dropout(0.5)(x)
    else:
        x = layers.AveragePooling2D(2)(x)
        for width in (24, 48, 64, 96):
            for _ in range(2):
                x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
                x = layers.BatchNormalization(momentum=0.9)(x)
                x = layers.ReLU()(x)
            if width < 96:
                x = layers.MaxPooling2D(2)(x)
        mean, most = layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)
        x = layers.Concatenate()([mean, most])
        x = layers.Dropout(0.3)(x)
    found = layers.Dense(classes, activation="softmax", dtype="float32")(x)
    return keras.Model(start, found, name=design)


def probabilities(network: Any, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities, shape (n, k), of crops, shape (n, side, side, 3).

    Crops go through in groups of one size, so that none depends on those beside it.
    """
    count = network.output_shape[-1]
    found = np.empty((len(crops), count), np.float32)
    block = np.zeros((_TOGETHER, *crops.shape[1:]), np.float32)
    for start in range(0, len(crops), _TOGETHER):
        piece = crops[start : start + _TOGETHER]
        block[: len(piece)] = piece
        found[start : start + len(piece)] = network.predict_on_batch(block)[: len(piece)]
    return found


def as_bytes(network: Any) -> bytes:
    """Return a network as a file in Keras' format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        with warnings.catch_warnings():
            # Keras 3 asks NumPy 2 in the way of NumPy 1
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            network.save(path)
        return path.read_bytes()


def from_bytes(data: bytes) -> Any:
    """Return a network from a file in Keras' format; code in it is refused."""
    tf = load_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        path.write_bytes(data)
        return tf.keras.models.load_model(path, compile=False, safe_mode=True)
