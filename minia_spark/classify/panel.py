"""Networks on the page: measures, a matrix of confusion, and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from minia_spark.classify.tables import EVALUATIONS, NETWORK_FIGURES
from minia_spark.lab.pictures import shown, table_of

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["panel"]

_STUDY = (
    "The study (Pina Medina, Universidad de Guadalajara) had, balanced, on 5,000 test images of 12 "
    "classes: accuracy 0.407, precision 0.426, F1 0.406. Classes: Willett et al. 2013 (MNRAS 435, "
    "2835), Hart et al. 2016 (MNRAS 461, 3663)."
)


def panel(context: Context) -> Markup:
    """Return the panel."""
    rows = context.small(EVALUATIONS).to_pylist()
    networks = sorted({r["network"] for r in rows})
    if not networks:
        return Markup(
            "<p>No network is trained: <code>minia lab classify --warehouse W "
            "--networks study,ours</code> trains two.</p>"
        )
    parts = [_overall(rows), Markup("<p>{}</p>").format(_STUDY)]
    for name in networks:
        parts.append(Markup("<h3>{}</h3>").format(name))
        parts.append(_by_class([r for r in rows if r["network"] == name]))
        parts.append(shown(context, NETWORK_FIGURES, name))
    return Markup("\n").join(parts)


def _number(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    error = row["error"]
    return f"{row['value']:.3f}" + ("" if error is None else f" \u00b1 {error:.3f}")


def _overall(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["class"] is None and r["measure"] != "images"]
    measures = list(dict.fromkeys(r["measure"] for r in own))
    found = {(r["network"], r["part"], r["measure"]): r for r in own}
    lines = [
        [network, part, *(_number(found.get((network, part, m))) for m in measures)]
        for network, part in sorted({key[:2] for key in found})
    ]
    return table_of(["network", "images", *(m.replace("_", " ") for m in measures)], lines)


def _by_class(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["class"] is not None]
    if not own:
        return Markup("<p>No test image has a class that it knows.</p>")
    measures = list(dict.fromkeys(r["measure"] for r in own))
    found = {(r["class"], r["measure"]): r for r in own}
    lines = []
    for kind in sorted({r["class"] for r in own}):
        cells = [found.get((kind, m)) for m in measures]
        cells_shown = [
            f"{c['value']:,.0f}" if c and c["measure"] == "images" else _number(c) for c in cells
        ]
        lines.append([kind, *cells_shown])
    return table_of(["class", *measures], lines)
