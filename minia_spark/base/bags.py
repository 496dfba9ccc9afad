"""The text files of the reference miner: ``.words``, ``.ifs`` and ``.model``.

All three have one form, a line a bag: ``SIZE entry:count entry:count ...``.

- ``.words``: a line a document, ``item:frequency``; an empty document is ``0``.
- ``.ifs`` (inverted file): a line an item, ``document:frequency``.
- ``.model``: a line a structure, ``item:frequency``, falling frequency.

Numbers are decimal, 0 to 2**32 - 1; counts are at least 1; lines, documents and items are counted
from 0 in the data, and lines from 1 in messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import InputError

__all__ = ["Bags", "invert", "read_bags", "write_bags"]

_U32_MAX = 2**32 - 1
# possessive, so that a line of ten million entries is matched without a stack of ten million
_LINE = re.compile(rb"\s*+[0-9]{1,10}+(?:[ \t]++[0-9]{1,10}+:[0-9]{1,10}+)*+\s*+")
_NUMBER = re.compile(rb"[0-9]{1,10}")


@dataclass(frozen=True, eq=False)
class Bags:
    """Bags of numbered items with counts.

    Parameters
    ----------
    offsets : int64 array, shape (n + 1,)
        Bag ``i`` is ``items[offsets[i]:offsets[i + 1]]``; it may be empty.
    items, counts : uint32 arrays, shape (nnz,)
        In the order of the file, distinct within a bag; counts are at least 1. The items of an
        inverted file are document numbers.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.uint32]
    counts: NDArray[np.uint32]

    def __len__(self) -> int:
        """Return the number of bags."""
        return len(self.offsets) - 1


def read_bags(
    lines: Iterable[bytes], *, name: str = "input", max_entries: int = 4_000_000
) -> Iterator[Bags]:
    """Read a text file piece by piece.

    Parameters
    ----------
    lines : iterable of bytes
        The file's lines, e.g. the file opened in binary mode.
    name : str
        What messages call the file.
    max_entries : int
        A piece ends with the line that reaches this number of entries, so memory is bounded by
        it and the longest line.

    Yields
    ------
    Bags
        At least one line each; nothing for an empty file.

    Raises
    ------
    InputError
        Naming file, line and value: not a number, out of range, the wrong number of entries, an
        entry twice in a line, a count of 0, an empty line.
    """
    pending: list[NDArray[np.int64]] = []
    held = 0
    for number, line in enumerate(lines, start=1):
        row = _parse(line, name, number)
        pending.append(row)
        held += len(row) // 2 + 1
        if held >= max_entries:
            yield _bags(pending)
            pending, held = [], 0
    if pending:
        yield _bags(pending)


def write_bags(stream: BinaryIO, bags: Bags) -> None:
    """Write bags, a line each, entries in their order.

    Parameters
    ----------
    stream : binary file
        Closing it, and checking that closing succeeds, is the caller's.
    bags : Bags

    Raises
    ------
    OSError
        When the stream cannot be written.
    """
    for start, end in zip(bags.offsets[:-1].tolist(), bags.offsets[1:].tolist(), strict=True):
        pairs = zip(bags.items[start:end].tolist(), bags.counts[start:end].tolist(), strict=True)
        fields = [str(end - start), *(f"{entry}:{count}" for entry, count in pairs)]
        stream.write((" ".join(fields) + "\n").encode("ascii"))


def invert(bags: Bags, *, rows: int | None = None) -> Bags:
    """Exchange bags and entries: of documents by items, items by documents, and back.

    Parameters
    ----------
    bags : Bags
    rows : int, optional
        Number of bags of the result; by default one more than the largest entry. The result has a
        bag for *every* number below it, so this is for dense numbering.

    Returns
    -------
    Bags
        Bag ``e`` lists the bags that held entry ``e``, ascending, with the same counts.

    Raises
    ------
    InputError
        When an entry is not below `rows`.
    """
    largest = int(bags.items.max()) if len(bags.items) else -1
    if rows is None:
        rows = largest + 1
    elif largest >= rows:
        raise InputError(f"entry {largest} does not fit into {rows} rows")
    order = np.argsort(bags.items, kind="stable")
    sizes = np.bincount(bags.items, minlength=rows)
    owners = np.repeat(np.arange(len(bags), dtype=np.uint32), np.diff(bags.offsets))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Bags(offsets, owners[order], bags.counts[order])


def _bags(rows: list[NDArray[np.int64]]) -> Bags:
    sizes = np.array([len(row) // 2 for row in rows], dtype=np.int64)
    numbers = np.concatenate([row[1:] for row in rows]).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return Bags(offsets, numbers[0::2].copy(), numbers[1::2].copy())


def _parse(line: bytes, name: str, number: int) -> NDArray[np.int64]:
    """Return the numbers of a line: size, entry, count, entry, count, ..."""
    if not _LINE.fullmatch(line):
        _refuse(line, name, number)
    row = np.fromstring(line.replace(b":", b" "), dtype=np.int64, sep=" ")
    where = f"{name}, line {number}"
    if row[0] != len(row) // 2:
        raise InputError(f"{where}: announces {row[0]} entries and holds {len(row) // 2}")
    if row.max() > _U32_MAX:
        raise InputError(f"{where}: {row.max()} is not a number within 0..{_U32_MAX}")
    entries, counts = np.sort(row[1::2]), row[2::2]
    if len(counts) and counts.min() == 0:
        raise InputError(f"{where}: entry {row[1::2][counts == 0][0]} has the count 0")
    twice = entries[1:][entries[1:] == entries[:-1]]
    if twice.size:
        raise InputError(f"{where}: entry {twice[0]} is there twice")
    return row


def _refuse(line: bytes, name: str, number: int) -> NoReturn:
    """Say which field of a malformed line is wrong."""
    where = f"{name}, line {number}"
    fields = line.split()
    if not fields:
        raise InputError(f"{where}: empty line; an empty bag is written 0")
    if not _NUMBER.fullmatch(fields[0]):
        raise InputError(f"{where}: {_shown(fields[0])} is not a number of entries")
    for field in fields[1:]:
        entry, _, count = field.partition(b":")
        if not (_NUMBER.fullmatch(entry) and _NUMBER.fullmatch(count)):
            raise InputError(
                f"{where}: {_shown(field)} is not entry:count, two numbers within 0..{_U32_MAX}"
            )
    raise InputError(f"{where}: fields must be separated by spaces or tabs")


def _shown(field: bytes) -> str:
    """Quote a field of a file that may hold anything, in ASCII and cut to a bearable length."""
    text = ascii(field[:40].decode("latin-1"))
    return text if len(field) <= 40 else f"{text}..."
