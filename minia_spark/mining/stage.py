"""Mining on Spark: which tables, their minima, and the structures with what is known about them.

Step ``tune``, once: tuple size and number of tables, as set or chosen; new batches do not change
them. Step ``sketch``, once a batch: its images become minima for the seed and for the other seeds.
Step ``mine``, for the collection: sets become structures, and these are judged. What is done is in
:mod:`.miner`, how it is spread over partitions in :mod:`.spark`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Stage, StageContext
from minia_spark.mining.assess import Assessment
from minia_spark.mining.auto import Choice
from minia_spark.mining.methods import link_of, sketch_of, trials_of
from minia_spark.mining.miner import Sketch, choose_tables, mine
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.spark import SIGNATURES, SparkCollection
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse
from minia_spark.words.spark import kept_by_settings

__all__ = ["MINE", "SKETCH", "STRUCTURES", "TUNE", "TUNING"]

TUNING = StructType(
    [
        StructField("link", StringType(), False),
        StructField("tuple_size", IntegerType(), False),
        StructField("tables", IntegerType(), False),
        StructField("eta", DoubleType(), True),
        StructField("chance_median", DoubleType(), True),
        StructField("chance_high", DoubleType(), True),
        StructField("reasons", ArrayType(StringType(), False), False),
    ]
)

STRUCTURES = StructType(
    [
        StructField("structure_id", IntegerType(), False),
        StructField("words", ArrayType(LongType(), False), False),
        StructField("frequencies", ArrayType(LongType(), False), False),
        StructField("sets", LongType(), False),
        StructField("support", LongType(), False),
        StructField("expected_support", DoubleType(), False),
        StructField("lift", DoubleType(), True),
        StructField("q", DoubleType(), True),
        StructField("stability", DoubleType(), True),
        StructField("significant", BooleanType(), False),
        StructField("reproducible", BooleanType(), False),
    ]
)


def _tune(context: StageContext) -> None:
    mining = context.settings.mining
    choice = _set(mining) or _taken_over(context) or _chosen(context)
    for reason in choice.reasons:
        context.say(reason)
    numbers = (choice.eta, choice.chance_median, choice.chance_high)
    known = [None if np.isnan(number) else float(number) for number in numbers]
    row = (mining.link, choice.tuple_size, choice.tables, *known, list(choice.reasons))
    frame = context.spark.createDataFrame([row], TUNING).coalesce(1)
    digest = f"{choice.tuple_size} x {choice.tables}"
    context.write("tuning", frame, TUNING, digest=digest)
    context.counts |= {"tuple_size": choice.tuple_size, "tables": choice.tables}


def _set(mining: MiningSettings) -> Choice | None:
    """Return what is set; None when something is to be chosen."""
    if mining.tuple_size is None or mining.tables is None:
        return None
    reasons = (f"Tuples of {mining.tuple_size} and {mining.tables} tables are set.",)
    return Choice(mining.tuple_size, mining.tables, np.nan, np.nan, np.nan, reasons)


def _chosen(context: StageContext) -> Choice:
    mining = context.settings.mining
    with SparkCollection(context, mining, decoys=1, kept=kept_by_settings(context)) as images:
        return choose_tables(
            images,
            link_of(mining),
            tuple_size=mining.tuple_size,
            tables=mining.tables,
            seed=mining.seed,
        )


def _taken_over(context: StageContext) -> Choice | None:
    """Return what was chosen where the vocabulary is from; None when it was not, or otherwise."""
    mining = context.settings.mining
    source = context.settings.codebook.reuse
    if source is None or (mining.tuple_size, mining.tables) != (None, None):
        return None
    other = Warehouse(source)
    entries = other.catalogue().of_table("tuning")
    if not entries:
        return None
    row = context.spark.read.parquet(other.storage.pattern(entries[0].path)).first()
    if row is None or row["eta"] is None or row["link"] != mining.link:
        return None
    return Choice(
        row["tuple_size"],
        row["tables"],
        row["eta"],
        row["chance_median"],
        row["chance_high"],
        (f"Taken over, with the vocabulary, from {other.storage}.", *row["reasons"]),
    )


def _tuned(context: StageContext) -> Sketch:
    row = context.read("tuning").select("tuple_size", "tables").first()
    assert row is not None
    return sketch_of(context.settings.mining, row["tuple_size"], row["tables"])


def _sketch(context: StageContext) -> None:
    mining = context.settings.mining
    seeds = trials_of(mining).seeds_of_images()
    signatures = SparkCollection(context, mining).sketched(_tuned(context), seeds)
    context.write("signatures", signatures, SIGNATURES)
    context.counts |= {"images": context.rows("words", context.batch), "seeds": len(seeds)}


def _mine(context: StageContext) -> None:
    mining = context.settings.mining
    kept = kept_by_settings(context)
    with SparkCollection(context, mining, decoys=mining.decoys, kept=kept) as images:
        assessment, sets = mine(images, _tuned(context), link_of(mining), trials_of(mining))
    context.counts |= {"mined_sets": sets.mined, "different_sets": len(sets)}
    frame = context.spark.createDataFrame(_structure_table(assessment), STRUCTURES).coalesce(1)
    context.write("structures", frame, STRUCTURES)
    _tell(context, assessment)


def _tell(context: StageContext, assessment: Assessment) -> None:
    mining = context.settings.mining
    count = len(assessment)
    sure = int((assessment.significant & assessment.reproducible).sum())
    context.counts["structures"] = count
    if mining.decoys:
        context.counts["significant"] = int(assessment.significant.sum())
    if mining.seeds:
        context.counts["reproducible"] = int(assessment.reproducible.sum())
    if not count:
        helps = (
            "what images share is no more than chance explains; more images, another vocabulary "
            "(codebook.size) or other features may show more"
            if mining.link == "consensus"
            else "more images, a lower mining.tuple_size or more mining.tables find weaker ones"
        )
        context.progress.warn(f"no structures were found: {helps}")
    elif mining.decoys and mining.seeds and sure < count:
        context.say(
            f"{sure} of {count} structures are significant (q <= {mining.max_q:g}) and "
            f"reproducible (stability >= {mining.min_stability:g})"
            + ("; they come first" if sure else "")
        )


def _structure_table(assessment: Assessment) -> pa.Table:
    inner = pa.list_(pa.field("element", pa.int64(), nullable=False))
    found = assessment.structures

    def lists(values: NDArray[np.integer]) -> pa.Array:
        offsets = pa.array(found.offsets.astype(np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.int64))).cast(inner)

    def known(values: NDArray[np.float64]) -> pa.Array:
        return pa.array(values, mask=np.isnan(values))

    return pa.table(
        {
            "structure_id": pa.array(np.arange(len(found), dtype=np.int32)),
            "words": lists(found.items),
            "frequencies": lists(found.frequencies),
            "sets": pa.array(found.sets.astype(np.int64)),
            "support": pa.array(assessment.support),
            "expected_support": pa.array(assessment.expected_support),
            "lift": known(assessment.lift),
            "q": known(assessment.q),
            "stability": known(assessment.stability),
            "significant": pa.array(assessment.significant),
            "reproducible": pa.array(assessment.reproducible),
        }
    )


def _tune_settings(settings: Settings) -> dict[str, object]:
    mining = settings.mining
    chosen: dict[str, object] = {"tuple_size": mining.tuple_size, "tables": mining.tables}
    if None in chosen.values():
        names = {"link", "seed", "partners_by_chance", "min_lift"}
        chosen |= mining.model_dump(mode="json", include=names)
        chosen["outliers"] = _outliers(settings)
        reuse = settings.codebook.reuse
        chosen["reuse"] = None if reuse is None else Storage(reuse).location
    return chosen


def _sketch_settings(settings: Settings) -> dict[str, object]:
    mining = settings.mining
    chosen: dict[str, object] = {"seed": mining.seed, "seeds": mining.seeds}
    if mining.expand:
        chosen["expand"] = settings.words.weight
    return chosen


def _mine_settings(settings: Settings) -> dict[str, object]:
    left_out = {"engine", "binary", "tuple_size", "tables"}
    return {
        **settings.mining.model_dump(mode="json", exclude=left_out),
        "weight": settings.words.weight if settings.mining.expand else None,
        "outliers": _outliers(settings),
    }


def _outliers(settings: Settings) -> float | None:
    return settings.words.outlier_deviations if settings.words.drop_outliers else None


TUNE = Stage(
    name="tune",
    per_batch=False,
    after=("vocabulary", "words"),
    revision=1,
    settings=_tune_settings,
    run=_tune,
    frozen=True,
)

SKETCH = Stage(
    name="sketch",
    per_batch=True,
    after=("words", "tune"),
    revision=2,
    settings=_sketch_settings,
    run=_sketch,
)

MINE = Stage(
    name="mine",
    per_batch=False,
    after=("tune", "sketch", "words"),
    revision=2,
    settings=_mine_settings,
    run=_mine,
)
