"""Figures of the map, by matplotlib and without a display."""
# ruff: noqa: PLC0415 - matplotlib takes a second to load

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["scatter"]

_MOST_CLASSES = 20
_OTHERS = "#bbbbbb"


def scatter(
    places: NDArray[np.float64],
    values: NDArray[Any] | None,
    *,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    title: str = "",
    note: str | None = None,
    size_inches: tuple[float, float] = (8.0, 8.0),
) -> Figure:
    """Return a figure with a dot an image.

    Parameters
    ----------
    places : float64 array, shape (n, 2) or (n, 3)
    values : array, shape (n,), or None
        Numbers become a colour scale, all else classes, of which the 20 most frequent have a
        colour; missing ones are grey. None: one colour.
    low, high : float64 arrays, shape (2,) or (3,)
        Corners of the box that is drawn; points outside of it widen it.
    title : str
    note : str or None
        What everybody who sees it must know; printed below.
    size_inches : (float, float)
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, layout="constrained")
    FigureCanvasAgg(figure)
    is_deep = places.shape[1] == 3
    axes = figure.add_subplot(projection="3d" if is_deep else None)
    size = float(np.clip(20_000 / max(1, len(places)), 0.5, 20))
    dots: dict[str, Any] = {"s": size, "linewidths": 0}
    if values is None:
        axes.scatter(*places.T, color="C0", **dots)
    elif np.issubdtype(np.asarray(values).dtype, np.number):
        drawn = axes.scatter(*places.T, **dots | {"c": values})
        figure.colorbar(drawn, ax=axes, shrink=0.6)
    else:
        _classes(axes, places, values, dots)
    if len(places):
        low = np.minimum(low, places.min(axis=0))
        high = np.maximum(high, places.max(axis=0))
    for name, start, end in zip("xyz", low, high, strict=False):
        if end > start:
            getattr(axes, f"set_{name}lim")(start, end)
    if not is_deep:
        axes.set_aspect("equal")
    axes.set_title(title)
    if note is not None:
        figure.supxlabel(note, color="red")
    return figure


def _classes(
    axes: Any, places: NDArray[np.float64], values: NDArray[Any], dots: dict[str, Any]
) -> None:
    from matplotlib import colormaps

    missing = [v is None or (isinstance(v, float) and math.isnan(v)) for v in values]
    texts = ["" if gone else str(v) for v, gone in zip(values, missing, strict=True)]
    names = np.array(texts, dtype=np.str_)
    known, counts = np.unique(names[names != ""], return_counts=True)
    shown = known[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]
    rest = ~np.isin(names, shown)
    if rest.any():
        several = len(known) > len(shown)
        label = "others or none" if several else "none"
        axes.scatter(*places[rest].T, color=_OTHERS, label=label, **dots)
    for number, name in enumerate(shown):
        colour = colormaps["tab20"](number)
        axes.scatter(*places[names == name].T, color=colour, label=name, **dots)
    if len(shown):
        axes.legend(markerscale=3, fontsize="small", loc="best")
