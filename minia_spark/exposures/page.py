"""Writes the page of exposures: a folder that needs no network and runs no script.

File names are running numbers; texts from outside are escaped, and a Content-Security-Policy
forbids what is no image or style of the page.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

from minia_spark.base.errors import MiniaError
from minia_spark.base.spreadsheet import inert
from minia_spark.exposures.drawing import colours_of, contact_sheet, heat, map_svg

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cell", "Member", "Page", "render"]


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
    """

    exposure_id: str
    batch: str
    facts: str
    dead: int
    confidence: float | None
    cutouts: NDArray[np.uint8]
    histo_vector: NDArray[np.integer]


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
    cells : sequence of Cell
    nights : sequence of (night, filter, dict)
        Exposures by quality; the night is a whole MJD or None.
    warnings : sequence of str
    training : sequence of (str, dict)
        Title of a map and the last figures of its training.
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
    cells: Sequence[Cell]
    nights: Sequence[tuple[int | None, str | None, dict[str, int]]]
    warnings: Sequence[str] = ()
    training: Sequence[tuple[str, dict[str, Any]]] = field(default_factory=tuple)


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise MiniaError(f"the folder {folder} is not empty")
        (folder / "prototypes.png").write_bytes(page.prototypes)
        pictures = 1
        shown = []
        for cell in page.cells:
            members = []
            for member in cell.members:
                files = (f"c{pictures:05d}.png", f"h{pictures:05d}.png")
                sheet = contact_sheet(member.cutouts)
                Image.fromarray(sheet).save(folder / files[0])
                drawn = heat(member.histo_vector, page.cutout_side)
                Image.fromarray(drawn).save(folder / files[1])
                members.append((member, *files))
                pictures += 2
            shown.append((cell, members))
        _write_cells(page, folder / "cells.csv")
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("minia_spark.exposures"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        linked = [cell.cell for cell in page.cells]
        names = sorted({name for _, _, counts in page.nights for name in counts})
        html = environment.get_template("page.html").render(
            page=page,
            cells=shown,
            map=map_svg(page.population, page.qualities, page.side, linked),
            colours=colours_of(list(page.qualities.values())),
            names=names,
        )
        (folder / "index.html").write_text(html, encoding="utf-8", errors="replace")
        style = environment.get_template("page.css").render()
        (folder / "page.css").write_text(style, encoding="utf-8")
    except OSError as error:
        raise MiniaError(f"the page of exposures cannot be written: {error}") from error
    return pictures


def _write_cells(page: Page, path: Path) -> None:
    """Write a table to fill in and give to ``minia exposures label``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cell", "exposures", "quality"))
        for cell, number in sorted(page.population.items()):
            writer.writerow((cell, number, inert(page.qualities.get(cell, ""))))
