"""Collects what the page shows and has it written; the page itself is made in :mod:`.site`.

Only what is shown comes to the driver: so many structures, so many images of each, a bounded
sample of descriptors. Tables with rows of images are read by Spark, in as few jobs as possible;
tables of a row a structure, a word or a batch are read here, which takes no job at all.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from minia_spark import __version__
from minia_spark.base.arrow import to_lists
from minia_spark.base.settings import StageSettings
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.drift.measure import Drift, advice, beyond
from minia_spark.drift.settings import DriftSettings
from minia_spark.drift.tables import DRIFT
from minia_spark.engine.context import Context
from minia_spark.engine.stage import load
from minia_spark.engine.table import Table
from minia_spark.features.tables import FEATURES
from minia_spark.geometry.tables import VERIFICATIONS
from minia_spark.ingest.tables import IMAGES, REJECTS
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import BACKGROUND, FACTORS, STRUCTURES, TUNING
from minia_spark.report.data import (
    IMAGE_ROWS,
    Arrival,
    BackgroundData,
    BatchDrift,
    CodebookData,
    DriftData,
    FactorData,
    FactorEnd,
    MatchedImage,
    RejectCount,
    ReportData,
    RunSummary,
    ScoredImage,
    StageTime,
    StructureCard,
    TableCount,
    Thumbnail,
    VariantData,
)
from minia_spark.report.settings import ReportSettings
from minia_spark.report.site import MOST_LABELS, named_labels, render, wanted_images
from minia_spark.report.tables import SITE
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import LINEAGE, STRUCTURE_IMAGES, STRUCTURE_NAMES
from minia_spark.thumbnails.tables import THUMBNAILS
from minia_spark.warehouse.records import Entry, now
from minia_spark.words.counts import word_occurrences
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORDS

__all__ = ["run"]

_Model = TypeVar("_Model", bound=StageSettings)

_MOST_CENTRES = 5_000  # drawn in the plot of the codebook
_STEPS = 1 << 20  # of chance, where descriptors are sampled
_FACTORS = 8  # shown
_AT_AN_END = 6  # images
_TENTH = 0.1
_IMAGES_AT_ONCE = 1_000  # whose thumbnails are held at the same time


@dataclass(frozen=True)
class _Tables:
    """What the step may read of one variant: its tables, and those that have no variants."""

    context: Context
    variant: str | None

    def settings(self, model: type[_Model]) -> _Model:
        return self.context.settings(model)

    def entries(self, table: Table) -> list[Entry]:
        found = self.context.entries_of(table)
        return [e for e in found if not table.variants or e.variant == self.variant]

    def count(self, table: Table) -> int:
        return sum(entry.rows or 0 for entry in self.entries(table))

    def rows(
        self, table: Table, columns: Sequence[str], where: ds.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows without Spark, file after file; `where` is a filter."""
        return self.context.of_variant(self.variant).rows_here(table, list(columns), where)

    def columns(self, table: Table, *names: str) -> DataFrame:
        """Return some columns of a table."""
        return _columns(self.context, table, self.entries(table), names)

    def collected(self, frame: DataFrame, what: str) -> pa.Table:
        with self.context.watched(" ".join(filter(None, (self.variant, what)))):
            return frame.toArrow()


def _columns(
    context: Context, table: Table, entries: Sequence[Entry], names: Sequence[str]
) -> DataFrame:
    """Return some columns of a table; their types are known, so no job has to look for them."""
    schema = StructType([f for f in table.stored_schema().fields if f.name in names])
    paths = [context.pattern(entry.path) for entry in entries]
    return context.spark.read.schema(schema).parquet(*paths)


def run(context: Context) -> None:
    """Write the site and publish it."""
    settings = context.settings(ReportSettings)
    names = list(dict.fromkeys(entry.variant for entry in context.entries_of(STRUCTURES)))
    variants = [_variant(_Tables(context, name)) for name in names]
    of_none = _Tables(context, None)
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
            _thumbnails(of_none, wanted_images(data.variants, **shown)),
            **shown,
            csv_rows=settings.csv_rows,
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


def _variant(tables: _Tables) -> VariantData:
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
    said = _said(tables)
    left_out = {
        row["structure_id"]
        for row in fates
        if row["structure_id"] is not None and said.get(row["lineage_id"], _Said()).left_out
    }
    return VariantData(
        name=tables.variant or "features",
        structures=_cards(tables, said, judged=judged, beyond=background is not None),
        structures_total=tables.count(STRUCTURES),
        established_total=_established_total(tables, left_out) if judged else None,
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
    rejects = _columns(context, REJECTS, entries, ("stage", "reason", "uri", "detail"))
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


def _label_counts(tables: _Tables, variants: Sequence[VariantData]) -> dict[str | None, int]:
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


def _background(tables: _Tables) -> BackgroundData | None:
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


def _factors(tables: _Tables, count: int) -> list[FactorData]:
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
    tables: _Tables,
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


def _codebook(tables: _Tables, counts: NDArray[np.int64]) -> CodebookData:
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


def _sampled_descriptors(tables: _Tables, total: int) -> NDArray[np.generic]:
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


def _drift(tables: _Tables) -> DriftData:
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


def _established_total(tables: _Tables, left_out: Collection[int]) -> int:
    wanted = ds.field("significant") & ds.field("reproducible")
    wanted &= ~ds.field("structure_id").isin(sorted(left_out))
    return sum(b.num_rows for b in tables.rows(STRUCTURES, ["structure_id"], wanted))


_STRUCTURE = ("structure_id", "words", "frequencies", "sets", "support", "expected_support")
_JUDGEMENT = ("lift", "q", "stability", "significant", "reproducible")
_BEYOND = ("expected_beyond", "lift_beyond", "surprise")
_FATE = ("structure_id", "lineage_id", "event", "older_state", "older_structure_id")
_CHANGE = ("words_gained", "words_lost")


@dataclass(frozen=True)
class _Said:
    """What people said of a structure."""

    name: str | None = None
    kind: str | None = None
    left_out: bool = False


def _said(tables: _Tables) -> dict[str, _Said]:
    """Return it by lineage."""
    if not tables.context.has(STRUCTURE_NAMES):
        return {}
    unwanted = tables.settings(StructuresSettings).exclude_kinds
    return {
        row["lineage_id"]: _Said(row["name"], row["kind"], row["kind"] in unwanted)
        for batch in tables.rows(STRUCTURE_NAMES, ["lineage_id", "name", "kind"])
        for row in batch.to_pylist()
    }


def _cards(
    tables: _Tables, said: Mapping[str, _Said], *, judged: bool, beyond: bool
) -> list[StructureCard]:
    wanted = ds.field("structure_id") < tables.settings(ReportSettings).structures
    structures = sorted(
        (
            row
            for batch in tables.rows(STRUCTURES, [*_STRUCTURE, *_JUDGEMENT, *_BEYOND], wanted)
            for row in batch.to_pylist()
        ),
        key=lambda row: int(row["structure_id"]),
    )
    if not structures:
        return []
    fates = {
        row["structure_id"]: row
        for batch in tables.rows(LINEAGE, [*_FATE, *_CHANGE], wanted)
        for row in batch.to_pylist()
    }
    matches = _matches(tables)
    images = _best_images(tables, matches)
    verified = {
        row["structure_id"]: row["verified"]
        for batch in tables.rows(VERIFICATIONS, ["structure_id", "verified"], wanted)
        for row in batch.to_pylist()
    }
    return [
        _card(
            row,
            fates[row["structure_id"]],
            said.get(fates[row["structure_id"]]["lineage_id"], _Said()),
            matches,
            images[row["structure_id"]],
            verified=verified.get(row["structure_id"]),
            judged=judged,
            beyond=beyond,
        )
        for row in structures
    ]


def _card(
    row: Mapping[str, Any],
    fate: Mapping[str, Any],
    said: _Said,
    matches: pa.Table,
    images: Sequence[MatchedImage],
    *,
    verified: float | None,
    judged: bool,
    beyond: bool,
) -> StructureCard:
    own = matches.filter(pc.equal(matches["structure_id"], row["structure_id"]))
    labels: dict[str, int] = defaultdict(int)
    for label, count in zip(own["label"].to_pylist(), own["images"].to_pylist(), strict=True):
        if label is not None:
            labels[label] += count
    older = fate["older_structure_id"]
    return StructureCard(
        structure=_name(row["structure_id"]),
        words=row["words"],
        frequencies=row["frequencies"],
        sets=None if beyond else row["sets"],
        images_total=pc.sum(own["images"]).as_py() or 0,
        images=images,
        rows=own.filter(pc.is_valid(own["rank"])).select(IMAGE_ROWS.names),
        labels=labels,
        support=row["support"],
        expected_support=row["expected_support"],
        lift=row["lift"],
        expected_beyond=row["expected_beyond"] if beyond else None,
        lift_beyond=row["lift_beyond"] if beyond else None,
        surprise=row["surprise"] if np.isfinite(row["surprise"]) else None,
        q=row["q"],
        stability=row["stability"],
        verified=verified,
        lineage=fate["lineage_id"],
        event=fate["event"],
        older_state=fate["older_state"],
        older_structure=None if older is None else _name(older),
        words_gained=fate["words_gained"],
        words_lost=fate["words_lost"],
        established=row["significant"] and row["reproducible"] if judged else None,
        called=said.name,
        kind=said.kind,
        left_out=said.left_out,
    )


def _name(structure_id: int) -> str:
    return f"s{structure_id:04d}"


def _matches(tables: _Tables) -> pa.Table:
    """Return the images of the structures shown, by structure and rank.

    One row an image up to the last that is listed, with the numbers of the features that matched
    up to the last that is drawn; the images behind these are counted by label: their rows have no
    rank, and `images` says how many they are.
    """
    settings = tables.settings(ReportSettings)
    listed = max(settings.csv_rows, settings.images_per_structure)
    of_match = ("structure_id", "rank", "image_id", "batch", "overlap", "words_held", "features")
    matches = tables.columns(STRUCTURE_IMAGES, *of_match).where(
        F.col("structure_id") < settings.structures
    )
    images = tables.columns(IMAGES, "batch", "image_id", "label", "ra_deg", "dec_deg")
    joined = matches.join(images, ["batch", "image_id"])
    drawn = F.when(F.col("rank") <= settings.images_per_structure, F.col("features"))
    own = [F.col(name) for name in IMAGE_ROWS.names if name != "label"]
    row = F.when(F.col("rank") <= listed, F.struct(*own, drawn.alias("features")))
    counted = joined.groupBy("structure_id", "label", row.alias("row")).agg(
        F.count("*").alias("images")
    )
    names = [name for name in IMAGE_ROWS.names if name != "label"]
    flat = counted.select(
        "structure_id",
        "label",
        "images",
        *(F.col(f"row.{name}").alias(name) for name in (*names, "features")),
    )
    return tables.collected(flat, "images of structures").sort_by(
        [("structure_id", "ascending"), ("rank", "ascending")]
    )


def _best_images(tables: _Tables, matches: pa.Table) -> dict[int, list[MatchedImage]]:
    """Return the images to draw of every structure, by rank, with the features that matched."""
    drawn = matches.filter(pc.is_valid(matches["features"])).to_pylist()
    found: dict[int, list[MatchedImage]] = defaultdict(list)
    if not drawn:
        return found
    needed: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in drawn:
        needed[row["batch"], row["image_id"]].update(row["features"])
    numbers = {key: np.array(sorted(own), dtype=np.int32) for key, own in needed.items()}
    located = _located(tables, numbers)
    for row in drawn:
        key = (row["batch"], row["image_id"])
        at = np.searchsorted(numbers[key], row["features"])
        x, y, size, words = (values[at] for values in located[key])
        found[row["structure_id"]].append(
            MatchedImage(
                batch=row["batch"],
                image_id=row["image_id"],
                overlap=row["overlap"],
                x=x,
                y=y,
                size=size,
                words=words,
                label=row["label"],
            )
        )
    return found


def _located(
    tables: _Tables, numbers: Mapping[tuple[str, str], NDArray[np.int32]]
) -> dict[tuple[str, str], tuple[NDArray[Any], ...]]:
    """Return x, y, size and word of some features of some images; one pass over two tables."""
    keys = _keys(tables, numbers, numbers.values())
    places = ("x", "y", "size")

    def of_matched(name: str) -> Column:
        return F.transform("numbers", lambda number: F.get(name, number)).alias(name)

    features = tables.columns(FEATURES, "batch", "image_id", *places).join(
        F.broadcast(keys), ["batch", "image_id"]
    )
    words = tables.columns(WORDS, "batch", "image_id", "feature_words").join(
        F.broadcast(keys), ["batch", "image_id"]
    )
    both = features.select("batch", "image_id", *map(of_matched, places)).unionByName(
        words.select("batch", "image_id", of_matched("feature_words")), allowMissingColumns=True
    )
    found: dict[tuple[str, str], dict[str, NDArray[Any]]] = defaultdict(dict)
    for row in tables.collected(both, "matched features").to_pylist():
        for name in places:
            if row[name] is not None:
                found[row["batch"], row["image_id"]][name] = np.array(row[name], np.float32)
        if row["feature_words"] is not None:
            own = np.array(row["feature_words"], dtype=np.int32)
            found[row["batch"], row["image_id"]]["words"] = own
    return {key: tuple(own[name] for name in (*places, "words")) for key, own in found.items()}


def _thumbnails(tables: _Tables, wanted: Sequence[tuple[str, str]]) -> Iterator[Thumbnail]:
    """Yield the thumbnails of some images, so many at once."""
    columns = ("batch", "image_id", "width", "height", "format", "data")
    table = tables.columns(THUMBNAILS, *columns)
    for first in range(0, len(wanted), _IMAGES_AT_ONCE):
        keys = _keys(tables, wanted[first : first + _IMAGES_AT_ONCE])
        chosen = table.join(F.broadcast(keys), ["batch", "image_id"])
        for row in tables.collected(chosen, "thumbnails").to_pylist():
            yield Thumbnail(
                batch=row["batch"],
                image_id=row["image_id"],
                width=row["width"],
                height=row["height"],
                data=row["data"],
                format=row["format"],
            )


def _keys(
    tables: _Tables,
    images: Iterable[tuple[str, str]],
    numbers: Iterable[NDArray[np.int32]] | None = None,
) -> DataFrame:
    """Return a small table of images, and of numbers of their features, to join with."""
    batches, image_ids = zip(*images, strict=True)
    columns = {
        "batch": pa.array(batches, pa.string()),
        "image_id": pa.array(image_ids, pa.string()),
    }
    if numbers is not None:
        columns["numbers"] = pa.array([own.tolist() for own in numbers], pa.list_(pa.int32()))
    return tables.context.spark.createDataFrame(pa.table(columns))
