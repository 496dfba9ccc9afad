"""Bytes of images by URI: plain files, and rows of Parquet files.

A row's URI is ``file:///data/images.parquet#row_group=G&row=R``. Files are opened without waiting
(a pipe put in a file's place cannot hold a worker) and only if they are regular.
"""

from __future__ import annotations

import io
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.images.failures import sentence
from minia_spark.images.identity import image_id_of, path_of_uri, uri_of
from minia_spark.images.parquet import ParquetImages, ParquetRow, is_parquet
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ImageReader", "Sourced", "images_of_file", "open_regular"]

_FRAGMENT = re.compile(r"row_group=(\d{1,9})&row=(\d{1,18})")


class Sourced(NamedTuple):
    """One image of a listed file, with its bytes or the reason why there are none.

    Attributes
    ----------
    image_id : str
        From the path, or for a Parquet row from its ``image.path``; ``<file>#<row number>`` where
        that is null.
    uri : str
        What :meth:`ImageReader.read` takes.
    data : bytes or Rejected
        The encoded image.
    """

    image_id: str
    uri: str
    data: bytes | Rejected


def images_of_file(root: bytes, path: bytes, *, max_bytes: int) -> Iterator[Sourced]:
    """Yield the image of a plain file, or the images of a Parquet file, in order.

    A Parquet file that cannot be opened, or has no image column, is one refusal under its own URI;
    a damaged row group gives its readable rows and one refusal.

    Parameters
    ----------
    root : bytes
        Absolute path of the input folder.
    path : bytes
        A file's path below it, as :func:`~minia_spark.images.listing.list_folder` gives it.
    max_bytes : int
        Larger files are refused unread; for a Parquet file the limit holds for each row.
    """
    absolute = root.rstrip(b"/") + b"/" + path
    image_id, uri = image_id_of(path), uri_of(absolute)
    try:
        with open_regular(absolute) as file:
            if not is_parquet(file.read(4)):
                yield Sourced(image_id, uri, _whole(file, max_bytes))
                return
            images = ParquetImages(file)
            for row_group in range(images.row_groups):
                yield from _images_of_group(images, row_group, absolute, image_id, max_bytes)
    except Rejected as rejected:
        yield Sourced(image_id, uri, rejected)


def _images_of_group(
    images: ParquetImages, row_group: int, absolute: bytes, file_id: str, max_bytes: int
) -> Iterator[Sourced]:
    try:
        for row in images.rows(row_group):
            image_id = f"{file_id}#{row.number}" if row.path is None else image_id_of(row.path)
            uri = uri_of(absolute, f"row_group={row_group}&row={row.row}")
            try:
                yield Sourced(image_id, uri, _row_data(row, max_bytes))
            except Rejected as rejected:
                yield Sourced(image_id, uri, rejected)
    except Rejected as rejected:
        yield Sourced(file_id, uri_of(absolute, f"row_group={row_group}"), rejected)


class ImageReader:
    """Reads images by URI; made once in each task.

    Rows of one Parquet row group that are asked for in rising order cost one pass over it. A row
    before the last one read starts a new pass.

    Parameters
    ----------
    max_bytes : int
        Larger images are refused.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._path = b""
        self._file: io.BufferedReader | None = None
        self._images: ParquetImages | None = None
        self._rows: Iterator[ParquetRow] = iter(())
        self._last: ParquetRow | None = None

    def read(self, uri: str) -> bytes:
        """Return the bytes of an image.

        Raises
        ------
        Rejected
            ``unreadable``, ``file_limit``, ``empty_file`` (a null in a Parquet file) or
            ``corrupt``.
        ValueError
            If the URI is not one that ingest writes.
        """
        path, fragment = path_of_uri(uri)
        if not fragment:
            with open_regular(path) as file:
                return _whole(file, self._max_bytes)
        position = _FRAGMENT.fullmatch(fragment)
        if position is None:
            raise ValueError(f"the fragment of {uri!r} is not row_group=G&row=R")
        row_group, row = map(int, position.groups())
        return _row_data(self._row(path, row_group, row), self._max_bytes)

    def close(self) -> None:
        """Close the Parquet file that is open, if any."""
        self._rows, self._last, self._images = iter(()), None, None
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _row(self, path: bytes, row_group: int, row: int) -> ParquetRow:
        if self._images is None or self._path != path:
            self.close()
            self._file, self._path = open_regular(path), path
            self._images = ParquetImages(self._file)
        last = self._last
        if (
            last is None
            or (last.row_group, last.row) > (row_group, row)
            or (last.row_group != row_group)
        ):
            self._rows, self._last = self._images.rows(row_group), None
        elif last.row == row:
            return last
        for found in self._rows:
            self._last = found
            if found.row == row:
                return found
        self._last = None
        raise Reason.CORRUPT.reject(
            f"Row group {row_group} of the Parquet file has no row {row}; the file has changed."
        )


def open_regular(path: bytes) -> io.BufferedReader:
    """Open a file without waiting.

    Raises
    ------
    Rejected
        ``unreadable``: it cannot be opened, or is no regular file.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        said = getattr(error, "strerror", None) or str(error)
        detail = sentence(OSError(said))
        raise Reason.UNREADABLE.reject(f"The system says: {detail}.") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Reason.UNREADABLE.reject("The path is no regular file any more.")
    return open(number, "rb")  # noqa: PTH123 - a descriptor has no path


def _whole(file: io.BufferedReader, max_bytes: int) -> bytes:
    try:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise _too_large(size, max_bytes)
        file.seek(0)
        data = file.read(max_bytes + 1)  # it may have grown since
    except OSError as error:
        raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error
    if len(data) > max_bytes:
        raise _too_large(len(data), max_bytes)
    return data


def _row_data(row: ParquetRow, max_bytes: int) -> bytes:
    if row.data is None:
        raise Reason.EMPTY_FILE.reject("The row's image bytes are null.")
    if len(row.data) > max_bytes:
        raise _too_large(len(row.data), max_bytes)
    return row.data


def _too_large(size: int, max_bytes: int) -> Rejected:
    return Reason.FILE_LIMIT.reject(
        f"The file has {size} bytes; the limit is {max_bytes} (ingest.max_file_mib)."
    )
