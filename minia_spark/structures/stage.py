"""The images of every structure, what became of those before, and patterns, on Spark.

The search for images is :mod:`minia_spark.mining.overlap`, the comparison with the structures of
the state before is :mod:`.lineage`, that with each other :mod:`.patterns`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Window
from pyspark.sql import functions as F

from minia_spark.base.arrow import from_lists, to_lists
from minia_spark.codebook.tables import CODEBOOKS, WORD_MAP
from minia_spark.engine.context import Context
from minia_spark.features.turns import turns_of
from minia_spark.mining.overlap import StructureIndex
from minia_spark.mining.rows import bags_of_words
from minia_spark.mining.settings import MiningSettings
from minia_spark.mining.tables import STRUCTURES
from minia_spark.structures.lineage import (
    ENDS,
    Event,
    WordRows,
    chosen,
    compose,
    inherited,
    mapped,
    maps_of,
    returned,
    trace,
    word_rows,
)
from minia_spark.structures.names import ended, excluded
from minia_spark.structures.patterns import leaders, likeness, patterns, strength
from minia_spark.structures.rows import load_structures, of_kinds
from minia_spark.structures.settings import StructuresSettings
from minia_spark.structures.tables import (
    ENDED_STRUCTURES,
    LINEAGE,
    PATTERNS,
    STRUCTURE_IMAGES,
    STRUCTURE_NAMES,
)
from minia_spark.warehouse.records import Catalogue
from minia_spark.words.counts import kept_by_settings
from minia_spark.words.settings import WordsSettings
from minia_spark.words.tables import WORDS

__all__ = ["group_patterns", "run", "trace_lineage"]

_PAIRS_AT_ONCE = 4096
_GRADES = ("strong", "moderate", "weak", None)
_REMEMBERED = 10_000
"""Structures that ended, the last ones: enough for years, and little to compare with."""


def run(context: Context) -> None:
    """Find the images of every structure."""
    settings = context.settings(StructuresSettings)
    found = load_structures(context.small(STRUCTURES))
    shared = context.spark.sparkContext.broadcast(found)
    kept = kept_by_settings(context)
    counting, least = settings.structure_counts, settings.min_overlap
    unwanted = _unwanted(context)
    weights = "sizes" if context.settings(WordsSettings).weight == "size" else "counts"

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        structures = shared.value
        index = StructureIndex(structures, structure_counts=counting)
        for batch in batches:
            bags = bags_of_words(batch, weights, kept=kept)
            matches = index.search(bags, min_overlap=least).without(unwanted)
            feature_words, starts = to_lists(batch["feature_words"])
            for first in range(0, len(matches.images), _PAIRS_AT_ONCE):
                pairs = slice(first, first + _PAIRS_AT_ONCE)
                matched = [
                    np.flatnonzero(
                        np.isin(
                            feature_words[starts[image] : starts[image + 1]],
                            structures.items[structures.offsets[s] : structures.offsets[s + 1]],
                        )
                    ).astype(np.int32)
                    for image, s in zip(
                        matches.images[pairs], matches.structures[pairs], strict=True
                    )
                ]
                counts = np.cumsum([0, *map(len, matched)]).astype(np.int64)
                rows = pa.array(matches.images[pairs])
                yield pa.RecordBatch.from_pydict(
                    {
                        "structure_id": pa.array(matches.structures[pairs].astype(np.int32)),
                        "image_id": batch["image_id"].take(rows),
                        "batch": batch["batch"].take(rows),
                        "overlap": pa.array(matches.overlaps[pairs]),
                        "words_held": pa.array(matches.held[pairs].astype(np.int32)),
                        "features": from_lists(
                            np.concatenate([np.zeros(0, np.int32), *matched]), counts
                        ),
                    }
                )

    words = context.read(WORDS).select("batch", "image_id", "words", weights, "feature_words")
    pairs = words.mapInArrow(search, STRUCTURE_IMAGES.schema("rank"))
    best = Window.partitionBy("structure_id").orderBy(F.desc("overlap"), "image_id", "batch")
    ranked = pairs.withColumn("rank", F.row_number().over(best))
    context.write(STRUCTURE_IMAGES, ranked)
    shared.destroy()
    context.counts |= {"structures": len(found), "matches": context.entries[-1].rows or 0}
    if unwanted:
        context.counts["left_out"] = len(unwanted)


def _unwanted(context: Context) -> list[int]:
    """Return the numbers of the structures that people want to be left out."""
    kinds = context.settings(StructuresSettings).exclude_kinds
    if not kinds:
        return []
    known = set()
    if context.has(STRUCTURE_NAMES):
        names = context.small(STRUCTURE_NAMES)
        known = set(names["kind"].to_pylist()) - {None}
    unknown = sorted(kind for kind in kinds if not of_kinds(kind, known))
    if unknown:
        there = f"there are {', '.join(sorted(known))}" if known else "none has a kind yet"
        context.progress.warn(
            f"structures.exclude_kinds: no structure is of kind {', '.join(unknown)}; {there}"
        )
    if not known:
        return []
    lineage = context.small(LINEAGE)
    if gone := ended(names, lineage, kinds):
        (one, event), *_ = gone
        context.progress.warn(
            f"structures.exclude_kinds: {len(gone):,} structures of these kinds ended, e.g. {one} "
            f"({event}); what has their words now is shown until it has such a kind too: see "
            "'minia structures list'"
        )
    return excluded(names, lineage, kinds)


@dataclass(frozen=True)
class _Known:
    """Structures of the published state, and those that had ended; in words of this codebook."""

    ids: list[str]
    words: WordRows
    ended_ids: list[str]
    ended_states: list[int]
    ended_words: WordRows


def trace_lineage(context: Context) -> None:
    """Compare with the state that readers see now; without structures there, all are born.

    What ended, then or earlier, is kept with its words: it may return.
    """
    before = context.published
    state = before.version + 1
    known = _known(context)
    newer = load_structures(context.small(STRUCTURES))
    fates = returned(trace(known.words, newer), known.ended_words, newer)
    names = inherited(fates, known.ids, state, known.ended_ids)
    rows = [
        {
            "lineage_id": name,
            "structure_id": None if fate.event in ENDS else fate.newer,
            "event": str(fate.event),
            "older_state": before.version if known.ids or known.ended_ids else None,
            "older_structure_id": None if fate.event is Event.RETURNED else fate.older,
            "words_gained": fate.gained,
            "words_lost": fate.lost,
        }
        for fate, name in zip(fates, names, strict=True)
    ]
    context.write_rows(LINEAGE, pa.Table.from_pylist(rows, LINEAGE.arrow_schema()))

    back = {f.older for f in fates if f.event is Event.RETURNED}
    before_that = zip(known.ended_ids, known.ended_states, known.ended_words.lists(), strict=True)
    away = [row for place, row in enumerate(before_that) if place not in back]
    words = known.words.lists()
    away += [
        (known.ids[fate.older], state, words[fate.older])
        for fate in fates
        if fate.event in ENDS and fate.older is not None
    ]
    away.sort(key=lambda row: (-row[1], row[0]))
    columns = ("lineage_id", "ended_state", "words")
    kept = [dict(zip(columns, row, strict=True)) for row in away[:_REMEMBERED]]
    context.write_rows(
        ENDED_STRUCTURES, pa.Table.from_pylist(kept, ENDED_STRUCTURES.arrow_schema())
    )
    context.counts |= dict(sorted(Counter(str(fate.event) for fate in fates).items()))


def _known(context: Context) -> _Known:
    """Return what newer structures are compared with; nothing where words cannot be compared."""
    found = load_structures(context.read_published(STRUCTURES).toArrow())
    ids = context.read_published(LINEAGE).where("structure_id is not null")
    known = [row["lineage_id"] for row in ids.orderBy("structure_id").collect()]
    gone = context.read_published(ENDED_STRUCTURES).toArrow().sort_by("lineage_id")
    words = chosen(found, range(len(found)))
    ended_words = word_rows([np.array(row) for row in gone["words"].to_pylist()])
    comparable = len(known) == len(found)
    versions = [_codebook_version(context, s) for s in (context.published, context.view)]
    if versions[0] != versions[1]:
        maps = context.read_published(WORD_MAP, context.view)
        word_map = compose(maps_of(maps.toArrow()), *versions)
        comparable = comparable and word_map is not None
        if word_map is not None:
            words, ended_words = mapped(words, word_map), mapped(ended_words, word_map)
    if not comparable:
        return _Known([], word_rows([]), [], [], word_rows([]))
    ended_ids, states = gone["lineage_id"].to_pylist(), gone["ended_state"].to_pylist()
    return _Known(known, words, ended_ids, states, ended_words)


def _codebook_version(context: Context, state: Catalogue) -> str:
    entries = state.of_table(CODEBOOKS.name, None, context.variant)
    return next((entry.digest for entry in entries), "")


def group_patterns(context: Context) -> None:
    """Say how far every structure stands out, and which ones show the same pattern."""
    table = context.small(STRUCTURES).sort_by("structure_id")
    structures = load_structures(table)
    mining = context.settings(MiningSettings)
    grades = [
        strength(row["lift"] if row["lift_beyond"] is None else row["lift_beyond"], row["surprise"])
        if mining.decoys and mining.seeds and row["significant"] and row["reproducible"]
        else None
        for row in table.to_pylist()
    ]
    order = sorted(range(len(grades)), key=lambda number: (_GRADES.index(grades[number]), number))
    images = _images_of(context, len(structures))
    apart = [not len(own) for own in images]  # as those that people want to be left out
    in_order = leaders([images[number] for number in order], [apart[number] for number in order])
    same: list[int | None] = [None] * len(order)
    for number, led in zip(order, in_order, strict=True):
        same[number] = None if led is None else order[led]
    alike = likeness(structures, *_centres(context))
    strong = [grade == "strong" for grade in grades]
    first = patterns(alike, same, order, strong=strong, apart=apart)
    places = {number: place for place, number in enumerate(order)}
    rows = [
        {
            "structure_id": number,
            "place": places[number],
            "strength": grades[number],
            "pattern": number if leading is None else leading,
            "same_images_as": same[number],
            "turn": None if leading is None else alike.turn(leading, number),
        }
        for number, leading in enumerate(first)
    ]
    context.write_rows(PATTERNS, pa.Table.from_pylist(rows, PATTERNS.arrow_schema()))
    context.counts |= {"structures": len(rows), "patterns": first.count(None)}


def _images_of(context: Context, count: int) -> list[NDArray[np.int64]]:
    """Return the images of every structure, as numbers."""
    columns = ["structure_id", "batch", "image_id"]
    schema = pa.schema([STRUCTURE_IMAGES.arrow_schema().field(name) for name in columns])
    rows = pa.Table.from_batches(
        [one.select(columns).cast(schema) for one in context.rows_here(STRUCTURE_IMAGES, columns)],
        schema,
    )
    keys = pc.binary_join_element_wise(rows["batch"], rows["image_id"], "/").combine_chunks()
    numbers = pc.dictionary_encode(keys).indices.to_numpy().astype(np.int64)
    of = rows["structure_id"].to_numpy()
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(count + 1))
    return [numbers[order[a:b]] for a, b in pairwise(ends.tolist())]


def _centres(context: Context) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the words' centres, whole numbers, and what turns do to them."""
    columns = ["word", "centre", "scale", "extractor"]
    rows = context.small(CODEBOOKS).select(columns).sort_by("word").combine_chunks()
    if not rows.num_rows:
        return np.zeros((0, 0)), turns_of("")
    values, _ = to_lists(rows["centre"].combine_chunks())
    centres = np.rint(values.reshape(rows.num_rows, -1) * rows["scale"][0].as_py())
    turns = turns_of(rows["extractor"][0].as_py())
    return centres, turns if turns.shape[1] in (0, centres.shape[1]) else turns_of("")
