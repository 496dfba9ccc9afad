"""Pictures of the study: arrays in, the bytes of PNG and PDF out; the same for the same arrays."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minia_spark.report.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minia_spark.clustering.tree import Branch

__all__ = ["agreement_bars", "centroid_sheet", "class_histograms", "class_sizes"]
__all__ += [
    "FORMATS",
    "cluster_sizes",
    "condensed_tree",
    "dendrogram",
    "encoded",
    "figure_of",
    "member_sheet",
]
__all__ += ["plain", "reconstruction_sheet", "repeat_bars", "to_pixels"]

FORMATS = ("png", "pdf")
_DPI = 100
_COLUMNS = 4
_COLOURS = 10
_HATCHES = (None, "////", "....")
_CELL = 1.1
"""Of an image in a sheet, in inches."""
_TREE_LEAVES = 40
_LONGEST = 24
"""Of a label, in characters."""


def figure_of(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def encoded(figure: Figure) -> dict[str, bytes]:
    """Return a figure as the bytes of a file, by format."""
    found = {}
    for kind in FORMATS:
        stream = io.BytesIO()
        nothing = {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None}
        with warnings.catch_warnings():
            # a label in letters that the font has not, or many of them: it is drawn all the same
            warnings.simplefilter("ignore", UserWarning)
            figure.savefig(stream, format=kind, metadata=nothing)
        # where everything stands is found once: that takes longer than to draw it
        figure.set_layout_engine(None)
        found[kind] = stream.getvalue()
    return found


def plain(text: str) -> str:
    """Return a label as a picture bears it: short, nothing that does not show."""
    shown = visible(text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def _name(cluster: int) -> str:
    return "noise" if cluster < 0 else f"cluster {cluster}"


def _count_whole(axis: Any) -> None:
    """Mark an axis of images at whole numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def class_histograms(
    classes: Sequence[str], clusters: Sequence[int], counts: Mapping[str, NDArray[np.int64]]
) -> Figure:
    """Draw how many images of each class every cluster holds.

    Parameters
    ----------
    classes : sequence of str, length c
    clusters : sequence of int, length k
        Their numbers; -1 is noise.
    counts : mapping
        ``train`` and ``test`` to an int array, shape (c, k).
    """
    rows = max(1, -(-len(clusters) // _COLUMNS))
    figure = figure_of(12, 0.6 + 1.9 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True)
    places = np.arange(len(classes))
    width = 0.8 / max(1, len(counts))
    for axis, number in zip(axes.ravel(), range(rows * _COLUMNS), strict=True):
        if number >= len(clusters):
            axis.set_axis_off()
            continue
        for shift, (split, table) in enumerate(counts.items()):
            bars = places + (shift - (len(counts) - 1) / 2) * width
            axis.bar(bars, table[:, number], width, label=split)
        axis.set_title(_name(clusters[number]), fontsize=9)
        names = [plain(name) for name in classes]
        axis.set_xticks(places, names, rotation=90, fontsize=7, parse_math=False)
        axis.tick_params(labelbottom=True, axis="x")
        axis.tick_params(axis="y", labelsize=7)
        _count_whole(axis)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.supylabel("images", fontsize=9)
    return figure


def cluster_sizes(clusters: Sequence[int], counts: Mapping[str, NDArray[np.int64]]) -> Figure:
    """Draw how many images every cluster holds.

    Parameters
    ----------
    clusters : sequence of int, length k
    counts : mapping
        ``train`` and ``test`` to an int array, shape (k,).
    """
    return _sizes(["noise" if c < 0 else str(c) for c in clusters], counts, "cluster")


def class_sizes(classes: Sequence[str], counts: Mapping[str, NDArray[np.int64]]) -> Figure:
    """Draw how many images of every class there are, as for :func:`cluster_sizes`."""
    return _sizes([plain(name) for name in classes], counts, "class")


def _sizes(names: Sequence[str], counts: Mapping[str, NDArray[np.int64]], across: str) -> Figure:
    figure = figure_of(max(5, 0.35 * len(names)), 3.2)
    axis = figure.subplots()
    places, width = np.arange(len(names)), 0.8 / max(1, len(counts))
    for shift, (split, sizes) in enumerate(counts.items()):
        axis.bar(places + (shift - (len(counts) - 1) / 2) * width, sizes, width, label=split)
    turned = 90 if max(map(len, names), default=0) > 4 else 0
    axis.set_xticks(places, names, fontsize=8, rotation=turned, parse_math=False)
    axis.set_xlabel(across)
    axis.set_ylabel("images")
    _count_whole(axis)
    axis.legend()
    return figure


def to_pixels(vectors: NDArray[np.floating], side_px: int) -> NDArray[np.uint8]:
    """Return images, shape (n, side, side, 3), of rows of the same numbers, cut to bytes."""
    cut = np.clip(np.rint(vectors), 0, 255).astype(np.uint8)
    return np.asarray(cut.reshape(len(vectors), side_px, side_px, 3))


def _sheet(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], across: int) -> Figure:
    """Draw rows of images as one picture: an axis for each would take seconds."""
    side = next((len(p) for _, pictures in rows for p in pictures), 1)
    step = side + max(2, side // 20)
    canvas = np.full((step * max(1, len(rows)), step * across, 3), 255, np.uint8)
    for i, (_, pictures) in enumerate(rows):
        for j, picture in enumerate(pictures):
            canvas[i * step : i * step + side, j * step : j * step + side] = picture
    longest = max([0, *(len(title) for title, _ in rows)])
    figure = figure_of(0.4 + 0.08 * longest + _CELL * across, 0.2 + _CELL * max(1, len(rows)))
    axis = figure.subplots()
    axis.imshow(canvas, interpolation="nearest")
    axis.set_xticks([])
    middles = np.arange(len(rows)) * step + side / 2
    axis.set_yticks(middles, [title for title, _ in rows], fontsize=8)
    axis.tick_params(length=0)
    axis.set_frame_on(False)
    return figure


def centroid_sheet(clusters: Sequence[int], images: NDArray[np.uint8]) -> Figure:
    """Draw the image that the centre of every cluster stands for, shape (k, side, side, 3)."""
    figure = figure_of(0.2 + 1.5 * _COLUMNS, 0.2 + 1.7 * max(1, -(-len(clusters) // _COLUMNS)))
    axes = figure.subplots(max(1, -(-len(clusters) // _COLUMNS)), _COLUMNS, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, cluster, picture in zip(axes.ravel(), clusters, images, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(_name(cluster), fontsize=8)
    return figure


def member_sheet(members: Mapping[int, Sequence[NDArray[np.uint8]]]) -> Figure:
    """Draw some images of every cluster: cluster to images, shape (side, side, 3)."""
    across = max([1, *map(len, members.values())])
    return _sheet([(_name(c), pictures) for c, pictures in members.items()], across)


def reconstruction_sheet(
    originals: NDArray[np.uint8], left: NDArray[np.uint8], components: int
) -> Figure:
    """Draw images beside what their vectors have kept of them, both (n, side, side, 3)."""
    rows = []
    for start in range(0, len(originals), 6):
        piece = slice(start, start + 6)
        rows.append(("image", list(originals[piece])))
        rows.append((f"{components} components", list(left[piece])))
    return _sheet(rows, max(1, min(6, len(originals))))


def dendrogram(tree: NDArray[np.float64], clusters: int) -> Figure:
    """Draw a tree of scipy's linkage, cut to its upper branches, coloured by cluster.

    Parameters
    ----------
    tree : float array, shape (n - 1, 4)
        Of at least two images.
    clusters : int
        Branches that have a colour of their own.
    """
    from scipy.cluster.hierarchy import dendrogram as draw  # noqa: PLC0415

    figure = figure_of(9, 4)
    axis = figure.subplots()
    heights = tree[:, 2]
    # just below the merge that would leave one cluster less
    cut = heights[-(clusters - 1)] if 1 < clusters <= len(heights) else heights[-1] * 1.01
    draw(
        tree,
        p=max(_TREE_LEAVES, clusters),
        truncate_mode="lastp",
        color_threshold=cut,
        above_threshold_color="0.6",
        ax=axis,
    )
    axis.tick_params(axis="x", labelsize=6)
    axis.set_xlabel("images, or (number of images) of a branch")
    axis.set_ylabel("Ward's distance")
    return figure


def condensed_tree(branches: Sequence[Branch]) -> Figure:
    """Draw the condensed tree of HDBSCAN: the denser, the lower; the more images, the wider.

    Parameters
    ----------
    branches : sequence of Branch
        Of :func:`~minia_spark.clustering.tree.condensed`, at least one.
    """
    from matplotlib.collections import PolyCollection  # noqa: PLC0415

    ends = np.array([b.end for b in branches])
    deepest = ends[np.isfinite(ends)].max(initial=1e-9) * 1.03
    own: dict[int, list[int]] = {}
    for number, branch in enumerate(branches):
        own.setdefault(branch.parent, []).append(number)
    middles, colours = {0: branches[0].size / 2}, {-1: "0.8"}
    outlines, fills, names = [], [], []
    for number, branch in enumerate(branches):
        middle = middles[number]
        colours[number] = (
            f"C{branch.cluster % 10}" if branch.cluster >= 0 else colours[branch.parent]
        )
        widths = branch.size - np.r_[0, np.cumsum(branch.leaves[:, 1])]
        depths = np.minimum(np.r_[branch.start, branch.leaves[:, 0], branch.end], deepest)
        across, down = np.repeat(widths, 2) / 2, np.repeat(depths, 2)[1:-1]
        right = np.stack([middle + across, down], axis=1)
        left = np.stack([middle - across, down], axis=1)[::-1]
        outlines.append(np.concatenate([right, left]))
        fills.append(colours[number])
        if branch.cluster >= 0:
            names.append((middle, depths[-1], branch.cluster))
        children = own.get(number, [])
        at = middle - sum(branches[c].size for c in children) / 2
        for child in children:
            middles[child] = at + branches[child].size / 2
            at += branches[child].size
    figure = figure_of(9, 4.5)
    axis = figure.subplots()
    axis.add_collection(
        PolyCollection(outlines, facecolors=fills, edgecolors="0.3", linewidths=0.3)
    )
    if not names:
        axis.text(0.5, 0.95, "no cluster was found: all images are noise", ha="center", va="top",
                  transform=axis.transAxes, fontsize=9)  # fmt: skip
    for x, y, cluster in names:
        axis.annotate(str(cluster), (x, y), (0, -2), textcoords="offset points", ha="center",
                      va="top", fontsize=8)  # fmt: skip
    axis.set_xlim(0, branches[0].size)
    axis.set_ylim(deepest * 1.08, 0)
    axis.set_xlabel("images")
    axis.set_ylabel("density: 1 / mutual reachability distance")
    return figure


def repeat_bars(
    names: Sequence[str],
    fits: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    measure: str,
) -> Figure:
    """Draw a measure of clusterings that were fitted in several ways, beside each other.

    Parameters
    ----------
    names : sequence of str, length m
        Of the clusterings.
    fits : mapping
        What they were fitted to, to (values, errors), float arrays of shape (m,); NaN is not drawn.
    measure : str
    """
    figure = figure_of(max(6.0, 1.2 + 0.8 * len(names)), 3.6)
    axis = figure.subplots()
    places, width = np.arange(len(names)), 0.8 / max(1, len(fits))
    for shift, (title, (values, errors)) in enumerate(fits.items()):
        at = places + (shift - (len(fits) - 1) / 2) * width
        axis.bar(
            at, np.nan_to_num(values), width, yerr=np.nan_to_num(errors), label=title, capsize=2
        )
    # long names stand below each other
    axis.set_xticks(places, [name.replace(" of ", "\nof ") for name in names], fontsize=8)
    axis.axhline(0, color="0.4", linewidth=0.8)
    axis.set_ylabel(measure)
    figure.legend(fontsize=8, loc="outside upper right", ncols=len(fits))
    return figure


def agreement_bars(
    methods: Sequence[str], measures: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> Figure:
    """Draw measures of agreement with their errors, a group of bars a measure.

    Parameters
    ----------
    methods : sequence of str, length m
    measures : mapping
        Name to (values, errors), float arrays of shape (m,); NaN is not drawn.
    """
    figure = figure_of(9, 3.6)
    axis = figure.subplots()
    width = 0.8 / max(1, len(methods))
    places = np.arange(len(measures))
    for shift, method in enumerate(methods):
        values = np.array([measures[name][0][shift] for name in measures])
        errors = np.nan_to_num(np.array([measures[name][1][shift] for name in measures]))
        at = places + (shift - (len(methods) - 1) / 2) * width
        hatch = _HATCHES[shift // _COLOURS % len(_HATCHES)]  # colours come again
        axis.bar(
            at, np.nan_to_num(values), width, yerr=errors, label=method, capsize=2, hatch=hatch
        )
    axis.set_xticks(places, [name.upper() if len(name) == 3 else name for name in measures])
    axis.axhline(0, color="0.4", linewidth=0.8)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure
