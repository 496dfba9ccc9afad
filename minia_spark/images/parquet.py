"""Images inside a Parquet file: a struct column ``image`` of ``bytes`` and ``path``, or flat
columns of those dotted names, read forward only and in pieces.

A piece is 16 rows, but a page of the file is unpacked whole: reading takes up to twice the largest
page. Writers that check the page size only every 1,024 rows make pages of up to that many images.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from minia_spark.base.errors import Rejected
from minia_spark.images.bounds import bounded_memory
from minia_spark.images.container import Container, Held, Limits, Part, check_size
from minia_spark.images.failures import refusing
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["ParquetImages", "ParquetRow"]

_MAGIC = b"PAR1"
_BYTES, _PATH = "image.bytes", "image.path"
_ROWS_A_BATCH = 16  # with images of a few MiB a batch stays far below any worker's memory
_LARGE_DICTIONARY_BYTES = 4 << 20
_SPARE_BYTES = 512 << 20
_TIMES_ITS_SIZE = 4  # a page of images, which do not shrink, and copies of it
_BUFFER_BYTES = 1 << 20  # stream column chunks: a row group may be larger than memory


class ParquetRow(NamedTuple):
    """One image of a container.

    Attributes
    ----------
    row_group, row : int
        Position: number of the row group, and of the row inside it.
    number : int
        Number of the row in the whole file.
    path : bytes or None
        Content of ``image.path`` as bytes; None where it is null or empty.
    data : bytes or None
        Content of ``image.bytes``; None where it is null.
    """

    row_group: int
    row: int
    number: int
    path: bytes | None
    data: bytes | None


class ParquetImages(Container):
    """The images of one Parquet file; fragments are ``row_group=G&row=R``.

    Raises
    ------
    Rejected
        ``corrupt`` if the file cannot be opened as Parquet, ``not_an_image`` if it has no column
        of image bytes.
    """

    title = "a Parquet file"
    fragment = re.compile(r"row_group=(\d{1,9})&row=(\d{1,18})")
    names_are_below = False

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        self._max_bytes = limits.max_bytes
        self._most_bytes = _SPARE_BYTES + _TIMES_ITS_SIZE * os.fstat(file.fileno()).st_size
        with refusing("The Parquet file"), bounded_memory(self._most_bytes):
            self._file = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            self._columns = _image_columns(self._file)
            metadata = self._file.metadata
            counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._first_rows = [sum(counts[:i]) for i in range(len(counts))]
        self._pass: Iterator[ParquetRow] = iter(())
        self._last: ParquetRow | None = None

    @staticmethod
    def recognises(start: bytes) -> bool:
        """By the first four bytes."""
        return start.startswith(_MAGIC)

    def images(self, part: Part) -> Iterator[Held]:
        """Yield the rows of every `part.of`-th row group; a damaged one gives those before it."""
        for row_group in range(part.number, self.row_groups, part.of):
            try:
                for row in self.rows(row_group):
                    fragment = f"row_group={row_group}&row={row.row}"
                    try:
                        yield Held(row.path, fragment, self._data(row), row.number)
                    except Rejected as rejected:
                        yield Held(row.path, fragment, rejected, row.number)
            except Rejected as rejected:
                yield Held(None, f"row_group={row_group}", rejected)

    def read(self, *place: str) -> bytes:
        """Return the bytes of a row; rows of one row group in rising order cost one pass."""
        row_group, row = map(int, place)
        return self._data(self._row(row_group, row))

    def _data(self, row: ParquetRow) -> bytes:
        if row.data is None:
            raise Reason.EMPTY_FILE.reject("The row's image bytes are null.")
        check_size(len(row.data), self._max_bytes)
        return row.data

    def _row(self, row_group: int, row: int) -> ParquetRow:
        last = self._last
        if last is not None and (last.row_group, last.row) == (row_group, row):
            return last
        if last is None or last.row_group != row_group or last.row > row:
            self._pass, self._last = self.rows(row_group), None
        for found in self._pass:
            self._last = found
            if found.row == row:
                return found
        self._last = None
        raise Reason.CORRUPT.reject(
            f"Row group {row_group} of the Parquet file has no row {row}; the file has changed."
        )

    @property
    def row_groups(self) -> int:
        """Number of row groups."""
        return len(self._first_rows)

    def rows(self, row_group: int) -> Iterator[ParquetRow]:
        """Yield the images of a row group in order, at most 16 and the page at hand in memory.

        Raises
        ------
        Rejected
            ``corrupt`` where the row group, or what is left of it, cannot be read; ``not_an_image``
            if there is no such row group.
        """
        if not 0 <= row_group < self.row_groups:
            raise Reason.CORRUPT.reject(
                f"The Parquet file has {self.row_groups} row groups and no number {row_group}."
            )
        row = 0
        with refusing(f"Row group {row_group} of the Parquet file"):
            batches = self._file.iter_batches(
                batch_size=self._rows_at_once(row_group),
                row_groups=[row_group],
                columns=self._columns,
                use_threads=False,
            )
        while True:
            with (
                refusing(f"Row group {row_group} of the Parquet file, after {row} rows,"),
                bounded_memory(self._most_bytes),
            ):
                batch = next(batches, None)
                if batch is None:
                    return
                pairs = list(zip(*_bytes_and_paths(batch), strict=True))
            for data, path in pairs:
                first = self._first_rows[row_group]
                yield ParquetRow(row_group, row, first + row, path or None, data)
                row += 1

    def _rows_at_once(self, row_group: int) -> int:
        """Return 1 where rows may repeat large values of a dictionary, of which each is a copy."""
        group = self._file.metadata.row_group(row_group)
        columns = [group.column(number) for number in range(group.num_columns)]
        large = any(
            column.has_dictionary_page and column.total_uncompressed_size > _LARGE_DICTIONARY_BYTES
            for column in columns
            if column.path_in_schema in (_BYTES, _PATH)
        )
        return 1 if large else _ROWS_A_BATCH


def _image_columns(file: pq.ParquetFile) -> list[str]:
    schema = file.schema_arrow
    types: dict[str, pa.DataType] = {}
    for field in schema:
        if field.name == "image" and pa.types.is_struct(field.type):
            types |= {f"image.{inner.name}": inner.type for inner in field.type}
        else:
            types.setdefault(field.name, field.type)
    if not _is_bytes(types.get(_BYTES)):
        found = ", ".join(schema.names[:10]) or "none"
        raise Reason.NOT_AN_IMAGE.reject(
            f"A Parquet file of images has a binary column {_BYTES} (or a struct column image with "
            f"the field bytes) and may have {_PATH}; this one has {found}."
        )
    return [_BYTES, _PATH] if _is_text(types.get(_PATH)) else [_BYTES]


def _is_bytes(kind: pa.DataType | None) -> bool:
    return kind is not None and (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType | None) -> bool:
    return _is_bytes(kind) or (
        kind is not None
        and (
            pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_string_view(kind)
        )
    )


def _bytes_and_paths(batch: pa.RecordBatch) -> tuple[list[bytes | None], list[bytes | None]]:
    columns: dict[str, pa.Array] = {}
    for name in batch.schema.names:
        column = batch.column(name)
        if pa.types.is_struct(column.type):
            # flatten keeps the struct's own nulls, which its children do not know
            inner = [f"image.{field.name}" for field in column.type]
            columns |= dict(zip(inner, column.flatten(), strict=True))
        else:
            columns[name] = column
    data = columns[_BYTES].to_pylist()
    if _PATH not in columns:
        return data, [None] * len(data)
    # text goes through bytes: a path that is not UTF-8 must not raise
    return data, columns[_PATH].cast(pa.large_binary()).to_pylist()
