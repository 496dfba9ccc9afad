"""The lab on the page: tables of agreement, what is enriched, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from minia_spark.base.pages import WAREHOUSE
from minia_spark.lab.agreement import MEASURES
from minia_spark.lab.tables import AGREEMENTS, CONTINGENCIES, FIGURES, RECALLS
from minia_spark.report.text import visible

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["panel"]

_PAIRS = 20
_SIGNIFICANT = 0.05


def panel(context: Context) -> Markup:
    """Return the panel."""
    agreements = context.small(AGREEMENTS).to_pylist()
    recalls = context.small(RECALLS).to_pylist()
    pairs = context.small(CONTINGENCIES).to_pylist()
    (entry,) = context.entries_of(FIGURES)
    storage = context.warehouse.storage
    figures = json.loads(storage.read(f"{entry.path}/figures.json"))
    place = WAREHOUSE + "/".join(quote(part, safe="=") for part in entry.path.split("/"))
    parts = [_agreements(agreements), _recalls(recalls), _enriched(pairs), _figures(figures, place)]
    return Markup("\n").join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]], caption: str) -> Markup:
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(visible(name)) for name in head)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(visible(str(cell))) for cell in row)
        )
        for row in rows
    )
    return Markup(
        "<h3>{}</h3>\n<table><thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>"
    ).format(caption, top, body)


def _number(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if error is None else f"{value:.3f} \u00b1 {error:.3f}"


def _agreements(rows: list[dict[str, Any]]) -> Markup:
    if not rows:
        return Markup("<p>No image has a class: nothing is compared with classes.</p>")
    names = (*MEASURES, "silhouette")
    cells = (
        [r["classes"], r["split"], r["method"], f"{r['images']:,}", r["clusters"]]
        + [_number(r[n], r[f"{n}_error"]) for n in names]
        for r in sorted(rows, key=lambda r: (r["classes"], r["split"], -(r["ami"] or 0)))
    )
    head = ["classes", "split", "method", "images", "clusters", *names]
    note = Markup(
        "<p>AMI and ARI are 0 where clusters and classes have nothing to do with each other, and "
        "1 where they are the same. Errors are by bootstrap over the images. Classes of Galaxy Zoo "
        "2: Willett et al. 2013 (MNRAS 435, 2835), Hart et al. 2016 (MNRAS 461, 3663).</p>"
    )
    return _table(head, cells, "Agreement of clusters with classes") + note


def _recalls(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["split"] == "test"]
    methods = sorted({r["method"] for r in own})
    found = {(r["classes"], r["class"], r["method"]): r for r in own}
    lines = []
    for kind, name in sorted({key[:2] for key in found}):
        cells = [found.get((kind, name, m)) for m in methods]
        images = next(c["images"] for c in cells if c)
        numbers = [_number(c["recall"], c["recall_error"]) if c else "-" for c in cells]
        lines.append([kind, name, f"{images:,}", *numbers])
    if not lines:
        return Markup("")
    head = ["classes", "class", "images", *methods]
    return _table(head, lines, "Share of a class in clusters of its own, test images")


def _enriched(rows: list[dict[str, Any]]) -> Markup:
    sure = [r for r in rows if r["q"] <= _SIGNIFICANT]
    sure.sort(key=lambda r: (r["q"], -r["lift"], r["left_kind"], r["left"], r["right"]))
    if not sure:
        return Markup("<p>No pair of groups shares more images than chance explains.</p>")
    cells = (
        [
            f"{r['left_kind']} {r['left']}",
            f"{r['right_kind']} {r['right']}",
            f"{r['images']:,} of {r['left_images']:,} and {r['right_images']:,}",
            f"{r['lift']:.2f}",
            f"{r['q']:.1e}",
        ]
        for r in sure[:_PAIRS]
    )
    head = ["group", "group", "images in both", "times chance", "q"]
    caption = f"Pairs of groups beyond chance: {min(_PAIRS, len(sure)):,} of {len(sure):,}"
    return _table(head, cells, caption)


def _figures(figures: list[dict[str, str]], place: str) -> Markup:
    parts = []
    for figure in figures:
        title = ": ".join(filter(None, (figure["method"], figure["title"])))
        name = quote(figure["name"])
        parts.append(
            Markup(
                '<figure><a href="{0}/{1}.png"><img src="{0}/{1}.png" loading="lazy" alt="{2}"></a>'
                '<figcaption>{2} (<a href="{0}/{1}.pdf">PDF</a>)</figcaption></figure>'
            ).format(place, name, title)
        )
    return Markup('<div class="figures">{}</div>').format(Markup("\n").join(parts))
