"""What the newest batch brought, in a line for logs and terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minia_spark.report.text import plural, visible

__all__ = ["alerts", "line"]

_MOST = 3


def alerts(news: Mapping[str, Any]) -> int:
    """Return how many things somebody has to look at, of an object of ``news.json``."""
    return len(news["structures"]) + int(news["odd"]) + bool(news["featureless"]["alert"])


def line(news: Mapping[str, Any]) -> str:
    """Return what somebody has to look at, and what changed, of an object of ``news.json``.

    ``night2 (sift): 2 alerts: s0012 in 14 of its images, 3.1 expected; odd.png: its features fit
    badly; 3 structures new, 1 grown or changed since state 7``. At most 3 of each kind are named.
    """
    structures = [
        f"s{one['id']:04d} in {one['images']:,} of its images, {one['of']:,.1f} expected"
        for one in news["structures"]
    ]
    images = [f"{visible(one['name'])}: {one['reasons']}" for one in news["images"] if one["alert"]]
    told = [*structures[:_MOST], *images[:_MOST]]
    blank = news["featureless"]
    if blank["alert"]:
        those = plural(blank["images"], "image", "images")
        told.append(f"{those} without features, {blank['expected']:,.1f} expected")
    count = alerts(news)
    if count > len(told):
        told.append(f"{count - len(told):,} more")
    head = f"{visible(news['batch'])} ({news['variant']}): {plural(count, 'alert', 'alerts')}"
    parts = [": ".join([head, "; ".join(told)]) if told else head]
    if news["compared_with"] is not None:
        new = plural(news["new"], "structure", "structures")
        back = f", {news['returned']:,} returned" if news["returned"] else ""
        since = f"since state {news['compared_with']}"
        parts.append(f"{new} new, {news['grown']:,} grown or changed{back} {since}")
    return "; ".join(parts)
