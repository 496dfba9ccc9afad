"""Groups of words from links: the native engine against NumPy, any number of threads."""

from itertools import combinations

import numpy as np
import pytest
from cases import BINARY, needs_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.smh import growth
from minia_spark.smh.arrays import MAX_STRENGTH, MalformedError, WordLinks
from minia_spark.smh.growth import grow_groups
from minia_spark.smh.native import NativeEngine
from minia_spark.smh.process import stream_through
from minia_spark.smh.twin import DatasketchEngine
from minia_spark.smh.wire import read_groups, write_word_links

TOP = 2**32 - 1


def links(rows):
    """Links of (first, second, strength, strong)."""
    first, second, strength, strong = np.array(sorted(rows), np.int64).reshape(-1, 4).T
    return WordLinks(
        first.astype(np.uint32), second.astype(np.uint32), strength.copy(), strong.astype(bool)
    )


def cliques(words, size=5):
    """All words in groups of a size, apart from each other."""
    starts = range(0, words - size + 1, size)
    return links([(a, b, 9, 1) for n in starts for a, b in combinations(range(n, n + size), 2)])


def listed(groups):
    return [group.tolist() for group in groups]


@st.composite
def graphs(draw):
    """Sparse and dense ones, with cliques and chains, and strengths that tie or do not."""
    random = np.random.default_rng(draw(st.integers(0, TOP)))
    words = draw(st.integers(2, 60))
    names = np.sort(random.choice(draw(st.sampled_from([words, 10**6, TOP])), words, replace=False))
    pairs = set()
    share = draw(st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9, 1.0]))
    pairs |= {pair for pair in combinations(range(words), 2) if random.random() < share}
    for _ in range(draw(st.integers(0, 4))):
        clique = random.choice(words, min(words, random.integers(3, 12)), replace=False)
        pairs |= set(combinations(sorted(clique.tolist()), 2))
    if draw(st.booleans()):
        pairs |= {(n, n + 1) for n in range(words - 1)}
    most = draw(st.sampled_from([1, 2, 1000, MAX_STRENGTH + 1]))
    strong = draw(st.sampled_from([0.0, 0.3, 1.0]))
    return links(
        [
            (int(names[a]), int(names[b]), int(random.integers(most)), random.random() < strong)
            for a, b in sorted(pairs)
        ]
    )


@needs_binary
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    graphs(),
    st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.7, 1.0]),
    st.integers(3, 6),
    st.sampled_from([0.01, 0.3, 0.5, 0.7, 1.0]),
    st.integers(1, 4),
)
def test_engines_agree_bit_for_bit(graph, density, min_size, max_similarity, threads):
    options = {"density": density, "min_size": min_size, "max_similarity": max_similarity}
    wanted = listed(DatasketchEngine().grow(graph, **options))
    assert listed(NativeEngine(BINARY, threads=threads).grow(graph, **options)) == wanted


@needs_binary
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_engines_agree_where_threads_overtake_each_other(threads):
    """300 words of overlapping groups, whose starts cover each other's."""
    random = np.random.default_rng(5)
    pairs = {}
    for _ in range(60):
        group = np.sort(random.choice(300, random.integers(5, 25), replace=False)).tolist()
        pairs |= dict.fromkeys(p for p in combinations(group, 2) if random.random() < 0.8)
    pairs |= dict.fromkeys(p for p in combinations(range(300), 2) if random.random() < 0.05)
    graph = links([(a, b, int(random.integers(50)), 1) for a, b in pairs])
    wanted = grow_groups(graph)
    assert len(wanted) > 50
    assert listed(NativeEngine(BINARY, threads=threads).grow(graph)) == listed(wanted)


@needs_binary
@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        ([], []),
        ([(0, TOP, MAX_STRENGTH, 1)], []),
        ([(n, n + 1, 5, 1) for n in range(9)], []),
        ([(0, 1, 5, 0), (0, 2, 5, 0), (1, 2, 5, 0)], []),
        ([(0, 1, 5, 0), (0, TOP, 5, 0), (1, TOP, 5, 1)], [[0, 1, TOP]]),
    ],
    ids=["nothing", "one link", "a chain", "no strong link", "a triangle"],
)
def test_small_graphs(rows, groups):
    for engine in (DatasketchEngine(), NativeEngine(BINARY)):
        assert listed(engine.grow(links(rows))) == groups


@needs_binary
def test_progress_of_the_program():
    """The first line comes at once."""
    told = []
    found = NativeEngine(BINARY).grow(cliques(50), progress=lambda *step: told.append(step))
    assert len(found) == 10
    assert told[0] == (0, 100)
    assert all(0 <= done < all_ == 100 for done, all_ in told)


@needs_binary
def test_progress_that_raises_ends_the_program():
    def stop(_done, _all):
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        NativeEngine(BINARY).grow(cliques(50), progress=stop)


@needs_binary
def test_long_growth_is_cancelled_by_its_progress():
    """90,000 starts in a giant group: it would take minutes, and ends at the first line."""
    random = np.random.default_rng(1)
    codes = np.unique(random.integers(0, 1000, 200_000) * 1000 + random.integers(0, 1000, 200_000))
    first, second = codes // 1000, codes % 1000
    kept = first < second
    graph = WordLinks(
        first[kept].astype(np.uint32),
        second[kept].astype(np.uint32),
        random.integers(0, 1000, kept.sum()),
        np.ones(kept.sum(), np.bool_),
    )
    told = []
    command = [str(BINARY), "grow", "--progress", "--density", "0.2"]

    def cancel(done, _all):
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(stream_through(command, [write_word_links(graph)], progress=cancel))
    assert len(told) == 1


@needs_binary
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((3, 3, 1, 1), "byte 8: link 3 3 does not ascend"),
        ((3, 4, 1, 1, 3, 4, 1, 1), "byte 24: link 3 4 does not come after the one before it"),
        ((3, 4, 1, 1, 2, 9, 1, 1), "byte 24: link 2 9 does not come after the one before it"),
        ((3, 4, MAX_STRENGTH + 1, 1), "byte 8: link 3 4 has strength 1048577; the limit is"),
        ((3, 4, 1, 2), "byte 8: link 3 4 is strong 2, neither 0 nor 1"),
        ((3, 4, 1), "byte 20: the stream ends within a link"),
    ],
)
def test_wrong_links_are_refused_in_one_line(numbers, message):
    data = b"SMHW" + np.array([1, *numbers], "<u4").tobytes()
    with pytest.raises(MiniaError, match=message) as caught:
        read_groups(stream_through([str(BINARY), "grow"], [data]))
    assert len(str(caught.value).splitlines()) == 2


@needs_binary
@pytest.mark.parametrize(
    "options", [{"density": 1.5}, {"min_size": 2}, {"max_similarity": 0.0}, {"density": -0.1}]
)
def test_the_program_refuses_what_is_out_of_range(options):
    with pytest.raises(SettingsError, match=r"must be a (whole )?number within"):
        NativeEngine(BINARY).grow(cliques(5), **options)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(4, 3, 1, 1)], r"a link needs first < second \(row 0\)"),
        ([(3, 4, 1, 1), (3, 4, 2, 1)], r"links do not ascend \(row 1\)"),
        ([(3, 4, -1, 1)], r"a strength is not within 0\.\.1048576 \(row 0\)"),
        ([(3, 4, 2**20 + 1, 1)], r"a strength is not within 0\.\.1048576 \(row 0\)"),
    ],
)
def test_links_check_themselves(rows, message):
    with pytest.raises(MalformedError, match=message):
        links(rows)


def test_too_many_words(monkeypatch):
    monkeypatch.setattr(growth, "_MAX_WORDS", 4)
    assert len(grow_groups(links([(0, 1, 1, 1), (2, 3, 1, 1)]))) == 0
    with pytest.raises(MalformedError, match="6 words are linked; the limit is 4"):
        grow_groups(links([(0, 1, 1, 1), (2, 3, 1, 1), (4, 5, 1, 1)]))
