"""Cutting a text into pieces of lines: against a plain split, for blocks of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.imports.lines import MAX_LINE_BYTES, Piece, pieces_of


def blocks(text: bytes, size: int) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def test_by_hand():
    found = list(pieces_of([b"a\nbb", b"\nccc\n", b"d"], 2))
    assert found == [Piece(0, 2, 0, 5), Piece(2, 2, 5, 5)]
    assert list(pieces_of([b"a\n"], 2)) == [Piece(0, 1, 0, 2)]
    assert list(pieces_of([], 2)) == []


@given(
    lines=st.lists(st.sampled_from([b"", b"x", b"yy\r", b"1 2 3"]), max_size=12),
    last=st.sampled_from([b"", b"z"]),
    size=st.integers(1, 9),
    each=st.integers(1, 5),
)
def test_pieces_are_the_lines_of_the_text(lines, last, size, each):
    text = b"".join(line + b"\n" for line in lines) + last
    wanted = [*lines, *([last] if last else [])]
    found = []
    place = 0
    for piece in pieces_of(blocks(text, size), each):
        assert (piece.first, piece.start) == (len(found), place)
        own = text[piece.start : piece.start + piece.size_bytes]
        found += own.split(b"\n")[: piece.lines]
        assert piece.lines == own.count(b"\n") + (not own.endswith(b"\n"))
        place += piece.size_bytes
        assert piece.lines == each or place == len(text)
    assert (found, place) == (wanted, len(text))


@pytest.mark.parametrize("size", [1 << 12, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_too_long_is_named(size, end):
    good = b"a\n" + b"x" * (MAX_LINE_BYTES - 1) + b"\n"
    assert sum(p.lines for p in pieces_of(blocks(good, size), 1)) == 2
    with pytest.raises(ValueError, match=r"line 3 has more than 262,144 bytes"):
        list(pieces_of(blocks(good + b"x" * (MAX_LINE_BYTES + 1) + end + b"b\n", size), 1))
