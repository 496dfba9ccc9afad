"""Trains a map, with checkpoints: a training that was killed goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.networks import load_tensorflow
from minia_spark.delf import checkpoints
from minia_spark.desom.network import Desom
from minia_spark.desom.training import Recipe, Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fitted", "log_every", "step_line"]


def log_every(steps: int) -> int:
    """Return how many steps lie between two measurements of a training: about forty in all."""
    return max(1, min(steps, max(50, steps // 40)))


def fitted(
    recipe: Recipe,
    inputs: NDArray[Any],
    folder: Path | None,
    say: Callable[[str], None],
) -> tuple[Desom, list[dict[str, float]]]:
    """Train, or go on, to the last step.

    Parameters
    ----------
    recipe : Recipe
    inputs : uint8 or float array, shape (n, *design.input_shape)
    folder : Path or None
        For checkpoints, of this recipe and these inputs alone; None: nothing is kept.
    say : callable
        Is given a line after every measurement.

    Returns
    -------
    Desom
    list of dict
        The figures of :meth:`~minia_spark.desom.training.Trainer.train`, those from before a stop
        included.
    """
    load_tensorflow()
    trainer = Trainer(recipe, inputs)
    told: list[dict[str, float]] = []
    last = None
    if folder is not None:
        last, problems = checkpoints.newest(folder)
        for problem in problems:
            say(f"{problem}; an older one is taken")
    if last is not None:
        trainer.restore(last.step, last.arrays)
        told = list(last.state["told"])
        say(f"going on at step {last.step:,} of {recipe.steps:,}")
    for figures in trainer.train():
        told.append(figures)
        say(step_line(figures, recipe.steps))
        if folder is not None and trainer.step < recipe.steps:
            checkpoints.write(folder, trainer.step, trainer.arrays(), {"told": told})
    return trainer.desom, told


def step_line(figures: dict[str, float], steps: int) -> str:
    """Return a measurement as people read it."""
    return (
        f"step {figures['step']:,.0f} of {steps:,}: reconstruction "
        f"{figures['reconstruction']:.5f}, map {figures['som']:.4f} (k-means "
        f"{figures['kmeans']:.4f}, topology {figures['topology']:.4f}), quantisation error "
        f"{figures['quantisation_error']:.4f}, topographic error "
        f"{figures['topographic_error']:.3f}, {figures['inputs_per_second']:,.0f} inputs a second"
    )
