"""Documents, signatures and sets as rows of a table: what travels between Spark's partitions.

A document is (image_id, words, weights). A signature row is (item, documents, occurrences, minima
of a range of tables as bytes); rows of the same item merge by element-wise minimum. A set row is
(items as big-endian bytes, multiplicity): equal sets have equal bytes. Where several collections,
seeds or ranges of tables travel together, their numbers are columns in front, see :func:`labelled`
and :func:`groups_of_rows`.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from minia_spark.base.arrow import binary_block, from_lists, to_lists
from minia_spark.base.bags import Bags
from minia_spark.base.ragged import offsets_of, row_numbers
from minia_spark.mining.background import Background
from minia_spark.mining.miner import Look
from minia_spark.mining.model import Structures
from minia_spark.smh.arrays import Documents, SetList, Signatures
from minia_spark.smh.hashing import document_key
from minia_spark.smh.sets import canonical_sets

__all__ = [
    "background_of_rows",
    "bags_of_words",
    "documents_of_words",
    "groups_of_rows",
    "joined_tables",
    "kept_of",
    "labelled",
    "look_of_row",
    "merge_sorted_rows",
    "row_of_look",
    "rows_of_background",
    "rows_of_documents",
    "rows_of_numbers",
    "rows_of_sets",
    "rows_of_signatures",
    "sets_of_rows",
    "signatures_of_rows",
    "slice_rows",
    "table_ranges",
]

_ROWS_AT_ONCE = 1024


def bags_of_words(
    batch: pa.RecordBatch, weights: str, *, kept: NDArray[np.bool_] | None = None
) -> Bags:
    """Return rows of table ``words`` as bags, with the named column as counts.

    Parameters
    ----------
    batch : RecordBatch
    weights : str
        Column ``counts`` or ``sizes`` of the table, or whatever it is called now.
    kept : bool array, shape (number of words,), optional
        Words that are not kept are left out.
    """
    items, offsets = to_lists(batch["words"])
    counts, _ = to_lists(batch[weights])
    return kept_of(Bags(offsets, items.astype(np.uint32), counts.astype(np.uint32)), kept)


def kept_of(bags: Bags, kept: NDArray[np.bool_] | None) -> Bags:
    """Leave words out that are not kept; None keeps all."""
    if kept is None:
        return bags
    chosen = kept[bags.items]
    sizes = np.bincount(row_numbers(bags.offsets)[chosen], minlength=len(bags))
    return Bags(offsets_of(sizes), bags.items[chosen], bags.counts[chosen])


def documents_of_words(
    batches: Iterable[pa.RecordBatch], *, kept: NDArray[np.bool_] | None = None
) -> Documents:
    """Return document rows as documents; their frequencies are the weights.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Columns image_id, words, weights.
    kept : bool array, shape (number of words,), optional
        Words that are not kept are left out.
    """
    parts = []
    for batch in batches:
        bags = bags_of_words(batch, "weights", kept=kept)
        keys = [document_key(name) for name in batch["image_id"].to_pylist()]
        parts.append(
            Documents(np.array(keys, dtype=np.uint32), bags.offsets, bags.items, bags.counts)
        )
    return Documents.concatenate(parts)


def rows_of_documents(image_ids: pa.Array, documents: Documents) -> Iterator[pa.RecordBatch]:
    """Yield documents, whose frequencies are given, as rows."""
    counts = documents.frequencies
    assert counts is not None
    for start in range(0, len(documents), _ROWS_AT_ONCE):
        offsets = documents.offsets[start : start + _ROWS_AT_ONCE + 1]
        part = slice(offsets[0], offsets[-1])
        yield pa.RecordBatch.from_pydict(
            {
                "image_id": image_ids[start : start + _ROWS_AT_ONCE],
                "words": from_lists(documents.items[part].astype(np.int32), offsets - offsets[0]),
                "weights": from_lists(counts[part].astype(np.int32), offsets - offsets[0]),
            }
        )


def rows_of_background(background: Background) -> Iterator[pa.RecordBatch]:
    """Yield a background as rows, a word each."""
    rows, rank = background.loadings.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * rank
    spreads = [background.spreads.tolist()] * rows
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        own = offsets[start : start + _ROWS_AT_ONCE + 1]
        yield pa.RecordBatch.from_pydict(
            {
                "word": pa.array(background.words[part].astype(np.int64)),
                "logit": pa.array(background.offsets[part]),
                "loadings": from_lists(background.loadings[part].ravel(), own - own[0]),
                "spreads": pa.array(spreads[part], pa.list_(pa.float64())),
            }
        )


def background_of_rows(batches: Sequence[pa.RecordBatch]) -> Background:
    """Return the background that rows hold, in any order; none gives one without words."""
    if not sum(batch.num_rows for batch in batches):
        none = np.zeros(0, np.int32)
        return Background(none.astype(np.uint32), none, none.reshape(0, 0), np.zeros(1))
    table = pa.Table.from_batches(batches).sort_by("word").combine_chunks()
    loadings, _ = to_lists(table["loadings"].combine_chunks())
    return Background(
        table["word"].to_numpy().astype(np.uint32),
        table["logit"].to_numpy().astype(np.int32),
        loadings.astype(np.int32).reshape(table.num_rows, -1),
        np.array(table["spreads"][0].as_py()),
    )


def rows_of_numbers(images: pa.RecordBatch, numbers: NDArray[np.int32]) -> pa.RecordBatch:
    """Return the numbers of images as rows of table ``factors``.

    Parameters
    ----------
    images : RecordBatch
        Columns batch, image_id, words; an image without words has no numbers.
    numbers : int32 array, shape (n, k + 1)
        a and u of each, see :class:`.background.Background`.
    """
    _, bounds = to_lists(images["words"])
    unknown = np.diff(bounds) == 0
    count, rank = len(numbers), numbers.shape[1] - 1
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(rank)
    scores = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(numbers[:, 1:].ravel()), mask=pa.array(unknown)
    )
    return pa.RecordBatch.from_pydict(
        {
            "batch": images["batch"],
            "image_id": images["image_id"],
            "total": pa.array(numbers[:, 0], mask=unknown),
            "scores": scores,
        }
    )


def labelled(batch: pa.RecordBatch, **numbers: int) -> pa.RecordBatch:
    """Return the rows with columns of one int32 number each put in front."""
    columns = {
        name: pa.array(np.full(batch.num_rows, number, dtype=np.int32))
        for name, number in numbers.items()
    }
    own = dict(zip(batch.schema.names, batch.columns, strict=True))
    return pa.RecordBatch.from_pydict(columns | own)


def groups_of_rows(
    batches: Iterable[pa.RecordBatch], *names: str
) -> Iterator[tuple[tuple[int, ...], Iterator[pa.RecordBatch]]]:
    """Divide rows into groups with equal numbers in the named columns.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Rows of a group next to each other.
    *names : str
        Integer columns.

    Yields
    ------
    numbers : tuple of int
        One for each name.
    rows : iterator of RecordBatch
        Not empty; to be used up before the next group is asked for.
    """

    def pieces() -> Iterator[tuple[tuple[int, ...], pa.RecordBatch]]:
        for batch in batches:
            columns = [batch[name].to_numpy() for name in names]
            changes = np.zeros(max(0, batch.num_rows - 1), dtype=bool)
            for column in columns:
                changes |= column[1:] != column[:-1]
            bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), batch.num_rows]
            for start, stop in itertools.pairwise(bounds):
                if stop > start:
                    numbers = tuple(int(column[start]) for column in columns)
                    yield numbers, batch.slice(start, stop - start)

    for numbers, group in itertools.groupby(pieces(), key=operator.itemgetter(0)):
        yield numbers, (piece for _, piece in group)


def table_ranges(total: int, width: int) -> list[tuple[int, int]]:
    """Cut `total` tables into ranges of `width`; the last one may be shorter."""
    return [(start, min(start + width, total)) for start in range(0, total, width)]


def rows_of_signatures(signatures: Signatures) -> Iterator[pa.RecordBatch]:
    """Yield signatures as rows, in pieces that fit an Arrow batch."""
    for start in range(0, len(signatures), _ROWS_AT_ONCE):
        part = signatures.take(slice(start, start + _ROWS_AT_ONCE))
        yield _signature_batch(part.items, part.documents, part.occurrences, part.minima)


def signatures_of_rows(batches: Iterable[pa.RecordBatch], *, tuple_size: int) -> Signatures:
    """Return the signatures that rows, at least one, of ascending, different items hold."""
    parts = []
    for batch in batches:
        minima = _minima(batch)
        parts.append(
            Signatures(
                batch["item"].to_numpy().astype(np.uint32),
                batch["documents"].to_numpy().astype(np.uint32),
                batch["occurrences"].to_numpy().astype(np.uint64),
                minima,
                tuple_size,
                minima.shape[1] // tuple_size,
            )
        )
    return Signatures.concatenate(parts)


def joined_tables(parts: Sequence[Signatures]) -> Signatures:
    """Put tables of the same items, at least one range of them, beside each other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    return Signatures(
        first.items,
        first.documents,
        first.occurrences,
        np.concatenate([part.minima for part in parts], axis=1),
        first.tuple_size,
        sum(part.tables for part in parts),
    )


def merge_sorted_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Merge rows of the same item: minima by minimum, documents and occurrences by sum.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Signature rows, all rows of an item next to each other.

    Yields
    ------
    RecordBatch
        One row an item; at most one batch's rows and one more are held.
    """
    held: pa.RecordBatch | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        parts = [held, batch] if held is not None else [batch]
        items = np.concatenate([p["item"].to_numpy() for p in parts])
        starts = np.flatnonzero(np.diff(items, prepend=items[0] - 1))
        documents, occurrences = (
            np.add.reduceat(np.concatenate([p[name].to_numpy() for p in parts]), starts)
            for name in ("documents", "occurrences")
        )
        merged = _signature_batch(
            items[starts],
            documents,
            occurrences,
            np.minimum.reduceat(np.concatenate([_minima(p) for p in parts]), starts),
        )
        # the last item may go on in the next batch
        if merged.num_rows > 1:
            yield merged.slice(0, merged.num_rows - 1)
        held = merged.slice(merged.num_rows - 1)
    if held is not None:
        yield held


def slice_rows(
    batch: pa.RecordBatch, *, tuple_size: int, ranges: Sequence[tuple[int, int]], **numbers: int
) -> Iterator[pa.RecordBatch]:
    """Cut the minima of signature rows into ranges of tables.

    Parameters
    ----------
    batch : RecordBatch
        Minima of the tables from the first range's begin to the last one's end.
    tuple_size : int
    ranges : sequence of (int, int)
        Adjoining ranges.
    **numbers : int
        Further columns, as in :func:`labelled`.

    Yields
    ------
    RecordBatch
        One for each range, with its first table as column ``first_table``.
    """
    minima = _minima(batch)
    own = ranges[0][0]
    for begin, end in ranges:
        part = _signature_batch(
            batch["item"].to_numpy(),
            batch["documents"].to_numpy(),
            batch["occurrences"].to_numpy(),
            minima[:, (begin - own) * tuple_size : (end - own) * tuple_size],
        )
        yield labelled(part, **numbers, first_table=begin)


def rows_of_sets(sets: SetList) -> Iterator[pa.RecordBatch]:
    """Yield sets as rows."""
    step = 64 * _ROWS_AT_ONCE
    for start in range(0, len(sets), step):
        stop = min(start + step, len(sets))
        offsets = sets.offsets[start : stop + 1]
        data = sets.items[offsets[0] : offsets[-1]].astype(">u4").tobytes()
        bounds = ((offsets - offsets[0]) * 4).astype(np.int64)
        items = pa.Array.from_buffers(
            pa.large_binary(), stop - start, [None, pa.py_buffer(bounds), pa.py_buffer(data)]
        ).cast(pa.binary())
        yield pa.RecordBatch.from_pydict(
            {
                "items": items,
                "multiplicity": pa.array(sets.multiplicities[start:stop].astype(np.int64)),
            }
        )


def sets_of_rows(batches: Iterable[pa.RecordBatch]) -> SetList:
    """Return the canonical list of the sets that rows hold, in any order, equal ones merged."""
    multiplicities, sizes, items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    for batch in batches:
        values, offsets = binary_block(batch["items"], ">u4", 1)
        multiplicities.append(batch["multiplicity"].to_numpy())
        sizes.append(np.diff(offsets))
        items.append(values.ravel().astype(np.uint32))
    lengths = np.concatenate(sizes)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate([np.zeros(0, np.uint32), *items])
    return canonical_sets(np.concatenate(multiplicities), offsets, flat)


def row_of_look(look: Look) -> pa.RecordBatch:
    """Return what was found in a trial as a row."""
    found = look.structures
    arrays: dict[str, NDArray[Any]] = {
        "offsets": found.offsets,
        "items": found.items,
        "frequencies": found.frequencies,
        "sets": found.sets,
        "support": look.support,
    }
    packed = {name: pa.array([array.tobytes()]) for name, array in arrays.items()}
    return pa.RecordBatch.from_pydict(
        packed | {"mined": pa.array([look.mined]), "different": pa.array([look.different])}
    )


def look_of_row(row: pa.RecordBatch) -> Look:
    """Return what was found in a trial."""

    def unpacked(name: str, dtype: DTypeLike) -> NDArray[Any]:
        return np.frombuffer(row[name][0].as_buffer(), dtype)

    structures = Structures(
        unpacked("offsets", np.int64),
        unpacked("items", np.uint32),
        unpacked("frequencies", np.uint32),
        unpacked("sets", np.int64),
    )
    support = unpacked("support", np.int64)
    return Look(structures, support, row["mined"][0].as_py(), row["different"][0].as_py())


def _minima(batch: pa.RecordBatch) -> NDArray[np.uint32]:
    width = len(batch["minima"][0].as_buffer()) // 4
    values, _ = binary_block(batch["minima"], np.uint32, width)
    return values.astype(np.uint32, copy=False)


def _signature_batch(
    items: NDArray[np.integer],
    documents: NDArray[np.integer],
    occurrences: NDArray[np.integer],
    minima: NDArray[np.generic],
) -> pa.RecordBatch:
    width = minima.shape[1] * minima.dtype.itemsize
    data = np.ascontiguousarray(minima)
    rows = pa.Array.from_buffers(pa.binary(width), len(items), [None, pa.py_buffer(data)])
    return pa.RecordBatch.from_pydict(
        {
            "item": pa.array(items.astype(np.int64)),
            "documents": pa.array(documents.astype(np.int64)),
            "occurrences": pa.array(occurrences.astype(np.int64)),
            "minima": rows.cast(pa.binary()),
        }
    )
