"""Networks on the page: measures, a matrix of confusion, and curves as lines of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from minia_spark.classify.tables import CURVES, EVALUATIONS
from minia_spark.report.text import visible

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["panel"]

_SIDE, _EDGE = 240, 30
_STUDY = (
    "The study (Pina Medina, Universidad de Guadalajara) had, balanced, on 5,000 test images of 12 "
    "classes: accuracy 0.407, precision 0.426, F1 0.406. Classes: Willett et al. 2013 (MNRAS 435, "
    "2835), Hart et al. 2016 (MNRAS 461, 3663)."
)


def panel(context: Context) -> Markup:
    """Return the panel."""
    rows = context.small(EVALUATIONS).to_pylist()
    points = context.small(CURVES).to_pylist()
    networks = sorted({r["network"] for r in rows})
    if not networks:
        return Markup(
            "<p>No network is trained: <code>minia lab classify --networks study,ours</code> "
            "trains some.</p>"
        )
    parts = [_overall(rows), Markup("<p>{}</p>").format(_STUDY)]
    for name in networks:
        own = [p for p in points if p["network"] == name]
        parts.append(Markup("<h3>{}</h3>").format(name))
        parts.append(_by_class([r for r in rows if r["network"] == name]))
        parts.append(_confusion(own))
        parts.append(_lines(own, "roc", "false positive rate", "true positive rate"))
        parts.append(_lines(own, "calibration", "probability", "share that is right"))
        parts.append(_lines(own, "learning", "epoch", "loss, accuracy", _LEARNING))
    return Markup("\n").join(parts)


_LEARNING = ("loss", "validation_loss", "accuracy", "validation_accuracy")


def _number(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    error = row["error"]
    return f"{row['value']:.3f}" + ("" if error is None else f" \u00b1 {error:.3f}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(visible(name)) for name in head)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(Markup("<td>{}</td>").format(visible(str(cell))) for cell in row)
        )
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>").format(
        top, body
    )


def _overall(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["class"] is None and r["measure"] != "images"]
    measures = list(dict.fromkeys(r["measure"] for r in own))
    found = {(r["network"], r["part"], r["measure"]): r for r in own}
    lines = [
        [network, part, *(_number(found.get((network, part, m))) for m in measures)]
        for network, part in sorted({key[:2] for key in found})
    ]
    return _table(["network", "images", *(m.replace("_", " ") for m in measures)], lines)


def _by_class(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["class"] is not None]
    if not own:
        return Markup("<p>No test image has a class that it knows.</p>")
    measures = list(dict.fromkeys(r["measure"] for r in own))
    found = {(r["class"], r["measure"]): r for r in own}
    lines = []
    for kind in sorted({r["class"] for r in own}):
        cells = [found.get((kind, m)) for m in measures]
        shown = [
            f"{c['value']:,.0f}" if c and c["measure"] == "images" else _number(c) for c in cells
        ]
        lines.append([kind, *shown])
    return _table(["class", *measures], lines)


def _confusion(points: list[dict[str, Any]]) -> Markup:
    own = [p for p in points if p["curve"] == "confusion"]
    if not own:
        return Markup("")
    classes = list(dict.fromkeys(p["name"] for p in own))
    found = {(p["name"], p["other"]): p["y"] for p in own}
    lines = [[c, *(f"{found[c, o]:,.0f}" for o in classes)] for c in classes]
    return _table(["is, taken for", *classes], lines)


def _lines(
    points: list[dict[str, Any]],
    curve: str,
    across: str,
    up: str,
    names: Sequence[str | None] | None = None,
) -> Markup:
    """Return the curves of one kind as a picture of lines, each with its name as a title."""
    own = [
        p
        for p in points
        if p["curve"] == curve and p["x"] is not None and p["y"] is not None
        and (names is None or p["name"] in names)
    ]  # fmt: skip
    if not own:
        return Markup("")
    most = {axis: max(1.0, *(p[axis] for p in own)) for axis in ("x", "y")}
    inner = _SIDE - 2 * _EDGE
    paths = []
    for name in dict.fromkeys(p["name"] for p in own):
        places = " L".join(
            f"{_EDGE + inner * p['x'] / most['x']:.1f} "
            f"{_SIDE - _EDGE - inner * p['y'] / most['y']:.1f}"
            for p in own
            if p["name"] == name
        )
        title = Markup("<title>{}</title>").format(visible(name or curve))
        paths.append(Markup('<path class="line" d="M{}">{}</path>').format(places, title))
    frame = Markup(
        '<path class="axis" d="M{0} {0}V{1}H{1}"/><text x="{2}" y="{3}" text-anchor="middle">{4} '
        '(to {5:g})</text><text x="4" y="18">{6} (to {7:g})</text>'
    ).format(
        _EDGE, _SIDE - _EDGE, _SIDE // 2, _SIDE - 8, across, most["x"], up, round(most["y"], 3)
    )
    return Markup(
        '<figure><svg viewBox="0 0 {0} {0}" width="{0}" height="{0}" role="img">{1}{2}</svg>'
        "<figcaption>{3}</figcaption></figure>"
    ).format(_SIDE, frame, Markup("").join(paths), f"{curve}: {up} against {across}")
