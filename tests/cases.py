"""What the mining tests share: engines to test, and corpora to test them with."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from minia_spark.smh.arrays import Documents, Signatures
from minia_spark.smh.native import NativeEngine
from minia_spark.smh.process import stream_through
from minia_spark.smh.twin import DatasketchEngine, merge_signatures
from minia_spark.smh.wire import read_signatures, write_signatures

BINARY = Path(__file__).resolve().parents[1] / "native" / "build" / "smh"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_binary = pytest.mark.skipif(
    not BINARY.is_file(), reason="native/build/smh is not built: ./build.sh native"
)
ENGINES = [
    pytest.param(DatasketchEngine(), id="datasketch"),
    pytest.param(NativeEngine(BINARY), id="native", marks=needs_binary),
    pytest.param(NativeEngine(BINARY, threads=3), id="native-3-threads", marks=needs_binary),
]

U32 = st.integers(0, 2**32 - 1)


def batch(documents):
    """Documents of a list of (key, {item: frequency}, weight), of which the weight is left out."""
    bags = [bag for _, bag, _ in documents]
    return Documents(
        np.array([key for key, _, _ in documents], dtype=np.uint32),
        np.cumsum([0, *map(len, bags)], dtype=np.int64),
        np.array([item for bag in bags for item in bag], dtype=np.uint32),
        np.array([f for bag in bags for f in bag.values()], dtype=np.uint32),
    )


@st.composite
def corpora(draw, max_documents=8):
    """Lists of (key, {item: frequency}, weight): few items, so that many of them meet."""
    items = st.one_of(st.integers(0, 9), st.sampled_from([2**31, 2**32 - 2, 2**32 - 1]))
    document = st.tuples(
        U32,
        st.dictionaries(items, st.integers(1, 4), max_size=8),
        st.floats(1e-30, 1e30),
    )
    return draw(st.lists(document, max_size=max_documents))


def same_signatures(ours, theirs):
    """Whether two signatures are equal, bit for bit."""
    return (
        (ours.tuple_size, ours.tables) == (theirs.tuple_size, theirs.tables)
        and np.array_equal(ours.items, theirs.items)
        and np.array_equal(ours.documents, theirs.documents)
        and np.array_equal(ours.occurrences, theirs.occurrences)
        and np.array_equal(ours.minima, theirs.minima)
    )


def same_sets(ours, theirs):
    """Whether two lists of sets are equal."""
    return all(
        np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("multiplicities", "offsets", "items")
    )


def same_structures(ours, theirs):
    """Whether two models are equal."""
    return all(
        np.array_equal(getattr(ours, name), getattr(theirs, name))
        for name in ("offsets", "items", "frequencies", "sets")
    )


def merged(engine, parts):
    """Signatures of the union of the parts' documents: by the twin, or by ``smh merge``."""
    if isinstance(engine, DatasketchEngine):
        return merge_signatures(parts)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            path.write_bytes(b"".join(write_signatures(part)))
        command = [str(BINARY), "merge", *map(str, paths)]
        return Signatures.concatenate(list(read_signatures(stream_through(command))))


def listed(sets):
    """A SetList as the slow twin has it."""
    return [
        (tuple(sets.items[start:end].tolist()), multiplicity)
        for start, end, multiplicity in zip(
            sets.offsets[:-1], sets.offsets[1:], sets.multiplicities.tolist(), strict=True
        )
    ]


def set_list(entries):
    """The opposite: a SetList of [(items, multiplicity)] in canonical order."""
    from minia_spark.smh.arrays import SetList

    return SetList(
        np.array([multiplicity for _, multiplicity in entries], dtype=np.uint32),
        np.cumsum([0, *(len(items) for items, _ in entries)], dtype=np.int64),
        np.array([item for items, _ in entries for item in items], dtype=np.uint32),
    )


def planted(seed=0, *, documents=60, words=40, groups=4, size=5, share=0.2):
    """A corpus in which groups of words occur together, as Documents with frequencies."""
    random = np.random.default_rng(seed)
    rows = []
    for key in range(documents):
        own = set(random.choice(words, 4, replace=False).tolist())
        for group in range(groups):
            if random.random() < share:
                own |= set(range(group * size, (group + 1) * size))
        rows.append((key, {int(w): int(random.integers(1, 4)) for w in sorted(own)}, 1.0))
    return rows
