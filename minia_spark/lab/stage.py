"""The comparison of the clusterings, and its pictures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Window
from pyspark.sql import functions as F

from minia_spark.clustering.spark import vectors_of
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS
from minia_spark.compare.measure import Measured
from minia_spark.engine.context import Context
from minia_spark.galaxies.spark import load_model
from minia_spark.galaxies.tables import FACETS
from minia_spark.lab import figures as draw
from minia_spark.lab.agreement import MEASURES, agreement, silhouette
from minia_spark.lab.settings import LabSettings
from minia_spark.lab.spark import class_counts, contingencies, groups_of, pair_counts
from minia_spark.lab.tables import AGREEMENTS, CONTINGENCIES, FIGURES, RECALLS
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.spark import pixels_of
from minia_spark.reduce.stage import loaded_components
from minia_spark.reduce.tables import CROPS, REDUCTIONS

__all__ = ["compared", "drawn"]

_SIGNIFICANT = 0.05
_KEYS = ["batch", "image_id"]


def compared(context: Context) -> None:
    """Write how far clusterings agree with classes, and all pairs of groups."""
    settings = context.settings(LabSettings)
    with context.watched("classes"):
        counts = class_counts(context)
    silhouettes = _silhouettes(context, settings)
    agreements: list[dict[str, Any]] = []
    recalls: list[dict[str, Any]] = []
    for where, labels, table, noise in _tables_of(counts):
        rng = np.random.default_rng(settings.seed)
        found = agreement(table, rng)
        measured = {name: getattr(found, name) for name in MEASURES}
        measured["silhouette"] = silhouettes[where["method"], where["split"]]
        sizes = {"images": int(table.sum()), "clusters": int((table.sum(axis=0) > 0).sum())}
        agreements.append(where | sizes | {"noise": noise} | _columns(measured))
        recalls += [
            where
            | {"class": label, "images": int(n), "recall": recall.value}
            | {"recall_error": _or_none(recall.error)}
            for label, n, recall in zip(labels, table.sum(axis=1), found.recalls, strict=True)
        ]
    context.write_rows(AGREEMENTS, pa.Table.from_pylist(agreements, AGREEMENTS.arrow_schema()))
    context.write_rows(RECALLS, pa.Table.from_pylist(recalls, RECALLS.arrow_schema()))
    with context.watched("groups"):
        pairs = pair_counts(groups_of(context)).toArrow()
    table = contingencies(pairs)
    context.write_rows(CONTINGENCIES, table)
    enriched = int((table["q"].to_numpy() <= _SIGNIFICANT).sum()) if table.num_rows else 0
    context.counts |= {"compared": len(agreements), "pairs": table.num_rows, "enriched": enriched}
    if not agreements:
        context.progress.warn(
            f"{context.title}: no image has a class, so that nothing is compared with classes; "
            "--labels with 'minia run', or galaxies.classes.file, gives them"
        )


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _columns(measured: dict[str, Measured]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, one in measured.items():
        found |= {name: _or_none(one.value), f"{name}_error": _or_none(one.error)}
    return found


def _tables_of(
    counts: pa.Table,
) -> Iterator[tuple[dict[str, str], list[str], NDArray[np.int64], int]]:
    """Yield method, split and kind of classes, the classes, the table of counts, images in noise.

    Images without a class are left out; what is left with none is not yielded.
    """
    rows = [r for r in counts.to_pylist() if r["class"] is not None]
    wheres = dict.fromkeys((r["method"], r["split"], r["classes"]) for r in rows)
    for method, split, kind in wheres:
        own = [r for r in rows if (r["method"], r["split"], r["classes"]) == (method, split, kind)]
        labels = sorted({r["class"] for r in own})
        clusters = sorted({r["cluster"] for r in own})
        table = np.zeros((len(labels), len(clusters)), np.int64)
        for r in own:
            table[labels.index(r["class"]), clusters.index(r["cluster"])] = r["images"]
        noise = int(table[:, clusters.index(-1)].sum()) if -1 in clusters else 0
        yield {"method": method, "split": split, "classes": kind}, labels, table, noise


def _silhouettes(context: Context, settings: LabSettings) -> dict[tuple[str, str], Measured]:
    """Return the silhouette of every method on a sample of either side of the split."""
    names = context.read(FACETS).select(*_KEYS, "split")
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    number = F.row_number().over(Window.partitionBy("split").orderBy(order, *_KEYS))
    chosen = names.withColumn("number", number).where(F.col("number") <= settings.silhouette_sample)
    vectors = context.read(REDUCTIONS).join(chosen, _KEYS).select(*_KEYS, "split", "vector")
    table = vectors.toArrow().sort_by([(k, "ascending") for k in _KEYS])
    clusters = context.read(CLUSTERS).join(chosen.select(*_KEYS), _KEYS, "left_semi")
    placed = clusters.select(*_KEYS, "method", "cluster").toArrow()
    keys = zip(*(placed[n].to_pylist() for n in (*_KEYS, "method")), strict=True)
    known = dict(zip(keys, placed["cluster"].to_pylist(), strict=True))
    data = np.concatenate([vectors_of(batch) for batch in table.to_batches()])
    images = list(zip(*(table[n].to_pylist() for n in _KEYS), strict=True))
    splits = np.array(table["split"].to_pylist())
    found = {}
    for method in sorted({key[2] for key in known}):
        own = np.array([known.get((*image, method), -1) for image in images])
        for split in sorted(set(splits.tolist())):
            here = (splits == split) & np.isfinite(data).all(axis=1)
            rng = np.random.default_rng(settings.seed)
            found[method, split] = silhouette(data[here], own[here], rng)
    return found


def drawn(context: Context) -> None:
    """Draw the pictures of the study and publish them."""
    settings = context.settings(LabSettings)
    side = context.settings(ReduceSettings).side_px
    components = loaded_components(context)
    with context.watched("classes"):
        counts = class_counts(context)
    files: dict[str, bytes] = {}
    listed: list[dict[str, str]] = []

    def put(name: str, title: str, method: str, figure: Any) -> None:
        for kind, data in draw.encoded(figure).items():
            files[f"{name}.{kind}"] = data
        listed.append({"name": name, "title": title, "method": method})

    _draw_agreements(context, put)
    with context.watched("images that are shown"):
        members = _members(context, settings, side)
        shown = _test_images(context, settings, side)
    left = draw.to_pixels(
        components.inverse(components.transform(shown.reshape(len(shown), -1))), side
    )
    put(
        "reconstructions",
        "Test images, and what their vectors keep of them",
        "",
        draw.reconstruction_sheet(shown, left, len(components.scales)),
    )
    for method in sorted({e.variant for e in context.entries_of(CLUSTERINGS) if e.variant}):
        model = load_model(context, CLUSTERINGS, method)
        kept, note = _largest(counts, method, settings.clusters_shown)
        _draw_counts(method, counts, kept, note, put)
        centres = model.arrays["centres"]
        numbers = [c for c in kept if c >= 0]
        if numbers:
            pictures = draw.to_pixels(components.inverse(centres[numbers]), side)
            sheet = draw.centroid_sheet(numbers, pictures)
            put(f"{method}-centroids", f"Centres of the clusters, as images{note}", method, sheet)
        sheet = draw.member_sheet({c: members[method, c] for c in kept if (method, c) in members})
        put(f"{method}-members", f"Some images of every cluster{note}", method, sheet)
        if len(model.arrays.get("tree", ())):
            tree = draw.dendrogram(model.arrays["tree"], int(model.told["clusters"]))
            put(f"{method}-dendrogram", "The tree of the training images", method, tree)
    folder, storage = context.folder(FIGURES), context.warehouse.storage
    storage.remove_folder(folder)
    for name, data in files.items():
        storage.replace(f"{folder}/{name}", data)
    storage.replace(f"{folder}/figures.json", json.dumps(listed, indent=1).encode())
    context.publish(FIGURES, folder)
    context.counts |= {"figures": len(listed)}


def _draw_agreements(context: Context, put: Any) -> None:
    def column(rows: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
        return np.array([np.nan if r[name] is None else r[name] for r in rows])

    rows = context.small(AGREEMENTS).to_pylist()
    for kind in sorted({r["classes"] for r in rows}):
        own = [r for r in rows if r["classes"] == kind and r["split"] == "test"]
        if not own:
            continue
        names = (*MEASURES, "silhouette")
        measures = {n: (column(own, n), column(own, f"{n}_error")) for n in names}
        figure = draw.agreement_bars([r["method"] for r in own], measures)
        put(f"agreement-{kind}", f"Agreement with {kind}, on test images", "", figure)


def _largest(counts: pa.Table, method: str, most: int) -> tuple[list[int], str]:
    """Return the numbers of the largest clusters, ascending, and what titles say of the others."""
    sizes: Counter[int] = Counter()
    for r in counts.to_pylist():
        if r["method"] == method and r["classes"] == "label":  # every image once
            sizes[r["cluster"]] += r["images"]
    kept = sorted(sizes, key=lambda cluster: (-sizes[cluster], cluster))[:most]
    note = "" if len(kept) == len(sizes) else f" (the {len(kept):,} largest of {len(sizes):,})"
    return sorted(kept), note


def _draw_counts(
    method: str, counts: pa.Table, clusters: Sequence[int], note: str, put: Any
) -> None:
    rows = [
        r for r in counts.to_pylist() if r["method"] == method and r["cluster"] in set(clusters)
    ]
    splits = sorted({r["split"] for r in rows}, reverse=True)  # train first
    sizes = {s: np.zeros(len(clusters), np.int64) for s in splits}
    for r in rows:
        if r["classes"] == "label":  # every image once
            sizes[r["split"]][clusters.index(r["cluster"])] += r["images"]
    figure = draw.cluster_sizes(clusters, sizes)
    put(f"{method}-sizes", f"Sizes of the clusters{note}", method, figure)
    for kind in ("galaxy_class", "label"):
        own = [r for r in rows if r["classes"] == kind and r["class"] is not None]
        labels = sorted({r["class"] for r in own})
        if not labels:
            continue
        tables = {s: np.zeros((len(labels), len(clusters)), np.int64) for s in splits}
        for r in own:
            place = (labels.index(r["class"]), clusters.index(r["cluster"]))
            tables[r["split"]][place] = r["images"]
        figure = draw.class_histograms(labels, clusters, tables)
        put(f"{method}-classes-{kind}", f"Classes ({kind}) of every cluster{note}", method, figure)


def _pictures(table: pa.Table, side: int) -> NDArray[np.uint8]:
    dims = 3 * side * side
    blocks = [pixels_of(batch, dims) for batch in table.to_batches()]
    return np.concatenate([*blocks, np.empty((0, dims), np.uint8)]).reshape(-1, side, side, 3)


def _members(
    context: Context, settings: LabSettings, side: int
) -> dict[tuple[str, int], list[NDArray[np.uint8]]]:
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    number = F.row_number().over(Window.partitionBy("method", "cluster").orderBy(order, *_KEYS))
    clusters = context.read(CLUSTERS).select(*_KEYS, "method", "cluster")
    chosen = clusters.withColumn("number", number).where(F.col("number") <= settings.members)
    rows = context.read(CROPS).join(chosen, _KEYS).toArrow()
    rows = rows.sort_by([(n, "ascending") for n in ("method", "cluster", "number")])
    found: dict[tuple[str, int], list[NDArray[np.uint8]]] = {}
    pictures = _pictures(rows, side)
    keys = zip(rows["method"].to_pylist(), rows["cluster"].to_pylist(), strict=True)
    for key, picture in zip(keys, pictures, strict=True):
        found.setdefault(key, []).append(picture)
    return found


def _test_images(context: Context, settings: LabSettings, side: int) -> NDArray[np.uint8]:
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    names = context.read(FACETS).where("split = 'test'").select(*_KEYS)
    chosen = names.orderBy(order, *_KEYS).limit(settings.reconstructions)
    rows = context.read(CROPS).join(chosen, _KEYS).toArrow()
    return _pictures(rows.sort_by([(k, "ascending") for k in _KEYS]), side)
