"""The gallery in the report: where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from minia_spark.base.pages import WAREHOUSE
from minia_spark.gallery.tables import GALLERY

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["show"]

_PANEL = Markup(
    '<p class="lead">Every structure, image and word, to be sorted, filtered and looked at: '
    '<a href="{page}">open the gallery</a>.</p>'
)


def show(_context: Context) -> Markup:
    """Return a link to the page."""
    return _PANEL.format(page=f"{WAREHOUSE}{GALLERY.name}/index.html")
