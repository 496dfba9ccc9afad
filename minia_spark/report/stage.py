"""Collects what the page shows and has it written; the page itself is made in :mod:`.site`.

Only what is shown comes to the driver: so many structures, so many images of each, a bounded
sample of descriptors. Tables with rows of images are read by Spark, in as few jobs as possible;
tables of a row a structure, a word or a batch are read here, which takes no job at all.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from minia_spark import __version__
from minia_spark.base.arrow import to_lists
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.drift.measure import Drift, advice, beyond
from minia_spark.drift.settings import DriftSettings
from minia_spark.drift.tables import DRIFT
from minia_spark.engine.context import Context
from minia_spark.engine.stage import load
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import BACKGROUND, FACTORS, STRUCTURES, TUNING
from minia_spark.report.data import (
    Arrival,
    BackgroundData,
    BatchDrift,
    CodebookData,
    DriftData,
    FactorData,
    FactorEnd,
    RejectCount,
    ReportData,
    RunSummary,
    ScoredImage,
    StageTime,
    TableCount,
    VariantData,
)
from minia_spark.report.settings import ReportSettings
from minia_spark.report.site import MOST_LABELS, named_labels, render, wanted_images
from minia_spark.report.spark import (
    Said,
    Tables,
    cards_of,
    columns_of,
    patterns_of,
    said_of,
    thumbnails_of,
)
from minia_spark.report.tables import SITE
from minia_spark.structures.tables import LINEAGE
from minia_spark.warehouse.records import now
from minia_spark.words.counts import word_occurrences
from minia_spark.words.settings import WordsSettings

__all__ = ["run"]

_MOST_CENTRES = 5_000  # drawn in the plot of the codebook
_STEPS = 1 << 20  # of chance, where descriptors are sampled
_FACTORS = 8  # shown
_AT_AN_END = 6  # images
_TENTH = 0.1


def run(context: Context) -> None:
    """Write the site and publish it."""
    settings = context.settings(ReportSettings)
    names = list(dict.fromkeys(entry.variant for entry in context.entries_of(STRUCTURES)))
    variants = [_variant(Tables(context, name)) for name in names]
    of_none = Tables(context, None)
    labels = _label_counts(of_none, variants)
    shown_panels = [panel for panel in context.panels if all(map(context.has, panel.reads))]
    attention = [
        one for panel in shown_panels if panel.attention for one in load(panel.attention)(context)
    ]
    data = ReportData(
        run=_summary(context, several=len(names) > 1),
        variants=variants,
        labels={label: n for label, n in labels.items() if label is not None},
        labelled=sum(labels.values()),
        panels=[(panel.title, load(panel.show)(context)) for panel in shown_panels],
        pages=[
            (panel.title, f"{panel.page.name}/index.html")
            for panel in context.panels
            if panel.page is not None and context.has(panel.page)
        ],
        attention=attention,
        newest=_newest(context),
        advice=_advice(context, variants),
    )
    shown: dict[str, int] = {
        "structures": settings.structures,
        "images_per_structure": settings.images_per_structure,
    }
    folder = context.folder(SITE)
    storage = context.warehouse.storage
    with tempfile.TemporaryDirectory() as scratch:
        target = (
            storage.local / folder
            if storage.local is not None
            else Path(scratch) / Path(folder).name
        )
        rendered = render(
            data,
            target,
            thumbnails_of(of_none, wanted_images(data.variants, **shown)),
            **shown,
            seen_from_above=True,
        )
        if storage.local is None:
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish(SITE, folder)
    context.counts |= {
        "structures": rendered.structures,
        "images": rendered.images,
        "missing": rendered.missing,
    }


def _newest(context: Context) -> Arrival | None:
    """Return the batch of images that was read last."""
    entries = context.entries_of(IMAGES)
    if not entries:
        return None
    newest = max(entries, key=lambda entry: (entry.run, entry.batch or ""))
    name = newest.batch or ""
    rejected = sum(entry.rows or 0 for entry in context.entries_of(REJECTS, name))
    return Arrival(batch=name, images=newest.rows or 0, rejected=rejected)


def _advice(context: Context, variants: Sequence[VariantData]) -> list[str]:
    """Return a sentence for every variant of which a batch is unlike its codebook."""
    found = []
    for variant in variants:
        batches = [] if variant.drift is None else variant.drift.batches
        odd = {batch.batch: batch.clauses for batch in batches}
        sentence = advice(odd, str(context.warehouse.storage))
        if sentence is not None:
            found.append(f"{variant.name}: {sentence}" if len(variants) > 1 else sentence)
    return found


def _variant(tables: Tables) -> VariantData:
    """Return what one extractor's features led to."""
    mining = tables.settings(MiningSettings)
    judged = mining.decoys > 0 and mining.seeds > 0
    counts = word_occurrences(tables.context.of_variant(tables.variant))
    background = _background(tables)
    fates = [
        row
        for batch in tables.rows(LINEAGE, ["structure_id", "lineage_id", "event", "older_state"])
        for row in batch.to_pylist()
    ]
    said, told = said_of(tables), patterns_of(tables)
    left_out = {
        row["structure_id"]
        for row in fates
        if row["structure_id"] is not None and said.get(row["lineage_id"], Said()).left_out
    }
    grades = Counter(row["strength"] for n, row in told.items() if n not in left_out)
    strong = [n for n, row in told.items() if row["strength"] == "strong" and n not in left_out]
    return VariantData(
        name=tables.variant or "features",
        structures=cards_of(tables, said, told, judged=judged, beyond=background is not None),
        structures_total=tables.count(STRUCTURES),
        established_total=_established(tables, left_out) if judged else None,
        strong_total=grades["strong"] if judged else None,
        moderate_total=grades["moderate"],
        weak_total=grades["weak"],
        strong_patterns=len({told[number]["pattern"] for number in strong}),
        patterns_total=len({row["pattern"] for row in told.values()}),
        left_out_total=len(left_out),
        max_q=mining.max_q if mining.decoys > 0 else None,
        min_stability=mining.min_stability if mining.seeds > 0 else None,
        features=int(counts.sum()),
        mining=[
            reason
            for batch in tables.rows(TUNING, ["reasons"])
            for reasons in batch["reasons"].to_pylist()
            for reason in reasons
        ],
        background=background,
        codebook=_codebook(tables, counts),
        drift=_drift(tables),
        events=Counter(row["event"] for row in fates),
        older_state=next((row["older_state"] for row in fates if row["older_state"]), None),
    )


def _summary(context: Context, *, several: bool) -> RunSummary:
    view = context.view
    return RunSummary(
        title=context.settings(ReportSettings).title,
        run=context.run,
        finished=now(),
        version=__version__,
        images=context.rows(IMAGES),
        batches=len(view.batches),
        tables=[
            TableCount(
                table=f"{e.table} {e.variant}" if several and e.variant else e.table,
                batch=e.batch,
                rows=e.rows,
            )
            for e in view.entries
            if e.rows is not None and e.table != REJECTS.name
        ],
        rejects=_rejects(context),
        stages=[
            StageTime(stage=s.stage, batch=s.batch, seconds=s.seconds)
            for s in context.steps
            if s.action == "done"
        ],
        settings=context.all_settings.model_dump(mode="json"),
    )


def _rejects(context: Context) -> list[RejectCount]:
    if not context.rows(REJECTS):
        return []
    entries = context.entries_of(REJECTS)
    rejects = columns_of(context, REJECTS, entries, ("stage", "reason", "uri", "detail"))
    counted = rejects.groupBy("reason", "stage").agg(
        F.count("*").alias("records"), F.min(F.struct("uri", "detail")).alias("example")
    )
    with context.watched("rejects"):
        rows = counted.toArrow().to_pylist()
    return [
        RejectCount(
            reason=row["reason"],
            stage=row["stage"],
            records=row["records"],
            example=row["example"]["uri"],
            detail=row["example"]["detail"],
        )
        for row in sorted(rows, key=lambda row: (-row["records"], row["reason"], row["stage"]))
    ]


def _label_counts(tables: Tables, variants: Sequence[VariantData]) -> dict[str | None, int]:
    """Return in how many images of the collection the labels shown are; None: all other labels."""
    shown_of = [card.labels for variant in variants for card in variant.structures]
    for variant in variants:
        for factor in () if variant.background is None else variant.background.factors:
            shown_of += [factor.low.labels, factor.high.labels]
    shown = sorted({label for labels in shown_of for label in named_labels(labels)})
    if not shown:
        return {}
    images = tables.columns(IMAGES, "label").where("label is not null")
    label = F.when(F.col("label").isin(shown), F.col("label")).alias("label")
    table = tables.collected(images.groupBy(label).count(), "labels")
    return dict(zip(table["label"].to_pylist(), table["count"].to_pylist(), strict=True))


def _background(tables: Tables) -> BackgroundData | None:
    """Return what images differ in; None where hash tables propose."""
    (way,) = (row for b in tables.rows(TUNING, ["chance", "factors"]) for row in b.to_pylist())
    if way["chance"] == "totals":
        return None
    some = next((b for b in tables.rows(BACKGROUND, ["spreads"]) if b.num_rows), None)
    spreads = [] if some is None else some["spreads"][0].as_py()
    shown = min(way["factors"], _FACTORS)
    return BackgroundData(
        spreads=spreads, rank=way["factors"], factors=_factors(tables, shown) if shown else ()
    )


def _factors(tables: Tables, count: int) -> list[FactorData]:
    """Return the images at both ends of the first factors, and what labels the outer tenths have.

    One row comes to the driver for the images, and so many for the labels as are shown. Scores
    are whole numbers of a few thousand values, so that exact tenths cost little.
    """
    scores = [F.get("scores", F.lit(number)) for number in range(count)]
    own = tables.columns(FACTORS, "batch", "image_id", "scores").where("scores is not null")
    wanted = []
    for number, score in enumerate(scores):
        place = F.struct(score.alias("score"), "image_id", "batch")
        wanted += [
            F.percentile(score, [_TENTH, 1 - _TENTH]).alias(f"tenths{number}"),
            F.min_by(place, place, _AT_AN_END).alias(f"low{number}"),
            F.max_by(place, place, _AT_AN_END).alias(f"high{number}"),
        ]
    (row,) = tables.collected(own.agg(*wanted), "ends of factors").to_pylist()
    if row["low0"] is None:
        return []  # no image has a word
    labels = _labels_at_ends(tables, own, scores, [row[f"tenths{n}"] for n in range(count)])

    def end(name: str, number: int) -> FactorEnd:
        images = [ScoredImage(**image) for image in row[f"{name}{number}"]]
        images.sort(key=lambda i: (i.score, i.image_id, i.batch), reverse=name == "high")
        counts, labelled = labels[name, number]
        return FactorEnd(images=images, labels=counts, labelled=labelled)

    return [FactorData(low=end("low", n), high=end("high", n)) for n in range(count)]


def _labels_at_ends(
    tables: Tables,
    images: DataFrame,
    scores: Sequence[Column],
    tenths: Sequence[tuple[float, float]],
) -> dict[tuple[str, int], tuple[dict[str, int], int]]:
    """Return the most frequent labels of each end, and how many images there have one."""
    ends = []
    for number, (score, (low, high)) in enumerate(zip(scores, tenths, strict=True)):
        for name, there in (("low", score <= low), ("high", score >= high)):
            here = F.struct(F.lit(name).alias("name"), F.lit(number).alias("of"))
            ends.append(F.when(there, here))
    every = tables.columns(IMAGES, "batch", "image_id", "label").where("label is not null")
    at = F.explode(F.array_compact(F.array(*ends))).alias("end")
    joined = images.join(every, ["batch", "image_id"]).select(at, "label")
    counted = joined.groupBy("end", "label").agg(F.count("*").alias("images"))
    of_end = Window.partitionBy("end")
    place = F.row_number().over(of_end.orderBy(F.col("images").desc(), "label")).alias("place")
    total = F.sum("images").over(of_end).alias("labelled")
    frequent = counted.select("*", place, total).where(F.col("place") <= MOST_LABELS)
    found: dict[tuple[str, int], tuple[dict[str, int], int]] = defaultdict(lambda: ({}, 0))
    for row in tables.collected(frequent.sort("end", "place"), "labels of factors").to_pylist():
        key = (row["end"]["name"], row["end"]["of"])
        found[key] = ({**found[key][0], row["label"]: row["images"]}, row["labelled"])
    return found


def _codebook(tables: Tables, counts: NDArray[np.int64]) -> CodebookData:
    words = tables.settings(WordsSettings)
    every = -(-len(counts) // _MOST_CENTRES)
    pieces = []
    for batch in tables.rows(CODEBOOKS, ["word", "centre"]):
        numbers = batch["word"].to_numpy()
        chosen = np.flatnonzero(numbers % every == 0)
        values, _ = to_lists(batch["centre"].take(pa.array(chosen)))
        pieces.append((numbers[chosen], values.reshape(len(chosen), -1)))
    order = np.argsort(np.concatenate([numbers for numbers, _ in pieces]))
    centres = np.concatenate([values for _, values in pieces])[order].astype(np.float32)
    head = next(tables.rows(CODEBOOKS, ["version", "cost_history"], ds.field("word") == 0))
    return CodebookData(
        version=head["version"][0].as_py(),
        word_counts=counts,
        centres=centres,
        descriptors=_sampled_descriptors(tables, int(counts.sum())).astype(np.float32),
        outlier_deviations=words.outlier_deviations,
        outliers_dropped=words.drop_outliers,
        costs=head["cost_history"][0].as_py(),
    )


def _sampled_descriptors(tables: Tables, total: int) -> NDArray[np.generic]:
    """Return about as many descriptors as wanted, shape (n, dimension).

    A run of neighbours from every image, as long as its share asks for, rounded up or down by
    chance; chance is a hash of the image's name. No Python process sees the descriptors that are
    not chosen.
    """
    wanted = tables.settings(ReportSettings).sampled_descriptors
    paths = [tables.context.pattern(entry.path) for entry in tables.entries(FEATURES)]
    features = tables.context.spark.read.parquet(*paths)  # with the layout of the descriptors
    layout = features.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    if not wanted or not total:
        return np.zeros((0, dim), dtype=dtype)
    seed = tables.settings(CodebookSettings).seed

    def draw(number: int, below: Column) -> Column:
        return F.pmod(F.xxhash64("batch", "image_id", F.lit(seed), F.lit(number)), below)

    share = min(1.0, wanted / total)
    many = F.floor(F.col("n_features") * share + draw(0, F.lit(_STEPS)) / _STEPS).alias("many")
    bytes_each = dim * dtype.itemsize
    chosen = (
        features.where("n_features > 0")
        .select("batch", "image_id", "n_features", "descriptors", many)
        .where("many > 0")
        .withColumn("first", draw(1, F.col("n_features") - F.col("many") + 1))
        .select(
            "batch",
            "image_id",
            F.substring(
                "descriptors",
                (F.col("first") * bytes_each + 1).cast("int"),
                (F.col("many") * bytes_each).cast("int"),
            ).alias("descriptors"),
        )
    )
    table = tables.collected(chosen, "descriptors")
    table = table.sort_by([("batch", "ascending"), ("image_id", "ascending")])
    blocks = table["descriptors"].to_pylist()
    return np.frombuffer(b"".join(blocks), dtype=dtype).reshape(-1, dim)


def _drift(tables: Tables) -> DriftData:
    limits = tables.settings(DriftSettings)
    names = [field.name for field in fields(Drift)]
    batches = []
    rows = (
        row
        for batch in tables.rows(DRIFT, ["batch", "in_training", *names])
        for row in batch.to_pylist()
    )
    for row in sorted(rows, key=lambda row: str(row["batch"])):
        drift = Drift(**{name: row[name] for name in names})
        batches.append(
            BatchDrift(
                batch=row["batch"],
                trained_on=row["in_training"],
                images=drift.images,
                error_ratio=drift.error_ratio,
                error_deviation=drift.error_ratio_deviation,
                divergence=drift.divergence,
                expected_divergence=drift.expected_divergence,
                divergence_deviation=drift.divergence_deviation,
                dead_words=len(drift.dead_words),
                overfull_words=len(drift.overfull_words),
                clauses=[] if row["in_training"] else beyond(drift, **limits.model_dump()),
            )
        )
    return DriftData(
        batches=batches,
        max_error_ratio=limits.max_error_ratio,
        max_divergence=limits.max_divergence,
    )


def _established(tables: Tables, left_out: Collection[int]) -> int:
    wanted = ds.field("significant") & ds.field("reproducible")
    wanted &= ~ds.field("structure_id").isin(sorted(left_out))
    return sum(b.num_rows for b in tables.rows(STRUCTURES, ["structure_id"], wanted))
