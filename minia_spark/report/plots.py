"""The plots of the page as inline SVG; the page's style sheet gives them their colours.

Shapes have classes and no colours of their own, so that one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from minia_spark.report.data import BatchDrift, DriftData
from minia_spark.report.text import visible
from minia_spark.words.bag import outlier_bounds

__all__ = [
    "nice_ticks",
    "plot_drift",
    "plot_principal_axes",
    "plot_steps",
    "plot_word_counts",
    "principal_axes",
]

_WIDTH, _HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 10, 46
_MOST_BINS = 60
_GRID = (104, 61)  # cells of the shading, across and down
_LEVELS = 6  # of the shading
_NAMED_BATCHES = 20
_NAME_LENGTH = 14


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


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers in [low, high], about `wanted`, in steps of 1, 2 or 5 times 10^k.

    Equal, reversed or infinite bounds have one tick, the lower bound; not a number has none.
    """
    if math.isnan(low) or math.isnan(high):
        return []
    span = high - low
    if not (0 < span < math.inf):
        return [low] if math.isfinite(low) else []
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def plot_principal_axes(
    descriptors: NDArray[np.float32], centres: NDArray[np.float32], alt: str
) -> Markup:
    """Plot sampled descriptors (shaded by their density) and centres on the principal axes.

    Parameters
    ----------
    descriptors : float array, shape (n, dimension)
        Give the axes; when there are none, the centres do.
    centres : float array, shape (words, dimension)
        At least one.
    alt : str
        What the plot shows, for those who do not see it; so in all functions here.

    Returns
    -------
    Markup
        An ``svg`` element; the same input gives the same text.
    """
    mean, axes, shares = principal_axes(descriptors if len(descriptors) else centres)
    points, centred = (descriptors - mean) @ axes, (centres - mean) @ axes
    both = np.concatenate([points, centred])
    low, high = both.min(axis=0), both.max(axis=0)
    pad = np.where(high > low, (high - low) * 0.02, 1.0)
    low, high = low - pad, high + pad
    panel = _Panel(x=(low[0], high[0]), y=(low[1], high[1]))
    panel.axes(
        *(f"principal axis {i + 1} ({share:.0%} of variance)" for i, share in _numbered(shares))
    )
    if len(points):
        bounds = np.stack([low, high], axis=1).tolist()
        cells, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=list(_GRID), range=bounds)
        panel.shade(cells)
    dots = sorted({(panel.at_x(x), panel.at_y(y)) for x, y in centred.tolist()})
    panel.path("dots", "".join(f"M{x:g} {y:g}h0" for x, y in dots))
    return _svg([panel], alt)


def plot_word_counts(counts: NDArray[np.int64], deviations: float, alt: str) -> Markup:
    """Plot how often words occur: kept words in one colour, outliers in another.

    Parameters
    ----------
    counts : integer array, shape (words,)
        Occurrences of every word; at least one word.
    deviations : float
        Outliers are beyond mean +- this many standard deviations.
    alt : str
    """
    low, high = outlier_bounds(counts, deviations)
    bins = int(np.clip(np.sqrt(len(counts)) * 1.5, 5, _MOST_BINS))
    edges = np.histogram_bin_edges(counts, bins=bins)
    outside = (counts < low) | (counts > high)
    dropped, kept = (np.histogram(counts[which], bins=edges)[0] for which in (outside, ~outside))
    panel = _Panel(
        x=(float(edges[0]), float(edges[-1])), y=(0, 1.08 * float((kept + dropped).max()))
    )
    panel.axes("occurrences of a word", "words", whole_y=True)
    for i in range(bins):
        between = f"{edges[i]:,.0f} to {edges[i + 1]:,.0f} occurrences"
        left, right = float(edges[i]), float(edges[i + 1])
        for name, base, height in (("strong", 0, kept[i]), ("warn", kept[i], dropped[i])):
            if height:
                fate = "kept" if name == "strong" else "outliers"
                title = f"{height:,} {'word' if height == 1 else 'words'}, {between} ({fate})"
                panel.bar(name, (left, right), (float(base), float(base + height)), title)
    d = f"{deviations:g} sd"
    for place, name, row in (
        (low, f"mean \N{MINUS SIGN} {d}", 0),
        (float(counts.mean()), "mean", 1),
        (high, f"mean + {d}", 0),
    ):
        if edges[0] <= place <= edges[-1]:
            panel.mark(
                place,
                name,
                row,
                dashed=name != "mean",
                before=name.startswith("mean \N{MINUS SIGN}"),
            )
    return _svg([panel], alt)


def plot_steps(
    values: Sequence[float],
    alt: str,
    *,
    titles: tuple[str, str],
    step: str,
    level: tuple[float, str] | None = None,
    used: int | None = None,
) -> Markup:
    """Plot what a value is at first and after every step.

    Parameters
    ----------
    values : sequence of float
        At least one.
    alt : str
    titles : (str, str)
        Of the axes.
    step : str
        What a step is called.
    level : (float, str), optional
        Where a line across is drawn, and what it means.
    used : int, optional
        Steps that are used; what is behind them is drawn hollow. All by default.
    """
    ends = [*values, *([] if level is None else level[:1])]
    low, high = min(ends), max(ends)
    pad = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    last = len(values) - 1
    panel = _Panel(x=(0, last) if last else (-0.5, 0.5), y=(low - pad, high + pad))
    panel.axes(*titles, whole_x=True)
    if level is not None:
        panel.level("limit quiet", level[0])
        panel.text(_LEFT + 4, panel.at_y(level[0]) - 4, level[1], "start")
    points = [(panel.at_x(i), panel.at_y(value)) for i, value in enumerate(values)]
    panel.path("line", "M" + "L".join(f"{x:g} {y:g}" for x, y in points))
    for number, ((x, y), value) in enumerate(zip(points, values, strict=True)):
        look = "strong" if used is None or number <= used else "strong hollow"
        panel.dot(look, x, y, f"{step} {number}: {value:,.6g}")
    return _svg([panel], alt)


def plot_drift(drift: DriftData, alt: str) -> Markup:
    """Plot error and divergence of every measured batch with their limits.

    Bars reach three standard deviations to either side. What the codebook was made from is
    drawn hollow; what is beyond a limit, in the colour of warnings.
    """
    measured = [b for b in drift.batches if b.divergence is not None]
    named = len(measured) <= _NAMED_BATCHES
    bottom = 76 if named else _BOTTOM
    middle = (_TOP + _HEIGHT - bottom) / 2
    x = (0.4, len(measured) + 0.6)
    rows: list[_Panel] = []
    for values, usual, limit, title, (top, end) in (
        (_errors(measured), 1.0, drift.max_error_ratio, "error ratio", (_TOP, middle - 8)),
        (
            _divergences(measured),
            0.0,
            drift.max_divergence,
            "divergence (bits)",
            (middle + 8, _HEIGHT - bottom),
        ),
    ):
        ends = [usual, limit, *(v + s * r for v, r in values if not math.isnan(v) for s in (-1, 1))]
        pad = (max(ends) - min(ends)) * 0.08
        panel = _Panel(x=x, y=(min(ends) - pad, max(ends) + pad), top=top, bottom=end)
        last = bool(rows)
        panel.axes(
            "batch, in the order of names" if last and not named else "",
            title,
            whole_x=True,
            x_numbers=last and not named,
            wanted=3,
        )
        panel.level("text", usual)
        panel.level("limit", limit, "limit")
        for number, (batch, (value, reach)) in enumerate(zip(measured, values, strict=True), 1):
            if math.isnan(value):
                continue
            look = ("warn" if batch.clauses else "strong") + (" hollow" if batch.trained_on else "")
            place = panel.at_x(number)
            ends_y = [panel.at_y(value + sign * reach) for sign in (-1, 1)]
            panel.path(f"reach {look}", f"M{place:g} {ends_y[0]:g}V{ends_y[1]:g}")
            panel.dot(look, place, panel.at_y(value), f"{batch.batch}: {value:.3g}")
        rows.append(panel)
    if named:
        for number, batch in enumerate(measured, start=1):
            rows[-1].slanted(number, _short(batch.batch))
    return _svg(rows, alt)


def _errors(batches: Iterable[BatchDrift]) -> list[tuple[float, float]]:
    return [
        (math.nan, 0.0)
        if b.error_ratio is None or b.error_deviation is None
        else (b.error_ratio, 3 * b.error_deviation if math.isfinite(b.error_deviation) else 0.0)
        for b in batches
    ]


def _divergences(batches: Iterable[BatchDrift]) -> list[tuple[float, float]]:
    return [
        (
            (b.divergence or 0.0) - (b.expected_divergence or 0.0),
            3 * (b.divergence_deviation or 0.0),
        )
        for b in batches
    ]


def _short(name: str) -> str:
    if len(name) <= _NAME_LENGTH:
        return name
    return name[: _NAME_LENGTH - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _numbered(values: NDArray[np.float64]) -> Iterable[tuple[int, float]]:
    return enumerate(values.tolist())


@dataclass
class _Panel:
    """One pair of axes; collects SVG elements. Positions on the page have one decimal."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: float = _TOP
    bottom: float = _HEIGHT - _BOTTOM
    parts: list[str] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        low, high = self.x
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_LEFT + share * (_WIDTH - _RIGHT - _LEFT), 1)

    def at_y(self, value: float) -> float:
        low, high = self.y
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.bottom - share * (self.bottom - self.top), 1)

    def axes(
        self,
        x_title: str,
        y_title: str,
        *,
        whole_x: bool = False,
        whole_y: bool = False,
        x_numbers: bool = True,
        wanted: int = 5,
    ) -> None:
        right = _WIDTH - _RIGHT
        for value in _ticks(self.x, 6, whole=whole_x) if x_numbers else ():
            place = self.at_x(value)
            self.path("grid", f"M{place:g} {self.top:g}V{self.bottom:g}")
            self.text(place, self.bottom + 16, _plain(value), "middle")
        for value in _ticks(self.y, wanted, whole=whole_y):
            place = self.at_y(value)
            self.path("grid", f"M{_LEFT} {place:g}H{right}")
            self.text(_LEFT - 6, place + 4, _plain(value), "end")
        if x_title:
            self.text((_LEFT + right) / 2, self.bottom + 36, x_title, "middle")
        middle = (self.top + self.bottom) / 2
        self.parts.append(
            f'<text transform="translate(13 {middle:g}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_title)}</text>"
        )

    def text(self, x: float, y: float, text: str, anchor: str, name: str = "") -> None:
        look = f' class="{name}"' if name else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{look}>{escape(visible(text))}</text>'
        )

    def path(self, name: str, shape: str) -> None:
        self.parts.append(f'<path class="{name}" d="{shape}"/>')

    def bar(self, name: str, x: tuple[float, float], y: tuple[float, float], title: str) -> None:
        start, end = map(self.at_x, x)
        width = max(round((end - start) * 0.92, 1), 0.5)
        bottom, top = map(self.at_y, y)
        self.parts.append(
            f'<rect class="{name}" x="{start:g}" y="{top:g}" width="{width:g}" '
            f'height="{max(round(bottom - top, 1), 0.5):g}"><title>{escape(title)}</title></rect>'
        )

    def dot(self, name: str, x: float, y: float, title: str) -> None:
        self.parts.append(
            f'<circle class="{name}" cx="{x:g}" cy="{y:g}" r="3.5">'
            f"<title>{escape(visible(title))}</title></circle>"
        )

    def mark(self, value: float, name: str, row: int, *, dashed: bool, before: bool) -> None:
        place = self.at_x(value)
        self.path("limit quiet" if dashed else "text", f"M{place:g} {self.top:g}V{self.bottom:g}")
        # a name that would leave the plot stands on the other side of its line
        before = (before and place - _LEFT > 70) or _WIDTH - _RIGHT - place < 70
        self.text(
            place + (-4 if before else 4),
            self.top + 12 + 15 * row,
            name,
            "end" if before else "start",
        )

    def level(self, name: str, value: float, title: str = "") -> None:
        place = self.at_y(value)
        self.path(name, f"M{_LEFT} {place:g}H{_WIDTH - _RIGHT}")
        if title:
            self.text(_WIDTH - _RIGHT, place - 4, title, "end", "warn")

    def slanted(self, value: float, name: str) -> None:
        self.parts.append(
            f'<text transform="translate({self.at_x(value) + 4:g} {self.bottom + 14:g}) '
            f'rotate(-30)" text-anchor="end">{escape(visible(name))}</text>'
        )

    def shade(self, cells: NDArray[np.float64]) -> None:
        """Fill the panel with cells, shape (across, up), darker where more points are."""
        levels = np.ceil(np.sqrt(cells / cells.max()) * _LEVELS).astype(int)
        width = (_WIDTH - _RIGHT - _LEFT) / cells.shape[0]
        height = (self.bottom - self.top) / cells.shape[1]
        for level in range(1, _LEVELS + 1):
            shape = []
            for row in range(cells.shape[1]):
                y = round(self.bottom - (row + 0.5) * height, 1)
                for first, last in _runs(levels[:, row] == level):
                    x, length = round(_LEFT + first * width, 1), round((last - first) * width, 1)
                    shape.append(f"M{x:g} {y:g}h{length:g}")
            if shape:
                self.path(f"shade d{level}", "".join(shape))


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, behind the last) of every run of true values."""
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _ticks(bounds: tuple[float, float], wanted: int, *, whole: bool) -> list[float]:
    ticks = nice_ticks(*bounds, wanted)
    return [tick for tick in ticks if tick == round(tick)] if whole else ticks


def _plain(value: float) -> str:
    """Thousands with separators, small values with few digits."""
    text = f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.3g}"
    if abs(value) >= 1e5:
        text = f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return text.replace("-", "\N{MINUS SIGN}")


def _svg(panels: Iterable[_Panel], alt: str) -> Markup:
    inside = "".join(part for panel in panels for part in panel.parts)
    return Markup(  # noqa: S704 - made here: every text in it went through escape()
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(visible(alt))}">{inside}</svg>'
    )
