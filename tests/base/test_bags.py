import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.bags import Bags, invert, read_bags, write_bags
from minia_spark.base.errors import InputError

TOP = 2**32 - 1


def bags(*counted):
    """Bags of {item: count}."""
    return Bags(
        np.cumsum([0, *map(len, counted)], dtype=np.int64),
        np.array([item for bag in counted for item in bag], dtype=np.uint32),
        np.array([count for bag in counted for count in bag.values()], dtype=np.uint32),
    )


def listed(found):
    """The opposite, with the order of the items."""
    return [
        list(zip(found.items[a:b].tolist(), found.counts[a:b].tolist(), strict=True))
        for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]


def read(text):
    return [row for piece in read_bags(io.BytesIO(text), name="c.words") for row in listed(piece)]


def written(value):
    stream = io.BytesIO()
    write_bags(stream, value)
    return stream.getvalue()


def test_by_hand():
    assert read(b"2 5:1 3:2\n0\n1 4294967295:4294967295\n") == [
        [(5, 1), (3, 2)],
        [],
        [(TOP, TOP)],
    ]
    assert written(bags({5: 1, 3: 2}, {}, {TOP: TOP})) == (
        b"2 5:1 3:2\n0\n1 4294967295:4294967295\n"
    )
    assert list(read_bags([])) == []


def test_white_space_of_other_programs():
    """Windows line ends, tabs, spaces at the end, no line end at the end of the file."""
    assert read(b"1 5:1 \r\n2\t1:1  2:1\n0") == [[(5, 1)], [(1, 1), (2, 1)], []]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "empty line; an empty bag is written 0"),
        (b"x 1:1\n", "'x' is not a number of entries"),
        (b"1:1\n", "'1:1' is not a number of entries"),
        (b"2 1:1\n", "announces 2 entries and holds 1"),
        (b"1 1:1 2:1\n", "announces 1 entries and holds 2"),
        (b"1 1\n", r"'1' is not entry:count, two numbers within 0\.\.4294967295"),
        (b"1 1:\n", "'1:' is not entry:count"),
        (b"1 :1\n", "':1' is not entry:count"),
        (b"1 1:1:1\n", "'1:1:1' is not entry:count"),
        (b"1 -1:1\n", "'-1:1' is not entry:count"),
        (b"1 +1:1\n", r"'\+1:1' is not entry:count"),
        (b"1 1:1.5\n", r"'1:1\.5' is not entry:count"),
        (b"1 1_0:1\n", "'1_0:1' is not entry:count"),
        (b"1 1 : 1\n", "'1' is not entry:count"),
        (b"1 4294967296:1\n", r"4294967296 is not a number within 0\.\.4294967295"),
        (b"1 1:4294967296\n", r"4294967296 is not a number within 0\.\.4294967295"),
        (b"1 99999999999:1\n", "'99999999999:1' is not entry:count"),
        (b"2 7:1 8:0\n", "entry 8 has the count 0"),
        (b"3 7:1 8:1 7:2\n", "entry 7 is there twice"),
        (b"1 \xff:1\n", r"'\\xff:1' is not entry:count"),
        (b"1 1:1\x0b2:1\n", "is not entry:count|separated by spaces or tabs"),
        (b"1\x001:1\n", r"'1\\x001:1' is not a number of entries"),
        (b"1 " + b"9" * 5000 + b":1\n", r"'9{40}\.\.\. is not entry:count|'9{40}'\.\.\. is not"),
    ],
)
def test_refused(line, message):
    with pytest.raises(InputError, match=rf"^c\.words, line 2: .*({message})"):
        read(b"1 1:1\n" + line)


@given(st.lists(st.dictionaries(st.integers(0, TOP), st.integers(1, TOP))), st.integers(1, 9))
def test_round_trip_in_pieces(counted, size):
    value = bags(*counted)
    text = written(value)
    pieces = list(read_bags(io.BytesIO(text), max_entries=size))
    assert [row for piece in pieces for row in listed(piece)] == listed(value)
    assert all(len(piece) >= 1 for piece in pieces)
    assert b"".join(map(written, pieces)) == text


@given(st.text(alphabet="0123456789: \t\n-x", max_size=40))
def test_rubbish_is_read_or_refused(text):
    """What is read is what a plain parser reads; all else is refused."""
    lines = text.encode().splitlines(keepends=True)
    expected = []
    for line in lines:
        fields = line.split()
        pairs = [field.split(b":") for field in line.split()[1:]]
        good = (
            fields
            and fields[0].isdigit()
            and all(len(p) == 2 and p[0].isdigit() and p[1].isdigit() for p in pairs)
            and int(fields[0]) == len(pairs)
            and all(
                len(n) <= 10 and int(n) <= TOP for n in (fields[0], *(n for p in pairs for n in p))
            )
            and all(int(p[1]) > 0 for p in pairs)
            and len({int(p[0]) for p in pairs}) == len(pairs)
        )
        if not good:
            with pytest.raises(InputError, match=r"line \d+: "):
                read(text.encode())
            return
        expected.append([(int(p[0]), int(p[1])) for p in pairs])
    assert read(text.encode()) == expected


def test_a_million_entries_in_a_line():
    """No recursion, no quadratic time, and memory in proportion."""
    count = 1_000_000
    line = b"%d " % count + b" ".join(b"%d:1" % item for item in range(count)) + b"\n"
    tracemalloc.start()
    try:
        (found,) = read_bags([line])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.items[-1] == count - 1
    assert peak < 12 * len(line)


def test_inversion():
    """Documents of items become items of documents."""
    corpus = bags({0: 1, 2: 3}, {}, {2: 1})
    inverted = invert(corpus)
    assert listed(inverted) == [[(0, 1)], [], [(0, 3), (2, 1)]]
    assert listed(invert(inverted, rows=3)) == [[(0, 1), (2, 3)], [], [(2, 1)]]
    assert listed(invert(bags())) == []
    assert listed(invert(bags({}), rows=2)) == [[], []]
    with pytest.raises(InputError, match="entry 2 does not fit into 2 rows"):
        invert(corpus, rows=2)


@given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 5))))
def test_inversion_twice_is_the_corpus_in_order(counted):
    corpus = bags(*(dict(sorted(bag.items())) for bag in counted))
    assert listed(invert(invert(corpus, rows=10), rows=len(counted))) == listed(corpus)
