"""Bytes of images by URI: plain files, and what files of images hold.

``file:///data/a.jpg`` is a file, ``file:///data/images.parquet#row_group=G&row=R`` a row,
``file:///data/a.zip#member=NAME&offset=N`` a member of an archive,
``file:///data/a.h5#dataset=NAME&row=R`` an image of an HDF5 file. Files are opened without waiting
(a pipe put in a file's place cannot hold a worker) and only if they are regular.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.images.container import Container, Held, Limits, Part, PlainImage
from minia_spark.images.failures import sentence
from minia_spark.images.hdf5 import HdfImages
from minia_spark.images.identity import image_id_of, path_of_uri, uri_of
from minia_spark.images.parquet import ParquetImages
from minia_spark.images.reasons import Reason
from minia_spark.images.tar_archive import GzipTarArchive, TarArchive
from minia_spark.images.zip_archive import ZipArchive

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = [
    "KINDS",
    "PLACE",
    "ImageReader",
    "Sourced",
    "absolute_path",
    "images_of_file",
    "is_file_of_images",
    "open_regular",
]

KINDS: tuple[type[Container], ...] = (
    TarArchive,
    ParquetImages,
    ZipArchive,
    GzipTarArchive,
    HdfImages,
)
"""Files of images, recognised by their content, in this order; any other file is one image.

Tar is first: it begins with the name of a member, which may look like any other kind.
"""

PLACE = (r"^[^#]*", r"row_group=([0-9]+)", r"(?:row|offset)=([0-9]+)$")
"""What orders URIs by file and place in it: the match of the first, the numbers of the others (none
counts as less); for passes that ask an :class:`ImageReader` for images in order."""

_START_BYTES = 8192


class Sourced(NamedTuple):
    """One image of a listed file, with its bytes or the reason why there are none.

    Attributes
    ----------
    image_id : str
        From the path, for a member of an archive with its path inside, as if the archive were a
        folder; for a Parquet row from its ``image.path``, ``<file>#<row number>`` where that is
        null.
    uri : str
        What :meth:`ImageReader.read` takes.
    data : bytes or Rejected
        The encoded image.
    folder : str or None
        The folder that directly holds it, printable as an image_id is: of its path inside the file
        of images, else of the file; None at the top.
    """

    image_id: str
    uri: str
    data: bytes | Rejected
    folder: str | None = None


def images_of_file(
    root: bytes,
    path: bytes,
    *,
    max_bytes: int,
    max_archive_members: int = 1_000_000,
    max_archive_ratio: int = 100,
    part: Part = Part(),  # noqa: B008 - frozen
) -> Iterator[Sourced]:
    """Yield the image of a plain file, or the images of a file of images, in order.

    A file of images that cannot be opened is one refusal under its own URI; a damaged one gives
    what can be read of it and one refusal.

    Parameters
    ----------
    root : bytes
        Absolute path of the input folder, or of the input itself where that is a file.
    path : bytes
        A file's path below it, as :func:`~minia_spark.images.listing.list_folder` gives it; empty
        if the root is the file. The members of an archive that is the root are called as they
        would be if it had been unpacked to a folder and that were the root.
    max_bytes : int
        Larger files are refused unread; for a file of images the limit holds for each image.
    max_archive_members, max_archive_ratio : int
        As for :class:`~minia_spark.images.container.Limits`.
    part : Part
        Which share of the images of a file of images; a plain file is in part 0.
    """
    absolute = absolute_path(root, path)
    uri = uri_of(absolute)
    limits = Limits(max_bytes, max_archive_members, max_archive_ratio)
    try:
        with open_regular(absolute) as file:
            container = _kind_of(file)(file, limits)
            for held in container.images(part):
                yield _sourced(held, uri, absolute, path, below=container.names_are_below)
    except Rejected as rejected:
        if part.tells(rejected):
            yield Sourced(_own_id(absolute, path), uri, rejected)
    except MemoryError:
        refused = Reason.OUT_OF_MEMORY.reject(
            "Reading the file takes more memory than the worker has; give workers more, or lower "
            "ingest.max_file_mib, and ingest the batch again."
        )
        yield Sourced(_own_id(absolute, path), uri, refused)


def _sourced(held: Held, uri: str, absolute: bytes, path: bytes, *, below: bool) -> Sourced:
    folder = _folder_of(held.name or b"") or _folder_of(path)
    where = f"{uri}#{held.fragment}" if held.fragment else uri
    if held.number is None:
        return Sourced(_own_id(absolute, path), where, held.data, folder)
    data = held.data
    if isinstance(data, bytes):
        kind = _known_kind(data[:_START_BYTES])
        if kind is not None:
            data = Reason.UNSUPPORTED_FORMAT.reject(
                f"The content is {kind.title} inside a file of images; take it out and put it "
                "beside that file."
            )
    if held.name is None:
        image_id = f"{_own_id(absolute, path)}#{held.number}"
    else:
        image_id = image_id_of(path + b"/" + held.name if below and path else held.name)
    return Sourced(image_id, where, data, folder)


def _own_id(absolute: bytes, path: bytes) -> str:
    return image_id_of(path or os.path.basename(absolute))  # noqa: PTH119 - bytes


def _folder_of(path: bytes) -> str | None:
    """Return the last folder of a path, as it is called in an image_id."""
    folder = path.rpartition(b"/")[0].rpartition(b"/")[2]
    return image_id_of(folder) if folder.strip(b".") else None


def absolute_path(root: bytes, path: bytes) -> bytes:
    """Return the place of a listed path; an empty one is the root itself."""
    return root.rstrip(b"/") + b"/" + path if path else root


def is_file_of_images(path: bytes | str | os.PathLike[str]) -> bool:
    """Whether a path is a regular file that claims to hold images: an archive, or Parquet.

    Decided by its first bytes. False also for what cannot be opened; never waits for a pipe.
    """
    try:
        with open_regular(os.fsencode(path)) as file:
            return _kind_of(file) is not PlainImage
    except Rejected:
        return False


def _kind_of(file: io.BufferedReader) -> type[Container]:
    try:
        start = file.peek(_START_BYTES)  # the one read that a small file needs anyway
    except OSError as error:
        raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error
    return _known_kind(start) or PlainImage


def _known_kind(start: bytes) -> type[Container] | None:
    return next((kind for kind in KINDS if kind.recognises(start)), None)


class ImageReader:
    """Reads images by URI; made once in each task.

    The last file of images stays open: images of it that are asked for in order (row groups and
    rows, offsets of members) cost one pass over it. Others are found without a search, but for
    compressed archives, which are unpacked from the start again.

    Parameters
    ----------
    max_bytes : int
        Larger images are refused.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._limits = Limits(max_bytes)
        self._path = b""
        self._file: io.BufferedReader | None = None
        self._container: Container | None = None

    def read(self, uri: str) -> bytes:
        """Return the bytes of an image.

        Raises
        ------
        Rejected
            ``unreadable``, ``file_limit``, ``empty_file`` (a null in a Parquet file), ``corrupt``
            (also: no such image in the file any more), or as for the kind of file.
        ValueError
            If the URI is not one that ingest writes.
        """
        path, fragment = path_of_uri(uri)
        if not fragment:
            with open_regular(path) as file:
                return PlainImage(file, self._limits).read()
        if not any(kind.fragment.fullmatch(fragment) for kind in KINDS):
            raise ValueError(f"the fragment of {uri!r} names no image of a file of images")
        container = self._opened(path)
        place = container.fragment.fullmatch(fragment)
        if place is None:
            raise Reason.CORRUPT.reject(
                f"The file is {container.title} now and has no {fragment}; the file has changed."
            )
        return container.read(*place.groups())

    def close(self) -> None:
        """Close the file of images that is open, if any."""
        self._container = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self, path: bytes) -> Container:
        if self._container is None or self._path != path:
            self.close()
            self._file, self._path = open_regular(path), path
            self._container = _kind_of(self._file)(self._file, self._limits)
        return self._container


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
