"""Training of one network, an epoch at a time, which goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.networks import load_tensorflow
from minia_spark.classify.folds import Copies, augmented, rotated
from minia_spark.classify.network import build, probabilities
from minia_spark.delf import checkpoints

__all__ = ["Course", "Recipe", "train"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    design : str
        ``study`` or ``ours``.
    side_px, classes, epochs, batch_size, patience, seed : int
    learning_rate : float
    augment : bool
        Whether every epoch sees its images turned, scaled, moved and with noise.
    mirror : bool
        Whether it sees them mirrored as well.
    """

    design: str
    side_px: int
    classes: int
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    seed: int
    augment: bool
    mirror: bool


@dataclass
class Course:
    """How a training went so far.

    Attributes
    ----------
    curves : list of dict
        Of every epoch: loss and accuracy, validation_loss and validation_accuracy, learning_rate.
    best_loss : float
        Smallest validation loss; the weights of that epoch are kept.
    best_epoch : int
    since_best, since_slower : int
        Epochs since it, and since the learning rate was last lowered.
    learning_rate : float
    """

    learning_rate: float
    curves: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = -1
    since_best: int = 0
    since_slower: int = 0

    def note(self, told: dict[str, float], patience: int) -> bool:
        """Take in an epoch; return whether it is the best so far."""
        self.curves.append(told)
        loss = told["validation_loss"]
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss, self.best_epoch = loss, len(self.curves) - 1
            self.since_best = self.since_slower = 0
        else:
            self.since_best += 1
            self.since_slower += 1
            if self.since_slower >= max(1, patience // 2):
                self.learning_rate /= 2
                self.since_slower = 0
        return is_best


def train(
    recipe: Recipe,
    crops: NDArray[np.uint8],
    labels: NDArray[np.int64],
    copies: Copies,
    check: NDArray[np.int64],
    *,
    targets: NDArray[np.float32] | None = None,
    place: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Any, Course]:
    """Train a network.

    The order of the images, their copies and the dropout of an epoch follow from the seed and its
    number, so that a training that was interrupted goes on as if it had not been.

    Parameters
    ----------
    recipe : Recipe
    crops : uint8 array, shape (n, side, side, 3)
    labels : int array, shape (n,)
    copies : Copies
        What teaches: nothing else of `crops` is looked at, but for those that validate.
    check : int array
        Rows that validate.
    targets : float array, shape (n, classes), or None
        Shares of the votes, which are learned instead of the labels; each row adds up to 1.
    place : Path or None
        Folder for checkpoints, one an epoch; a training that left some there is continued.
    say : callable
        Gets a line an epoch.

    Returns
    -------
    network
        With the weights of the epoch of the smallest validation loss.
    Course
    """
    tf = load_tensorflow()
    network = build(recipe.design, recipe.side_px, recipe.classes, recipe.seed)
    network.compile(
        optimizer=tf.keras.optimizers.Adam(recipe.learning_rate),
        loss=("sparse_" if targets is None else "") + "categorical_crossentropy",
        metrics=["accuracy"],
    )
    network.optimizer.build(network.trainable_variables)
    course = Course(recipe.learning_rate)
    best = network.get_weights()
    if place is not None:
        found, _ = checkpoints.newest(place)
        if found is not None:
            best = _restore(network, found.arrays)
            course = Course(**found.state["course"])
            say(f"goes on after epoch {len(course.curves)}")
    truth = labels[check]
    wanted = labels if targets is None else targets
    while len(course.curves) < recipe.epochs and course.since_best < recipe.patience:
        epoch = len(course.curves)
        rng = np.random.default_rng([recipe.seed, epoch])
        network.optimizer.learning_rate = course.learning_rate
        _set_seeds(network, recipe.seed * 100_003 + epoch)
        losses, rights, seen = 0.0, 0.0, 0
        order = rng.permutation(len(copies.sources))
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            images = np.stack([_image(crops, copies, i, rng, recipe) for i in chosen])
            told = network.train_on_batch(
                images.astype(np.float32), wanted[copies.sources[chosen]], return_dict=True
            )
            network.reset_metrics()
            losses += float(told["loss"]) * len(chosen)
            rights += float(told["accuracy"]) * len(chosen)
            seen += len(chosen)
        known = probabilities(network, crops[check])
        numbers = {
            "loss": losses / seen,
            "accuracy": rights / seen,
            "validation_loss": _loss(known, truth, None if targets is None else targets[check]),
            "validation_accuracy": float((known.argmax(axis=1) == truth).mean()),
            "learning_rate": course.learning_rate,
        }
        if course.note(numbers, recipe.patience):
            best = network.get_weights()
        if place is not None:
            arrays = _arrays(network, best)
            checkpoints.write(place, epoch + 1, arrays, {"course": asdict(course)})
        say(
            f"epoch {epoch + 1} of at most {recipe.epochs}: loss {numbers['loss']:.4f}, "
            f"validation {numbers['validation_loss']:.4f}, "
            f"right {numbers['validation_accuracy']:.3f}"
        )
    network.set_weights(best)
    return network, course


def _loss(
    known: NDArray[np.float32], truth: NDArray[np.int64], shares: NDArray[np.float32] | None
) -> float:
    """Return the cross entropy of probabilities with the classes, or with shares of votes."""
    least = np.float32(1e-7)
    if shares is None:
        own = np.maximum(known[np.arange(len(truth)), truth], least)
        return float(-np.log(own).mean())
    return float(-(shares * np.log(np.maximum(known, least))).sum(axis=1).mean())


def _image(
    crops: NDArray[np.uint8],
    copies: Copies,
    number: int,
    rng: np.random.Generator,
    recipe: Recipe,
) -> NDArray[np.uint8]:
    original = crops[copies.sources[number]]
    # a copy that is augmented is turned at random anyway
    return (
        augmented(original, rng, mirrors=recipe.mirror)
        if recipe.augment
        else rotated(original, float(copies.degrees[number]))
    )


def _set_seeds(network: Any, seed: int) -> None:
    """Give dropout the random numbers of an epoch."""
    for number, variable in enumerate(network.variables):
        if "seed_generator_state" in variable.path:
            variable.assign(np.array([seed % 2**31, number], np.uint32))


def _arrays(network: Any, best: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    now = {f"now_{i:03d}": w for i, w in enumerate(network.get_weights())}
    kept = {f"best_{i:03d}": w for i, w in enumerate(best)}
    steps = {f"optimizer_{i:03d}": np.asarray(v) for i, v in enumerate(network.optimizer.variables)}
    return now | kept | steps


def _restore(network: Any, arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Put a checkpoint's weights and optimizer into a network; return its best weights."""

    def of(kind: str) -> list[NDArray[Any]]:
        return [arrays[name] for name in sorted(arrays) if name.startswith(f"{kind}_")]

    network.set_weights(of("now"))
    for variable, value in zip(network.optimizer.variables, of("optimizer"), strict=True):
        variable.assign(value)
    return of("best")
