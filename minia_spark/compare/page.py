"""The comparison as a page of one file: a table, bars with their errors, what is shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from minia_spark.base.files import whole_file

__all__ = ["shown", "titles", "write_page"]

_BARS = (
    ("coverage", "Coverage", "share of the images that are in an established structure"),
    (
        "same_label",
        "Same label",
        "chance that two images of a structure have the same label; 0: no more than any two",
    ),
    (
        "neighbours",
        "Neighbours",
        "chance that an image and one of its 15 nearest have the same label; 0: no more than any "
        "two",
    ),
)
_NUMBERS = (
    ("images", "images", ""),
    ("words", "words of an image", "median of the images that have any"),
    ("structures", "structures", ""),
    ("significant", "significant", "q-value of at most mining.max_q"),
    ("established", "established", "significant and reproducible"),
    ("stability", "stability", "median of the significant ones"),
    ("verified", "verified", "median of the significant ones; needs geometry.pairs"),
    ("agreeing", "agreeing", "one label is more frequent than chance explains"),
    ("seconds", "seconds", "of the steps from words to structures"),
)


def shown(value: Any) -> str:
    """Return a number for people; with its error where it has one, a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        error = "?" if value["error"] is None else f"{value['error']:.2f}"
        return f"{value['value']:.2f} +- {error}"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:,.0f}"


def titles(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name each row: by its variant, and by its warehouse where there are several."""
    if len({row["warehouse"] for row in rows}) == 1:
        return [row["variant"] for row in rows]
    return [f"{row['warehouse']}: {row['variant']}" for row in rows]


def write_page(
    place: Path, rows: Sequence[dict[str, Any]], shared: Sequence[Sequence[float | None]]
) -> None:
    """Write the page.

    Parameters
    ----------
    place : Path
        A file that is there is replaced, when the new one is complete.
    rows, shared
        Of :func:`~.facts.compared` and :func:`~.facts.overlaps`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("minia_spark.compare", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html").render(
        rows=list(zip(titles(rows), rows, strict=True)),
        names=titles(rows),
        shared=shared,
        bars=_BARS,
        numbers=_NUMBERS,
        shown=shown,
    )
    with whole_file(place) as file:
        file.write(page.encode())
