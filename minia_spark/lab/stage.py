"""The comparison of the clusterings, and its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from minia_spark.base.arrow import lists_or_nan
from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.tables import CLUSTERINGS, CLUSTERS, method_and_vectors, title_of
from minia_spark.clustering.tree import condensed
from minia_spark.compare.measure import Measured
from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.context import Context
from minia_spark.galaxies.frozen import Model
from minia_spark.galaxies.spark import load_model
from minia_spark.galaxies.split import TRAIN
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.tables import IMAGES
from minia_spark.lab import figures as draw
from minia_spark.lab.agreement import MEASURES, agreement, silhouette
from minia_spark.lab.pictures import Pictures
from minia_spark.lab.settings import LabSettings
from minia_spark.lab.spark import class_counts, contingencies, groups_of, pair_counts
from minia_spark.lab.sweep import Representation, clustering_of, compare, options_of
from minia_spark.lab.tables import AGREEMENTS, CONTINGENCIES, FIGURES, RECALLS, REPEATED, REPEATS
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
    sample = _sample(context, settings)
    silhouettes = _silhouettes(context, settings, sample)
    agreements: list[dict[str, Any]] = []
    recalls: list[dict[str, Any]] = []
    for variant, split, kind, labels, table, noise in _tables_of(counts):
        where = {**_told(variant), "split": split, "classes": kind}
        rng = np.random.default_rng(settings.seed)
        found = agreement(table, rng)
        measured = {name: getattr(found, name) for name in MEASURES}
        measured["silhouette"] = silhouettes[variant, split]
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
    with threadpool_limits(1):  # the same numbers whatever the cores
        repeats = list(_repeats(context, settings, sample))
    context.write_rows(REPEATS, pa.Table.from_pylist(repeats, REPEATS.arrow_schema()))
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


def _told(variant: str) -> dict[str, str]:
    method, vectors = method_and_vectors(variant)
    return {"method": method, "vectors": vectors}


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _columns(measured: dict[str, Measured]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, one in measured.items():
        found |= {name: _or_none(one.value), f"{name}_error": _or_none(one.error)}
    return found


def _tables_of(
    counts: pa.Table,
) -> Iterator[tuple[str, str, str, list[str], NDArray[np.int64], int]]:
    """Yield variant, split and kind of classes, the classes, the table of counts, images in noise.

    Images without a class are left out; what is left with none is not yielded.
    """
    rows = [r for r in counts.to_pylist() if r["class"] is not None]
    wheres = dict.fromkeys((r["variant"], r["split"], r["classes"]) for r in rows)
    for variant, split, kind in wheres:
        where = (variant, split, kind)
        own = [r for r in rows if (r["variant"], r["split"], r["classes"]) == where]
        labels = sorted({r["class"] for r in own})
        clusters = sorted({r["cluster"] for r in own})
        table = np.zeros((len(labels), len(clusters)), np.int64)
        for r in own:
            table[labels.index(r["class"]), clusters.index(r["cluster"])] = r["images"]
        noise = int(table[:, clusters.index(-1)].sum()) if -1 in clusters else 0
        yield variant, split, kind, labels, table, noise


@dataclass(frozen=True)
class _Sample:
    """Some images of either side of the split, in the order of their names.

    Attributes
    ----------
    images : list of (batch, image_id)
    splits : str array, shape (n,)
    classes : mapping
        Kind of classes to an array of n texts or None.
    vectors : mapping
        ``components``, or the name of an embedding, to a float array of shape (n, D); NaN for
        images without a vector.
    """

    images: list[tuple[str, str]]
    splits: NDArray[np.str_]
    classes: dict[str, NDArray[np.object_]]
    vectors: dict[str, NDArray[np.float64]]


def _chosen(context: Context, settings: LabSettings) -> DataFrame:
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    number = F.row_number().over(Window.partitionBy("split").orderBy(order, *_KEYS))
    names = context.read(FACETS).select(*_KEYS, "split", "galaxy_class")
    return names.withColumn("number", number).where(F.col("number") <= settings.silhouette_sample)


def _sample(context: Context, settings: LabSettings) -> _Sample:
    """Return the images that silhouettes and repeated fits are from."""
    labels = context.read(IMAGES).select(*_KEYS, "label")
    chosen = _chosen(context, settings).join(labels, _KEYS)
    held = context.read(REDUCTIONS).withColumnRenamed("vector", "components").drop("variant")
    joined = chosen.join(held.select(*_KEYS, "components"), _KEYS)
    variants = {e.variant for e in context.entries_of(CLUSTERS) if e.variant}
    embeddings = sorted({method_and_vectors(v)[1] for v in variants} - {"components"})
    for name in embeddings:
        own = context.of_variant(name).read(EMBEDDINGS)
        joined = joined.join(own.select(*_KEYS, F.col("vector").alias(name)), _KEYS, "left")
    with context.watched("sample"):
        table = joined.toArrow().sort_by([(k, "ascending") for k in _KEYS])
    return _Sample(
        list(zip(*(table[n].to_pylist() for n in _KEYS), strict=True)),
        np.array(table["split"].to_pylist()),
        {k: np.array(table[k].to_pylist(), object) for k in ("galaxy_class", "label")},
        {name: lists_or_nan(table[name]) for name in ("components", *embeddings)},
    )


def _silhouettes(
    context: Context, settings: LabSettings, sample: _Sample
) -> dict[tuple[str, str], Measured]:
    """Return the silhouette of every clustering on a sample of either side of the split."""
    chosen = _chosen(context, settings).select(*_KEYS)
    clusters = context.read(CLUSTERS).join(chosen, _KEYS, "left_semi")
    placed = clusters.select(*_KEYS, "variant", "cluster").toArrow()
    keys = zip(*(placed[n].to_pylist() for n in (*_KEYS, "variant")), strict=True)
    known = dict(zip(keys, placed["cluster"].to_pylist(), strict=True))
    found = {}
    for variant in sorted({key[2] for key in known}):
        own = np.array([known.get((*image, variant), -1) for image in sample.images])
        data = sample.vectors[method_and_vectors(variant)[1]]
        for split in sorted(set(sample.splits.tolist())):
            here = (sample.splits == split) & np.isfinite(data).all(axis=1)
            rng = np.random.default_rng(settings.seed)
            found[variant, split] = silhouette(data[here].astype(np.float32), own[here], rng)
    return found


def _repeats(context: Context, settings: LabSettings, sample: _Sample) -> Iterator[dict[str, Any]]:
    """Yield what methods recover when they are fitted again, from other seeds and images."""
    if not settings.repeats:
        return
    own = context.settings(ClusteringSettings)
    options = options_of(own.model_dump())
    for kind, classes in sample.classes.items():
        for name, vectors in sample.vectors.items():
            known = np.array([c is not None for c in classes], np.bool_)
            known &= np.isfinite(vectors).all(axis=1)
            train, labels = sample.splits[known] == TRAIN, classes[known].astype(np.str_)
            if train.sum() < 2 or len(np.unique(labels[~train])) < 2:
                continue
            for row in compare(
                Representation(name, vectors[known], np.nan),
                labels,
                train,
                methods=own.methods,
                options=options,
                repeats=settings.repeats,
                seed=settings.seed,
                balanced=(False, True),
            ):
                context.say(f"{kind}: {row.method} of {name}: AMI {row.ami.value:.3f}")
                yield {
                    "method": row.method,
                    "vectors": name,
                    "classes": kind,
                    "fitted_to": "balanced" if row.balanced else "all",
                    "repeats": settings.repeats,
                    "fitted_images": row.fitted,
                    "images": int((~train).sum()),
                    "clusters": row.clusters,
                    **_columns({m: getattr(row, m) for m in REPEATED}),
                }


def drawn(context: Context) -> None:
    """Draw the pictures of the study and publish them."""
    settings = context.settings(LabSettings)
    side = context.settings(ReduceSettings).side_px
    components = loaded_components(context)
    with context.watched("classes"):
        counts = class_counts(context)
    pictures = Pictures()

    def put(name: str, title: str, variant: str, figure: Any) -> None:
        pictures.put(name, title, title_of(variant), figure)

    _draw_classes(counts, put)
    _draw_agreements(context, put)
    with context.watched("images that are shown"):
        members, middle = _members(context, settings, side)
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
        if not numbers:
            pass
        elif method_and_vectors(method)[1] == "components":
            images = draw.to_pixels(components.inverse(centres[numbers]), side)
            sheet = draw.centroid_sheet(numbers, images)
            put(f"{method}-centroids", f"Centres of the clusters, as images{note}", method, sheet)
        else:  # an embedding cannot be turned back into an image
            there = [c for c in numbers if (method, c) in middle]
            sheet = draw.centroid_sheet(there, np.stack([middle[method, c] for c in there]))
            title = f"Images nearest to the centres of the clusters{note}"
            put(f"{method}-centroids", title, method, sheet)
        sheet = draw.member_sheet({c: members[method, c] for c in kept if (method, c) in members})
        put(f"{method}-members", f"Some images of every cluster{note}", method, sheet)
        _draw_tree(model, method, put)
    pictures.publish(context, FIGURES)
    context.counts |= {"figures": len(pictures)}


def _draw_classes(counts: pa.Table, put: Any) -> None:
    """Draw how many images of each class there are: as one of the clusterings has them all."""
    rows = counts.to_pylist()
    first = rows[0]["variant"]
    rows = [r for r in rows if r["variant"] == first and r["class"] is not None]
    for kind in sorted({r["classes"] for r in rows}):
        own = [r for r in rows if r["classes"] == kind]
        labels = sorted({r["class"] for r in own})
        splits = sorted({r["split"] for r in own}, reverse=True)  # train first
        sizes = {s: np.zeros(len(labels), np.int64) for s in splits}
        for r in own:
            sizes[r["split"]][labels.index(r["class"])] += r["images"]
        put(f"classes-{kind}", f"Images of each {_kind(kind)}", "", draw.class_sizes(labels, sizes))


def _draw_tree(model: Model, variant: str, put: Any) -> None:
    tree = model.arrays.get("tree", np.empty(0))
    if not len(tree):
        return
    if model.kind == "hierarchical":
        figure = draw.dendrogram(tree, int(model.told["clusters"]))
        put(f"{variant}-dendrogram", "The tree of the training images", variant, figure)
        return
    branches = condensed(tree, model.arrays["labels"], int(model.told["smallest"]))
    title = "The condensed tree of the training images: the chosen clusters are coloured"
    put(f"{variant}-condensed", title, variant, draw.condensed_tree(branches))


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
        figure = draw.agreement_bars([clustering_of(r) for r in own], measures)
        put(f"agreement-{kind}", f"Agreement with {_kind(kind)}, on test images", "", figure)
    repeats = context.small(REPEATS).to_pylist()
    for kind in sorted({r["classes"] for r in repeats}):
        own = [r for r in repeats if r["classes"] == kind]
        clusterings = list(dict.fromkeys(clustering_of(r) for r in own))
        fits = {}
        for fitted, told in _FITTED.items():
            here = {clustering_of(r): r for r in own if r["fitted_to"] == fitted}
            in_order = [here[n] for n in clusterings]
            fits[f"fitted to {told}"] = (column(in_order, "ami"), column(in_order, "ami_error"))
        title = (
            f"AMI with {_kind(kind)} on test images, fitted to all images or as many of every class"
        )
        put(f"repeats-{kind}", title, "", draw.repeat_bars(clusterings, fits, "AMI"))


def _kind(name: str) -> str:
    return name.replace("_", " ")


_FITTED = {"all": "all", "balanced": "as many of every class"}


def _largest(counts: pa.Table, method: str, most: int) -> tuple[list[int], str]:
    """Return the numbers of the largest clusters, ascending, and what titles say of the others."""
    sizes: Counter[int] = Counter()
    for r in counts.to_pylist():
        if r["variant"] == method and r["classes"] == "label":  # every image once
            sizes[r["cluster"]] += r["images"]
    kept = sorted(sizes, key=lambda cluster: (-sizes[cluster], cluster))[:most]
    note = "" if len(kept) == len(sizes) else f" (the {len(kept):,} largest of {len(sizes):,})"
    return sorted(kept), note


def _draw_counts(
    method: str, counts: pa.Table, clusters: Sequence[int], note: str, put: Any
) -> None:
    rows = [
        r for r in counts.to_pylist() if r["variant"] == method and r["cluster"] in set(clusters)
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
        put(
            f"{method}-classes-{kind}",
            f"Classes ({_kind(kind)}) of every cluster{note}",
            method,
            figure,
        )


def _pictures(table: pa.Table, side: int) -> NDArray[np.uint8]:
    dims = 3 * side * side
    blocks = [pixels_of(batch, dims) for batch in table.to_batches()]
    return np.concatenate([*blocks, np.empty((0, dims), np.uint8)]).reshape(-1, side, side, 3)


Pictured = dict[tuple[str, int], list[NDArray[np.uint8]]]


def _members(
    context: Context, settings: LabSettings, side: int
) -> tuple[Pictured, dict[tuple[str, int], NDArray[np.uint8]]]:
    """Return some images of every cluster of every variant, and the one nearest to its centre."""
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    groups = Window.partitionBy("variant", "cluster")
    number = F.row_number().over(groups.orderBy(order, *_KEYS))
    place = F.row_number().over(groups.orderBy(F.col("distance").asc_nulls_last(), *_KEYS))
    clusters = context.read(CLUSTERS).select(*_KEYS, "variant", "cluster", "distance")
    ranked = clusters.withColumn("number", number).withColumn("place", place)
    # of components the centre itself is an image
    nearest = (F.col("place") == 1) & F.contains("variant", F.lit("-"))
    chosen = ranked.where((F.col("number") <= settings.members) | nearest)
    rows = context.read(CROPS).join(chosen, _KEYS).toArrow()
    rows = rows.sort_by([(n, "ascending") for n in ("variant", "cluster", "number")])
    found: Pictured = {}
    middle: dict[tuple[str, int], NDArray[np.uint8]] = {}
    pictures = _pictures(rows, side)
    columns = ("variant", "cluster", "number", "place")
    keys = zip(*(rows[n].to_pylist() for n in columns), strict=True)
    for (variant, cluster, count, rank), picture in zip(keys, pictures, strict=True):
        if count <= settings.members:
            found.setdefault((variant, cluster), []).append(picture)
        if rank == 1:
            middle[variant, cluster] = picture
    return found, middle


def _test_images(context: Context, settings: LabSettings, side: int) -> NDArray[np.uint8]:
    order = F.xxhash64(F.lit(settings.seed), *_KEYS)
    names = context.read(FACETS).where("split = 'test'").select(*_KEYS)
    chosen = names.orderBy(order, *_KEYS).limit(settings.reconstructions)
    rows = context.read(CROPS).join(chosen, _KEYS).toArrow()
    return _pictures(rows.sort_by([(k, "ascending") for k in _KEYS]), side)
