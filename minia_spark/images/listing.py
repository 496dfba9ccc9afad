"""What lies in the input folder: a streaming walk that opens no image and keeps no list of them.

Every entry is either a regular file or a refusal, so that listed = images + rejects. Left out are
names that begin with a dot, and the bookkeeping of Parquet folders (`SKIPPED_NAMES`).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from minia_spark.base.errors import InputError, Rejected
from minia_spark.base.files import open_regular
from minia_spark.images.failures import sentence
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SKIPPED_NAMES",
    "Listed",
    "ListingDigest",
    "list_file",
    "list_files",
    "list_folder",
    "parts_of",
]

SKIPPED_NAMES = frozenset({b"_SUCCESS", b"_metadata", b"_common_metadata", b"_temporary"})

_LARGE_FILES = (b".zip", b".tar", b".tar.gz", b".tgz", b".parquet", b".h5", b".hdf5")
_PART_BYTES = 32 << 20
_MAX_PARTS = 64

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Listed(NamedTuple):
    """One entry of the input folder.

    Attributes
    ----------
    path : bytes
        Relative to the root, ``/`` between folders; empty for the root itself (:func:`list_file`).
    size_bytes, mtime_ns : int
        Of the file, or of the target of a link; 0 for a refused entry.
    rejected : Rejected or None
        Why the entry is not to be opened; None for a regular file.
    """

    path: bytes
    size_bytes: int
    mtime_ns: int
    rejected: Rejected | None = None


def list_folder(
    root: bytes | str | os.PathLike[str], *, follow_links_outside: bool = False
) -> Iterator[Listed]:
    """Yield every file below a folder, in no particular order.

    Memory grows with the number of folders, not of files. Pipes, sockets and devices are refused
    unopened. A symbolic link to a file inside the root is that file under a second name. A link to
    a folder inside the root is passed over: its files are listed where they are. A link that leaves
    the root is refused (``outside_root``), or followed if `follow_links_outside`; below a folder
    reached by such a link no further link to a folder is followed, so that no chain of links can
    make the walk endless.

    Parameters
    ----------
    root : path
        An existing folder; it may itself be reached by links.
    follow_links_outside : bool
        Whether links may leave the root.

    Yields
    ------
    Listed

    Raises
    ------
    InputError
        If the root is missing, not a folder or not readable.
    """
    top = os.path.realpath(os.fsencode(root))
    shown = os.fsdecode(top).encode(errors="replace").decode()
    if not os.path.isdir(top):  # noqa: PTH112 - paths are bytes throughout
        raise InputError(f"The input folder {shown} does not exist or is not a folder.")
    try:
        os.scandir(top).close()
    except OSError as error:
        raise InputError(f"The input folder {shown} cannot be read: {error.strerror}.") from error
    yield from _Walk(top, follow_links_outside).entries()


def list_file(file: bytes | str | os.PathLike[str]) -> Iterator[Listed]:
    """Yield a file that is the whole input, an archive say: one entry whose path is empty.

    Its own path is the root of what it holds, as a folder's is of its files.

    Raises
    ------
    InputError
        If it is missing or no regular file.
    """
    path = os.path.realpath(os.fsencode(file))
    shown = path.decode(errors="replace")
    try:
        found = _file(b"", os.stat(path))  # noqa: PTH116 - paths are bytes throughout
    except OSError as error:
        raise InputError(f"The input file {shown} cannot be read: {error.strerror}.") from error
    if found.rejected is not None:
        raise InputError(f"The input file {shown} cannot be read: it is no regular file.")
    yield found


def parts_of(entry: Listed) -> int:
    """Return into how many parts a file of images is best divided, so that tasks share it.

    One for each 32 MiB, at most 64; 1 for a file in a folder whose name is not that of an archive,
    a Parquet or an HDF5 file. Names only decide how work is shared: what a file is, its content
    says.
    """
    if entry.path and not entry.path.lower().endswith(_LARGE_FILES):
        return 1
    return max(1, min(_MAX_PARTS, -(-entry.size_bytes // _PART_BYTES)))


def list_files(
    root: bytes | str | os.PathLike[str],
    file: str | os.PathLike[str],
    *,
    follow_links_outside: bool = False,
) -> Iterator[Listed]:
    """Yield every file that a list names, in its order: one path a line, relative to a folder.

    Paths are bytes, as the file system has them; empty lines are passed over. A path that is
    absolute, or leads out of the folder by ``..`` or a link, is refused (``outside_root``); with
    `follow_links_outside`, only an absolute one is.

    Parameters
    ----------
    root : path
        The folder.
    file : path
        The list.
    follow_links_outside : bool
        Whether a path may lead out of the folder.

    Yields
    ------
    Listed
        What is not there, or no regular file, is a refusal.

    Raises
    ------
    InputError
        If the list cannot be read.
    """
    top = os.path.realpath(os.fsencode(root))
    try:
        with open_regular(file) as lines:
            for line in lines:
                path = line.rstrip(b"\r\n")
                if path:
                    yield _named(top, posixpath.normpath(path), follow_links_outside)
    except OSError as error:
        shown = os.fsencode(file).decode(errors="replace")
        raise InputError(f"The list {shown} cannot be read: {error.strerror}.") from error


def _named(top: bytes, path: bytes, follow_outside: bool) -> Listed:
    if path.startswith(b"/"):
        return _refused(path.lstrip(b"/"), "The list names an absolute path.")
    absolute = top + b"/" + path
    try:
        if not (follow_outside or _is_inside(os.path.realpath(absolute), top)):
            return _refused(
                path,
                "The path leaves the folder of the list (ingest.follow_links_outside allows it).",
            )
        return _file(path, os.stat(absolute))  # noqa: PTH116 - paths are bytes throughout
    except OSError as error:
        return _unreadable(path, error)
    except ValueError:
        return _unreadable(path, OSError(0, "a null byte in the name"))


@dataclass(frozen=True, slots=True)
class _Walk:
    top: bytes  # absolute, without links
    follow_outside: bool

    def entries(self) -> Iterator[Listed]:
        waiting = [(b"", False)]  # (folder relative to the top, reached by a link?)
        while waiting:
            folder, linked = waiting.pop()
            try:
                with os.scandir(self._absolute(folder)) as scan:
                    for entry in scan:
                        if entry.name.startswith(b".") or entry.name in SKIPPED_NAMES:
                            continue
                        path = folder + b"/" + entry.name if folder else entry.name
                        found = self._classify(entry, path, linked=linked)
                        if isinstance(found, Listed):
                            yield found
                        elif found is not None:
                            waiting.append(found)
            except OSError as error:
                yield _unreadable(folder, error)

    def _absolute(self, path: bytes) -> bytes:
        return self.top + b"/" + path if path else self.top

    def _classify(
        self, entry: os.DirEntry[bytes], path: bytes, *, linked: bool
    ) -> Listed | tuple[bytes, bool] | None:
        """Return a file or refusal, a folder to enter, or None to pass over."""
        try:
            if entry.is_symlink():
                return self._classify_link(path, linked=linked)
            if entry.is_dir(follow_symlinks=False):
                return path, linked
            return _file(path, entry.stat(follow_symlinks=False))
        except OSError as error:
            return _unreadable(path, error)

    def _classify_link(self, path: bytes, *, linked: bool) -> Listed | tuple[bytes, bool] | None:
        absolute = self._absolute(path)
        status = os.stat(absolute)  # noqa: PTH116 - a dead or circular link raises here
        target = os.path.realpath(absolute)
        is_folder = stat.S_ISDIR(status.st_mode)
        if _is_inside(target, self.top):
            return None if is_folder else _file(path, status)
        if not self.follow_outside:
            return _refused(
                path,
                "The link leaves the input folder (ingest.follow_links_outside allows it).",
            )
        if not is_folder:
            return _file(path, status)
        if linked:
            return _refused(path, "A link to a folder inside a linked folder is not followed.")
        if _is_inside(self.top, target):
            return _refused(path, "The symbolic link leads to a folder that holds the input.")
        return path, True


def _is_inside(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _file(path: bytes, status: os.stat_result) -> Listed:
    if stat.S_ISREG(status.st_mode):
        return Listed(path, status.st_size, status.st_mtime_ns)
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "not a regular file")
    return Listed(path, 0, 0, Reason.NOT_AN_IMAGE.reject(f"The entry is {kind}; it is not opened."))


def _refused(path: bytes, detail: str) -> Listed:
    return Listed(path, 0, 0, Reason.OUTSIDE_ROOT.reject(detail))


def _unreadable(path: bytes, error: OSError) -> Listed:
    detail = sentence(OSError(error.strerror or "unknown error"))
    return Listed(path, 0, 0, Reason.UNREADABLE.reject(f"The system says: {detail}."))


@dataclass(slots=True)
class ListingDigest:
    """A fingerprint of a listing that does not depend on the order of its entries.

    The sum modulo 2**128 of a 128-bit BLAKE2b of each entry; sums of parts add up to the whole. It
    notices any file added, removed, renamed, resized or touched. It is no defence against someone
    who may write the folder and wants to deceive.

    Attributes
    ----------
    entries : int
        How many were added.
    total : int
        The sum.
    """

    entries: int = 0
    total: int = 0

    def add(self, path: bytes, size_bytes: int, mtime_ns: int) -> None:
        """Count one entry in."""
        record = struct.pack("<qq", size_bytes, mtime_ns) + path
        hashed = hashlib.blake2b(record, digest_size=16).digest()
        self.entries += 1
        self.total = (self.total + int.from_bytes(hashed, "little")) % (1 << 128)

    def __add__(self, other: ListingDigest) -> ListingDigest:
        """Join the digests of two disjoint parts."""
        return ListingDigest(self.entries + other.entries, (self.total + other.total) % (1 << 128))

    def hexdigest(self) -> str:
        """Return 32 hexadecimal digits and the number of entries, e.g. ``00...00-0``."""
        return f"{self.total:032x}-{self.entries}"
