import contextlib

import numpy as np
import pytest
from cases import U32, batch, corpora, same_sets, same_signatures, set_list
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError
from minia_spark.smh import wire
from minia_spark.smh.arrays import Documents, Links, MalformedError, Signatures, WordLinks


def chunked(data, size):
    """The bytes in pieces, with an empty piece among them."""
    return [b"", *(data[i : i + size] for i in range(0, len(data), size))]


def same_documents(ours, theirs):
    def equal(a, b):
        return (a is None and b is None) or np.array_equal(a, b)

    names = ("keys", "offsets", "items", "frequencies")
    return all(equal(getattr(ours, name), getattr(theirs, name)) for name in names)


def u32(*numbers):
    return np.array(numbers, dtype="<u4").tobytes()


@st.composite
def signatures(draw):
    tuple_size, tables = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    items = sorted(draw(st.sets(U32, max_size=5)))
    width = tuple_size * tables
    shape = (len(items), width)
    cells = draw(st.lists(U32, min_size=len(items) * width, max_size=len(items) * width))
    minima = np.array(cells, np.uint32).reshape(shape)
    documents = np.array([draw(st.integers(1, 2**32 - 1)) for _ in items], dtype=np.uint32)
    more = np.array([draw(st.integers(0, 2**60)) for _ in items], dtype=np.uint64)
    return Signatures(
        np.array(items, np.uint32), documents, documents + more, minima, tuple_size, tables
    )


@st.composite
def set_lists(draw):
    sets = draw(
        st.dictionaries(st.frozensets(U32, min_size=1, max_size=6), st.integers(1, 2**32 - 1))
    )
    entries = [(tuple(sorted(members)), count) for members, count in sets.items()]
    return set_list(sorted(entries, key=lambda entry: (-len(entry[0]), entry[0])))


@st.composite
def links(draw):
    pairs = draw(st.lists(st.tuples(U32, U32).filter(lambda pair: pair[0] != pair[1])))
    return Links(np.array([sorted(pair) for pair in pairs], dtype=np.int64).reshape(-1, 2))


# ---------------------------------------------------------------------------- round trips


@given(corpora(), st.booleans(), st.integers(1, 40))
def test_documents_round_trip(documents, expand, size):
    options = {"expand": expand}
    whole = batch(documents)
    kept = Documents(
        whole.keys,
        whole.offsets,
        whole.items,
        whole.frequencies if expand else None,
    )
    data = wire.write_documents(whole, **options)
    read = list(wire.read_documents(chunked(data, size), **options))
    assert len(read) == bool(documents)
    if read:
        assert same_documents(Documents.concatenate(read), kept)


@given(signatures(), st.integers(1, 40))
def test_signatures_round_trip(value, size):
    data = b"".join(wire.write_signatures(value))
    assert len(data) == 20 + len(value) * (16 + 4 * value.minima.shape[1])
    read = list(wire.read_signatures(chunked(data, size)))
    assert same_signatures(Signatures.concatenate(read), value)


@given(set_lists(), st.integers(1, 40))
def test_sets_round_trip(value, size):
    assert same_sets(wire.read_sets(chunked(wire.write_sets(value), size)), value)


@given(links(), st.integers(1, 40))
def test_links_round_trip(value, size):
    read = wire.read_links(chunked(wire.write_links(value), size))
    assert read.pairs.tolist() == value.pairs.tolist()


def test_pieces_are_bounded(monkeypatch):
    """Records larger and smaller than a chunk, several chunks: nothing is lost or doubled."""
    monkeypatch.setattr(wire, "CHUNK_BYTES", 64)
    documents = batch([(i, dict.fromkeys(range(i % 50), 1), 1.0) for i in range(120)])
    data = wire.write_documents(documents)
    read = list(wire.read_documents(chunked(data, 7)))
    assert len(read) > 20
    assert max(len(piece.items) for piece in read) < 80
    joined = Documents.concatenate(read)
    assert joined.keys.tolist() == list(range(120))
    assert joined.items.tolist() == documents.items.tolist()
    minima = np.arange(80 * 6, dtype=np.uint32).reshape(80, 6)
    ones = np.ones(80, dtype=np.uint32)
    value = Signatures(np.arange(80, dtype=np.uint32), ones, ones.astype(np.uint64), minima, 2, 3)
    blocks = list(wire.read_signatures(wire.write_signatures(value)))
    assert len(blocks) > 20
    assert same_signatures(Signatures.concatenate(blocks), value)


def test_layout():
    """The bytes, by hand."""
    documents = batch([(7, {1: 2, 9: 3}, 0.5), (8, {}, 1.0)])
    assert wire.write_documents(documents) == u32(7, 2, 1, 9, 8, 0)
    assert wire.write_documents(documents, expand=True) == u32(7, 2, 1, 9, 2, 3, 8, 0)
    minima = np.array([[10, 11, 12, 13]], dtype=np.uint32)
    five, six = np.array([5], np.uint32), np.array([2**32 + 6], np.uint64)
    value = Signatures(np.array([4], np.uint32), five, six, minima, 2, 2)
    assert b"".join(wire.write_signatures(value)) == (
        b"SMHS" + u32(1, 0, 2, 2) + u32(4, 5, 6, 1) + u32(10, 11, 12, 13)
    )
    sets = set_list([((1, 2, 3), 5), ((4, 6), 1)])
    assert wire.write_sets(sets) == b"SMHC" + u32(1, 5, 3, 1, 2, 3, 1, 2, 4, 6)
    pairs = Links(np.array([[0, 2], [1, 2]], dtype=np.int64))
    assert wire.write_links(pairs) == b"SMHL" + u32(1, 0, 2, 1, 2)
    first, second = np.array([[0, 7], [2, 9]], np.uint32)
    linked = WordLinks(first, second, np.array([5, 2**20]), np.array([True, False]))
    assert wire.write_word_links(linked) == b"SMHW" + u32(1, 0, 2, 5, 1, 7, 9, 2**20, 0)
    groups = wire.read_groups([b"SMHG" + u32(1, 3, 1, 2, 9, 0, 1, 2**32 - 1)])
    assert [group.tolist() for group in groups] == [[1, 2, 9], [], [2**32 - 1]]


# ---------------------------------------------------------------------------- refusals


def refused_everywhere(data, read, boundaries):
    """Every truncation that is not at the end of a record is refused, naming where it ends."""
    for length in range(len(data)):
        if length in boundaries:
            read(data[:length])
            continue
        with pytest.raises(MiniaError, match=f"stream, byte {length}: "):
            read(data[:length])


def test_every_truncation_is_refused():
    documents = batch([(7, {1: 2, 9: 3}, 0.5), (8, {}, 1.0), (9, {5: 1}, 2.0)])
    for expand, ends in ((False, (0, 16, 24)), (True, (0, 24, 32))):
        options = {"expand": expand}
        data = wire.write_documents(documents, **options)
        refused_everywhere(data, lambda d, o=options: list(wire.read_documents([d], **o)), ends)
    ones = np.ones(2, dtype=np.uint32)
    value = Signatures(
        np.array([3, 4], np.uint32), ones, ones.astype(np.uint64), np.ones((2, 2), np.uint32), 1, 2
    )
    data = b"".join(wire.write_signatures(value))
    refused_everywhere(data, lambda d: list(wire.read_signatures([d])), (20, 44))
    data = wire.write_sets(set_list([((1, 2, 3), 5), ((4, 6), 1)]))
    refused_everywhere(data, lambda d: wire.read_sets([d]), (8, 28))
    data = wire.write_links(Links(np.array([[0, 2], [1, 2]], dtype=np.int64)))
    refused_everywhere(data, lambda d: wire.read_links([d]), (8, 16))
    data = b"SMHG" + u32(1, 2, 4, 5, 1, 9)
    refused_everywhere(data, lambda d: wire.read_groups([d]), (8, 20))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "SMHS stream, byte 0: the header of 20 bytes is cut short"),
        (b"SMHC" + u32(1, 0, 1, 1), r"SMHS stream, byte 0: expected b'SMHS', found b'SMHC'"),
        (b"SMHS" + u32(2, 0, 1, 1), "byte 4: version 2 is unknown, expected 1"),
        (b"SMHS" + u32(1, 2, 1, 1), "byte 8: kind 2 of minima is unknown, expected 0"),
        (b"SMHS" + u32(1, 0, 0, 1), "byte 12: tuple size 0 and number of tables 1 must be >= 1"),
        (b"SMHS" + u32(1, 0, 2**16, 2**16), "byte 12: 65536 tables of 65536 are more than"),
        (b"SMHS" + u32(1, 0, 1, 1, 5, 1, 1, 0, 9, 5, 1, 1, 0, 9), "byte 40: items do not ascend"),
        (b"SMHS" + u32(1, 0, 1, 1, 5, 0, 1, 0, 9), "byte 20: an item needs at least one document"),
        (b"SMHS" + u32(1, 0, 1, 1, 5, 2, 1, 0, 9), "byte 20: an item needs at least one document"),
    ],
)
def test_signatures_refused(data, message):
    with pytest.raises(MiniaError, match=message):
        list(wire.read_signatures([data]))


def test_items_ascend_over_blocks(monkeypatch):
    monkeypatch.setattr(wire, "CHUNK_BYTES", 20)
    data = b"SMHS" + u32(1, 0, 1, 1, 5, 1, 1, 0, 9, 5, 1, 1, 0, 9)
    with pytest.raises(MiniaError, match="byte 40: items do not ascend"):
        list(wire.read_signatures([data]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SMHL" + u32(1), "SMHC stream, byte 0: expected b'SMHC', found b'SMHL'"),
        (b"SMHC" + u32(0), "byte 4: version 0 is unknown"),
        (b"SMHC" + u32(1, 1, 0), "byte 8: a set is empty"),
        (b"SMHC" + u32(1, 1, 1, 7, 0, 1, 6), "byte 20: a set was found in no table"),
        (b"SMHC" + u32(1, 1, 2, 7, 7), "byte 8: the items of a set do not ascend"),
        (b"SMHC" + u32(1, 1, 1, 7, 1, 2, 8, 9), "byte 20: sets are not ordered by size"),
        (b"SMHC" + u32(1, 1, 1, 7, 1, 1, 6), "byte 20: sets of equal size do not ascend"),
        (b"SMHC" + u32(1, 1, 1, 7, 1, 1, 7), "byte 20: .* or one is there twice"),
        (b"SMHC" + u32(1, 1, 2**32 - 1, 7), "byte 20: the record that starts at byte 8 is cut"),
    ],
)
def test_sets_refused(data, message):
    with pytest.raises(MiniaError, match=message):
        wire.read_sets([data])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SMHL" + u32(1, 0, 1, 1, 1), "SMHL stream, byte 16: a link needs 0 <= a < b"),
        (b"SMHL" + u32(1, 2, 1), "SMHL stream, byte 8: a link needs 0 <= a < b"),
    ],
)
def test_links_refused(data, message):
    with pytest.raises(MiniaError, match=message):
        wire.read_links([data])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SMHL" + u32(1), "SMHG stream, byte 0: expected b'SMHG', found b'SMHL'"),
        (b"SMHG" + u32(1, 1, 5, 2, 7, 7), "byte 16: the words of a group do not ascend"),
        (b"SMHG" + u32(1, 2**32 - 1, 5), "byte 16: the record that starts at byte 8 is cut short"),
    ],
)
def test_groups_refused(data, message):
    with pytest.raises(MiniaError, match=message):
        wire.read_groups([data])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (u32(1, 1, 5, 2, 2, 6, 6), {}, "DOCUMENTS stream, byte 12: a document holds item 6 twice"),
        (u32(1, 1, 5, 0), {"expand": True}, "byte 0: a document holds an item 0 times"),
        (u32(1, 2**32 - 1, 5), {}, "byte 12: the record that starts at byte 0 is cut short"),
    ],
)
def test_documents_refused(data, options, message):
    with pytest.raises(MiniaError, match=message):
        list(wire.read_documents([data], **options))


def test_writing_needs_what_is_asked_for():
    bare = Documents(np.zeros(1, np.uint32), np.zeros(2, np.int64), np.zeros(0, np.uint32))
    with pytest.raises(MalformedError, match="needs documents with frequencies"):
        wire.write_documents(bare, expand=True)


@settings(max_examples=200)
@given(
    st.sampled_from(["SMHS", "SMHC", "SMHL", "SMHG", ""]), st.lists(st.integers(0, 5)), st.binary()
)
def test_rubbish_is_read_or_refused_and_nothing_else(magic, numbers, tail):
    data = magic.encode() + u32(1, *numbers) + tail
    readers = {
        "SMHS": lambda: list(wire.read_signatures([data])),
        "SMHC": lambda: wire.read_sets([data]),
        "SMHL": lambda: wire.read_links([data]),
        "SMHG": lambda: wire.read_groups([data]),
        "": lambda: list(wire.read_documents([data], expand=True)),
    }
    with contextlib.suppress(MiniaError):
        readers[magic]()
