"""Mining on Spark: which tables, their minima, and the structures with what is known about them.

Step ``tune``, once: tuple size and number of tables, as set or chosen; new batches do not change
them. Step ``sketch``, once a batch: its images become minima for the seed and for the other seeds.
Step ``mine``, for the collection: sets become structures, and these are judged. What is done is in
:mod:`.miner`, how it is spread over partitions in :mod:`.spark`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.size import expectation
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.mining import miner
from minia_spark.mining.assess import Assessment
from minia_spark.mining.auto import Choice
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.methods import link_of, sketch_of, trials_of
from minia_spark.mining.miner import Sketch, Trials, choose_tables
from minia_spark.mining.model import SingleLink
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.spark import SparkCollection
from minia_spark.mining.tables import SIGNATURES, STRUCTURES, TUNING
from minia_spark.warehouse.warehouse import Warehouse
from minia_spark.words.counts import kept_by_settings, word_occurrences
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORDS

__all__ = ["mine", "sketch", "tune"]


def tune(context: Context) -> None:
    """Choose tuple size and number of tables, or take what is set."""
    mining = context.settings(MiningSettings)
    choice = _set(mining) or _taken_over(context) or _chosen(context)
    for reason in choice.reasons:
        context.say(reason)
    numbers = (choice.eta, choice.chance_median, choice.chance_high)
    known = [None if np.isnan(number) else float(number) for number in numbers]
    row = (mining.link, choice.tuple_size, choice.tables, *known, list(choice.reasons))
    schema = TUNING.arrow_schema()
    columns = [pa.array([value], kind) for value, kind in zip(row, schema.types, strict=True)]
    rows = pa.Table.from_arrays(columns, schema=schema)
    context.write_rows(TUNING, rows, digest=f"{choice.tuple_size} x {choice.tables}")
    context.counts |= {"tuple_size": choice.tuple_size, "tables": choice.tables}


def _set(mining: MiningSettings) -> Choice | None:
    """Return what is set; None when something is to be chosen."""
    if mining.tuple_size is None or mining.tables is None:
        return None
    reasons = (f"Tuples of {mining.tuple_size} and {mining.tables} tables are set.",)
    return Choice(mining.tuple_size, mining.tables, np.nan, np.nan, np.nan, reasons)


def _chosen(context: Context) -> Choice:
    mining = context.settings(MiningSettings)
    link: Consensus | SingleLink = SingleLink()
    if mining.link == "consensus":  # what else it does has no part in the choice
        link = Consensus(partners_by_chance=mining.partners_by_chance, min_lift=mining.min_lift)
    with SparkCollection(context, mining, decoys=1, kept=kept_by_settings(context)) as images:
        return choose_tables(
            images,
            link,
            tuple_size=mining.tuple_size,
            tables=mining.tables,
            seed=mining.seed,
        )


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
    (row,) = pq.read_table(
        other.storage.full(entries[0].path), filesystem=other.storage.filesystem
    ).to_pylist()
    if row["eta"] is None or row["link"] != mining.link:
        return None
    return Choice(
        row["tuple_size"],
        row["tables"],
        row["eta"],
        row["chance_median"],
        row["chance_high"],
        (f"Taken over, with the codebook, from {other.storage}.", *row["reasons"]),
    )


def _tuned(context: Context) -> tuple[int, int]:
    (row,) = context.small(TUNING, ["tuple_size", "tables"]).to_pylist()
    return row["tuple_size"], row["tables"]


def _by_size(context: Context) -> bool:
    expand = context.settings(MiningSettings).expand
    return bool(expand and context.settings(WordsSettings).weight == "size")


def sketch(context: Context) -> None:
    """Hash the words of a batch for the seed and the others."""
    mining = context.settings(MiningSettings)
    seeds = Trials(mining.seed, mining.seeds).seeds_of_images()
    images = SparkCollection(context, mining, by_size=_by_size(context))
    signatures = images.sketched(Sketch(*_tuned(context), expand=mining.expand), seeds)
    context.write(SIGNATURES, signatures)
    context.counts |= {"images": context.rows(WORDS), "seeds": len(seeds)}


def mine(context: Context) -> None:
    """Mine the structures of the collection, with what is known of each."""
    mining = context.settings(MiningSettings)
    kept = kept_by_settings(context)
    sketch = sketch_of(mining, *_tuned(context))
    with SparkCollection(
        context, mining, decoys=mining.decoys, kept=kept, by_size=_by_size(context)
    ) as images:
        assessment, sets = miner.mine(images, sketch, link_of(mining), trials_of(mining))
    context.counts |= {"mined_sets": sets.mined, "different_sets": len(sets)}
    context.write_rows(STRUCTURES, _structure_table(assessment))
    _tell(context, assessment)


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
            "what images share is no more than chance explains; more images or other features may "
            "show more"
            if mining.link == "consensus"
            else "more images, a lower mining.tuple_size or more mining.tables find weaker ones"
        )
        features = int(word_occurrences(context).sum())
        known = expectation(context.rows(WORDS), features, context.rows(CODEBOOKS))
        context.progress.warn(f"no structures were found: {known or helps}")
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
