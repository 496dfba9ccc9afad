"""ZIP archives of images, read from their table of contents, one entry in memory at a time.

APPNOTE.TXT 6.3.10 of PKWARE, with ZIP64. Stored and deflated members are read; names are bytes,
whatever encoding the flags claim. :mod:`zipfile` is not used: it holds all entries in memory, gives
up the whole archive for one name that it cannot decode, and does not bound what it unpacks.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from typing import TYPE_CHECKING

from minia_spark.base.errors import Rejected
from minia_spark.images.archive import Archive, Member, changed
from minia_spark.images.container import Limits
from minia_spark.images.failures import sentence
from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["ZipArchive"]

_MEMBER, _ENTRY, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR = b"PK\x06\x06", b"PK\x06\x07"

_LOCAL_HEADER = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL_HEADER = struct.Struct("<4sBBHHHHHLLLHHHHHLL")
_END_RECORD = struct.Struct("<4sHHHHLLH")
_END64_RECORD = struct.Struct("<4sQHHLLQQQQ")
_END64_LOCATOR = struct.Struct("<4sLQL")

_MAX_COMMENT = 0xFFFF
_MAX_ENTRY = _CENTRAL_HEADER.size + 3 * 0xFFFF
_BLOCK_BYTES = 1 << 18  # holds any entry
_PIECE_BYTES = 1 << 20
_IN_ZIP64 = 0xFFFFFFFF
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # flags: of the member, strongly, or of the names
_UNIX_SYSTEMS = (3, 19)  # Unix and macOS say in the upper attributes what kind of file it is
_STORED, _DEFLATED = 0, 8
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}


class ZipArchive(Archive):
    """The members of a ZIP archive.

    Raises
    ------
    Rejected
        ``truncated`` if there is no table of contents, ``corrupt`` if it cannot be in the file,
        ``unsupported_format`` for one part of several.
    """

    title = "a ZIP archive"
    is_stream = False

    def __init__(self, file: io.BufferedReader, limits: Limits) -> None:
        super().__init__(file, limits)
        self._size = os.fstat(file.fileno()).st_size
        self._first, self._end, self._shift, self._count = self._contents()

    @staticmethod
    def recognises(start: bytes) -> bool:
        """By the signature of a member, of the end of an archive without any, or of a part."""
        return start.startswith((_MEMBER, _END, b"PK\x07\x08"))

    def _contents(self) -> tuple[int, int, int, int]:
        """Return start and end of the table of contents, what to add to offsets, and its entries.

        The number of entries is modulo 65,536 where there is no ZIP64 record.
        """
        tail_start = max(0, self._size - _END_RECORD.size - _MAX_COMMENT)
        tail = self._at(tail_start, self._size - tail_start)
        at = tail.rfind(_END, 0, max(0, len(tail) - _END_RECORD.size + len(_END)))
        if at < 0:
            raise Reason.TRUNCATED.reject(
                "The ZIP archive has no table of contents at its end: it is cut off, or no ZIP "
                "archive; 'zip -FF' may save some of its members."
            )
        _, disk, first_disk, _, count, size, offset, _ = _END_RECORD.unpack_from(tail, at)
        end = tail_start + at
        found64 = self._zip64_end(end)
        if found64 is not None:
            end, disk, first_disk, count, size, offset = found64
        if (disk, first_disk) != (0, 0):
            raise Reason.UNSUPPORTED_FORMAT.reject(
                "The file is one part of a ZIP archive of several; join them with 'zip -s 0'."
            )
        shift = end - size - offset  # what was put before the archive
        if shift < 0:
            raise Reason.CORRUPT.reject(
                f"The table of contents of the ZIP archive has {size} bytes from {offset}, beyond "
                f"its end at {end}."
            )
        return end - size, end, shift, count

    def _zip64_end(self, end: int) -> tuple[int, int, int, int, int, int] | None:
        place = end - _END64_LOCATOR.size
        locator = self._at(place, _END64_LOCATOR.size) if place >= 0 else b""
        if not locator.startswith(_LOCATOR):
            return None
        _, _, offset, _ = _END64_LOCATOR.unpack(locator)
        # usually right before its locator, else (with extra fields) where the locator says
        for at in (place - _END64_RECORD.size, offset):
            record = self._at(at, _END64_RECORD.size) if 0 <= at < place else b""
            if len(record) == _END64_RECORD.size and record.startswith(_END64):
                _, _, _, _, disk, first_disk, _, count, size, start = _END64_RECORD.unpack(record)
                return at, disk, first_disk, count, size, start
        raise Reason.CORRUPT.reject("The ZIP64 record of the archive is not where it should be.")

    def _members(self) -> Iterator[Member]:
        at, count, total = self._first, 0, 0
        while at < self._end:
            block = self._at(at, min(_BLOCK_BYTES, self._end - at))
            done = 0
            while done < len(block):
                if len(block) - done < _MAX_ENTRY and at + len(block) < self._end and done:
                    break  # it may lie in the next block
                member, length = self._entry(block, done, at + done)
                count += 1
                total += member.size
                self._check_total(total, self._size)
                yield member
                done += length
            at += done
        if (count - self._count) % 0x10000:
            raise Reason.CORRUPT.reject(
                f"The table of contents of the ZIP archive has {count} entries and claims "
                f"{self._count}."
            )

    def _member_at(self, offset: int) -> Member:
        if not self._first <= offset < self._end:
            raise changed(b"", offset)
        block = self._at(offset, min(_MAX_ENTRY, self._end - offset))
        return self._entry(block, 0, offset)[0]

    def _entry(self, block: bytes, at: int, offset: int) -> tuple[Member, int]:
        """Return the entry at a place of a block, and its length."""
        body = at + _CENTRAL_HEADER.size
        if not block.startswith(_ENTRY, at) or len(block) < body:
            raise Reason.CORRUPT.reject(
                f"The table of contents of the ZIP archive is damaged at {offset}."
            )
        fields = _CENTRAL_HEADER.unpack_from(block, at)
        system, flags, method, crc, packed, size = (fields[i] for i in (2, 4, 5, 8, 9, 10))
        name_length, extra_length, comment_length = fields[11:14]
        attributes, start = fields[16], fields[17]
        extra_start = body + name_length
        end = extra_start + extra_length + comment_length
        if len(block) < end:
            raise Reason.CORRUPT.reject(
                f"The table of contents of the ZIP archive ends within the entry at {offset}."
            )
        name = block[body:extra_start]
        if _IN_ZIP64 in (size, packed, start):
            extra = block[extra_start : extra_start + extra_length]
            size, packed, start = _zip64_values(extra, size, packed, start)
        mode = stat.S_IFMT(attributes >> 16) if system in _UNIX_SYSTEMS else 0
        is_folder = name.endswith(b"/") or stat.S_ISDIR(mode)
        member = Member(
            name=name,
            offset=offset,
            start=start + self._shift,
            packed=packed,
            size=size,
            rejected=_refused(flags, method, mode, packed, size),
            is_file=not is_folder,
            method=method,
            crc=crc,
        )
        return member, end - at

    def _data(self, member: Member) -> bytes:
        if member.start + member.packed > self._size:
            raise Reason.CORRUPT.reject("The member lies beyond the end of the file.")
        header = self._at(member.start, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_MEMBER):
            raise Reason.CORRUPT.reject("The member is not where the table of contents says.")
        name_length, extra_length = _LOCAL_HEADER.unpack(header)[9:]
        if self._file.read(name_length) != member.name:
            raise Reason.CORRUPT.reject("The member has another name in the table of contents.")
        self._file.seek(extra_length, os.SEEK_CUR)
        try:
            pieces = self._stored(member) if member.method == _STORED else self._inflated(member)
            data = b"".join(pieces)
        except zlib.error as error:
            raise Reason.CORRUPT.reject(f"The member is damaged: {sentence(error)}") from error
        except OSError as error:
            raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error
        if len(data) != member.size:
            raise Reason.CORRUPT.reject(
                f"The member has {len(data)} bytes; the table of contents says {member.size}."
            )
        if zlib.crc32(data) != member.crc:
            raise Reason.CORRUPT.reject("The member's check sum is wrong: it is damaged.")
        return data

    def _stored(self, member: Member) -> Iterator[bytes]:
        yield self._file.read(member.size)

    def _inflated(self, member: Member) -> Iterator[bytes]:
        """Yield what the member unpacks to, at most one byte more than it should."""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        packed, room = member.packed, member.size + 1
        while not inflate.eof and room:
            piece = self._file.read(min(packed, _PIECE_BYTES))
            if not piece:
                break
            packed -= len(piece)
            unpacked = inflate.decompress(piece, room)
            room -= len(unpacked)
            yield unpacked

    def _at(self, offset: int, size: int) -> bytes:
        if offset > self._size:
            return b""
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise Reason.UNREADABLE.reject(f"The system says: {error.strerror}.") from error


def _zip64_values(extra: bytes, *values: int) -> tuple[int, int, int]:
    """Return size, packed size and offset, those that are too large for 32 bits from `extra`."""
    for kind, body in _extra_fields(extra):
        if kind == 1:
            large = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            found = [next(large, None) if value == _IN_ZIP64 else value for value in values]
            if None not in found:
                return tuple(found)  # type: ignore[return-value]
    return values  # type: ignore[return-value]


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _refused(flags: int, method: int, mode: int, packed: int, size: int) -> Rejected | None:
    if stat.S_ISLNK(mode):
        return Reason.NOT_AN_IMAGE.reject("The member is a symbolic link; links are not followed.")
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return Reason.NOT_AN_IMAGE.reject("The member is a device, a pipe or a socket.")
    if flags & _ENCRYPTED:
        return Reason.UNSUPPORTED_FORMAT.reject(
            "The member is encrypted; make an archive without a password."
        )
    if method not in (_STORED, _DEFLATED):
        name = _METHODS.get(method, f"method {method}")
        return Reason.UNSUPPORTED_FORMAT.reject(
            f"The member is compressed by {name}; stored and deflated members are read."
        )
    if method == _STORED and packed != size:
        return Reason.CORRUPT.reject(
            f"The member is stored, but has {packed} bytes in the archive and {size} unpacked."
        )
    return None
