"""Collects what the page shows and has it written; the page itself is made in :mod:`.report`.

Only what is shown comes to the driver: so many structures, so many images of each, a bounded
sample of descriptors.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from minia_spark import __version__
from minia_spark.codebook.passes import descriptor_sample
from minia_spark.drift.measure import Drift, advice, beyond
from minia_spark.engine.stage import Stage, StageContext
from minia_spark.images.decode import decode
from minia_spark.images.reader import ImageReader
from minia_spark.report.data import (
    BatchDrift,
    DriftData,
    MatchedImage,
    RejectCount,
    ReportData,
    RunSummary,
    StageTime,
    StructureCard,
    TableCount,
    VocabularyData,
)
from minia_spark.report.site import render
from minia_spark.warehouse.records import now
from minia_spark.words.spark import word_occurrences

__all__ = ["STAGE"]


def _run(context: StageContext) -> None:
    settings = context.settings.report
    drift = _drift(context)
    warning = advice({b.batch: b.clauses for b in drift.batches}, str(context.warehouse.storage))
    data = ReportData(
        run=_summary(context),
        structures=_cards(context),
        structures_total=context.rows("structures"),
        believed_total=_believed_total(context),
        mining=_mining(context),
        vocabulary=_vocabulary(context),
        drift=drift,
        advice=[] if warning is None else [warning],
    )
    folder = context.folder("report")
    storage = context.warehouse.storage
    options = context.settings.ingest.decode_options()

    def open_image(uri: str) -> NDArray[np.uint8]:
        with ImageReader(max_bytes=options["max_bytes"]) as reader:
            return decode(reader.read(uri), **options).pixels

    with tempfile.TemporaryDirectory() as scratch:
        target = (
            storage.local / folder
            if storage.local is not None
            else Path(scratch) / Path(folder).name
        )
        rendered = render(
            data,
            target,
            open_image,
            structures=settings.structures,
            images_per_structure=settings.images_per_structure,
            thumbnail_px=settings.thumbnail_px,
            seen_from_above=True,
        )
        if storage.local is None:
            pafs.copy_files(
                str(target), storage.full(folder), pafs.LocalFileSystem(), storage.filesystem
            )
    context.publish("report", folder, rows=rendered.structures)
    context.counts |= {
        "structures": rendered.structures,
        "images": rendered.images,
        "missing": rendered.missing,
    }


def _summary(context: StageContext) -> RunSummary:
    view = context.view
    return RunSummary(
        title=context.settings.report.title,
        run=context.run,
        finished=now(),
        version=__version__,
        images=context.rows("images"),
        features=_total_features(context),
        batches=len(view.batches),
        vocabulary=next((e.digest for e in view.of_table("codebooks")), None),
        tables=[
            TableCount(table=e.table, batch=e.batch, rows=e.rows)
            for e in view.entries
            if e.table not in ("report", "rejects")
        ],
        rejects=_rejects(context),
        stages=[
            StageTime(stage=s.stage, batch=s.batch, seconds=s.seconds)
            for s in context.steps
            if s.action == "done"
        ],
        settings=context.settings.model_dump(mode="json"),
    )


def _total_features(context: StageContext) -> int:
    row = context.read("features").agg(F.sum("n_features")).first()
    return int(row[0] or 0) if row else 0


def _rejects(context: StageContext) -> list[RejectCount]:
    rows = (
        context.read("rejects")
        .groupBy("reason", "stage")
        .agg(F.count("*").alias("records"), F.min(F.struct("uri", "detail")).alias("example"))
        .orderBy(F.desc("records"), "reason", "stage")
        .collect()
    )
    return [
        RejectCount(
            reason=row["reason"],
            stage=row["stage"],
            records=row["records"],
            example=row["example"]["uri"],
            detail=row["example"]["detail"],
        )
        for row in rows
    ]


def _vocabulary(context: StageContext) -> VocabularyData:
    codebook = context.read("codebooks").orderBy("word").toArrow()
    centres = np.array(codebook["centre"].to_pylist(), dtype=np.float32)
    features = context.read("features").where("reason is null")
    wanted = context.settings.report.sampled_descriptors
    sample = np.zeros((0, centres.shape[1]), dtype=np.float32)
    if wanted:
        chosen = (
            descriptor_sample(
                features,
                wanted,
                _total_features(context),
                context.settings.codebook.seed,
                distinct=False,
            )
            .select("descriptor")
            .toArrow()
        )
        values = chosen["descriptor"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        sample = values.reshape(-1, centres.shape[1])
    words = context.settings.words
    return VocabularyData(
        centres=centres,
        word_counts=word_occurrences(context),
        descriptors=sample,
        outlier_deviations=words.outlier_deviations,
        outliers_dropped=words.drop_outliers,
        costs=codebook["cost_history"][0].as_py(),
    )


def _drift(context: StageContext) -> DriftData:
    limits = context.settings.drift
    batches = []
    for row in context.read("drift").orderBy("batch").collect():
        drift = Drift(**{field.name: row[field.name] for field in fields(Drift)})
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


def _cards(context: StageContext) -> list[StructureCard]:
    settings = context.settings.report
    shown = F.col("structure_id") < settings.structures
    lineage = context.read("lineage").select("structure_id", "lineage_id", "event")
    known = context.read("structures").where(shown).join(lineage, "structure_id")
    structures = known.orderBy("structure_id").collect()
    matches = context.read("structure_images").where(shown)
    labels = context.read("images").select("batch", "image_id", "uri", "label")
    labelled = matches.join(labels, ["batch", "image_id"])
    images = _best_images(context, labelled.where(F.col("rank") <= settings.images_per_structure))
    totals: dict[int, int] = defaultdict(int)
    histograms: dict[int, dict[str, int]] = defaultdict(dict)
    counts = labelled.groupBy("structure_id", "label").count().orderBy(F.desc("count"), "label")
    for row in counts.collect():
        totals[row["structure_id"]] += row["count"]
        if row["label"] is not None:
            histograms[row["structure_id"]][row["label"]] = row["count"]
    return [
        StructureCard(
            structure=f"s{row['structure_id']:04d}",
            words=row["words"],
            frequencies=row["frequencies"],
            sets=row["sets"],
            images_total=totals[row["structure_id"]],
            images=images[row["structure_id"]],
            labels=histograms[row["structure_id"]],
            support=row["support"],
            expected_support=row["expected_support"],
            lift=row["lift"],
            q=row["q"],
            stability=row["stability"],
            lineage=row["lineage_id"],
            event=row["event"],
            believed=row["significant"] and row["reproducible"] if _is_judged(context) else None,
        )
        for row in structures
    ]


def _is_judged(context: StageContext) -> bool:
    mining = context.settings.mining
    return mining.decoys > 0 and mining.seeds > 0


def _believed_total(context: StageContext) -> int | None:
    if not _is_judged(context):
        return None
    return context.read("structures").where("significant and reproducible").count()


def _mining(context: StageContext) -> list[str]:
    row = context.read("tuning").select("reasons").first()
    return list(row["reasons"]) if row else []


def _best_images(context: StageContext, best: DataFrame) -> dict[int, list[MatchedImage]]:
    words = context.read("words").select("batch", "image_id", "feature_words")
    features = context.read("features").select("batch", "image_id", "x", "y", "size")
    joined = best.join(features, ["batch", "image_id"]).join(words, ["batch", "image_id"])
    picked = joined.select(
        "structure_id",
        "rank",
        "image_id",
        "uri",
        "label",
        "overlap",
        *(_of_matched(name) for name in ("x", "y", "size", "feature_words")),
    )
    found: dict[int, list[MatchedImage]] = defaultdict(list)
    for row in picked.orderBy("structure_id", "rank").toLocalIterator():
        found[row["structure_id"]].append(_matched(row))
    return found


def _of_matched(name: str) -> Column:
    """Return a per-feature column cut to the features that matched."""
    return F.transform("features", lambda number: F.get(name, number)).alias(name)


def _matched(row: Row) -> MatchedImage:
    return MatchedImage(
        image_id=row["image_id"],
        uri=row["uri"],
        overlap=row["overlap"],
        x=np.array(row["x"], dtype=np.float32),
        y=np.array(row["y"], dtype=np.float32),
        size=np.array(row["size"], dtype=np.float32),
        words=np.array(row["feature_words"], dtype=np.int32),
        label=row["label"],
    )


STAGE = Stage(
    name="report",
    per_batch=False,
    after=(
        "ingest",
        "features",
        "vocabulary",
        "words",
        "tune",
        "drift",
        "mine",
        "structures",
        "lineage",
    ),
    revision=1,
    # the bounds of outliers are drawn also where outliers are kept
    settings=lambda s: {
        k: getattr(s, k).model_dump(mode="json") for k in ("report", "words", "drift")
    },
    run=_run,
    exact=True,
)
