"""Files that appear whole or not at all, and files that are read without waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

__all__ = [
    "expanded",
    "lose_output",
    "open_regular",
    "require_replaceable",
    "sync",
    "sync_folder",
    "whole_file",
    "whole_folder",
]


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home of a user in place of ``~``, if there is such a user."""
    found = Path(path)
    try:
        return found.expanduser()
    except RuntimeError:  # nobody is called so: it may still be a file's name
        return found


def open_regular(path: str | bytes | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; OSError also where it is none, such as a pipe that nobody writes."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return open(number, "rb")  # noqa: PTH123 - a descriptor has no path


def lose_output(stream: TextIO) -> None:
    """Let a stream that cannot be written write nowhere: else Python fails over it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # it may have no number of its own
            os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def require_replaceable(path: Path) -> Path:
    """Return the file that is written under a name: itself, or where a symbolic link leads.

    Raises
    ------
    OSError
        There is something else than a regular file, such as a device, or no folder to hold it.
    """
    try:
        target = Path(os.path.realpath(path))
        if not stat.S_ISREG(target.lstat().st_mode):
            what = "symbolic links lead in a circle" if target.is_symlink() else "no regular file"
            raise OSError(errno.EINVAL, f"what is there is not replaced: {what}", str(path))
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise
    return target


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when everything is in it, and on the disk.

    Raises
    ------
    OSError
        It cannot be written, or something that is no file is there (:func:`require_replaceable`).
    """
    target = require_replaceable(path)
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a new folder that appears under a name only when everything is in it.

    Parameters
    ----------
    path : Path
        Nothing may be there, or an empty folder.
    replace : bool
        Whether a folder that is there goes when the new one takes its place.

    Raises
    ------
    OSError
        It cannot be written, or something is there.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    older = target.with_name(f".{uuid.uuid4().hex}.old")
    temporary.mkdir()
    try:
        yield temporary
        if replace and target.is_dir():
            target.rename(older)
        try:
            temporary.rename(target)
        except OSError:
            if older.is_dir():
                older.rename(target)
            raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


def sync(path: Path | int) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk; a number is an open file."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    descriptor = path if isinstance(path, int) else os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # it cannot be synced
            raise
    finally:
        if descriptor is not path:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        sync(folder)
