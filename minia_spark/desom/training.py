"""Training of a deep embedded self-organising map: autoencoder and map together.

The loss of an input is its reconstruction error plus gamma times the sum over the cells of w_k d_k:
d_k is the squared distance of its latent vector to prototype k, w_k = exp(-D^2 / T^2) with D the
Manhattan distance on the grid between cell k and the nearest one, and T falls exponentially
(Forest et al. 2019, equations 2 to 5). Every random choice follows from the seed and the step, so
that a training that was stopped goes on as if it had not been.

A wide neighbourhood draws the latent vectors together far faster than Adam moves a prototype, which
is the learning rate a step: most prototypes are then left where no vector comes any more. Now and
then the map can therefore be laid out anew over the latent vectors, down to the width that the
neighbourhood has then: what moves towards it from there on moves towards a map in order. And as the
sum over the cells grows with their number, on large maps it can outweigh the reconstruction until
all inputs have one latent vector: gamma can grow from nothing while the neighbourhood shrinks.
"""
# ruff: noqa: PLC0415 - TensorFlow takes seconds to load

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.base.networks import load_tensorflow
from minia_spark.delf.records import order_of
from minia_spark.desom.grid import (
    grid_distances,
    quantisation_error,
    settled_map,
    temperature,
    topographic_error,
)
from minia_spark.desom.network import Design, Desom, build

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BATCH", "Recipe", "Trainer", "encoded"]

BATCH = 256
_MEASURED = 2_048  # inputs on which the map is measured, and laid out now and then
_SETTLED = 32_768  # inputs over which it is laid out in the end
_PASSES, _LAST_PASSES = 20, 60
_FEW, _STARTS = 4_096, 12  # inputs so few are laid out so often in the end


@dataclass(frozen=True)
class Recipe:
    """How a DESOM is trained.

    Attributes
    ----------
    design : Design
    steps : int
        Batches; the neighbourhood shrinks over them.
    rate : float
        Learning rate of Adam.
    gamma : float
        Weight of the map's part of the loss.
    batch : int
    highest, lowest : float
        Width of the neighbourhood at the first and at the last step.
    seed : int
    log_every : int
        Steps between two measurements.
    refit_every : int
        Steps between two times that :func:`~minia_spark.desom.grid.settled_map` lays the map out
        anew, which it does after the last step too, over more inputs; 0: never.
    ramp : float
        Share of the steps over which gamma grows to its value, with the cube of the step.
    """

    design: Design
    steps: int
    rate: float = 0.001
    gamma: float = 0.001
    batch: int = BATCH
    highest: float = 10.0
    lowest: float = 0.1
    seed: int = 0
    log_every: int = 100
    refit_every: int = 0
    ramp: float = 0.0

    def gamma_at(self, step: int) -> float:
        """Return the weight of the map's part of the loss at a step."""
        growing = self.ramp * self.steps
        return self.gamma * min(1.0, step / growing) ** 3 if growing else self.gamma


def encoded(desom: Desom, inputs: NDArray[Any], batch: int = BATCH) -> NDArray[np.float32]:
    """Return the latent vectors of inputs.

    Batches are filled up to one size: how TensorFlow adds up depends on it, so that a vector does
    not depend on how many others came with it.

    Parameters
    ----------
    desom : Desom
    inputs : uint8 or float array, shape (n, *design.input_shape)
        uint8 counts as 0 to 1.
    batch : int

    Returns
    -------
    float32 array, shape (n, latent)
    """
    found = [np.zeros((0, desom.design.latent), np.float32)]
    for start in range(0, len(inputs), batch):
        part = _as_float(inputs[start : start + batch])
        short = batch - len(part)
        if short:
            part = np.concatenate([part, np.zeros((short, *part.shape[1:]), np.float32)])
        found.append(np.asarray(desom.encode(part))[: batch - short])
    return np.concatenate(found)


def _as_float(inputs: NDArray[Any]) -> NDArray[np.float32]:
    if inputs.dtype == np.uint8:
        return np.asarray(inputs, np.float32) / np.float32(255)
    return np.asarray(inputs, np.float32)


@dataclass
class Trainer:
    """Networks, their optimizer and the loop.

    Parameters
    ----------
    recipe : Recipe
    inputs : uint8 or float array, shape (n, *design.input_shape)
        At least as many as the map has cells.

    Attributes
    ----------
    desom : Desom
    step : int
        Steps that were done.

    Raises
    ------
    InputError
        There are fewer inputs than cells.
    """

    recipe: Recipe
    inputs: NDArray[Any]
    desom: Desom = field(init=False)
    step: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        import keras

        recipe = self.recipe
        cells = recipe.design.cells
        if len(self.inputs) < cells:
            raise InputError(
                f"a map of {cells} cells needs at least as many inputs to be trained on, there are "
                f"{len(self.inputs)}; take a smaller map or more inputs"
            )
        self.desom = build(recipe.design, recipe.seed)
        first = order_of(recipe.seed, len(self.inputs), 0, cells)
        self.desom.prototypes.assign(encoded(self.desom, self.inputs[first]))
        self._variables = [*self.desom.autoencoder.trainable_variables, self.desom.prototypes]
        self._optimizer = keras.optimizers.Adam(recipe.rate)
        self._optimizer.build(self._variables)
        self._learn = self._learner()

    def _learner(self) -> Any:
        tf = load_tensorflow()
        desom, recipe, variables = self.desom, self.recipe, self._variables
        apart = tf.constant(grid_distances(recipe.design.side), tf.float32)
        watched = [variable.value for variable in variables]

        def learn(inputs: Any, width: Any, gamma: Any) -> tuple[Any, Any, Any]:
            with tf.GradientTape() as tape:
                codes = desom.encoder(inputs, training=True)
                rebuilt = desom.decoder(codes, training=True)
                error = tf.reduce_mean(tf.square(inputs - rebuilt))
                distances = (
                    tf.reduce_sum(tf.square(codes), axis=1, keepdims=True)
                    - 2 * tf.matmul(codes, desom.prototypes.value, transpose_b=True)
                    + tf.reduce_sum(tf.square(desom.prototypes.value), axis=1)
                )
                cells = tf.argmin(distances, axis=-1)
                weights = tf.exp(-tf.square(tf.gather(apart, cells) / width))
                spread = tf.reduce_mean(tf.reduce_sum(weights * distances, axis=-1))
                loss = error + gamma * spread
            self._optimizer.apply(tape.gradient(loss, watched), variables)
            nearest = tf.reduce_mean(tf.reduce_min(distances, axis=-1))
            return error, spread, nearest

        shape = (recipe.batch, *recipe.design.input_shape)
        number = tf.TensorSpec((), tf.float32)
        signature = [tf.TensorSpec(shape, tf.float32), number, number]
        return tf.function(learn, input_signature=signature, autograph=False)

    def train(self) -> Iterator[dict[str, float]]:
        """Learn to the last step; yield figures after every `log_every` steps and at the end.

        Yields
        ------
        dict
            ``step``; means since the last time: ``reconstruction`` (mean squared error), ``som``
            (the map's part of the loss, before gamma), of which ``kmeans`` (to the nearest cell)
            and ``topology`` (to all others); now: ``quantisation_error``, ``topographic_error``,
            ``temperature``; ``inputs_per_second``.
        """
        recipe = self.recipe
        sums = np.zeros(3)
        since, done = time.perf_counter(), 0
        while self.step < recipe.steps:
            start = self.step * recipe.batch
            places = order_of(recipe.seed, len(self.inputs), start, start + recipe.batch)
            width = temperature(self.step, recipe.steps, recipe.highest, recipe.lowest)
            gamma = recipe.gamma_at(self.step)
            told = self._learn(_as_float(self.inputs[places]), np.float32(width), np.float32(gamma))
            sums += [float(value) for value in told]
            self.step += 1
            done += 1
            if recipe.refit_every and self.step == recipe.steps:
                self._settle()
            elif recipe.refit_every and self.step % recipe.refit_every == 0:
                self._lay_out(width)
            if self.step % recipe.log_every == 0 or self.step == recipe.steps:
                error, spread, nearest = sums / done
                if not np.isfinite(error + spread):
                    raise MiniaError(
                        f"the loss is not finite any more at step {self.step}: train with a "
                        "smaller learning rate"
                    )
                seconds = time.perf_counter() - since
                yield {
                    "step": float(self.step),
                    "reconstruction": error,
                    "som": spread,
                    "kmeans": nearest,
                    "topology": spread - nearest,
                    "temperature": width,
                    **self.errors(),
                    "inputs_per_second": done * recipe.batch / seconds,
                }
                sums, since, done = np.zeros(3), time.perf_counter(), 0

    def errors(self) -> dict[str, float]:
        """Return the errors of the map as it is, on a sample that does not change."""
        codes, prototypes = self._sample(_MEASURED), self.desom.prototypes.numpy()
        return {
            "quantisation_error": quantisation_error(codes, prototypes),
            "topographic_error": topographic_error(codes, prototypes, self.recipe.design.side),
        }

    def _sample(self, count: int) -> NDArray[np.float32]:
        total = len(self.inputs)
        chosen = np.sort(order_of(self.recipe.seed, total, 0, min(count, total)))
        return encoded(self.desom, self.inputs[chosen], self.recipe.batch)

    def _lay_out(self, width: float) -> None:
        """Lay the map out now and then, down to the width of the time."""
        side = self.recipe.design.side
        highest = max(self.recipe.highest, side)  # at first all cells move together
        laid = settled_map(self._sample(_MEASURED), side, highest, width, _PASSES)
        self.desom.prototypes.assign(laid.astype(np.float32))

    def _settle(self) -> None:
        """Lay the map out in the end; of few inputs several times, as chance decides more there.

        The best is the one with the least quantisation error.
        """
        recipe, codes = self.recipe, self._sample(_SETTLED)
        side = recipe.design.side
        widths = side * (np.geomspace(0.4, 3, _STARTS) if len(codes) <= _FEW else np.ones(1))
        maps = (
            settled_map(codes, side, max(recipe.lowest, float(width)), recipe.lowest, _LAST_PASSES)
            for width in widths
        )
        best = min(maps, key=lambda laid: quantisation_error(codes, laid))
        self.desom.prototypes.assign(best.astype(np.float32))

    # -- to go on later ---------------------------------------------------------------------------

    def _all(self) -> dict[str, Any]:
        found = {f"weights/{v.path}": v for v in self._variables}
        return found | {f"adam/{k}": v for k, v in enumerate(self._optimizer.variables)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that a training needs to go on, besides `step`."""
        return {name: np.asarray(variable.numpy()) for name, variable in self._all().items()}

    def restore(self, step: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what :meth:`arrays` gave.

        Raises
        ------
        InputError
            It is of another network.
        """
        ours = self._all()
        if set(ours) != set(arrays) or any(
            tuple(ours[name].shape) != arrays[name].shape for name in ours
        ):
            raise InputError("the checkpoint is of another network: train anew in an empty folder")
        for name, variable in ours.items():
            variable.assign(arrays[name])
        self.step = step
