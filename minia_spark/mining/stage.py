"""Mining on Spark: which tables, their minima, and the structures with what is known about them.

Step ``tune``, once: tuple size and number of tables, as set or chosen (:mod:`.auto`); new batches
do not change them. Step ``sketch``, once a batch: its images become minima for the seed and for
the other seeds. Step ``mine``, for the collection: the minima of all batches are merged and mined,
and those of decoys; sets become structures (:mod:`.consensus`, or :mod:`.model` for single link),
which are judged by decoys and other seeds (:mod:`.assess`). How this is spread over partitions is
in :mod:`.passes`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import SparkFiles, StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from minia_spark.base.bags import Bags
from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.mining import passes
from minia_spark.mining.assess import Assessment, evaluate, other_seed
from minia_spark.mining.auto import Choice, choose, sample_pairs
from minia_spark.mining.chance import Chance, expected_support
from minia_spark.mining.consensus import (
    consensus_structures,
    grow,
    link_words,
    plausible_pairs,
)
from minia_spark.mining.model import Structures, build_structures
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.pairs import WordPairs, meetings_of_pairs, shared_documents
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.significance import surprise
from minia_spark.mining.tables import SIGNATURES, STRUCTURES, TUNING
from minia_spark.smh.arrays import SetList
from minia_spark.smh.engine import Engine, get_engine
from minia_spark.warehouse.warehouse import Warehouse
from minia_spark.words.bag import outlier_bounds
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORD_COUNTS, WORDS

__all__ = ["mine", "sketch", "tune", "word_occurrences"]


def _engine_finder(mining: MiningSettings) -> Callable[[], Engine]:
    """Return what finds the engine on whatever machine it is called."""

    def find() -> Engine:
        binary = mining.binary
        if binary is None and mining.engine != "datasketch":
            # files sent with the job come first; executors know them by a relative path
            sent = Path(SparkFiles.get("smh")).absolute()
            binary = str(sent) if sent.is_file() else None
        return get_engine(mining.engine, binary=binary)

    return find


def _seeds(mining: MiningSettings) -> list[int]:
    """Return the seed that is reported and the others."""
    return [mining.seed, *(other_seed(mining.seed, number) for number in range(mining.seeds))]


def tune(context: Context) -> None:
    """Choose tuple size and number of tables, or take what is set."""
    mining = context.settings(MiningSettings)
    if mining.tuple_size is not None and mining.tables is not None:
        reasons = (f"Tuples of {mining.tuple_size} and {mining.tables} tables are set.",)
        choice = Choice(mining.tuple_size, mining.tables, np.nan, np.nan, np.nan, reasons)
    else:
        choice = _taken_over(context) or _choice(context)
    for reason in choice.reasons:
        context.say(reason)
    numbers = (choice.eta, choice.chance_median, choice.chance_high)
    known = [None if np.isnan(number) else float(number) for number in numbers]
    row = (mining.link, choice.tuple_size, choice.tables, *known, list(choice.reasons))
    columns = [
        pa.array([value], kind)
        for value, kind in zip(row, TUNING.arrow_schema().types, strict=True)
    ]
    rows = pa.Table.from_arrays(columns, schema=TUNING.arrow_schema())
    context.write_rows(TUNING, rows, digest=f"{choice.tuple_size} x {choice.tables}")
    context.counts |= {"tuple_size": choice.tuple_size, "tables": choice.tables}


def _taken_over(context: Context) -> Choice | None:
    """Return what was chosen where the codebook is from; None when it was not, or otherwise."""
    mining = context.settings(MiningSettings)
    source = context.settings(CodebookSettings).reuse
    if source is None or (mining.tuple_size, mining.tables) != (None, None):
        return None
    other = Warehouse(source)
    entries = other.catalogue().of_table(TUNING.name, None, context.variant)
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
        (f"Taken over, with the codebook, from {other.storage}.", *row["reasons"]),
    )


def _choice(context: Context) -> Choice:
    mining = context.settings(MiningSettings)
    kept = _kept_words(context)
    chance = passes.totals(context, kept).chance()
    pairs = sample_pairs(chance.words, seed=mining.seed)
    frame = passes.decoys(context, kept, [0])
    count = functools.partial(shared_documents, pairs=pairs)
    _, shared = passes.tallies(context, frame, [_nothing, count], "similarity by chance")
    return choose(
        chance,
        pairs,
        shared,
        link=mining.link,
        partners_by_chance=mining.partners_by_chance,
        min_lift=mining.min_lift,
        tuple_size=mining.tuple_size,
        tables=mining.tables,
    )


def _nothing(_bags: Bags) -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


def _tuned(context: Context) -> tuple[int, int]:
    (row,) = context.small(TUNING, ["tuple_size", "tables"]).to_pylist()
    return row["tuple_size"], row["tables"]


def sketch(context: Context) -> None:
    """Hash the words of a batch for the seed and the others."""
    mining = context.settings(MiningSettings)
    tuple_size, tables = _tuned(context)
    seeds = _seeds(mining)
    partial = passes.sketched(
        context,
        passes.documents(context),
        _engine_finder(mining),
        {0: list(enumerate(seeds))},
        tuple_size=tuple_size,
        tables=tables,
    )
    signatures = passes.merged(context, partial, len(seeds))
    context.write(SIGNATURES, signatures)
    context.counts |= {"images": context.rows(WORDS), "seeds": len(seeds)}


def mine(context: Context) -> None:
    """Mine the structures of the collection, with what is known of each."""
    mining = context.settings(MiningSettings)
    kept = _kept_words(context)
    chance = passes.totals(context, kept).chance()
    numbers = range(mining.decoys)
    decoys = passes.decoys(context, kept, numbers) if mining.decoys else None
    if decoys is not None:
        decoys = decoys.persist(StorageLevel.DISK_ONLY)
    images = passes.documents(context)
    both = images if decoys is None else images.unionByName(decoys)
    sets = _sets(context, decoys, kept)
    context.counts |= {"mined_sets": sets[0].mined, "different_sets": len(sets[0])}
    if mining.link == "consensus":
        found = _consensus(context, both, sets, chance)
    else:
        links = passes.links(context, sets, _engine_finder(mining))
        found = [
            build_structures(own, forest, min_cluster_size=mining.min_cluster_size)
            for own, forest in zip(sets, links, strict=True)
        ]
    seeds = 1 + mining.seeds
    judged = [found[0], *found[seeds:]]
    counters = [functools.partial(_support, StructureIndex(one)) for one in judged]
    support, *of_decoys = passes.tallies(context, both, counters, "support")
    if decoys is not None:
        decoys.unpersist()
    assessment = evaluate(
        found[0],
        support,
        chance,
        decoy_scores=[
            surprise(own, expected_support(one, chance))
            for own, one in zip(of_decoys, judged[1:], strict=True)
        ],
        others=found[1:seeds],
        max_q=mining.max_q,
        min_stability=mining.min_stability,
    )
    context.write_rows(STRUCTURES, _structure_table(assessment))
    _tell(context, assessment)


def _sets(
    context: Context, decoys: DataFrame | None, kept: NDArray[np.bool_] | None
) -> list[SetList]:
    mining = context.settings(MiningSettings)
    tuple_size, tables = _tuned(context)
    engine = _engine_finder(mining)
    signatures = context.read(SIGNATURES).drop("variant")
    if kept is not None:
        signatures = signatures.where(F.col("item").isin(np.flatnonzero(kept).tolist()))
    if decoys is not None:
        trials = {
            1 + number: [(1 + mining.seeds + number, mining.seed)]
            for number in range(mining.decoys)
        }
        partial = passes.sketched(
            context, decoys, engine, trials, tuple_size=tuple_size, tables=tables
        )
        signatures = signatures.unionByName(partial)
    count = 1 + mining.seeds + mining.decoys
    return passes.mined_sets(context, signatures, engine, tuple_size=tuple_size, trials=count)


def _consensus(
    context: Context, documents: DataFrame, sets: Sequence[SetList], chance: Chance
) -> list[Structures]:
    mining = context.settings(MiningSettings)
    tuple_size, tables = _tuned(context)

    def pairs_of(own: SetList) -> WordPairs:
        return WordPairs.concatenate(
            plausible_pairs(
                block,
                chance,
                tuple_size=tuple_size,
                tables=tables,
                partners_by_chance=mining.partners_by_chance,
                min_lift=mining.min_lift,
            )
            for block in meetings_of_pairs(own)
        )

    pairs = passes.plausible(context, sets, pairs_of)
    # all seeds look at the same images: what they share is counted once
    seeds = 1 + mining.seeds
    together, places = WordPairs.union(pairs[:seeds])
    counters = [
        functools.partial(shared_documents, pairs=own) for own in (together, *pairs[seeds:])
    ]
    of_images, *of_decoys = passes.tallies(context, documents, counters, "shared images")
    shared = [*(of_images[place] for place in places), *of_decoys]
    found = []
    for own_sets, own, counts in zip(sets, pairs, shared, strict=True):
        links = link_words(
            own,
            counts,
            chance,
            partners_by_chance=mining.partners_by_chance,
            pairs_by_chance=mining.pairs_by_chance,
            min_lift=mining.min_lift,
        )
        found.append(consensus_structures(own_sets, grow(links, density=mining.density)))
    return found


def _support(index: StructureIndex, bags: Bags) -> NDArray[np.int64]:
    return index.search(bags).support


def _tell(context: Context, assessment: Assessment) -> None:
    mining = context.settings(MiningSettings)
    count = len(assessment)
    sure = int((assessment.significant & assessment.reproducible).sum())
    context.counts["structures"] = count
    if mining.decoys:
        context.counts["significant"] = int(assessment.significant.sum())
    if mining.seeds:
        context.counts["reproducible"] = int(assessment.reproducible.sum())
    if not count:
        helps = (
            "what images share is no more than chance explains; more images, another codebook "
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


def _kept_words(context: Context) -> NDArray[np.bool_] | None:
    """Return which words are no outliers; None when none is to be dropped."""
    settings = context.settings(WordsSettings)
    if not settings.drop_outliers:
        return None
    counts = word_occurrences(context)
    low, high = outlier_bounds(counts, settings.outlier_deviations)
    kept: NDArray[np.bool_] = (counts >= low) & (counts <= high)
    context.counts |= {
        "words_kept_percent": round(100 * kept.sum() / max(1, len(counts)), 2),
        "occurrences_kept_percent": round(100 * counts[kept].sum() / max(1, counts.sum()), 2),
    }
    return kept


def word_occurrences(context: Context) -> NDArray[np.int64]:
    """Return how often each word occurs in the whole collection, shape (K,)."""
    totals = context.read(WORD_COUNTS).groupBy("word").agg(F.sum("occurrences").alias("n"))
    table = totals.toArrow()
    counts = np.zeros(context.rows(CODEBOOKS), dtype=np.int64)
    counts[table["word"].to_numpy()] = table["n"].to_numpy()
    return counts


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
