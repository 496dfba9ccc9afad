"""The map in the report: a picture of it that leads to its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from minia_spark.base.pages import WAREHOUSE
from minia_spark.explorer.tables import EXPLORER

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["show"]

_PAGE = Markup(
    '<p class="lead">Every image is a dot; those that look alike lie together. '
    '<a href="{page}">Open the map</a> to zoom in, colour, search and select.</p>\n'
    '<p><a href="{page}"><img src="{picture}" alt="The map: a dot an image, some shown small" '
    'loading="lazy"></a></p>\n'
    '<p class="more">{figures}</p>'
)
_FIGURE = Markup('<a href="{address}" download>{name}</a>')


def show(context: Context) -> Markup:
    """Return the picture of the first map, links to the page and to all figures."""
    (entry,) = context.entries_of(EXPLORER)
    place = f"{WAREHOUSE}{entry.path}"
    names = sorted(context.warehouse.storage.names(entry.path))
    figures = [name for name in names if name.startswith("map-") and name.endswith(("png", "pdf"))]
    pictures = [name for name in figures if name.endswith("png")]
    first = "map-words.png" if "map-words.png" in pictures else pictures[0]
    links = (
        _FIGURE.format(address=f"{place}/{name}", name=f"{name[4:-4]} as {name[-3:].upper()}")
        for name in figures
    )
    return _PAGE.format(
        page=f"{WAREHOUSE}{EXPLORER.name}/index.html",
        picture=f"{place}/{first}",
        figures=Markup(" ").join(links),
    )
