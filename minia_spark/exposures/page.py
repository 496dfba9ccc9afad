"""Writes the page of exposures, and one an exposure that is shown: a folder that needs no network.

File names are running numbers; texts from outside are escaped, and a Content-Security-Policy
forbids what is no image, style or script of the folder. The only script draws the tiles of an
exposure; the page of all exposures runs none.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

from minia_spark.base.errors import MiniaError
from minia_spark.base.pages import templates_of
from minia_spark.base.spreadsheet import inert
from minia_spark.exposures.drawing import bars_svg, colours_of, contact_sheet, heat, map_svg
from minia_spark.exposures.pictures import (
    TILE_PX,
    columns_of,
    exposure_picture,
    tiles,
    unpacked,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ABOVE", "Cell", "Member", "Page", "render"]

ABOVE = "index-above.html"
"""The page that stands in the folder above, at an address that stays, and leads to it."""


@dataclass(frozen=True)
class Member:
    """An exposure as the page shows it.

    Attributes
    ----------
    exposure_id, batch : str
    facts : str
        Filter, exposure time and so on.
    dead : int
        CCDs without a source.
    confidence : float or None
    cutouts : uint8 array, shape (n, 32, 32)
    histo_vector : int array
    ccds : sequence of (str, bytes)
        None; or name and picture of every CCD, as
        :func:`~minia_spark.exposures.pictures.picture` gives it, in the order of the file.
    """

    exposure_id: str
    batch: str
    facts: str
    dead: int
    confidence: float | None
    cutouts: NDArray[np.uint8]
    histo_vector: NDArray[np.integer]
    ccds: Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Cell:
    """A cell of the map of exposures with some of its members."""

    cell: int
    exposures: int
    quality: str | None
    members: Sequence[Member]


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes
    ----------
    exposures, ccds, dead_ccds, rejects : int
    side, cutout_side : int
        Of the map of exposures, and of that of cutouts.
    prototypes : bytes
        The decoded map of cutouts, a PNG file.
    population, qualities : dict
        Of every cell.
    telling : sequence of int
        Cells whose labels say most of the others, the first first.
    cells : sequence of Cell
    nights : sequence of (night, filter, dict)
        Exposures by quality; the night is a whole MJD or None.
    warnings : sequence of str
    training : sequence of (str, dict)
        Title of a map and the last figures of its training.
    home : str
        Address, from the page's folder, of the overview of the warehouse; empty: there is none.
    """

    exposures: int
    ccds: int
    dead_ccds: int
    rejects: int
    side: int
    cutout_side: int
    prototypes: bytes
    population: dict[int, int]
    qualities: dict[int, str]
    telling: Sequence[int]
    cells: Sequence[Cell]
    nights: Sequence[tuple[int | None, str | None, dict[str, int]]]
    warnings: Sequence[str] = ()
    training: Sequence[tuple[str, dict[str, Any]]] = field(default_factory=tuple)
    home: str = ""


def render(page: Page, folder: Path) -> int:
    """Write the page into a folder and return how many pictures it has.

    Parameters
    ----------
    page : Page
    folder : Path
        Made when it does not exist; must be empty.

    Raises
    ------
    MiniaError
        It is not empty, or cannot be written.
    """
    environment = templates_of("minia_spark.exposures")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MiniaError(f"the folder {folder} is not empty")
        (folder / "prototypes.png").write_bytes(page.prototypes)
        template = environment.get_template("exposure.html")
        pictures = 1
        numbers = itertools.count(1)
        shown = [
            (cell, [(member, f"{next(numbers):05d}") for member in cell.members])
            for cell in page.cells
        ]
        for cell, members in shown:
            for member, number in members:
                place = (folder, number)
                pictures += _write_member(template, page.cutout_side, cell, member, place)
        _write_cells(page, folder / "cells.csv")
        linked = [cell.cell for cell in page.cells]
        html = environment.get_template("page.html").render(
            page=page,
            cells=shown,
            linked=linked,
            map=map_svg(page.population, page.qualities, page.side, linked),
            colours=colours_of(list(page.qualities.values())),
            names=sorted({name for _, _, counts in page.nights for name in counts}),
        )
        _write(folder / "index.html", html)
        moved = environment.get_template("above.html").render(here=f"{folder.name}/")
        _write(folder / ABOVE, moved)
        for name in ("page.css", "zoom.js"):
            _write(folder / name, environment.get_template(name).render())
    except OSError as error:
        raise MiniaError(f"the page of exposures cannot be written: {error}") from error
    return pictures


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


def _write_member(
    template: jinja2.Template, cutout_side: int, cell: Cell, member: Member, place: tuple[Path, str]
) -> int:
    """Write an exposure's pictures and its own page; return how many pictures."""
    folder, number = place
    Image.fromarray(contact_sheet(member.cutouts)).save(folder / f"c{number}.png")
    drawn = heat(member.histo_vector, cutout_side)
    Image.fromarray(drawn).save(folder / f"h{number}.png")
    shape, levels, pictures = (0, 0), 0, 2
    if member.ccds:
        whole = exposure_picture([unpacked(content) for _, content in member.ccds])
        shape = whole.shape
        for level, row, column, content in tiles(whole):
            (folder / f"t{number}-{level}-{row}-{column}.jpg").write_bytes(content)
            levels = level + 1
            pictures += 1
    html = template.render(
        cell=cell,
        member=member,
        number=number,
        size=shape,
        levels=levels,
        tile=TILE_PX,
        columns=columns_of(len(member.ccds)),
        bars=bars_svg(member.histo_vector),
    )
    _write(folder / f"e{number}.html", html)
    return pictures


def _write_cells(page: Page, path: Path) -> None:
    """Write a table to fill in and give to ``minia exposures label``, the telling cells first."""
    order = {cell: number for number, cell in enumerate(page.telling, 1)}
    rows = sorted(
        page.population, key=lambda cell: (order.get(cell, len(page.population) + 1), cell)
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("order", "cell", "exposures", "quality"))
        for cell in rows:
            quality = inert(page.qualities.get(cell, ""))
            writer.writerow((order.get(cell, ""), cell, page.population[cell], quality))
