"""Pictures of maps, cutouts and histo-vectors: arrays in, grey levels or SVG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

__all__ = ["COLOURS", "bars_svg", "colours_of", "contact_sheet", "heat", "map_svg", "mosaic"]

COLOURS = ("#2f7d4f", "#b3412a", "#3b6db3", "#a8761c", "#7d4aa3", "#1f8a8a", "#b0457f", "#6d6d2a")
"""Of qualities, by their names in order; more than eight begin anew."""
_UNKNOWN, _EMPTY = "#8a8f98", "none"
_STEP = 34  # pixels of a cell on the map


def mosaic(tiles: NDArray[np.floating], side: int) -> NDArray[np.uint8]:
    """Return decoded prototypes as one picture: a map of `side` rows, black lines between.

    Parameters
    ----------
    tiles : float array, shape (side * side, h, w)
        0 is black, 1 white; what is beyond is cut off.
    side : int

    Returns
    -------
    uint8 array, shape (side * (h + 1) - 1, side * (w + 1) - 1)
    """
    height, width = tiles.shape[1:]
    levels = np.rint(255 * np.clip(tiles, 0, 1)).astype(np.uint8)
    framed = np.zeros((side, side, height + 1, width + 1), np.uint8)
    framed[:, :, :height, :width] = levels.reshape(side, side, height, width)
    whole = framed.transpose(0, 2, 1, 3).reshape(side * (height + 1), side * (width + 1))
    return np.ascontiguousarray(whole[:-1, :-1])


def contact_sheet(cutouts: NDArray[np.uint8], columns: int = 4) -> NDArray[np.uint8]:
    """Return some cutouts, shape (n, h, w), beside and below each other; places left are black."""
    height, width = cutouts.shape[1:]
    full = np.zeros((columns * columns, height, width), np.uint8)
    some = cutouts[: columns * columns]
    full[: len(some)] = some
    rows = full.reshape(columns, columns, height, width)
    return np.ascontiguousarray(
        rows.transpose(0, 2, 1, 3).reshape(columns * height, columns * width)
    )


def heat(histo_vector: NDArray[np.number], side: int, zoom: int = 5) -> NDArray[np.uint8]:
    """Return a histo-vector as a picture of the map: grey levels are roots of the counts.

    Parameters
    ----------
    histo_vector : array, shape (side * side,)
        Of the transposed map, as :func:`~minia_spark.exposures.histogram.histo_vector` gives it.
    side : int
    zoom : int
        Pixels of a cell.

    Returns
    -------
    uint8 array, shape (side * zoom, side * zoom)
        Row i, column j is cell i * side + j of the map of cutouts, as on its picture.
    """
    roots = np.sqrt(np.asarray(histo_vector, np.float64)).reshape(side, side).T
    levels = np.rint(255 * roots / max(roots.max(), 1e-300)).astype(np.uint8)
    return np.kron(levels, np.ones((zoom, zoom), np.uint8))


def bars_svg(histo_vector: NDArray[np.number], height: int = 120) -> Markup:
    """Return a histo-vector as bars, one a cell in the order of the vector; none for zeros."""
    values = np.asarray(histo_vector, np.float64)
    most = max(values.max(initial=0), 1e-300)
    there = np.flatnonzero(values)
    path = " ".join(f"M{n} {height}V{height - height * values[n] / most:.1f}" for n in there)
    return Markup(
        '<svg class="bars" role="img" viewBox="-1 0 {} {}" preserveAspectRatio="none" '
        'aria-label="Histo-vector: largest count {:,.0f}"><path d="{}" fill="none" '
        'stroke="currentColor"/></svg>'
    ).format(len(values) + 1, height, values.max(initial=0), path)


def colours_of(qualities: Sequence[str]) -> dict[str, str]:
    """Return a colour for every quality; the same names have the same ones."""
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(sorted(set(qualities)))}


def map_svg(
    population: Mapping[int, int],
    qualities: Mapping[int, str],
    side: int,
    linked: Sequence[int] = (),
) -> Markup:
    """Return the map of exposures: how many are in each cell, in the colour of its quality.

    Parameters
    ----------
    population : mapping
        Cell to exposures.
    qualities : mapping
        Cell to quality, where that is known.
    side : int
    linked : sequence of int
        Cells that have an element ``cell-N`` on the page.
    """
    colours = colours_of(list(qualities.values()))
    most = max(population.values(), default=1)
    parts = []
    for cell in range(side * side):
        x, y = divmod(cell, side)
        number = population.get(cell, 0)
        quality = qualities.get(cell)
        colour = colours.get(quality or "", _UNKNOWN) if number else _EMPTY
        opacity = 0.2 + 0.5 * number / most
        told = f"cell {cell}: {number:,} exposures" + (f", {quality}" if quality else "")
        drawn = Markup(
            '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill="{}" '
            'fill-opacity="{:.2f}" stroke="#8a8f98" stroke-opacity="0.4"/>{}</g>'
        ).format(
            told,
            y * _STEP + 1,
            x * _STEP + 1,
            _STEP - 2,
            _STEP - 2,
            colour,
            opacity,
            Markup(
                '<text x="{}" y="{}" text-anchor="middle" font-size="11" '
                'fill="currentColor">{}</text>'
            ).format(y * _STEP + _STEP / 2, x * _STEP + _STEP / 2 + 4, number)
            if number
            else "",
        )
        if number and cell in linked:
            drawn = Markup('<a href="#cell-{}">{}</a>').format(cell, drawn)
        parts.append(drawn)
    size = side * _STEP
    return Markup(
        '<svg class="map" role="img" viewBox="0 0 {} {}" width="{}" '
        'aria-label="Map of exposures with the number in each cell">{}</svg>'
    ).format(size, size, min(size, 720), Markup("").join(parts))
