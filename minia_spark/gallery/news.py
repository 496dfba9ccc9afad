"""What the newest batch brought, in a line for logs and terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minia_spark.report.text import plural, visible

__all__ = ["line"]

_MOST = 3


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
    alerts = len(structures) + news["odd"]
    if alerts > len(told):
        told.append(f"{alerts - len(told):,} more")
    head = f"{visible(news['batch'])} ({news['variant']}): {plural(alerts, 'alert', 'alerts')}"
    parts = [": ".join([head, "; ".join(told)]) if told else head]
    if news["compared_with"] is not None:
        new = plural(news["new"], "structure", "structures")
        parts.append(
            f"{new} new, {news['grown']:,} grown or changed since state {news['compared_with']}"
        )
    return "; ".join(parts)
