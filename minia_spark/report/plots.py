"""The plots of the vocabulary as PNG bytes, in a light and a dark theme.

Figures are made without pyplot: no global state, any thread, no screen.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from minia_spark.report.data import DriftData

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "outlier_bounds",
    "plot_costs",
    "plot_drift",
    "plot_pca",
    "plot_word_counts",
    "principal_axes",
]

_DPI = 160
_SIZE_INCHES = (6.0, 3.75)
_MOST_BINS = 60
_NAMED_BATCHES = 20
_NAME_LENGTH = 14


@dataclass(frozen=True)
class Theme:
    """Colours of a plot; the background is transparent."""

    text: str
    grid: str
    quiet: str
    strong: str
    warn: str


LIGHT = Theme(text="#3c4250", grid="#dedfe3", quiet="#7d8ba1", strong="#1f5fbf", warn="#c2410c")
DARK = Theme(text="#b9c0cc", grid="#2c3038", quiet="#5c6b82", strong="#8ab4f8", warn="#fb923c")


def principal_axes(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean, the first two principal axes and their shares of the variance.

    Parameters
    ----------
    rows : float array, shape (n, dimension)
        At least one row and one column.

    Returns
    -------
    mean : float64 array, shape (dimension,)
    axes : float64 array, shape (dimension, 2)
        Unit columns; the sign is such that the largest entry by magnitude is positive. With one
        dimension the second axis is zero.
    shares : float64 array, shape (2,)
        In [0, 1]; zero where the rows do not vary.
    """
    data = np.asarray(rows, dtype=np.float64)
    mean = data.mean(axis=0)
    covariance = (data - mean).T @ (data - mean) / len(data)
    values, vectors = np.linalg.eigh(covariance)
    axes = np.zeros((data.shape[1], 2))
    shares = np.zeros(2)
    for i in range(min(2, data.shape[1])):
        vector = vectors[:, -1 - i]
        axes[:, i] = vector * np.sign(vector[np.abs(vector).argmax()])
        shares[i] = max(values[-1 - i], 0) / values.sum() if values.sum() > 0 else 0
    return mean, axes, shares


def outlier_bounds(counts: NDArray[np.int64], deviations: float) -> tuple[float, float]:
    """Return mean - d * sd and mean + d * sd (population sd) of counts, shape (n,), n >= 1."""
    mean, deviation = float(counts.mean()), float(counts.std())
    return mean - deviations * deviation, mean + deviations * deviation


def plot_pca(descriptors: NDArray[np.float32], centres: NDArray[np.float32], theme: Theme) -> bytes:
    """Plot sampled descriptors and the centres on the two principal axes.

    Parameters
    ----------
    descriptors : float array, shape (n, dimension)
        Give the axes; when there are none, the centres do.
    centres : float array, shape (words, dimension)
        At least one.
    theme : Theme

    Returns
    -------
    bytes
        A PNG file; the same input gives the same bytes.
    """
    mean, axes, shares = principal_axes(descriptors if len(descriptors) else centres)
    figure, plot = _figure(theme)
    points = (descriptors - mean) @ axes
    # Many points need to be fainter, or the densest part is one blot.
    alpha = float(np.clip(600 / max(len(points), 1), 0.12, 0.6))
    plot.scatter(
        *points.T, s=4, color=theme.quiet, alpha=alpha, linewidths=0, label="descriptors (sample)"
    )
    centred = (centres - mean) @ axes
    plot.scatter(*centred.T, s=9, color=theme.warn, linewidths=0, label="words (centres)")
    for i, axis in enumerate((plot.xaxis, plot.yaxis)):
        axis.set_label_text(f"principal axis {i + 1} ({shares[i]:.0%} of the variance)")
    plot.legend(**_legend(theme), markerscale=1.8)
    return _png(figure)


def plot_word_counts(counts: NDArray[np.int64], deviations: float, theme: Theme) -> bytes:
    """Plot how often words occur, with the bounds of outliers.

    Parameters
    ----------
    counts : integer array, shape (words,)
        Occurrences of every word; at least one word.
    deviations : float
        Bounds are at mean +- this many standard deviations.
    theme : Theme

    Returns
    -------
    bytes
        A PNG file.
    """
    low, high = outlier_bounds(counts, deviations)
    figure, plot = _figure(theme)
    bins = int(np.clip(np.sqrt(len(counts)) * 1.5, 5, _MOST_BINS))
    heights, edges = np.histogram(counts, bins=bins)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = (middles >= low) & (middles <= high)
    plot.bar(
        middles,
        heights,
        width=np.diff(edges) * 0.92,
        color=[theme.strong if kept else theme.warn for kept in inside],
    )
    d = f"{deviations:g} sd"
    marks = ((low, f"mean \N{MINUS SIGN} {d}", 0.97), (high, f"mean + {d}", 0.97))
    for place, name, height in (*marks, (float(counts.mean()), "mean", 0.9)):
        if place < 0:  # counts have no negative side
            continue
        style = (0, (4, 3)) if name != "mean" else "solid"
        plot.axvline(place, color=theme.text, linewidth=1, linestyle=style)
        plot.annotate(
            name,
            (place, height),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0) if place > low else (-4, 0),
            textcoords="offset points",
            ha="left" if place > low else "right",
            va="top",
            fontsize=8,
            color=theme.text,
        )
    plot.set_xlabel("occurrences of a word")
    plot.set_ylabel("words")
    plot.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _png(figure)


def plot_costs(costs: Sequence[float], theme: Theme) -> bytes:
    """Plot the cost after every refinement iteration (at least one) as PNG bytes."""
    figure, plot = _figure(theme)
    plot.plot(
        np.arange(1, len(costs) + 1), costs, color=theme.strong, marker="o", markersize=4, lw=1.5
    )
    plot.set_xlabel("refinement iteration")
    plot.set_ylabel("cost (sum of squared distances)")
    plot.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _png(figure)


def plot_drift(drift: DriftData, theme: Theme) -> bytes:
    """Plot error and divergence of every measured batch with their limits, as PNG bytes.

    Bars reach three standard deviations to either side. What the vocabulary was made from is
    drawn hollow; what is beyond a limit, in the colour of warnings.
    """
    figure, above = _figure(theme, rows=2)
    below = figure.add_subplot(2, 1, 2, sharex=above)
    _style(below, theme)
    measured = [b for b in drift.batches if b.divergence is not None]
    for number, batch in enumerate(measured, start=1):
        colour = theme.warn if batch.clauses else theme.strong
        fill = "none" if batch.trained_on else colour
        look: dict[str, Any] = {"fmt": "o", "markersize": 4.5, "color": colour, "mfc": fill}
        if batch.error_ratio is not None and batch.error_deviation is not None:
            reach = 3 * batch.error_deviation if np.isfinite(batch.error_deviation) else 0
            above.errorbar(number, batch.error_ratio, reach, **look)
        assert batch.divergence is not None
        assert batch.expected_divergence is not None
        assert batch.divergence_deviation is not None
        excess = batch.divergence - batch.expected_divergence
        below.errorbar(number, excess, 3 * batch.divergence_deviation, **look)
    for plot, usual, limit in (
        (above, 1.0, drift.max_error_ratio),
        (below, 0, drift.max_divergence),
    ):
        plot.axhline(usual, color=theme.text, linewidth=1)
        plot.axhline(limit, color=theme.warn, linewidth=1, linestyle=(0, (4, 3)))
        plot.annotate(
            "limit",
            (1, limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=theme.warn,
        )
    above.set_ylabel("error, by the expected")
    above.tick_params(labelbottom=False)
    below.set_ylabel("divergence beyond\nchance (bits)")
    if len(measured) <= _NAMED_BATCHES:
        names = [_short(batch.batch) for batch in measured]
        below.set_xticks(range(1, len(measured) + 1), names, rotation=30, ha="right")
    else:
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        below.set_xlabel("batch, in the order of names")
    below.set_xlim(0.4, len(measured) + 0.6)
    return _png(figure)


def _short(name: str) -> str:
    return (
        name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )


def _figure(theme: Theme, *, rows: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    plot = figure.add_subplot(rows, 1, 1)
    figure.patch.set_alpha(0)
    _style(plot, theme)
    return figure, plot


def _style(plot: Any, theme: Theme) -> None:
    plot.patch.set_alpha(0)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(theme.grid)
    plot.grid(color=theme.grid, linewidth=0.6)
    plot.set_axisbelow(True)
    plot.tick_params(colors=theme.text, labelsize=8, length=0)
    for axis in (plot.xaxis, plot.yaxis):
        axis.label.set_color(theme.text)
        axis.label.set_fontsize(9)
        axis.set_major_formatter(FuncFormatter(_plain))


def _plain(value: float, _position: int) -> str:
    """Thousands with separators, small values with few digits."""
    text = f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.3g}"
    if abs(value) >= 1e6:
        text = f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return text.replace("-", "\N{MINUS SIGN}")


def _legend(theme: Theme) -> dict[str, Any]:
    return {"fontsize": 8, "frameon": False, "labelcolor": theme.text, "loc": "best"}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib inside, the file depends on the data only.
    figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()
