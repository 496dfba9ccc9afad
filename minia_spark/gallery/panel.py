"""The gallery in the overview: where it is, and what in it somebody has to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from minia_spark.base.pages import WAREHOUSE
from minia_spark.gallery.news import alerts
from minia_spark.gallery.tables import GALLERY, NEWS

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["attention", "show"]

_PAGE = f"{WAREHOUSE}{GALLERY.name}/index.html"
_PANEL = Markup(
    '<p class="lead">Every structure, image and word, to be sorted, filtered and looked at: '
    '<a href="{page}">open the gallery</a>, or see <a href="{page}#/new">what is new</a>.</p>'
)
_ALERTS = Markup('In batch <bdi>{batch}</bdi>{of}: {what}. <a href="{page}#/new">What is new</a>')


def show(_context: Context) -> Markup:
    """Return links to the page."""
    return _PANEL.format(page=_PAGE)


def attention(context: Context) -> list[Markup]:
    """Return a sentence an extractor of which the newest batch has alerts, or blank images."""
    (entry,) = context.entries_of(GALLERY)
    every = json.loads(context.warehouse.storage.read(f"{entry.path}/{NEWS}"))
    shown = [news for news in every if alerts(news) or news["featureless"]["images"]]
    return [_sentence(news, several=len(every) > 1) for news in shown]


def _sentence(news: dict[str, Any], *, several: bool) -> Markup:
    structures, images = len(news["structures"]), news["odd"]
    told = []
    if structures:
        those = "structure is" if structures == 1 else "structures are"
        told.append(f"{structures:,} {those} in more of its images than expected")
    if images:
        those = "image is" if images == 1 else "images are"
        told.append(f"{images:,} {those} unlike anything known")
    blank = news["featureless"]["images"]
    if blank:
        those = "image has" if blank == 1 else "images have"
        more = ", more than usual" if news["featureless"]["alert"] else ""
        told.append(f"{blank:,} {those} no features{more}")
    of = f" ({news['variant']})" if several else ""
    return _ALERTS.format(batch=news["batch"], of=of, what=", ".join(told), page=_PAGE)
