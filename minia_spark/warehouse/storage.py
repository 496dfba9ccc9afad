"""Small files of a warehouse on any file system that pyarrow knows: local, HDFS, S3.

Table data is written by Spark; what goes through here is the catalogue, the ledger, the lock and
the report: small files that must appear whole or not at all.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import expanded, sync, sync_folder
from minia_spark.warehouse.conditional import ConditionalStore

__all__ = ["Storage"]

_SYNCS_AT_ONCE = 16
_PIECE_BYTES = 1 << 16
_OBJECT_STORES = {"s3", "gcs", "abfs"}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1  # both as in Linux' headers
_GLOB = re.compile(r"[\[\]{}*?\\]")


class Storage:
    """A folder on a local or remote file system; paths are relative, with ``/``.

    Parameters
    ----------
    location : str
        A local path, or a URI such as ``hdfs://name/warehouse`` or ``s3://bucket/warehouse``.

    Raises
    ------
    SettingsError
        The URI's file system is unknown or cannot be reached.
    """

    def __init__(self, location: str) -> None:
        scheme = urlsplit(location).scheme
        if len(scheme) <= 1 or scheme == "file":
            path = unquote(urlsplit(location).path) if scheme == "file" else location
            self.local: Path | None = expanded(path).absolute()
            self._fs: pafs.FileSystem = pafs.LocalFileSystem()
            self._base = str(self.local)
            self.location = f"file://{self._base}"
        else:
            self.local = None
            try:
                self._fs, base = pafs.FileSystem.from_uri(location)
            except (pa.ArrowInvalid, OSError) as error:
                raise SettingsError(f"warehouse {location} cannot be reached: {error}") from None
            self._base = base.rstrip("/")
            parts = urlsplit(location)
            place = parts.netloc.rpartition("@")[2]  # who asks, and the secret, are told to nobody
            self.location = f"{scheme}://{place}{unquote(parts.path)}".rstrip("/")
        self._objects = ConditionalStore(location) if self._fs.type_name in _OBJECT_STORES else None

    def __str__(self) -> str:
        """Return what a person would type: the path when local, else the URI."""
        return str(self.local) if self.local is not None else self.location

    def uri(self, path: str) -> str:
        """Return the full URI of a relative path, for Spark to write.

        Nothing is percent-encoded: Hadoop takes the text after the scheme as it stands.
        """
        return f"{self.location}/{path}" if path else self.location

    def pattern(self, path: str) -> str:
        """Return the same for Spark's readers, which expand patterns: its own signs escaped."""
        return _GLOB.sub(r"\\\g<0>", self.uri(path))

    def full(self, path: str) -> str:
        """Return the path as the file system below knows it."""
        return f"{self._base}/{path}" if path else self._base

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow file system below."""
        return self._fs

    def exists(self, path: str) -> bool:
        """Say whether a file or folder is there."""
        return bool(self._fs.get_file_info(self.full(path)).type != pafs.FileType.NotFound)

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder; empty when it is not there."""
        selector = pafs.FileSelector(self.full(path), allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def sizes(self, path: str, *, recursive: bool = False) -> dict[str, int]:
        """Return the bytes of the files in a folder, by name, or by path below it."""
        place = self.full(path)
        selector = pafs.FileSelector(place, allow_not_found=True, recursive=recursive)
        found = self._fs.get_file_info(selector)
        return {i.path[len(place) + 1 :]: i.size or 0 for i in found if i.is_file}

    def folder_names(self, path: str) -> list[str]:
        """Return the sorted names of the folders in a folder; empty when it is not there."""
        selector = pafs.FileSelector(self.full(path), allow_not_found=True)
        found = self._fs.get_file_info(selector)
        return sorted(i.base_name for i in found if i.type == pafs.FileType.Directory)

    def size_bytes(self, path: str) -> int:
        """Return the bytes of all files below a folder (0 when it is not there)."""
        return sum(self.sizes(path, recursive=True).values())

    def read(self, path: str) -> bytes:
        """Return a file's bytes; FileNotFoundError when it is not there."""
        with self._fs.open_input_stream(self.full(path)) as stream:
            return bytes(stream.read())

    def read_outside(self, path: str, sign: bytes) -> tuple[bytes, bytes]:
        """Return what a file has before a sign, and its last bytes; all of it where it has none.

        Parameters
        ----------
        path : str
        sign : bytes

        Returns
        -------
        before : bytes
        last : bytes
            Four, or fewer where the file has.
        """
        with self._fs.open_input_file(self.full(path)) as file:
            found = b""
            while sign not in found and (piece := file.read(_PIECE_BYTES)):
                found += piece
            size = file.size()
            file.seek(max(0, size - 4))
            return found.partition(sign)[0], file.read(4)

    def make_durable(self, paths: Iterable[str]) -> None:
        """Make folders with all in them survive a power cut; of remote stores, that is their part.

        Spark and others write files without waiting for the disk. A state that names them must not
        be there before they are.
        """
        if self.local is None:
            return
        files: list[Path] = []
        folders: set[Path] = set()
        for path in paths:
            for place, _, names in os.walk(self.local / path):
                folders.add(Path(place))
                files += [Path(place) / name for name in names]
            folders.update(p for p in (self.local / path).parents if p.is_relative_to(self.local))
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:  # the disk writes them down together
            list(pool.map(sync, files))
            list(pool.map(sync, folders))

    def younger_than(self, path: str, seconds: float) -> bool:
        """Tell whether a file, or a folder or anything in it, changed less than so long ago."""
        found = [self._fs.get_file_info(self.full(path))]
        if found[0].type == pafs.FileType.Directory:
            selector = pafs.FileSelector(self.full(path), recursive=True)
            found += self._fs.get_file_info(selector)
        times = [info.mtime_ns for info in found if info.mtime_ns is not None]
        return bool(times) and time.time_ns() - max(times) < seconds * 1e9

    def make_folder(self, path: str) -> None:
        """Create a folder and those above it."""
        self._fs.create_dir(self.full(path), recursive=True)

    def remove_folder(self, path: str) -> None:
        """Remove a folder and all in it; nothing happens when it is not there."""
        if self.exists(path):
            self._fs.delete_dir(self.full(path))

    def remove_file(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        if self.exists(path):
            self._fs.delete_file(self.full(path))

    def replace(self, path: str, data: bytes) -> None:
        """Write a file so that readers see the old bytes or the new ones, never a part.

        A rename on POSIX. Object stores show an object only when its upload has ended. HDFS
        cannot rename over a file, so the old one goes first: only for files whose readers cope
        with a moment of absence (the ledger); the catalogue uses :meth:`create`.
        """
        if self.local is not None:
            temporary = self._write_temporary(path, data)
            temporary.replace(self.local / path)
            sync_folder((self.local / path).parent)
        elif self._objects is not None:
            self._put(path, data)
        else:
            temporary_name = f"{path}.{uuid.uuid4().hex}.tmp"
            self._put(temporary_name, data)
            self.remove_file(path)
            self._fs.move(self.full(temporary_name), self.full(path))

    def write(self, path: str, data: bytes) -> None:
        """Write a file that nobody looks for yet; :meth:`make_durable` comes later."""
        if self.local is not None:
            (self.local / path).write_bytes(data)
        else:
            self._put(path, data)

    def empty(self, path: str) -> None:
        """Take a file's bytes and leave its name; a reader may see a part of them meanwhile."""
        if self.local is not None:
            self.replace(path, b"")
        else:
            self._put(path, b"")

    def create(self, path: str, data: bytes) -> bool:
        """Write a new file; return False, and write nothing, when the name is already taken.

        Atomic on POSIX (a hard link; where the file system has none, Linux' rename to a free name;
        where it cannot do that either, one process of a host at a time), on HDFS (a rename does
        not overwrite) and on object stores (a conditional put: :mod:`.conditional`).
        """
        if self.local is not None:
            return self._create_local(self.local / path, self._write_temporary(path, data))
        if self.exists(path):
            return False
        if self._objects is not None:
            return self._objects.create(self.full(path).partition("/")[2], data)
        temporary = f"{path}.{uuid.uuid4().hex}.tmp"
        self._put(temporary, data)
        try:
            self._fs.move(self.full(temporary), self.full(path))
        except OSError:
            self.remove_file(temporary)
            if not self.exists(path):
                raise
            return False
        return True

    @staticmethod
    def _create_local(target: Path, temporary: Path) -> bool:
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if not _moved_to_new(temporary, target):
                return False
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(target.parent)
        return True

    def _put(self, path: str, data: bytes) -> None:
        if self._objects is None:  # there folders are only a part of names
            self._fs.create_dir(self.full(path).rpartition("/")[0], recursive=True)
        with self._fs.open_output_stream(self.full(path)) as stream:
            stream.write(data)

    def _write_temporary(self, path: str, data: bytes) -> Path:
        assert self.local is not None
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary


def _moved_to_new(source: Path, target: Path) -> bool:
    """Rename a file unless the new name is taken; return whether it was free."""
    try:
        _rename_to_new(source, target)
    except FileExistsError:
        return False
    except (
        OSError
    ):  # FUSE often cannot; the kernel's own lock then keeps this host's processes apart
        folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if target.exists():
                return False
            source.replace(target)
        finally:
            os.close(folder)
    return True


def _rename_to_new(source: Path, target: Path) -> None:
    """Rename without replacing, by Linux' renameat2; OSError where that cannot be done."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    places = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
    if rename(*places, ctypes.c_uint(_RENAME_NOREPLACE)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
