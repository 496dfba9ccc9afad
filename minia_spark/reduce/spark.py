"""Principal components of crops on Spark: blocks of images, merged up a tree.

Which images are in a block, and which blocks are merged, follows from their names and their number
alone, so that the result is the same bit for bit whatever the partitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    BinaryType,
    DoubleType,
    IntegerType,
    LongType,
    StructField,
    StructType,
)

from minia_spark.reduce.pca import Part, block_rows, decompose, merge

__all__ = ["fitted_part", "pixels_of"]

_BLOCKS_OF_A_TASK = 4
_ROWS_AT_ONCE = 32

_PART = StructType(
    [
        StructField("part", LongType(), False),
        StructField("number", IntegerType(), False),
        StructField("strength", DoubleType(), False),
        StructField("count", LongType(), False),
        StructField("rest", DoubleType(), False),
        StructField("row", BinaryType(), False),
    ]
)
Batches = Iterator[pa.RecordBatch]


def pixels_of(batch: pa.RecordBatch, dims: int) -> NDArray[np.uint8]:
    """Return the crops of a batch of rows, shape (n, D)."""
    blocks = [np.frombuffer(cell.as_buffer(), np.uint8) for cell in batch["pixels"]]
    return np.stack(blocks) if blocks else np.empty((0, dims), np.uint8)


def fitted_part(
    crops: DataFrame,
    total: int,
    *,
    dims: int,
    kept: int,
    watched: AbstractContextManager[Any],
    rows: int | None = None,
) -> Part:
    """Return the decomposition of all crops.

    Parameters
    ----------
    crops : DataFrame
        With ``batch``, ``image_id`` and ``pixels``, `dims` bytes each.
    total : int
        Rows of it, at least one.
    dims : int
    kept : int
        Components to keep at most.
    watched : context manager
        Entered while the job runs.
    rows : int or None
        Images of a block; None: :func:`block_rows`.
    """
    blocks = -(-total // (rows or block_rows(dims, kept)))

    def decomposed(batches: Batches) -> Batches:
        found: dict[int, Part] = {}
        current: list[NDArray[np.uint8]] = []
        block = -1

        def finish() -> None:
            if block < 0:
                return
            part = decompose(np.concatenate(current), kept)
            current.clear()
            group = block // _BLOCKS_OF_A_TASK
            found[group] = merge(found[group], part, kept) if group in found else part

        for batch in batches:
            pixels, numbers = pixels_of(batch, dims), batch["block"].to_numpy()
            for number in np.unique(numbers):  # they come in order
                if number != block:
                    finish()
                    block = int(number)
                current.append(pixels[numbers == number])
        finish()
        for group, part in found.items():
            yield from _rows_of(group, part)

    def merged(batches: Batches) -> Batches:
        found: dict[int, Part] = {}
        for number, part in _parts_in(batches, dims):
            group = number // _BLOCKS_OF_A_TASK
            found[group] = merge(found[group], part, kept) if group in found else part
        for group, part in found.items():
            yield from _rows_of(group, part)

    groups = -(-blocks // _BLOCKS_OF_A_TASK)
    named = F.xxhash64("image_id", "batch")
    numbered = crops.withColumn("block", F.pmod(named, F.lit(blocks)).cast("int"))
    placed = numbered.repartitionById(
        groups, F.floor(F.col("block") / _BLOCKS_OF_A_TASK).cast("int")
    )
    ordered = placed.sortWithinPartitions("block", "batch", "image_id")
    frame = ordered.select("block", "pixels").mapInArrow(decomposed, _PART)
    while groups > 1:
        groups = -(-groups // _BLOCKS_OF_A_TASK)
        place = F.floor(F.col("part") / _BLOCKS_OF_A_TASK).cast("int")
        frame = frame.repartitionById(groups, place).sortWithinPartitions("part", "number")
        frame = frame.mapInArrow(merged, _PART)
    with watched:
        table = frame.toArrow()
    ((_, part),) = _parts_in(iter(table.sort_by("number").to_batches()), dims)
    return part


def _rows_of(number: int, part: Part) -> Batches:
    """Yield a part as rows: the mean, numbered -1, then the directions."""
    rows = [(-1, 0.0, part.mean.tobytes())]
    kind = np.float32
    rows += [
        (i, float(s), d.astype(kind).tobytes())
        for i, (s, d) in enumerate(zip(part.strengths, part.directions, strict=True))
    ]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        piece = rows[start : start + _ROWS_AT_ONCE]
        yield pa.RecordBatch.from_pydict(
            {
                "part": [number] * len(piece),
                "number": [r[0] for r in piece],
                "strength": [r[1] for r in piece],
                "count": [part.count] * len(piece),
                "rest": [part.rest] * len(piece),
                "row": [r[2] for r in piece],
            },
            to_arrow_schema(_PART),
        )


def _parts_in(batches: Batches, dims: int) -> Iterator[tuple[int, Part]]:
    """Yield the parts of rows that come in order."""
    number: int | None = None
    head: dict[str, Any] = {}
    strengths: list[float] = []
    rows: list[NDArray[np.float32]] = []

    def whole() -> Part:
        directions = np.stack(rows) if rows else np.empty((0, dims), np.float32)
        return Part(
            head["count"], head["mean"], np.array(strengths), directions, float(head["rest"])
        )

    for batch in batches:
        columns = {n: batch[n].to_pylist() for n in ("part", "number", "strength", "count", "rest")}
        for i in range(batch.num_rows):
            data = batch["row"][i].as_buffer()
            if columns["number"][i] < 0:
                if number is not None:
                    yield number, whole()
                number, strengths, rows = columns["part"][i], [], []
                head = {
                    "count": columns["count"][i],
                    "rest": columns["rest"][i],
                    "mean": np.frombuffer(data, np.float64).copy(),
                }
            else:
                strengths.append(columns["strength"][i])
                rows.append(np.frombuffer(data, np.float32))
    if number is not None:
        yield number, whole()
