"""The lab on the page: tables of agreement, what is enriched, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from minia_spark.lab.agreement import MEASURES
from minia_spark.lab.pictures import shown, table_of
from minia_spark.lab.sweep import clustering_of, recommended
from minia_spark.lab.tables import AGREEMENTS, CONTINGENCIES, FIGURES, RECALLS, REPEATS

if TYPE_CHECKING:
    from minia_spark.engine.context import Context

__all__ = ["panel"]

_PAIRS = 20
_SIGNIFICANT = 0.05


def panel(context: Context) -> Markup:
    """Return the panel."""
    agreements = context.small(AGREEMENTS).to_pylist()
    recalls = context.small(RECALLS).to_pylist()
    repeats = context.small(REPEATS).to_pylist()
    pairs = context.small(CONTINGENCIES).to_pylist()
    parts = [_agreements(agreements), _repeats(repeats), _recalls(recalls), _enriched(pairs)]
    return Markup("\n").join([*parts, shown(context, FIGURES)])


def _number(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if error is None else f"{value:.3f} \u00b1 {error:.3f}"


def _measure(name: str) -> str:
    return name.upper() if len(name) == 3 else name


def _group(kind: str, value: str) -> str:
    is_noise = kind.startswith("cluster ") and value == "-1"
    return f"{_kind(kind)} {'noise' if is_noise else value}"


def _kind(name: str) -> str:
    return name.replace("_", " ")


def _agreements(rows: list[dict[str, Any]]) -> Markup:
    if not rows:
        return Markup("<p>No image has a class: nothing is compared with classes.</p>")
    names = (*MEASURES, "silhouette")
    cells = (
        [
            _kind(r["classes"]),
            r["split"],
            r["method"],
            r["vectors"],
            f"{r['images']:,}",
            r["clusters"] - (r["noise"] > 0),
            f"{r['noise']:,}",
        ]
        + [_number(r[n], r[f"{n}_error"]) for n in names]
        for r in sorted(rows, key=lambda r: (r["classes"], r["split"], -(r["ami"] or 0)))
    )
    head = ["classes", "split", "method", "vectors", "images", "clusters"]
    head += ["in none", *map(_measure, names)]
    note = Markup(
        "<p>AMI and ARI are 0 where clusters and classes have nothing to do with each other, and "
        "1 where they are the same. Errors are by bootstrap over the images. Images in no cluster "
        "(noise) count as one more; where they are all there is, no cluster was found, and the "
        "numbers say nothing. Classes of Galaxy Zoo 2: Willett et al. 2013 (MNRAS 435, 2835), Hart "
        "et al. 2016 (MNRAS 461, 3663).</p>"
    )
    return table_of(head, cells, "Agreement of clusters with classes") + note


def _repeats(rows: list[dict[str, Any]]) -> Markup:
    if not rows:
        return Markup("")
    found = {(r["classes"], r["vectors"], r["fitted_to"], r["method"]): r for r in rows}
    methods = list(dict.fromkeys(r["method"] for r in rows))
    lines = []
    for classes, vectors, fitted in dict.fromkeys(key[:3] for key in found):
        own = [found[classes, vectors, fitted, m] for m in methods]
        numbers = [_number(r["ami"], r["ami_error"]) for r in own]
        told = "all" if fitted == "all" else "as many of every class"
        lines.append([_kind(classes), vectors, told, f"{own[0]['fitted_images']:,}", *numbers])
    head = ["classes", "vectors", "fitted to", "images", *methods]
    caption = "AMI on test images of clusterings that are fitted again"
    kinds = sorted({r["classes"] for r in rows})
    advice = " ".join(recommended([r for r in rows if r["classes"] == k], k) for k in kinds)
    note = Markup(
        "<p>{} Each is fitted {} times, from other seeds and to other images: nine tenths of the "
        "training images, of at most as many as silhouettes are measured on, or as many of every "
        "class. Errors: standard deviation over the fits. k-means is scikit-learn's here.</p>"
    ).format(advice, rows[0]["repeats"])
    return table_of(head, lines, caption) + note


def _recalls(rows: list[dict[str, Any]]) -> Markup:
    own = [r for r in rows if r["split"] == "test"]
    methods = list(dict.fromkeys(sorted(clustering_of(r) for r in own)))
    found = {(r["classes"], r["class"], clustering_of(r)): r for r in own}
    lines = []
    for kind, name in sorted({key[:2] for key in found}):
        cells = [found.get((kind, name, m)) for m in methods]
        images = next(c["images"] for c in cells if c)
        numbers = [_number(c["recall"], c["recall_error"]) if c else "-" for c in cells]
        lines.append([_kind(kind), name, f"{images:,}", *numbers])
    if not lines:
        return Markup("")
    head = ["classes", "class", "images", *methods]
    return table_of(head, lines, "Share of a class in clusters of its own, test images")


def _enriched(rows: list[dict[str, Any]]) -> Markup:
    sure = [r for r in rows if r["q"] <= _SIGNIFICANT]
    sure.sort(key=lambda r: (r["q"], -r["lift"], r["left_kind"], r["left"], r["right"]))
    if not sure:
        return Markup("<p>No pair of groups shares more images than chance explains.</p>")
    cells = (
        [
            _group(r["left_kind"], r["left"]),
            _group(r["right_kind"], r["right"]),
            f"{r['images']:,} of {r['left_images']:,} and {r['right_images']:,}",
            f"{r['lift']:.2f}",
            f"{r['q']:.1e}",
        ]
        for r in sure[:_PAIRS]
    )
    head = ["group", "group", "images in both", "times chance", "q"]
    caption = f"Pairs of groups beyond chance: {min(_PAIRS, len(sure)):,} of {len(sure):,}"
    return table_of(head, cells, caption)
