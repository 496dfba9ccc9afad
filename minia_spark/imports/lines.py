"""Where the lines of a large text file are, so that many tasks can read a share of it each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["MAX_LINE_BYTES", "Piece", "pieces_of"]

MAX_LINE_BYTES = 256 << 10
"""Of a line: ten thousand numbers. What has longer ones is not what it is said to be."""
_NEWLINE = 10


class Piece(NamedTuple):
    """Some whole lines, neighbours in the file.

    Attributes
    ----------
    first : int
        Number of the first line, from 0.
    lines : int
        How many; at least 1.
    start, size_bytes : int
        Where they are, newlines included; `start` counts from where the blocks began.
    """

    first: int
    lines: int
    start: int
    size_bytes: int


def pieces_of(blocks: Iterable[bytes], lines_each: int) -> Iterator[Piece]:
    """Cut a text into pieces of so many lines; only one block is in memory at a time.

    Parameters
    ----------
    blocks : iterable of bytes
        The text, in blocks of any size. The last line may lack its newline.
    lines_each : int
        Lines of every piece but the last, which may have fewer; at least 1.

    Yields
    ------
    Piece
        In order; together they are the text. None of an empty text.

    Raises
    ------
    ValueError
        A line has more than `MAX_LINE_BYTES`.
    """
    offset = start = first = lines = newest = seen = 0
    for block in blocks:
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + (offset + 1)
        offset += len(block)
        borders = np.concatenate([[newest], ends, [offset]])
        longest = int(np.argmax(np.diff(borders)))
        if borders[longest + 1] - borders[longest] > MAX_LINE_BYTES:
            raise ValueError(f"line {seen + longest + 1} has more than {MAX_LINE_BYTES:,} bytes")
        for end in ends[lines_each - lines - 1 :: lines_each].tolist():
            yield Piece(first, lines_each, start, end - start)
            first, start = first + lines_each, end
        lines = (lines + len(ends)) % lines_each
        seen += len(ends)
        newest = int(ends[-1]) if len(ends) else newest
    if offset > start:
        yield Piece(first, lines + (offset > newest), start, offset - start)
