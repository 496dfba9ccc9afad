"""Mining on Spark: which way, what is counted for it, and the structures that come of it.

Step ``tune``, once: a background, or tuple size and number of hash tables, as set or chosen; new
batches do not change them. With a background, step ``factors`` tells, once a batch, where its
images stand on the factors, and step ``pairs`` adds what pairs of words share in new batches to
what is known of the others. Step ``mine``, for the collection: structures are found, and judged.
Hash tables are filled anew each time: a million images are hashed in a minute of two cores, and
their minima, kept for every batch, would take longer to read. What is done is in :mod:`.miner`, how
it is spread over partitions in :mod:`.spark`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.codebook.settings import CodebookSettings
from minia_spark.codebook.size import expectation
from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.engine.context import Context
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import Table
from minia_spark.mining import miner
from minia_spark.mining.assess import Assessment
from minia_spark.mining.auto import Choice
from minia_spark.mining.background import Background
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.excess import Parts
from minia_spark.mining.methods import (
    consensus_of,
    link_of,
    partners_by_chance,
    sketch_of,
    trials_of,
)
from minia_spark.mining.miner import choose_way
from minia_spark.mining.model import SingleLink
from minia_spark.mining.rows import background_of_rows, rows_of_background
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.spark import SparkCollection
from minia_spark.mining.tables import (
    BACKGROUND,
    FACTORS,
    PAIR_BATCHES,
    PAIRS,
    STRUCTURES,
    TUNING,
)
from minia_spark.warehouse.warehouse import Warehouse
from minia_spark.words.counts import kept_by_settings, word_occurrences
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORDS

__all__ = ["digest_of", "factors", "mine", "pairs", "tune"]

_WIDE = 1.25
"""The factors were enough when they were fitted; above this they are not any more."""


def tune(context: Context) -> None:
    """Choose tuple size and number of tables, or take what is set."""
    mining = context.settings(MiningSettings)
    choice = _set(mining) or _taken_over(context) or _chosen(context)
    for reason in choice.reasons:
        context.say(reason)
    background = choice.background
    chance, factors = ("totals", 0) if background is None else ("background", background.rank)
    numbers = (choice.eta, choice.chance_median, choice.chance_high)
    known = [None if np.isnan(number) else float(number) for number in numbers]
    way = (mining.link, chance, choice.tuple_size, choice.tables, factors)
    row = (*way, *known, list(choice.reasons))
    schema = TUNING.arrow_schema()
    columns = [pa.array([value], kind) for value, kind in zip(row, schema.types, strict=True)]
    rows = pa.Table.from_arrays(columns, schema=schema)
    if background is None:
        digest = f"{choice.tuple_size} x {choice.tables}"
        words = BACKGROUND.arrow_schema().empty_table()
        context.counts |= {"tuple_size": choice.tuple_size or 0, "tables": choice.tables or 0}
    else:
        digest = digest_of(background)
        words = pa.Table.from_batches(rows_of_background(background))
        context.counts |= {"factors": factors, "spread": round(background.spread, 4)}
    context.write_rows(TUNING, rows, digest=digest)
    context.write_rows(BACKGROUND, words, digest=digest)


def _set(mining: MiningSettings) -> Choice | None:
    """Return what is set; None when something is to be chosen."""
    if mining.tuple_size is None or mining.tables is None or mining.chance == "background":
        return None
    reasons = (f"Tuples of {mining.tuple_size} and {mining.tables} tables are set.",)
    return Choice(mining.tuple_size, mining.tables, np.nan, np.nan, np.nan, reasons)


def _chosen(context: Context) -> Choice:
    mining = context.settings(MiningSettings)
    link: Consensus | SingleLink = SingleLink()
    if mining.link == "consensus":  # what else it does has no part in the choice
        partners = partners_by_chance(mining, beyond=False)
        link = Consensus(partners_by_chance=partners, min_lift=mining.min_lift)
    with SparkCollection(context, mining, decoys=1, kept=kept_by_settings(context)) as images:
        return choose_way(
            images,
            link,
            chance=mining.chance,
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
    found = _elsewhere(other, TUNING, context.variant)
    if not found:
        return None
    (row,) = pa.Table.from_batches(found).to_pylist()
    if row["link"] != mining.link or mining.chance not in ("auto", row["chance"]):
        return None
    background = None
    if row["chance"] == "background":
        background = background_of_rows(_elsewhere(other, BACKGROUND, context.variant))
    elif row["eta"] is None:
        return None
    eta, median, high = (
        np.nan if row[name] is None else row[name]
        for name in ("eta", "chance_median", "chance_high")
    )
    return Choice(
        row["tuple_size"],
        row["tables"],
        eta,
        median,
        high,
        (f"Taken over, with the codebook, from {other.storage}.", *row["reasons"]),
        background,
    )


def _elsewhere(other: Warehouse, table: Table, variant: str | None) -> list[pa.RecordBatch]:
    """Return the rows of a small table of another warehouse; none where it has none."""
    entries = other.catalogue().of_table(table.name, None, variant)
    batches: list[pa.RecordBatch] = other.rows_of(entries).to_batches()
    return batches


def digest_of(background: Background) -> str:
    """Return a short hash of what images are measured by."""
    parts = (background.words, background.offsets, background.loadings)
    return fingerprint("background", *(part.tolist() for part in parts))


def _tuned(context: Context) -> tuple[int, int]:
    (row,) = context.small(TUNING, ["tuple_size", "tables"]).to_pylist()
    return row["tuple_size"], row["tables"]


def _background(context: Context) -> Background | None:
    """Return what is mined against; None where hash tables propose."""
    (row,) = context.small(TUNING, ["chance"]).to_pylist()
    if row["chance"] == "totals":
        return None
    return background_of_rows(context.small(BACKGROUND).to_batches())


def _by_size(context: Context) -> bool:
    expand = context.settings(MiningSettings).expand
    return bool(expand and context.settings(WordsSettings).weight == "size")


def factors(context: Context) -> None:
    """Tell the images of a batch by the factors of the background, where there is one."""
    background = _background(context)
    if background is None:
        context.write_rows(FACTORS, FACTORS.arrow_schema().empty_table())
        context.say("nothing to do, as hash tables propose")
        return
    images = SparkCollection(context, MiningSettings())  # whatever they are, they change nothing
    context.write(FACTORS, images.scored(background))
    context.counts |= {"images": context.rows(WORDS), "factors": background.rank}


def _parts(mining: MiningSettings) -> Parts:
    return Parts(1 + mining.seeds, mining.decoys, mining.seed)


def pairs(context: Context) -> None:
    """Add what pairs of words share in new batches to what is known of the others."""
    mining = context.settings(MiningSettings)
    background = _background(context)
    if background is None:
        context.write_rows(PAIRS, PAIRS.arrow_schema().empty_table())
        context.write_rows(PAIR_BATCHES, PAIR_BATCHES.arrow_schema().empty_table())
        context.say("nothing to do, as hash tables propose")
        return
    parts = _parts(mining)
    sums = fingerprint(digest_of(background), parts.folds, parts.decoys, parts.seed)
    now = {entry.batch: entry.digest for entry in context.entries_of(WORDS)}
    known = _summed(context, sums)
    if not known.items() <= now.items():  # a batch was replaced or removed
        known = {}
    new = [batch for batch in now if batch not in known]
    images = SparkCollection(context, mining, batches=new)
    frames = [images.sum_excess(background, parts)] if new else []
    if known:
        frames.append(context.read(PAIRS).drop("variant"))
    context.write(PAIRS, images.added_excess(frames))
    rows = [{"batch": batch, "words": digest, "sums": sums} for batch, digest in now.items()]
    context.write_rows(PAIR_BATCHES, pa.Table.from_pylist(rows, PAIR_BATCHES.arrow_schema()))
    context.counts |= {"images": context.rows(WORDS, batches=new), "parts": len(parts)}


def _summed(context: Context, sums: str) -> dict[str | None, str]:
    """Return the batches whose sums are known, with the fingerprints of their words."""
    if not (context.has(PAIRS) and context.has(PAIR_BATCHES)):
        return {}
    rows = context.small(PAIR_BATCHES).to_pylist()
    return {row["batch"]: row["words"] for row in rows if row["sums"] == sums}


def mine(context: Context) -> None:
    """Mine the structures of the collection, with what is known of each."""
    mining = context.settings(MiningSettings)
    kept = kept_by_settings(context)
    background = _background(context)
    if background is not None:
        images = SparkCollection(context, mining)
        assessment, spread = miner.mine_beyond(
            images, background, consensus_of(mining, beyond=True), trials_of(mining), kept=kept
        )
        context.counts |= {"spread": round(spread, 4)}
        context.counts |= {"driver_seconds": round(images.driver_seconds, 1)}
        _warn_of_spread(context, spread)
        context.write_rows(STRUCTURES, _structure_table(assessment))
        _tell(context, assessment)
        return
    sketch = sketch_of(mining, *_tuned(context))
    with SparkCollection(
        context, mining, decoys=mining.decoys, kept=kept, by_size=_by_size(context)
    ) as images:
        assessment, look = miner.mine(images, sketch, link_of(mining), trials_of(mining))
    context.counts |= {"mined_sets": look.mined, "different_sets": look.different}
    context.counts |= {"driver_seconds": round(images.driver_seconds, 1)}
    context.write_rows(STRUCTURES, _structure_table(assessment))
    _tell(context, assessment)


def _warn_of_spread(context: Context, spread: float) -> None:
    if spread > _WIDE:
        context.progress.warn(
            f"pairs of words are {spread:.2f} times as far from the background as chance explains: "
            "the images have come to differ in new ways; `minia codebook refit` fits codebook and "
            "background anew"
        )


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
            "expected_beyond": pa.array(assessment.beyond),
            "lift_beyond": known(assessment.lift_beyond),
            "surprise": pa.array(assessment.surprise),
            "q": known(assessment.q),
            "stability": known(assessment.stability),
            "significant": pa.array(assessment.significant),
            "reproducible": pa.array(assessment.reproducible),
        }
    )
