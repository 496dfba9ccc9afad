"""Tar archives of images, plain or gzip, read forward in bounded memory.

POSIX.1-2001 (ustar and pax) with GNU's long names. Single headers are parsed by :mod:`tarfile`; the
walk is here, because :class:`tarfile.TarFile` keeps all members, reads extended headers of any
size, and takes a damaged header for the end of the archive.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from minia_spark.base.errors import Rejected
from minia_spark.images.archive import Archive, Member, changed, quoted
from minia_spark.images.container import Limits
from minia_spark.images.failures import sentence
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["GzipTarArchive", "TarArchive"]

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENDED_BYTES = 1 << 20
_MAX_EXTENDED_HEADERS = 8  # before one member
_CHECKSUM_PLACE = 148
_OCTAL = re.compile(rb" *[0-7]{2,7}[ \0]")
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_SILENT = (tarfile.XGLTYPE, b"V")  # headers of the whole archive: no member
_WITHOUT_DATA = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}
_PIECE_BYTES = 1 << 20


class _Extended(NamedTuple):
    """What extended headers say of the member that follows."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False


class _Tar(Archive):
    """The walk over headers; a subclass says what stream it goes over."""

    is_stream = True
    _stream: io.BufferedReader | gzip.GzipFile

    def _members(self) -> Iterator[Member]:
        at: int | None = 0
        while at is not None:
            member, at = self._header(at)
            if at is not None:
                self._check_end(at, member)
            if member is not None:
                yield member
        self._finish()

    def _member_at(self, offset: int) -> Member:
        try:
            member, _ = self._header(offset)
        except Rejected as rejected:
            raise changed(b"", offset) from rejected
        if member is None:
            raise changed(b"", offset)
        return member

    @abstractmethod
    def _check_end(self, end: int, member: Member | None) -> None:
        """Raise Rejected if the stream should not be read up to `end`."""

    def _finish(self) -> None:
        """Check what follows the last member."""

    def _header(self, offset: int) -> tuple[Member | None, int | None]:
        """Return the member whose first header stands at `offset`, and where the next one stands.

        No member where it is a header of the whole archive, no next place at the archive's end.
        """
        at, extended = offset, _Extended()
        for _ in range(_MAX_EXTENDED_HEADERS):
            block = self._at(at, _BLOCK)
            if len(block) < _BLOCK:
                raise Reason.TRUNCATED.reject(
                    f"The tar archive ends after {at + len(block)} bytes without its end mark; "
                    "members may be missing."
                )
            if not any(block):
                return None, None
            info = _parsed(block, at)
            data = at + _BLOCK
            if info.type == tarfile.GNUTYPE_SPARSE:
                data = self._after_sparse_map(block, data)
            after = data + _rounded(info.size)
            if info.type in _SILENT:
                return None, after
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, *_PAX):
                extended = self._extend(extended, info, data)
                at = after
                continue
            return _member(info, extended, offset, data)
        raise Reason.CORRUPT.reject(f"The tar archive has too many extended headers at {offset}.")

    def _extend(self, extended: _Extended, info: tarfile.TarInfo, at: int) -> _Extended:
        if info.size > _MAX_EXTENDED_BYTES:
            raise Reason.CORRUPT.reject(
                f"The tar archive has an extended header of {info.size} bytes at {at}."
            )
        body = self._at(at, info.size)
        if len(body) < info.size:
            raise Reason.TRUNCATED.reject(f"The tar archive ends within the header at {at}.")
        if info.type == tarfile.GNUTYPE_LONGNAME:
            return extended._replace(name=body.partition(b"\0")[0])
        if info.type == tarfile.GNUTYPE_LONGLINK:
            return extended
        records = _pax_records(body, at)
        size = records.get(b"size")
        if size is not None and not (size.isdigit() and len(size) < 20):
            raise Reason.CORRUPT.reject(f"The tar archive has a size that is no number at {at}.")
        return _Extended(
            records.get(b"path", extended.name),
            extended.size if size is None else int(size),
            extended.is_sparse or any(key.startswith(b"GNU.sparse.") for key in records),
        )

    def _after_sparse_map(self, block: bytes, at: int) -> int:
        """Return where the data of an old GNU sparse member begins: after the rest of its map."""
        more = block[482]
        while more:
            block = self._at(at, _BLOCK)
            at += _BLOCK
            self._check_end(at, None)
            if len(block) < _BLOCK:
                raise Reason.TRUNCATED.reject("The tar archive ends within a sparse map.")
            more = block[504]
        return at

    def _data(self, member: Member) -> bytes:
        data = self._at(member.start, member.size)
        if len(data) < member.size:
            raise _ends_within(member)
        return data

    def _at(self, offset: int, size: int) -> bytes:
        try:
            if self._stream.tell() != offset:
                self._stream.seek(offset)
            return self._stream.read(size)
        except EOFError as error:
            raise Reason.TRUNCATED.reject(
                f"The archive's gzip stream ends early, before byte {offset + size} of its content."
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise Reason.CORRUPT.reject(
                f"The archive's gzip stream is damaged before byte {offset + size} of its content: "
                f"{sentence(error)}"
            ) from error
        except (OverflowError, ValueError) as error:  # more than an offset can be
            raise Reason.CORRUPT.reject(f"No archive has a byte {offset}.") from error
        except OSError as error:
            raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error


class TarArchive(_Tar):
    """The members of a tar archive."""

    title = "a tar archive"

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        super().__init__(file, limits)
        self._stream = file
        self._size = os.fstat(file.fileno()).st_size

    @staticmethod
    def recognises(start: bytes) -> bool:
        """By the check sum of the first header, which all kinds of tar have."""
        return _is_header(start)

    def _member_at(self, offset: int) -> Member:
        if offset >= self._size:
            raise changed(b"", offset)
        return super()._member_at(offset)

    def _check_end(self, end: int, member: Member | None) -> None:
        if member is not None and member.start + member.packed > self._size:
            raise _ends_within(member)
        if end > self._size + _BLOCK:
            raise Reason.TRUNCATED.reject(f"The tar archive ends before byte {end}.")


class GzipTarArchive(_Tar):
    """The members of a tar archive in gzip; offsets are those of the unpacked stream."""

    title = "a compressed tar archive"

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        super().__init__(file, limits)
        self._size = os.fstat(file.fileno()).st_size
        self._stream = gzip.GzipFile(fileobj=file, mode="rb")

    @staticmethod
    def recognises(start: bytes) -> bool:
        """By the first header of the archive inside."""
        if not start.startswith(b"\x1f\x8b"):
            return False
        try:
            return _is_header(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start, _BLOCK))
        except zlib.error:
            return False

    def _check_end(self, end: int, member: Member | None) -> None:
        self._check_total(end, self._size)

    def _finish(self) -> None:
        """Read to the end of the stream: only there is its check sum."""
        while self._at(self._stream.tell(), _PIECE_BYTES):
            self._check_total(self._stream.tell(), self._size)


def _is_header(block: bytes) -> bool:
    # octal digits and an end: hardly any other file has that there, so that few are summed up
    if len(block) < _BLOCK or not _OCTAL.match(block, _CHECKSUM_PLACE):
        return False
    try:
        _parsed(block[:_BLOCK], 0)
    except Rejected:
        return False
    return True


def _parsed(block: bytes, at: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise Reason.CORRUPT.reject(
            f"The tar archive is damaged at {at}, and what follows is lost: {sentence(error)}."
        ) from error
    if info.size < 0:
        raise Reason.CORRUPT.reject(f"The tar archive has a member of {info.size} bytes at {at}.")
    return info


def _member(
    info: tarfile.TarInfo, extended: _Extended, offset: int, data: int
) -> tuple[Member, int]:
    """Return a member and where the next header stands."""
    name = info.name.encode("utf-8", "surrogateescape") if extended.name is None else extended.name
    size = info.size if extended.size is None else extended.size
    rejected = None
    if info.type in _WITHOUT_DATA:
        size = 0
        rejected = Reason.NOT_AN_IMAGE.reject(
            f"The member is {_WITHOUT_DATA[info.type]}; only files in an archive are read."
        )
    elif info.type == tarfile.DIRTYPE:
        size = 0
    elif info.type == tarfile.GNUTYPE_SPARSE or extended.is_sparse:
        rejected = Reason.UNSUPPORTED_FORMAT.reject(
            "The member is a sparse file; make the archive without --sparse."
        )
    elif info.type not in tarfile.REGULAR_TYPES:
        rejected = Reason.NOT_AN_IMAGE.reject(
            f"The member is of type {quoted(info.type)}; only files in an archive are read."
        )
    is_file = info.type != tarfile.DIRTYPE
    return Member(name, offset, data, size, size, rejected, is_file), data + _rounded(size)


def _pax_records(body: bytes, at: int) -> dict[bytes, bytes]:
    """Return the records of an extended header: ``LENGTH KEY=VALUE`` and a line end, each."""
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(body) and body[start]:
        space = body.find(b" ", start, start + 20)
        length = body[start:space] if space >= 0 else b""
        end = start + int(length) if length.isdigit() else 0
        key, equals, value = body[space + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or not space < end <= len(body) or body[end - 1 : end] != b"\n":
            raise Reason.CORRUPT.reject(f"The tar archive has a damaged pax header at {at}.")
        records[key] = value
        start = end
    return records


def _rounded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _ends_within(member: Member) -> Rejected:
    return Reason.TRUNCATED.reject(
        f"The archive ends within the member {quoted(member.name)} of {member.size} bytes."
    )
