"""Pictures as an artefact: files with a list of them, and their place on the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from minia_spark.base.pages import WAREHOUSE
from minia_spark.lab.figures import encoded
from minia_spark.report.text import visible

if TYPE_CHECKING:
    from minia_spark.engine.context import Context
    from minia_spark.engine.table import Artefact

__all__ = ["Pictures", "shown", "table_of"]

_LIST = "figures.json"
_WIDE = 7.5
"""Inches beyond which a picture gets the whole width of a page."""


class Pictures:
    """Pictures that a stage draws, in the order in which people see them."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._listed: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._listed)

    def put(self, name: str, title: str, method: str, figure: Any) -> None:
        """Add a picture.

        Parameters
        ----------
        name : str
            Of its files.
        title, method : str
            What it shows, and of which method; empty: of none.
        figure : Figure
        """
        for kind, data in encoded(figure).items():
            self._files[f"{name}.{kind}"] = data
        is_wide = bool(figure.get_figwidth() > _WIDE)
        self._listed.append({"name": name, "title": title, "method": method, "wide": is_wide})

    def publish(self, context: Context, output: Artefact) -> None:
        """Write all of them, and publish them when the run commits."""
        folder, storage = context.folder(output), context.warehouse.storage
        storage.remove_folder(folder)
        for name, data in self._files.items():
            storage.replace(f"{folder}/{name}", data)
        storage.replace(f"{folder}/{_LIST}", json.dumps(self._listed, indent=1).encode())
        context.publish(output, folder)


def shown(context: Context, output: Artefact, method: str | None = None) -> Markup:
    """Return the pictures as HTML: those of no method, then each method's, to unfold.

    Parameters
    ----------
    context : Context
    output : Artefact
    method : str or None
        Only those of this method, unfolded.
    """
    (entry,) = context.entries_of(output)
    figures = json.loads(context.warehouse.storage.read(f"{entry.path}/{_LIST}"))
    place = WAREHOUSE + "/".join(quote(part, safe="=") for part in entry.path.split("/"))
    parts: dict[str, list[Markup]] = {}
    for figure in figures:
        own = Markup(
            '<figure{3}><a href="{0}/{1}.png"><img src="{0}/{1}.png" loading="lazy" alt="{4}">'
            '</a><figcaption>{2} (<a href="{0}/{1}.pdf">PDF</a>)</figcaption></figure>'
        ).format(
            place,
            quote(figure["name"]),
            figure["title"],
            Markup(' class="wide"') if figure.get("wide") else "",
            ": ".join(filter(None, (figure["method"], figure["title"]))),
        )
        parts.setdefault(figure["method"], []).append(own)
    grids = {
        name: Markup('<div class="figures">{}</div>').format(Markup("\n").join(own))
        for name, own in parts.items()
    }
    if method is not None:
        return grids.get(method, Markup(""))
    folded = Markup("<details><summary>{}</summary>{}</details>")
    return Markup("\n").join(
        folded.format(name, grid) if name else grid for name, grid in grids.items()
    )


def table_of(head: Iterable[str], rows: Iterable[Iterable[Any]], caption: str = "") -> Markup:
    """Return a table as HTML, under its caption."""
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(visible(name)) for name in head)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(visible(str(cell))) for cell in row)
        )
        for row in rows
    )
    title = Markup("<h3>{}</h3>\n").format(caption) if caption else Markup("")
    whole = Markup("<thead><tr>{}</tr></thead>\n<tbody>{}</tbody>").format(top, body)
    return title + Markup('<div class="scroll cells"><table>{}</table></div>').format(whole)
