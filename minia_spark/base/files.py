"""Files that appear whole or not at all, and files that are read without waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

__all__ = ["lose_output", "open_regular", "whole_file"]


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


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when everything is in it."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
