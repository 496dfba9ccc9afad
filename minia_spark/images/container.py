"""What a listed file may be: one image, or one of the kinds of files that hold many.

A kind is one subclass of :class:`Container` and one line in
:data:`minia_spark.images.reader.KINDS`.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["Container", "Held", "Limits", "Part", "PlainImage", "check_size"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read at most.

    Attributes
    ----------
    max_bytes : int
        Of one encoded image.
    max_archive_members : int
        Entries of one archive, folders and all.
    max_archive_ratio : int
        How many times its own size an archive may unpack to; `max_bytes` always may be.
    """

    max_bytes: int
    max_archive_members: int = 1_000_000
    max_archive_ratio: int = 100


class Part(NamedTuple):
    """One of several equal shares of a file of images, so that several tasks can read it.

    Every image is in exactly one of the parts 0 ... `of` - 1; what is wrong with the bytes of
    the file as a whole is told with part 0.
    """

    number: int = 0
    of: int = 1

    def tells(self, rejected: Rejected) -> bool:
        """Whether the part is to tell what is wrong with the file as a whole.

        All parts find the same in the same bytes; only what the system refuses may be refused to
        one of them alone.
        """
        return self.number == 0 or rejected.reason == Reason.UNREADABLE


class Held(NamedTuple):
    """One image of a file.

    Attributes
    ----------
    name : bytes or None
        What the file calls it, a relative path; None for the only image of a plain file, and where
        the name is null.
    fragment : str
        Where it is in the file: what :meth:`Container.read` takes; empty for the file as a whole.
    data : bytes or Rejected
        The encoded image, or why there is none.
    number : int or None
        Its place among those of the file; None for a plain file and for a refusal of several.
    """

    name: bytes | None
    fragment: str
    data: bytes | Rejected
    number: int | None = None


class Container(ABC):
    """A file of images of one kind, open.

    Parameters
    ----------
    file : binary file object
        Seekable, at its start; closed by the caller.
    limits : Limits

    Raises
    ------
    Rejected
        If the file cannot be of any use.
    """

    title: ClassVar[str]
    """How the kind is called in messages, with its article."""
    fragment: ClassVar[re.Pattern[str]]
    """What its fragments look like; the groups are the arguments of :meth:`read`."""
    names_are_below: ClassVar[bool]
    """Whether the images lie below the file's own path, as if it were a folder."""

    @abstractmethod
    def __init__(self, file: io.BufferedReader, limits: Limits) -> None: ...

    @staticmethod
    @abstractmethod
    def recognises(start: bytes) -> bool:
        """Whether a file that begins with `start` (8 KiB, or all of it) claims to be one."""

    @abstractmethod
    def images(self, part: Part) -> Iterator[Held]:
        """Yield the images of a part in the order of the file, one in memory at a time.

        An image that cannot be read is refused and the next one follows; where no next one can be
        found, the last item is a refusal that stands for the rest. Never raises Rejected.
        """

    @abstractmethod
    def read(self, *place: str) -> bytes:
        """Return the bytes of one image, by the groups of its fragment.

        Images asked for in the order of the file cost one pass over it.

        Raises
        ------
        Rejected
            ``corrupt`` if there is no such image (any more), and as for :meth:`images`.
        """


class PlainImage(Container):
    """A file that is one image, or nothing that is known: its bytes as they are."""

    title = "a plain file"
    fragment = re.compile(r"(?!)")  # it has none
    names_are_below = False

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        self._file = file
        self._max_bytes = limits.max_bytes

    @staticmethod
    def recognises(start: bytes) -> bool:
        """Whatever no other kind claims is a plain file."""
        return True

    def images(self, part: Part) -> Iterator[Held]:
        """Yield the one image, in part 0."""
        if part.number == 0:
            try:
                yield Held(None, "", self.read())
            except Rejected as rejected:
                yield Held(None, "", rejected)

    def read(self, *_: str) -> bytes:
        """Return the bytes of the file."""
        try:
            size = os.fstat(self._file.fileno()).st_size
            check_size(size, self._max_bytes)
            data = self._file.read(size + 1)
            if len(data) > size:  # it has grown since
                data += self._file.read(self._max_bytes)
        except OSError as error:
            raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error
        check_size(len(data), self._max_bytes)
        return data


def check_size(size: int, max_bytes: int) -> None:
    """Refuse (``file_limit``) an image of more bytes than the limit."""
    if size > max_bytes:
        raise Reason.FILE_LIMIT.reject(
            f"The file has {size} bytes; the limit is {max_bytes} (ingest.max_file_mib)."
        )
