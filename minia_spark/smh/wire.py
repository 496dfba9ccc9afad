"""The streams between Python and the native binary.

Little endian, packed, made of 32-bit words except where said:

=========== =============================================================================
DOCUMENTS   no header; ``key, n, item[n], [frequency[n]]``
SMHS        ``"SMHS", 1, 0, r, l``; then ``item, documents, occurrences u64, value[r * l]``,
            items ascending
SMHC        ``"SMHC", 1``; then ``multiplicity, size, item[size]``, canonical order
SMHL        ``"SMHL", 1``; then ``a, b``
SMHW        ``"SMHW", 1``; then ``first, second, strength, strong``, pairs ascending
SMHG        ``"SMHG", 1``; then ``size, word[size]``, words ascending
=========== =============================================================================

A stream ends at the end of a record; anything else is an error that names the byte offset. Readers
take chunks of bytes as they come from a pipe or a file; writers return chunks of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError
from minia_spark.base.ragged import offsets_of
from minia_spark.smh.arrays import Documents, Links, MalformedError, SetList, Signatures, WordLinks

__all__ = [
    "CHUNK_BYTES",
    "read_documents",
    "read_groups",
    "read_links",
    "read_sets",
    "read_signatures",
    "write_documents",
    "write_links",
    "write_sets",
    "write_signatures",
    "write_word_links",
]

CHUNK_BYTES = 1 << 22
"""About how many bytes are decoded or encoded at once."""

_VERSION = 1
_KIND = 0
"""Of minima: there is no other in streams."""
_DOCUMENT_HEAD = 2
"""Words of a document before its items."""
_ROW_HEAD = 4
"""Words of a signature row before its minima."""

_Words: TypeAlias = NDArray[np.uint32]
_Starts: TypeAlias = NDArray[np.int64]
_T = TypeVar("_T")


def write_documents(batch: Documents, *, expand: bool = False) -> bytes:
    """Encode documents.

    Parameters
    ----------
    batch : Documents
    expand : bool
        Whether frequencies are written; the batch must then have them.

    Returns
    -------
    bytes

    Raises
    ------
    MalformedError
        When frequencies are asked for and missing.
    """
    batch.require(expand=expand)
    sizes = np.diff(batch.offsets)
    ends = offsets_of(_DOCUMENT_HEAD + sizes * (2 if expand else 1))
    starts = ends[:-1]
    words = np.zeros(ends[-1], dtype="<u4")
    words[starts] = batch.keys
    words[starts + 1] = sizes
    places = np.arange(len(batch.items)) + np.repeat(
        starts + _DOCUMENT_HEAD - batch.offsets[:-1], sizes
    )
    words[places] = batch.items
    if expand and batch.frequencies is not None:
        words[places + np.repeat(sizes, sizes)] = batch.frequencies
    return words.tobytes()


def read_documents(chunks: Iterable[bytes], *, expand: bool = False) -> Iterator[Documents]:
    """Decode documents, in batches of about ``CHUNK_BYTES`` or one document, if that is larger.

    Parameters
    ----------
    chunks : iterable of bytes
    expand : bool
        What the stream was written with; it does not say so itself.

    Yields
    ------
    Documents

    Raises
    ------
    MiniaError
        Naming the byte offset of what is wrong.
    """
    head, copies = _DOCUMENT_HEAD, (2 if expand else 1)

    def size_of(words: _Words, start: int) -> int:
        return head + int(words[start + 1]) * copies

    def build(words: _Words, starts: _Starts) -> Documents:
        sizes = words[starts + 1].astype(np.int64)
        offsets = offsets_of(sizes)
        places = np.arange(offsets[-1]) + np.repeat(starts + head - offsets[:-1], sizes)
        frequencies = words[places + np.repeat(sizes, sizes)] if expand else None
        return Documents(words[starts], offsets, words[places], frequencies)

    yield from _Source("DOCUMENTS", chunks).records(head, size_of, build)


def write_signatures(signatures: Signatures) -> Iterator[bytes]:
    """Encode signatures: the header, then rows in chunks of about ``CHUNK_BYTES``."""
    hashes = signatures.tuple_size * signatures.tables
    numbers = [_VERSION, _KIND, signatures.tuple_size, signatures.tables]
    yield b"SMHS" + np.array(numbers, dtype="<u4").tobytes()
    step = max(1, CHUNK_BYTES // (4 * (_ROW_HEAD + hashes)))
    for start in range(0, len(signatures), step):
        rows = slice(start, start + step)
        words = np.zeros((len(signatures.items[rows]), _ROW_HEAD + hashes), dtype="<u4")
        words[:, 0] = signatures.items[rows]
        words[:, 1] = signatures.documents[rows]
        words[:, 2:4] = signatures.occurrences[rows].astype("<u8").view("<u4").reshape(-1, 2)
        words[:, 4:] = signatures.minima[rows]
        yield words.tobytes()


def read_signatures(chunks: Iterable[bytes]) -> Iterator[Signatures]:
    """Decode signatures in blocks of rows, about ``CHUNK_BYTES`` or one row each.

    Yields
    ------
    Signatures
        Items ascend over all blocks. At least one block, possibly without rows, so that the
        settings in the header are not lost.

    Raises
    ------
    MiniaError
        Naming the byte offset of what is wrong.
    """
    source = _Source("SMHS", chunks)
    kind, tuple_size, tables = source.header(b"SMHS", 3)
    if kind != _KIND:
        raise source.error(8, f"kind {kind} of minima is unknown, expected {_KIND}")
    try:
        empty = Signatures.empty(tuple_size=tuple_size, tables=tables)
    except MalformedError as error:
        raise source.error(12, error.message) from error
    width = _ROW_HEAD + tuple_size * tables

    def build(words: _Words, starts: _Starts) -> Signatures:
        rows = words.reshape(len(starts), width)
        minima = np.ascontiguousarray(rows[:, 4:])
        counts = rows[:, 2:4].astype("<u4").view("<u8")[:, 0].astype(np.uint64)
        return Signatures(
            rows[:, 0].copy(),
            rows[:, 1].copy(),
            counts,
            minima,
            tuple_size,
            tables,
        )

    rows_before, last = 0, -1
    for block in source.records(width, lambda _words, _start: width, build):
        if int(block.items[0]) <= last:
            raise source.error(20 + 4 * width * rows_before, "items do not ascend")
        rows_before, last = rows_before + len(block), int(block.items[-1])
        yield block
    if rows_before == 0:
        yield empty


def write_sets(sets: SetList) -> bytes:
    """Encode sets."""
    sizes = sets.sizes
    starts = offsets_of(sizes + 2)
    words = np.zeros(starts[-1], dtype="<u4")
    words[starts[:-1]] = sets.multiplicities
    words[starts[:-1] + 1] = sizes
    words[np.arange(len(sets.items)) + np.repeat(starts[:-1] + 2 - sets.offsets[:-1], sizes)] = (
        sets.items
    )
    return b"SMHC" + np.array([_VERSION], dtype="<u4").tobytes() + words.tobytes()


def read_sets(chunks: Iterable[bytes]) -> SetList:
    """Decode sets, all of them: their order and distinctness concern the whole list.

    Raises
    ------
    MiniaError
        Naming the byte offset of what is wrong.
    """
    source = _Source("SMHC", chunks)
    source.header(b"SMHC", 0)

    def size_of(words: _Words, start: int) -> int:
        return 2 + int(words[start + 1])

    def build(words: _Words, starts: _Starts) -> tuple[_Words, _Starts, _Words]:
        sizes = words[starts + 1].astype(np.int64)
        offsets = offsets_of(sizes)
        places = np.arange(offsets[-1]) + np.repeat(starts + 2 - offsets[:-1], sizes)
        return words[starts], sizes, words[places]

    none = np.zeros(0, dtype=np.uint32)
    parts = [(none, none.astype(np.int64), none), *source.records(2, size_of, build)]
    offsets = offsets_of(np.concatenate([sizes for _, sizes, _ in parts]))
    multiplicities = np.concatenate([found for found, _, _ in parts])
    items = np.concatenate([held for _, _, held in parts])
    try:
        return SetList(multiplicities, offsets, items)
    except MalformedError as error:
        row = error.row or 0
        raise source.error(8 + 4 * (2 * row + int(offsets[row])), error.message) from error


def write_links(links: Links) -> bytes:
    """Encode links."""
    return (
        b"SMHL" + np.array([_VERSION], dtype="<u4").tobytes() + links.pairs.astype("<u4").tobytes()
    )


def read_links(chunks: Iterable[bytes]) -> Links:
    """Decode links, all of them.

    Raises
    ------
    MiniaError
        Naming the byte offset of what is wrong.
    """
    source = _Source("SMHL", chunks)
    source.header(b"SMHL", 0)

    def build(words: _Words, _starts: _Starts) -> Links:
        return Links(words.reshape(-1, 2).astype(np.int64))

    return Links.concatenate(list(source.records(2, lambda _words, _start: 2, build)))


def write_word_links(links: WordLinks) -> bytes:
    """Encode links between words."""
    words = np.zeros((len(links), 4), dtype="<u4")
    words[:, 0], words[:, 1] = links.first, links.second
    words[:, 2], words[:, 3] = links.strength, links.strong
    return b"SMHW" + np.array([_VERSION], dtype="<u4").tobytes() + words.tobytes()


def read_groups(chunks: Iterable[bytes]) -> list[NDArray[np.uint32]]:
    """Decode groups of words, all of them: uint32 arrays, ascending.

    Raises
    ------
    MiniaError
        Naming the byte offset of what is wrong.
    """
    source = _Source("SMHG", chunks)
    source.header(b"SMHG", 0)

    def build(words: _Words, starts: _Starts) -> list[NDArray[np.uint32]]:
        groups = [words[start + 1 : start + 1 + int(words[start])] for start in starts.tolist()]
        for row, group in enumerate(groups):
            if np.any(group[1:] <= group[:-1]):
                raise MalformedError("the words of a group do not ascend", row)
        return groups

    blocks = source.records(1, lambda words, start: 1 + int(words[start]), build)
    return [group for block in blocks for group in block]


class _Source:
    """A stream under decoding: its name for messages, and how far it has been read."""

    def __init__(self, name: str, chunks: Iterable[bytes]) -> None:
        self._name = name
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._offset = 0  # of the first byte of the buffer

    def error(self, offset: int, message: str) -> MiniaError:
        """Make the error for something wrong at a byte offset."""
        return MiniaError(f"{self._name} stream, byte {offset}: {message}")

    def header(self, magic: bytes, numbers: int) -> list[int]:
        """Read magic, version and the given number of further words."""
        length = 8 + 4 * numbers
        self._fill(length)
        if self._buffer[:4] != magic[: len(self._buffer[:4])]:
            raise self.error(0, f"expected {magic!r}, found {bytes(self._buffer[:4])!r}")
        if len(self._buffer) < length:
            raise self.error(len(self._buffer), f"the header of {length} bytes is cut short")
        version, *rest = (int(n) for n in np.frombuffer(self._buffer[4:length], dtype="<u4"))
        if version != _VERSION:
            raise self.error(4, f"version {version} is unknown, expected {_VERSION}")
        self._drop(length)
        return rest

    def records(
        self,
        head: int,
        size_of: Callable[[_Words, int], int],
        build: Callable[[_Words, _Starts], _T],
    ) -> Iterator[_T]:
        """Decode records to the end of the stream.

        Parameters
        ----------
        head : int
            Words of a record from which `size_of` can tell its size.
        size_of : callable
            Words of the record that starts at a word.
        build : callable
            Turns the words of complete records and their starts into arrays.
        """
        wanted, more = CHUNK_BYTES, True
        while more:
            more = self._fill(wanted)
            words = np.frombuffer(self._buffer, dtype="<u4", count=len(self._buffer) // 4)
            words = words.astype(np.uint32)  # a copy: the buffer goes on
            starts, end, next_size = _complete(words, head, size_of)
            if starts:
                try:
                    block = build(words[:end], np.array(starts, dtype=np.int64))
                except MalformedError as error:
                    start = starts[error.row or 0]
                    raise self.error(self._offset + 4 * start, error.message) from error
                yield block
                self._drop(4 * end)
            wanted = max(CHUNK_BYTES, 4 * next_size)
        if self._buffer:
            stop = self._offset + len(self._buffer)
            raise self.error(stop, f"the record that starts at byte {self._offset} is cut short")

    def _fill(self, length: int) -> bool:
        """Read until the buffer holds `length` bytes; false at the end of the stream."""
        while len(self._buffer) < length:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer += chunk
        return True

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._offset += length


def _complete(
    words: _Words, head: int, size_of: Callable[[_Words, int], int]
) -> tuple[list[int], int, int]:
    """Find the complete records: their starts, their end, and the size of the next one.

    The size of the next record is at least `head`, where too little of it is there to tell.
    """
    starts: list[int] = []
    end = 0
    while end + head <= len(words):
        size = size_of(words, end)
        if end + size > len(words):
            return starts, end, size
        starts.append(end)
        end += size
    return starts, end, head
