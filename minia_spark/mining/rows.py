"""Signatures and sets as rows of a table: what travels between Spark's partitions.

A signature row is (item, documents, occurrences, minima as bytes); rows of the same item merge by
element-wise minimum. A set row is (size, items as big-endian bytes, multiplicity): equal sets have
equal bytes, and bytes sort as the lists of items do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.arrow import binary_block, to_lists
from minia_spark.mining.arrays import SetList, Signatures
from minia_spark.mining.sets import canonical_sets
from minia_spark.words.formats import Bags

__all__ = [
    "bags_of_words",
    "merge_sorted_rows",
    "rows_of_sets",
    "rows_of_signatures",
    "sets_of_rows",
    "signatures_of_rows",
    "slice_rows",
]

_ROWS_AT_ONCE = 1024


def bags_of_words(batch: pa.RecordBatch, weights: str) -> Bags:
    """Return rows of table ``words`` as bags, with the named column as counts."""
    items, offsets = to_lists(batch["words"])
    counts, _ = to_lists(batch[weights])
    return Bags(offsets, items.astype(np.uint32), counts.astype(np.uint32))


def rows_of_signatures(signatures: Signatures) -> Iterator[pa.RecordBatch]:
    """Yield signatures as rows, in pieces that fit an Arrow batch."""
    for start in range(0, len(signatures), _ROWS_AT_ONCE):
        part = signatures.take(slice(start, start + _ROWS_AT_ONCE))
        yield _signature_batch(part.items, part.documents, part.occurrences, part.minima)


def signatures_of_rows(
    batches: Iterable[pa.RecordBatch], *, tuple_size: int, tables: int
) -> Signatures:
    """Return the signatures that rows of ascending, different items hold; none: empty ones."""
    parts = [
        Signatures(
            batch["item"].to_numpy().astype(np.uint32),
            batch["documents"].to_numpy().astype(np.uint32),
            batch["occurrences"].to_numpy().astype(np.uint64),
            _minima(batch, tuple_size * tables),
            tuple_size,
            tables,
        )
        for batch in batches
        if batch.num_rows
    ]
    if not parts:
        return Signatures.empty(tuple_size=tuple_size, tables=tables)
    return Signatures.concatenate(parts)


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
        width = len(batch["minima"][0].as_buffer()) // 4
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
            np.minimum.reduceat(np.concatenate([_minima(p, width) for p in parts]), starts),
        )
        # the last item may go on in the next batch
        if merged.num_rows > 1:
            yield merged.slice(0, merged.num_rows - 1)
        held = merged.slice(merged.num_rows - 1)
    if held is not None:
        yield held


def slice_rows(
    batch: pa.RecordBatch, *, tuple_size: int, ranges: list[tuple[int, int]]
) -> Iterator[pa.RecordBatch]:
    """Cut the minima of signature rows into ranges of tables; adds the range's number as column."""
    width = tuple_size * ranges[-1][1]
    minima = _minima(batch, width)
    for number, (begin, end) in enumerate(ranges):
        part = _signature_batch(
            batch["item"].to_numpy(),
            batch["documents"].to_numpy(),
            batch["occurrences"].to_numpy(),
            minima[:, begin * tuple_size : end * tuple_size],
        )
        numbers = pa.array(np.full(batch.num_rows, number, dtype=np.int32))
        yield part.append_column("range", numbers)


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


def _minima(batch: pa.RecordBatch, width: int) -> NDArray[np.uint32]:
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
