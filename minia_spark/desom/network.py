"""The networks of a deep embedded self-organising map (DESOM), in Keras 3.

An autoencoder, and a map whose prototypes lie in its latent space (Forest et al. 2019). The two
designs are those of Teimoorinia et al. (2021): a convolutional one for cutouts, a dense one for the
histo-vectors of exposures.
"""
# ruff: noqa: PLC0415 - TensorFlow takes seconds to load

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minia_spark.base.networks import load_tensorflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CUTOUTS", "HISTO_VECTORS", "Design", "Desom", "build"]

SIDE_PX = 32


@dataclass(frozen=True)
class Design:
    """What a DESOM is made of.

    Attributes
    ----------
    kind : {"conv", "dense"}
        ``conv``: images of 32 x 32 pixels from 0 to 1; ``dense``: vectors.
    widths : tuple of int
        Of the dense layers, from the input (``dense`` only) to the latent vector.
    side : int
        Rows, and columns, of the map.
    """

    kind: Literal["conv", "dense"]
    widths: tuple[int, ...]
    side: int

    @property
    def latent(self) -> int:
        """Numbers of a latent vector."""
        return self.widths[-1]

    @property
    def cells(self) -> int:
        """Cells of the map."""
        return self.side * self.side

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (SIDE_PX, SIDE_PX, 1) if self.kind == "conv" else (self.widths[0],)


CUTOUTS = Design("conv", (512, 160), 25)
"""DESOM-1: an encoder of 1,223,840 parameters, an autoencoder of 2,449,441."""
HISTO_VECTORS = Design("dense", (625, 450, 300, 100), 20)
"""DESOM-2: an autoencoder of 894,725 parameters."""


@dataclass
class Desom:
    """Networks that share their layers.

    Attributes
    ----------
    design : Design
    encoder : keras.Model
        From inputs to latent vectors.
    decoder : keras.Model
        From latent vectors to inputs.
    autoencoder : keras.Model
    prototypes : keras.Variable, shape (cells, latent)
    """

    design: Design
    encoder: Any
    decoder: Any
    autoencoder: Any
    prototypes: Any

    @cached_property
    def encode(self) -> Any:
        """The encoder, compiled: a float32 tensor (n, *input_shape) to latent vectors."""
        tf = load_tensorflow()
        return tf.function(
            lambda inputs: self.encoder(inputs, training=False),
            input_signature=[tf.TensorSpec((None, *self.design.input_shape), tf.float32)],
            autograph=False,
        )

    def layers(self) -> dict[str, list[Any]]:
        """Return the variables of every layer that has some, in order, by its name.

        The prototypes are layer ``SOM``.
        """
        found = {
            layer.name: list(layer.weights)
            for part in (self.encoder, self.decoder)
            for layer in part.layers
            if layer.weights
        }
        return found | {"SOM": [self.prototypes]}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all weights, by ``layer/number``."""
        return {
            f"{name}/{number}": np.asarray(variable.numpy())
            for name, variables in self.layers().items()
            for number, variable in enumerate(variables)
        }


def build(design: Design, seed: int = 0) -> Desom:
    """Build networks with fresh weights; prototypes are zeros until they are given."""
    load_tensorflow()
    import keras

    keras.utils.set_random_seed(seed % 2**32)
    encoder, decoder = _conv(design) if design.kind == "conv" else _dense(design)
    inputs = keras.Input(design.input_shape, name="input")
    autoencoder = keras.Model(inputs, decoder(encoder(inputs)), name="autoencoder")
    prototypes = keras.Variable(np.zeros((design.cells, design.latent), np.float32), name="SOM")
    return Desom(design, encoder, decoder, autoencoder, prototypes)


def _conv(design: Design) -> tuple[Any, Any]:
    import keras
    from keras import layers

    def conv(x: Any, filters: int, name: str, activation: str | None = "relu") -> Any:
        return layers.Conv2D(filters, 3, padding="same", activation=activation, name=name)(x)

    inputs = keras.Input(design.input_shape, name="input")
    x = inputs
    for number, filters in enumerate((32, 64, 128), 1):
        x = conv(x, filters, f"conv_{number}")
        x = layers.MaxPooling2D(2, name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    *hidden, latent = design.widths
    for number, width in enumerate(hidden):
        x = layers.Dense(width, activation="relu", name=f"encoder_{number}")(x)
    encoder = keras.Model(
        inputs, layers.Dense(latent, activation="relu", name="z")(x), name="encoder"
    )

    codes = keras.Input((latent,), name="code")
    x = codes
    for number in reversed(range(len(hidden))):
        x = layers.Dense(hidden[number], activation="relu", name=f"decoder_dense_{number}")(x)
    x = layers.Dense(4 * 4 * 128, activation="relu", name="decoder_dense")(x)
    x = layers.Reshape((4, 4, 128), name="reshape")(x)
    for number, filters in ((2, 64), (1, 32)):
        x = layers.UpSampling2D(2, name=f"up_{number}")(x)
        x = conv(x, filters, f"decoder_conv_{number}")
    x = layers.UpSampling2D(2, name="up_0")(x)
    decoder = keras.Model(codes, conv(x, 1, "decoder_conv_0", None), name="decoder")
    return encoder, decoder


def _dense(design: Design) -> tuple[Any, Any]:
    import keras
    from keras import layers

    first, *hidden, latent = design.widths
    inputs = keras.Input((first,), name="input")
    x = inputs
    for number, width in enumerate(hidden):
        x = layers.Dense(width, activation="relu", name=f"encoder_{number}")(x)
    encoder = keras.Model(inputs, layers.Dense(latent, name="z")(x), name="encoder")

    codes = keras.Input((latent,), name="code")
    x = codes
    for number in reversed(range(1, len(hidden) + 1)):
        x = layers.Dense(hidden[number - 1], activation="relu", name=f"decoder_{number}")(x)
    decoder = keras.Model(codes, layers.Dense(first, name="decoder_0")(x), name="decoder")
    return encoder, decoder
