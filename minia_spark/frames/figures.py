"""Figures of the map, by matplotlib and without a display."""
# ruff: noqa: PLC0415 - matplotlib takes a second to load

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["Tile", "scatter", "tiles"]

_ACROSS = 3
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


@dataclass(frozen=True)
class Tile:
    """An image as it is drawn.

    Attributes
    ----------
    title : str
    picture : bytes or None
        A JPEG or PNG file; None: an empty frame.
    width, height : int
        Of the image that the circles are of, in pixels.
    x, y, size : float arrays, shape (n,)
        Centres and diameters of its features, in pixels.
    colours : int array, shape (n,)
        Of matplotlib's cycle.
    """

    title: str
    picture: bytes | None
    width: int
    height: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    size: NDArray[np.float64]
    colours: NDArray[np.int64]


def tiles(images: Sequence[Tile], *, title: str = "") -> Figure:
    """Return a figure of images, three side by side, with circles on their features."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle
    from PIL import Image

    rows = max(1, -(-len(images) // _ACROSS))
    figure = Figure(figsize=(3 * _ACROSS, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title))
    for number, image in enumerate(images, start=1):
        axes = figure.add_subplot(rows, _ACROSS, number)
        axes.set_title(_plain(image.title), fontsize="small")
        axes.set_xticks([])
        axes.set_yticks([])
        # the centre of the first pixel is 0
        box = (-0.5, image.width - 0.5, image.height - 0.5, -0.5)
        if image.picture is not None:
            with Image.open(io.BytesIO(image.picture)) as opened:
                axes.imshow(np.asarray(opened.convert("RGB")), extent=box)
        axes.set_xlim(*box[:2])
        axes.set_ylim(*box[2:])
        axes.set_aspect("equal")
        for x, y, size, colour in zip(image.x, image.y, image.size, image.colours, strict=True):
            axes.add_patch(Circle((x, y), size / 2, fill=False, edgecolor=f"C{colour % 10}"))
    return figure


def _plain(text: str) -> str:
    """Return a text that matplotlib takes for no formula, and that prints; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")


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
