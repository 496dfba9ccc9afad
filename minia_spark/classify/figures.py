"""Pictures of networks, as the study has them: arrays in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minia_spark.lab.figures import figure_of, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["calibration_curve", "confusion_matrix", "learning_curves", "roc_curves"]

Points = NDArray[np.float64]

_HALVES = ("loss", "accuracy")
_DASHES = ("-", "--", ":")
_COLOURS = 10


def roc_curves(curves: Mapping[str, Points], areas: Mapping[str, float]) -> Figure:
    """Draw the ROC curve of every class.

    Parameters
    ----------
    curves : mapping
        Class to (false, true) positive rates, shape (n, 2).
    areas : mapping
        Class to the area below its curve; NaN where it is not known.
    """
    figure = figure_of(6.4, 4.4)
    axis = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        area = areas.get(name, np.nan)
        title = plain(name) + (f" ({area:.3f})" if np.isfinite(area) else "")
        dash = _DASHES[number // _COLOURS % len(_DASHES)]
        axis.plot(points[:, 0], points[:, 1], dash, label=title, linewidth=1.2)
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, zorder=0)
    axis.set_xlabel("false positive rate")
    axis.set_ylabel("true positive rate")
    legend = axis.legend(fontsize=7, title="class (AUC)", title_fontsize=7, loc="lower right")
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def calibration_curve(points: Points) -> Figure:
    """Draw how often a network is right, (probability, share that is right), shape (n, 2)."""
    figure = figure_of(4.4, 4.4)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axis.plot(points[:, 0], points[:, 1], "o-", markersize=4)
    axis.set_xlabel("probability that the network gives")
    axis.set_ylabel("share that is right")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    return figure


def learning_curves(curves: Mapping[str, Points]) -> Figure:
    """Draw loss and accuracy over the epochs.

    Parameters
    ----------
    curves : mapping
        ``loss``, ``validation_loss``, ``accuracy`` and ``validation_accuracy``, as far as they are
        there, to (epoch, value), shape (n, 2).
    """
    figure = figure_of(8, 3.4)
    for axis, measure in zip(figure.subplots(1, 2), _HALVES, strict=True):
        for name, title in ((measure, "training"), (f"validation_{measure}", "validation")):
            if name in curves:
                axis.plot(curves[name][:, 0], curves[name][:, 1], label=title)
        axis.set_xlabel("epoch")
        axis.set_ylabel(measure)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis.lines:
            axis.legend(fontsize=8)
    return figure


def confusion_matrix(classes: Sequence[str], counts: NDArray[np.float64]) -> Figure:
    """Draw images of a class (row) taken for another (column), shape (c, c); shares of a row."""
    size = 1.6 + 0.45 * len(classes)
    figure = figure_of(size + 0.8, size)
    axis = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{count:,.0f}", ha="center", va="center", fontsize=7, color=colour)
    names = [plain(name) for name in classes]
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8, parse_math=False)
    axis.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axis.set_xlabel("taken for")
    axis.set_ylabel("is")
    figure.colorbar(image, label="share of the class", shrink=0.8)
    return figure
