"""A map as a figure for papers and slides: dots, with thumbnails where there is room."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import NDArray

from minia_spark.explorer.palette import LIGHT, OTHER, SCALE
from minia_spark.explorer.parts import hash_order
from minia_spark.explorer.sheets import decoded

__all__ = ["figure", "in_file"]

_DPI = 150
_DOTS = 20_000
"""More dots than these are stored as pixels in a PDF file."""


def figure(
    positions: NDArray[np.float64],
    *,
    image_ids: pa.StringArray,
    colours: pa.Array | None = None,
    colour_name: str = "",
    title: str = "",
    note: str = "",
    pictures: Callable[[Sequence[int]], Sequence[bytes | None]] | None = None,
    pictures_across: int = 18,
    size_inches: tuple[float, float] = (9.0, 7.0),
) -> Figure:
    """Draw a map.

    Parameters
    ----------
    positions : float array, shape (n, 2)
        x and y upwards; rows with NaN are not drawn.
    image_ids : string array, shape (n,)
        By their hashes it is decided which of two dots that lie upon each other is seen, and which
        of near images shows its thumbnail: the same ones for any order of the rows.
    colours : string or numeric array, shape (n,), optional
        Texts: the most frequent ones have a colour each, all others and null are grey. Numbers: a
        scale from the 2nd to the 98th percentile.
    colour_name : str
        Heading of the legend.
    title, note : str
        Above, and in small letters below.
    pictures : callable, optional
        From indices to the encoded thumbnails of these images; called once, with those that have
        room. None, and what cannot be decoded, stays a dot.
    pictures_across : int
        About so many thumbnails fit side by side; none overlap.
    size_inches : tuple of float
        Width and height.

    Returns
    -------
    matplotlib.figure.Figure
        It belongs to no window; see :func:`in_file`.

    Raises
    ------
    ValueError
        Lengths differ.
    """
    for what, column in (("image_ids", image_ids), ("colours", colours)):
        if column is not None and len(column) != len(positions):
            raise ValueError(f"there are {len(positions)} positions but {len(column)} {what}")
    made = Figure(figsize=size_inches, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#e1e3e7")
    if title:
        axes.set_title(_plain(title), loc="left", fontweight="bold")
    if note:
        axes.set_xlabel(_plain(note), fontsize=8, color="#5a616d", loc="left")
    order = hash_order(image_ids)
    order = order[np.isfinite(positions[order]).all(axis=1)]
    if not len(order):
        axes.text(0.5, 0.5, "no images", ha="center", va="center", transform=axes.transAxes)
        return made
    inks, values = _inks(axes, colours, len(positions), colour_name)
    if values is not None and len(values):
        axes.legend(
            handles=values,
            title=_plain(colour_name) or None,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            alignment="left",
        )
    axes.scatter(
        positions[order, 0],
        positions[order, 1],
        s=float(np.clip(30_000 / len(order), 0.3, 22)),
        c=inks[order],
        linewidths=0,
        rasterized=len(order) > _DOTS,
    )
    if pictures is not None and pictures_across > 0:
        _add_pictures(
            axes, positions, order=order, inks=inks, pictures=pictures, across=pictures_across
        )
    return made


def in_file(made: Figure, kind: str) -> bytes:
    """Return a figure as a PNG or PDF file; the same figure gives the same bytes.

    Parameters
    ----------
    made : Figure
    kind : str
        ``png`` or ``pdf``.
    """
    dated: dict[str, Any] = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    file = io.BytesIO()
    made.savefig(file, format=kind, dpi=_DPI, metadata=dated[kind])
    return file.getvalue()


def _plain(text: str) -> str:
    """Return text that matplotlib takes for no formula; what does not print is a question mark."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    return shown.replace("$", r"\$")


def _inks(
    axes: Any, colours: pa.Array | None, n: int, name: str
) -> tuple[NDArray[np.float64], list[Any] | None]:
    """Return a colour for every image, shape (n, 3), and what the legend has; None: a scale."""
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415
    from matplotlib.colors import Normalize  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    inks = np.tile(to_rgb(LIGHT[0] if colours is None else OTHER), (n, 1))
    if colours is None:
        return inks, []
    if pa.types.is_integer(colours.type) or pa.types.is_floating(colours.type):
        numbers = colours.cast(pa.float64()).to_numpy(zero_copy_only=False)
        known = np.isfinite(numbers)
        if not known.any():
            return inks, []
        low, high = np.quantile(numbers[known], (0.02, 0.98))
        scale = LinearSegmentedColormap.from_list("map", SCALE)
        shades = ScalarMappable(Normalize(low, high, clip=True), scale)
        inks[known] = shades.to_rgba(numbers[known])[:, :3]
        axes.figure.colorbar(shades, ax=axes, shrink=0.6, label=_plain(name))
        return inks, None
    counted = pc.value_counts(pc.drop_null(colours)).to_pylist()
    ranked = sorted(counted, key=lambda row: (-row["counts"], row["values"]))
    handles = []
    for row, colour in zip(ranked, LIGHT, strict=False):
        inks[pc.fill_null(pc.equal(colours, row["values"]), False).to_numpy(False)] = to_rgb(colour)
        handles.append((colour, f"{_short(row['values'])} ({row['counts']:,})"))
    others = n - sum(row["counts"] for row in ranked[: len(LIGHT)])
    if others:
        kind = "none" if len(ranked) <= len(LIGHT) else "others"
        handles.append((OTHER, f"{kind} ({others:,})"))
    return inks, [
        Line2D([], [], marker="o", linestyle="", color=colour, label=_plain(text))
        for colour, text in handles
    ]


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:29]}\N{HORIZONTAL ELLIPSIS}"


def _add_pictures(
    axes: Any,
    positions: NDArray[np.float64],
    *,
    order: NDArray[np.int64],
    inks: NDArray[np.float64],
    pictures: Callable[[Sequence[int]], Sequence[bytes | None]],
    across: int,
) -> None:
    axes.figure.draw_without_rendering()  # the layout is known then
    box = axes.get_window_extent()
    side = box.width / across
    places = axes.transData.transform(positions[order])
    taken: dict[tuple[int, int], NDArray[np.float64]] = {}
    chosen = []
    for index, place in zip(order.tolist(), places, strict=True):
        column, row = (int(part // side) for part in place)
        near = (
            taken.get((a, b))
            for a in range(column - 1, column + 2)
            for b in range(row - 1, row + 2)
        )
        if any(one is not None and np.abs(one - place).max() < 1.12 * side for one in near):
            continue
        taken[column, row] = place
        chosen.append(index)
    for index, picture in zip(chosen, pictures(chosen), strict=True):
        pixels = None if picture is None else decoded(picture)
        if pixels is None:
            continue
        # offset boxes are scaled for 72 dots an inch
        image = OffsetImage(
            pixels[..., ::-1], zoom=side / max(pixels.shape[:2]) * 72 / _DPI, resample=True
        )
        frame = {"edgecolor": inks[index], "linewidth": 1.8, "boxstyle": "square,pad=0"}
        axes.add_artist(
            AnnotationBbox(image, positions[index], pad=0, frameon=True, bboxprops=frame)
        )
