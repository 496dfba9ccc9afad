"""Training of DELF's network: data, step, validation, checkpoints, figures.

Every random choice follows from the seed and from a number that counts images, so that a training
that was stopped goes on as if it had not been: the same images, cropped in the same way.
"""
# ruff: noqa: PLC0415 - TensorFlow takes seconds to load

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import checkpoints, network
from minia_spark.delf.records import Reader, order_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CLIP",
    "MOMENTUM",
    "Recipe",
    "Trainer",
    "Validated",
    "attention_figures",
    "augmented",
    "batches",
    "fitted",
    "learning_rate",
    "validation_batches",
]

MOMENTUM = 0.9
CLIP = 10.0
"""Largest norm of all gradients together."""

_CROP_ASPECT = (0.8, 1.25)
_CROP_AREA = (0.3, 1.0)
_SPARSE = 0.01
_LOSSES = ("total", "descriptor", "attention", "reconstruction")
_ACCURACIES = ("descriptor", "attention")
_PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the sentences are in :mod:`minia_spark.delf.training_settings`."""

    design: network.Design
    max_iters: int
    initial_lr: float
    batch_size: int
    image_size: int
    seed: int
    mixed_precision: bool = False
    checkpoint_every: int = 1000
    log_every: int = 50


@dataclass(frozen=True)
class Validated:
    """What a validation found: means over its images."""

    images: int
    losses: dict[str, float]
    accuracies: dict[str, float]


def learning_rate(initial: float, step: int, max_iters: int) -> float:
    """Return the learning rate of a step: it falls linearly from `initial` at step 0 to 0."""
    return initial * (1 - min(step, max_iters) / max_iters)


# -- data -----------------------------------------------------------------------------------------


def augmented(encoded: Any, size: int, seed: Any) -> Any:
    """Return a random crop of a JPEG image, scaled to a square and flipped every other time.

    Parameters
    ----------
    encoded : string tensor, shape ()
    size : int
        Side of the square, in pixels.
    seed : int64 tensor, shape (2,)
        The same seed gives the same crop.

    Returns
    -------
    float32 tensor, shape (size, size, 3), from 0 to 255
        The crop has 0.3 to 1 of the image's area, with sides in a ratio of 0.8 to 1.25.
    """
    tf = load_tensorflow()
    shape = tf.io.extract_jpeg_shape(encoded)
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros([1, 0, 4]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=_CROP_ASPECT,
        area_range=_CROP_AREA,
        max_attempts=20,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.stack([begin[0], begin[1], extent[0], extent[1]])
    crop = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
    scaled = tf.image.resize(crop, [size, size])
    return tf.image.stateless_random_flip_left_right(scaled, seed=seed + 1)


def fitted(encoded: Any, size: int) -> Any:
    """Return a whole JPEG image scaled to a square: float32, shape (size, size, 3), 0 to 255."""
    tf = load_tensorflow()
    return tf.image.resize(tf.io.decode_jpeg(encoded, channels=3), [size, size])


def batches(reader: Reader, count: int, recipe: Recipe, start: int, failures: list[Any]) -> Any:
    """Return the batches of the steps from `start` to the last: a tf.data.Dataset.

    Parameters
    ----------
    reader : Reader
    count : int
        Records of a pass over the data.
    recipe : Recipe
    start : int
        First step, from 0.
    failures : list
        Gets the error of a record that cannot be read: TensorFlow's own says less.
    """
    tf = load_tensorflow()
    as_it_is = tf.autograph.experimental.do_not_convert
    size, classes = recipe.batch_size, recipe.design.num_classes

    def read(step: Any) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int64]]:
        places = np.arange(int(step) * size, (int(step) + 1) * size, dtype=np.int64)
        numbers = order_of(recipe.seed, count, int(places[0]), int(places[-1]) + 1)
        images, targets = _noted(failures, lambda: reader.read(numbers))
        return np.array(images, object), targets, places

    def of_step(step: Any) -> Any:
        images, targets, places = tf.numpy_function(
            read, [step], [tf.string, tf.float32, tf.int64], stateful=False
        )
        images.set_shape([size])
        targets.set_shape([size, classes])
        places.set_shape([size])
        return images, targets, places

    def of_image(encoded: Any, targets: Any, place: Any) -> Any:
        seed = tf.stack([tf.constant(recipe.seed, tf.int64), 2 * place])
        return augmented(encoded, recipe.image_size, seed), targets

    steps = tf.data.Dataset.range(start, recipe.max_iters)
    found = steps.map(as_it_is(of_step), num_parallel_calls=2, deterministic=True)
    found = found.unbatch()
    found = found.map(as_it_is(of_image), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return found.batch(size, drop_remainder=True).prefetch(2)


def validation_batches(reader: Reader, count: int, recipe: Recipe, failures: list[Any]) -> Any:
    """Return all records in batches, in their order, uncropped: a tf.data.Dataset."""
    tf = load_tensorflow()
    as_it_is = tf.autograph.experimental.do_not_convert
    size, classes = recipe.batch_size, recipe.design.num_classes

    def read(start: Any) -> tuple[NDArray[Any], NDArray[np.float32]]:
        numbers = np.arange(int(start), min(int(start) + size, count), dtype=np.int64)
        images, targets = _noted(failures, lambda: reader.read(numbers))
        return np.array(images, object), targets

    def of_start(start: Any) -> Any:
        images, targets = tf.numpy_function(read, [start], [tf.string, tf.float32], stateful=False)
        images.set_shape([None])
        targets.set_shape([None, classes])
        return images, targets

    def of_image(encoded: Any, targets: Any) -> Any:
        return fitted(encoded, recipe.image_size), targets

    found = tf.data.Dataset.range(0, count, size).map(as_it_is(of_start)).unbatch()
    found = found.map(as_it_is(of_image), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return found.batch(size).prefetch(1)


def _noted(failures: list[Any], work: Callable[[], Any]) -> Any:
    try:
        return work()
    except MiniaError as error:
        failures.append(error)
        raise


# -- the network as it learns ---------------------------------------------------------------------


@dataclass
class Trainer:
    """A network, its optimizer and the functions that change and measure it.

    Parameters
    ----------
    recipe : Recipe
    devices : list of str or None
        Where copies of the network learn together, each from a part of every batch; None: on all
        GPUs, or without any on the CPU.

    Attributes
    ----------
    model : keras.Model
    step : int
        Steps that were done.
    """

    recipe: Recipe
    devices: list[str] | None = None
    step: int = 0
    model: Any = field(init=False)

    def __post_init__(self) -> None:
        tf = load_tensorflow()
        import keras

        devices = self.devices
        if devices is None:
            devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        self._strategy = (
            tf.distribute.MirroredStrategy(devices)
            if len(devices) > 1
            else tf.distribute.get_strategy()
        )
        recipe = self.recipe
        if recipe.batch_size < self._strategy.num_replicas_in_sync:
            raise MiniaError(
                f"a batch of {recipe.batch_size} images cannot be shared among "
                f"{self._strategy.num_replicas_in_sync} GPUs"
            )
        keras.utils.set_random_seed(recipe.seed % 2**32)
        with self._strategy.scope():
            precision = "mixed_bfloat16" if recipe.mixed_precision else "float32"
            self.model = network.build(recipe.design, precision=precision)
            schedule = keras.optimizers.schedules.PolynomialDecay(
                recipe.initial_lr, recipe.max_iters, end_learning_rate=0.0, power=1.0
            )
            self._optimizer = keras.optimizers.SGD(schedule, momentum=MOMENTUM)
            self._optimizer.build(self.model.trainable_variables)
        self._learn = self._learner()
        self._measure = self._measurer()

    def _learner(self) -> Any:
        tf = load_tensorflow()
        strategy, model, optimizer = self._strategy, self.model, self._optimizer
        copies = strategy.num_replicas_in_sync
        share = 1.0 / self.recipe.batch_size
        variables = [variable.value for variable in model.trainable_variables]

        def on_a_copy(images: Any, targets: Any) -> tuple[dict[str, Any], Any]:
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                found = network.losses(outputs, targets)
                loss = tf.reduce_sum(found["total"]) * share
            gradients = tape.gradient(loss, variables)
            if copies > 1:
                gradients = tf.distribute.get_replica_context().all_reduce("SUM", gradients)
            gradients, norm = tf.clip_by_global_norm(gradients, CLIP)
            if copies > 1:  # Keras sums over the copies again
                gradients = [gradient / copies for gradient in gradients]
            optimizer.apply(gradients, model.trainable_variables)
            sums = _sums(outputs, targets, found)
            sums["gradient_norm"] = norm / copies
            return sums, outputs["scores"]

        def learn(images: Any, targets: Any) -> tuple[dict[str, Any], Any]:
            if copies == 1:
                return on_a_copy(images, targets)
            sums, scores = strategy.run(on_a_copy, (images, targets))
            summed = {name: strategy.reduce("SUM", value, None) for name, value in sums.items()}
            return summed, tf.concat(strategy.experimental_local_results(scores), 0)

        return tf.function(learn, reduce_retracing=True, autograph=False)

    def _measurer(self) -> Any:
        tf = load_tensorflow()
        model = self.model

        def measure(images: Any, targets: Any) -> dict[str, Any]:
            outputs = model(images, training=False)
            return _sums(outputs, targets, network.losses(outputs, targets))

        return tf.function(measure, reduce_retracing=True, autograph=False)

    # -- checkpoints ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights (``weights/...``) and the optimizer's momenta (``momentum/...``)."""
        found = {f"weights/{v.path}": v.numpy() for v in self.model.weights}
        momenta = zip(self.model.trainable_variables, self._optimizer.momentums, strict=True)
        return found | {f"momentum/{v.path}": np.asarray(momentum) for v, momentum in momenta}

    def restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Take over a checkpoint.

        Raises
        ------
        InputError
            It is of another network.
        """
        targets = {f"weights/{v.path}": v for v in self.model.weights}
        momenta = zip(self.model.trainable_variables, self._optimizer.momentums, strict=True)
        targets |= {f"momentum/{v.path}": momentum for v, momentum in momenta}
        _assign(targets, checkpoint.arrays)
        self.step = checkpoint.step
        self._optimizer.iterations.assign(checkpoint.step)

    # -- the loop ---------------------------------------------------------------------------------

    def train(self, data: Any) -> Iterator[tuple[dict[str, float], NDArray[np.float32]]]:
        """Learn from batches; yield after every `log_every` steps, and where a checkpoint is due.

        Parameters
        ----------
        data : tf.data.Dataset
            As :func:`batches` makes it, from the step after the last.

        Yields
        ------
        dict
            Means over the images since the last time: ``loss/total`` and so on,
            ``accuracy/descriptor``, ``accuracy/attention``, ``gradient_norm``, ``learning_rate``,
            ``images_per_second``.
        float32 array
            Attention scores of the last batch.
        """
        recipe = self.recipe
        if self._strategy.num_replicas_in_sync > 1:
            data = self._strategy.experimental_distribute_dataset(data)
        waiting: list[dict[str, Any]] = []
        since = time.perf_counter()
        for images, targets in data:
            rate = learning_rate(recipe.initial_lr, self.step, recipe.max_iters)
            sums, scores = self._learn(images, targets)
            waiting.append(sums)
            self.step += 1
            due = self.step % recipe.log_every == 0 or self.step == recipe.max_iters
            if due or self.step % recipe.checkpoint_every == 0:
                means = _means(waiting, len(waiting) * recipe.batch_size)
                means["gradient_norm"] *= recipe.batch_size  # it is one of a step, not of an image
                if not np.isfinite(means["loss/total"]):
                    raise MiniaError(
                        f"the loss is not finite any more at step {self.step}: train with a "
                        "smaller --initial-lr (checkpoints before this step are kept)"
                    )
                seconds = time.perf_counter() - since
                means["learning_rate"] = rate
                means["images_per_second"] = len(waiting) * recipe.batch_size / seconds
                yield means, scores.numpy()
                waiting, since = [], time.perf_counter()

    def validate(self, data: Any) -> Validated:
        """Return losses and accuracies over all images of some batches, at least one."""
        total: dict[str, float] = {}
        images = 0
        for pixels, targets in data:
            images += int(targets.shape[0])
            for name, value in self._measure(pixels, targets).items():
                total[name] = total.get(name, 0.0) + float(value)
        means = {name: value / images for name, value in total.items()}
        return Validated(
            images,
            {name: means[f"loss/{name}"] for name in _LOSSES},
            {name: means[f"accuracy/{name}"] for name in _ACCURACIES},
        )


def _assign(targets: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    problems = [f"{name} is missing" for name in targets if name not in arrays]
    problems += [f"{name} is not of this network" for name in arrays if name not in targets]
    problems += [
        f"{name} has shape {arrays[name].shape}, not {tuple(variable.shape)}"
        for name, variable in targets.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if problems:
        raise InputError(f"the checkpoint is of another network: {'; '.join(problems[:5])}")
    for name, variable in targets.items():
        variable.assign(arrays[name])


def _sums(outputs: Any, targets: Any, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return sums over the images: of the losses, and of right answers of both heads."""
    tf = load_tensorflow()
    sums = {f"loss/{name}": tf.reduce_sum(found[name]) for name in _LOSSES}
    wanted = tf.argmax(targets, axis=-1)
    for name in _ACCURACIES:
        right = tf.equal(tf.argmax(outputs[f"{name}_logits"], axis=-1), wanted)
        sums[f"accuracy/{name}"] = tf.reduce_sum(tf.cast(right, tf.float32))
    return sums


def _means(waiting: list[dict[str, Any]], images: int) -> dict[str, float]:
    return {name: sum(float(sums[name]) for sums in waiting) / images for name in waiting[0]}


def attention_figures(scores: NDArray[np.float32]) -> dict[str, float]:
    """Return how attention is spread over positions.

    Parameters
    ----------
    scores : float32 array
        At least one.

    Returns
    -------
    dict
        ``min``, ``mean``, ``max``, ``p5`` to ``p95``, and ``sparsity``: the share of positions with
        less than a hundredth of the largest score.
    """
    flat = scores.reshape(-1).astype(np.float64)
    found = {"min": flat.min(), "mean": flat.mean(), "max": flat.max()}
    found |= {f"p{p}": np.percentile(flat, p) for p in _PERCENTILES}
    found["sparsity"] = (flat < _SPARSE * flat.max()).mean()
    return {name: float(value) for name, value in found.items()}
