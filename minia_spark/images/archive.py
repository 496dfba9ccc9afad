"""What archives of images have in common: names, limits, and a refusal for what is not read.

Archives are read as they are, never unpacked to disk; their members' names are labels, not paths.
"""

from __future__ import annotations

import posixpath
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from minia_spark.base.errors import Rejected
from minia_spark.images.container import Container, Held, Limits, Part, check_size
from minia_spark.images.identity import image_id_of
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["Archive", "Member", "quoted"]

_DRIVE = re.compile(rb"[A-Za-z]:[/\\]")
_SEPARATORS = re.compile(rb"[/\\]")


class Member(NamedTuple):
    """One entry of an archive, by its header alone.

    Attributes
    ----------
    name : bytes
        As the archive has it.
    offset : int
        Where its header stands, in bytes of the file (of the unpacked stream for a compressed tar
        archive); unique, and rising.
    start, packed, size : int
        Where its data, or its local header, begins; how many bytes it takes there; how many it
        unpacks to.
    rejected : Rejected or None
        Why it is not read, whatever it holds.
    is_file : bool
        False for folders and what else needs no mention.
    method, crc : int
        Of ZIP archives: the compression and the check sum.
    """

    name: bytes
    offset: int
    start: int
    packed: int
    size: int
    rejected: Rejected | None = None
    is_file: bool = True
    method: int = 0
    crc: int = 0


class Archive(Container):
    """A file of members; fragments are ``member=NAME&offset=N``, NAME percent-encoded.

    The name is for people, the offset finds the member again without a search, and keeps members
    of the same name apart.
    """

    fragment = re.compile(r"member=([^&=#]*)&offset=(\d{1,19})")
    names_are_below = True
    is_stream: ClassVar[bool]
    """Whether nothing behind a damaged place can be found."""

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        self._file = file
        self._limits = limits

    @abstractmethod
    def _members(self) -> Iterator[Member]:
        """Yield all entries in order; raises Rejected where no more can be found."""

    @abstractmethod
    def _member_at(self, offset: int) -> Member:
        """Return the entry whose header stands there; Rejected if there is none."""

    @abstractmethod
    def _data(self, member: Member) -> bytes:
        """Return the unpacked bytes; its size was checked."""

    def images(self, part: Part) -> Iterator[Held]:
        """Yield the members whose number modulo `part.of` is `part.number`."""
        try:
            for number, member in enumerate(self._members()):
                if number >= self._limits.max_archive_members:
                    raise Reason.FILE_LIMIT.reject(
                        f"The archive has more than {number} members; the others are left out "
                        "(ingest.max_archive_members)."
                    )
                if number % part.of != part.number or not is_wanted(member):
                    continue
                fragment = f"member={quote_from_bytes(member.name)}&offset={member.offset}"
                name = posixpath.normpath(member.name)
                try:
                    self._check(member)
                except Rejected as rejected:
                    yield Held(name, fragment, rejected, number)
                    continue
                try:
                    yield Held(name, fragment, self._data(member), number)
                except Rejected as rejected:
                    if self.is_stream:
                        raise
                    yield Held(name, fragment, rejected, number)
        except Rejected as rejected:
            if part.tells(rejected):
                yield Held(None, "", rejected)

    def read(self, *place: str) -> bytes:
        """Return the bytes of a member."""
        name, offset = unquote_to_bytes(place[0]), int(place[1])
        member = self._member_at(offset)
        if member.name != name or not member.is_file:
            raise changed(name, offset)
        self._check(member)
        return self._data(member)

    def _check(self, member: Member) -> None:
        if member.rejected is not None:
            raise member.rejected
        check_name(member.name)
        check_size(member.size, self._limits.max_bytes)

    def _check_total(self, total: int, packed: int) -> None:
        """Refuse to go on in an archive of `packed` bytes that unpacks to `total` and more."""
        ratio = self._limits.max_archive_ratio
        if total > max(ratio * packed, self._limits.max_bytes):
            raise Reason.FILE_LIMIT.reject(
                f"The archive unpacks to more than {ratio} times its own size; what follows is "
                "left out (ingest.max_archive_ratio)."
            )


def is_wanted(member: Member) -> bool:
    """Whether it counts: hidden names are left out, as in folders, and folders themselves."""
    parts = member.name.split(b"/")
    return member.is_file and not any(p.startswith(b".") and p not in (b".", b"..") for p in parts)


def check_name(name: bytes) -> None:
    """Refuse (``outside_root``) a name that would leave the folder it was unpacked in."""
    if name.startswith((b"/", b"\\")) or _DRIVE.match(name):
        raise Reason.OUTSIDE_ROOT.reject("The member's name is an absolute path.")
    if b".." in _SEPARATORS.split(name):
        raise Reason.OUTSIDE_ROOT.reject("The member's name has .. in it, to leave the archive.")
    if not name.strip(b"./"):
        raise Reason.OUTSIDE_ROOT.reject("The member has no name.")


def changed(name: bytes, offset: int) -> Rejected:
    """Make the refusal of a member that is not where it was."""
    return Reason.CORRUPT.reject(
        f"The archive has no member {quoted(name)} at {offset}; the file has changed."
    )


def quoted(name: bytes) -> str:
    """Return a member's name fit to stand in a sentence, at most 100 characters of it."""
    text = image_id_of(name)
    return repr(text if len(text) <= 100 else text[:97] + "...")
