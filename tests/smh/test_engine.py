"""One contract over all engines, each compared with the slow twin."""

import logging

import numpy as np
import pytest
import slow_twin
from cases import (
    BINARY,
    ENGINES,
    U32,
    batch,
    corpora,
    listed,
    merged,
    needs_binary,
    planted,
    same_sets,
    same_signatures,
    same_structures,
    set_list,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.mining.model import build_structures
from minia_spark.smh import engine as engine_module
from minia_spark.smh.arrays import Documents, Links, MalformedError, Signatures, empty_sets
from minia_spark.smh.engine import get_engine
from minia_spark.smh.hashing import DEFAULT_SEED, affine, permutations
from minia_spark.smh.links import components
from minia_spark.smh.native import NativeEngine
from minia_spark.smh.sets import merge_sets
from minia_spark.smh.twin import DatasketchEngine, merge_signatures

pytestmark = pytest.mark.parametrize("engine", ENGINES)
few = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SMALL = {"tuple_size": 2, "tables": 6}


def rows_of(signatures):
    return {
        int(item): (int(documents), int(occurrences), minima.tolist())
        for item, documents, occurrences, minima in zip(
            signatures.items,
            signatures.documents,
            signatures.occurrences,
            signatures.minima,
            strict=True,
        )
    }


@few
@given(corpora(), U32, st.booleans(), st.integers(1, 3), st.integers(1, 5))
def test_sketch(engine, documents, seed, expand, tuple_size, tables):
    options = {"seed": seed, "expand": expand}
    shape = {"tuple_size": tuple_size, "tables": tables}
    found = engine.sketch([batch(documents)], **shape, **options)
    assert rows_of(found) == slow_twin.sketch(documents, **shape, **options)
    assert (found.tuple_size, found.tables) == (tuple_size, tables)


@few
@given(st.data(), corpora(), st.booleans())
def test_sketch_does_not_depend_on_order_or_partitions(engine, data, documents, expand):
    options = {**SMALL, "expand": expand}
    whole = engine.sketch([batch(documents)], **options)
    shuffled = data.draw(st.permutations(documents))
    cut = data.draw(st.integers(0, len(documents)))
    parts = [batch(shuffled[:cut]), batch(shuffled[cut:])]
    assert same_signatures(engine.sketch(parts, **options), whole)
    sketches = [engine.sketch([part], **options) for part in parts]
    assert same_signatures(merged(engine, sketches), whole)
    assert same_signatures(merged(engine, sketches[::-1]), whole)


@few
@given(corpora(max_documents=5), U32, st.integers(1, 3), st.integers(1, 4))
def test_mine(engine, documents, seed, tuple_size, min_set_size):
    shape = {"tuple_size": tuple_size, "tables": 5}
    signatures = engine.sketch([batch(documents)], **shape, seed=seed)
    found = engine.mine(signatures, min_set_size=min_set_size)
    rows = slow_twin.sketch(documents, **shape, seed=seed)
    assert listed(found) == slow_twin.mine(rows, **shape, min_set_size=min_set_size)


@few
@given(corpora(max_documents=5), U32, st.booleans(), st.integers(1, 4))
def test_find_is_sketch_and_mine(engine, documents, seed, expand, min_set_size):
    options = {**SMALL, "seed": seed, "expand": expand}
    halves = [batch(documents[:2]), batch(documents[2:])]
    found = engine.find(halves, **options, min_set_size=min_set_size)
    signatures = engine.sketch(halves, **options)
    assert same_sets(found, engine.mine(signatures, min_set_size=min_set_size))


@few
@given(corpora(max_documents=5), st.integers(0, 6))
def test_ranges_of_tables_merge_to_the_whole(engine, documents, cut):
    signatures = engine.sketch([batch(documents)], **SMALL)
    whole = engine.mine(signatures, min_set_size=2)
    halves = [
        engine.mine(signatures, min_set_size=2, table_range=bounds)
        for bounds in ((0, cut), (cut, 6))
    ]
    assert same_sets(merge_sets(halves), whole)
    assert same_sets(merge_sets(halves[::-1]), whole)
    options = {"tuple_size": 1, "tables": 6}
    links = [
        engine.cluster(whole, **options, table_range=bounds) for bounds in ((cut, 6), (0, cut))
    ]
    joined = components(len(whole), Links.concatenate(links))
    assert np.array_equal(joined, components(len(whole), engine.cluster(whole, **options)))


@few
@given(st.data(), corpora(), U32, st.booleans(), st.integers(1, 3))
def test_a_range_of_tables_is_sketched_as_among_all(
    engine, data, documents, seed, expand, tuple_size
):
    shape = {"tuple_size": tuple_size, "tables": 40}
    options = {**shape, "seed": seed, "expand": expand}
    begin = data.draw(st.integers(0, 39))
    end = data.draw(st.integers(begin + 1, 40))
    whole = DatasketchEngine().sketch([batch(documents)], **options)
    wanted = Signatures(
        whole.items,
        whole.documents,
        whole.occurrences,
        np.ascontiguousarray(whole.minima[:, begin * tuple_size : end * tuple_size]),
        tuple_size,
        end - begin,
    )
    cut = data.draw(st.integers(0, len(documents)))
    parts = [batch(documents[:cut]), batch(documents[cut:])]
    assert same_signatures(engine.sketch(parts, **options, table_range=(begin, end)), wanted)


@st.composite
def canonical_lists(draw):
    items = st.one_of(st.integers(0, 7), st.sampled_from([2**32 - 2, 2**32 - 1]))
    sets = draw(st.dictionaries(st.frozensets(items, min_size=1), st.integers(1, 9), max_size=12))
    entries = [(tuple(sorted(members)), count) for members, count in sets.items()]
    return sorted(entries, key=lambda entry: (-len(entry[0]), entry[0]))


@few
@given(
    canonical_lists(),
    U32,
    st.integers(1, 2),
    st.sampled_from([0.0, 0.5, 2 / 3, 0.7, 1.0]),
    st.integers(1, 6),
)
def test_cluster_and_model(engine, entries, seed, tuple_size, overlap, min_cluster_size):
    options = {"tuple_size": tuple_size, "tables": 4, "overlap": overlap, "seed": seed}
    sets = set_list(entries)
    links = engine.cluster(sets, **options)
    expected = slow_twin.cluster(entries, **options)
    assert set(map(tuple, links.pairs.tolist())) <= expected
    labels = components(len(sets), links)
    assert labels.tolist() == slow_twin.components(len(entries), expected)
    assert len(links) == len(sets) - len(set(labels.tolist())), "the links are no forest"
    found = build_structures(sets, links, min_cluster_size=min_cluster_size)
    model = slow_twin.model(entries, expected, min_cluster_size=min_cluster_size)
    assert [
        (
            int(found.sets[i]),
            list(
                zip(
                    found.items[found.offsets[i] : found.offsets[i + 1]].tolist(),
                    found.frequencies[found.offsets[i] : found.offsets[i + 1]].tolist(),
                    strict=True,
                )
            ),
        )
        for i in range(len(found))
    ] == model


def test_overlap_must_exceed_the_bound(engine):
    """{1,2,3,4} and {1,2,3,5} overlap by 3/4: linked above 0.7, not above 0.75."""
    sets = set_list([((1, 2, 3, 4), 1), ((1, 2, 3, 5), 1)])
    options = {"tuple_size": 1, "tables": 50}
    assert engine.cluster(sets, **options, overlap=0.7).pairs.tolist() == [[0, 1]]
    assert engine.cluster(sets, **options, overlap=0.75).pairs.tolist() == []


def test_items_of_the_same_documents_form_a_set(engine):
    """Items 1, 2, 2**32 - 1 are in documents 0 and 1, item 7 in document 1 only."""
    documents = [
        (0, {1: 1, 2: 1, 2**32 - 1: 1}, 1.0),
        (1, {2**32 - 1: 1, 1: 1, 7: 1, 2: 1}, 1.0),
    ]
    signatures = engine.sketch([batch(documents)], tuple_size=3, tables=4)
    assert signatures.items.tolist() == [1, 2, 7, 2**32 - 1]
    assert signatures.documents.tolist() == [2, 2, 1, 2]
    sets = engine.mine(signatures)
    # with item 7 in those tables in which document 1 has all three minima
    members = dict(listed(sets))
    assert set(members) <= {(1, 2, 2**32 - 1), (1, 2, 7, 2**32 - 1)}
    assert sets.mined == sum(members.values()) == 4


def test_expansion_hashes_replicas_and_sums_frequencies(engine):
    documents = [(5, {1: 3}, 1.0), (6, {1: 1}, 1.0)]
    plain = engine.sketch([batch(documents)], **SMALL)
    expanded = engine.sketch([batch(documents)], **SMALL, expand=True)
    assert (plain.documents.tolist(), plain.occurrences.tolist()) == ([2], [2])
    assert (expanded.documents.tolist(), expanded.occurrences.tolist()) == ([2], [4])
    keys = [*slow_twin.replicas(5, 3), 6]
    minima = slow_twin.minhash(keys, seed=12345678, count=12)
    assert expanded.minima.tolist() == [minima]


def test_nothing(engine):
    """No batch, no document, no item, no set."""
    nothing = [[], [batch([])], [batch([(1, {}, 1.0), (2, {}, 1.0)])]]
    for batches in nothing:
        found = engine.sketch(batches, **SMALL)
        assert same_signatures(found, Signatures.empty(**SMALL))
        assert same_signatures(merged(engine, [found, found]), found)
        sets = engine.mine(found)
        assert same_sets(sets, empty_sets())
        links = engine.cluster(sets)
        assert links.pairs.shape == (0, 2)
        assert len(build_structures(sets, links)) == 0


def test_merging_with_nothing_changes_nothing(engine):
    found = engine.sketch([batch(planted(documents=9))], **SMALL)
    empty = Signatures.empty(**SMALL)
    assert same_signatures(merged(engine, [empty, found, empty]), found)
    assert same_signatures(merged(engine, [found]), found)


def test_one_document_one_set(engine):
    """All items of a single document have equal signatures: one set, found in every table."""
    found = engine.sketch([batch([(3, {5: 1, 1: 1, 9: 1}, 1.0)])], **SMALL)
    sets = engine.mine(found)
    assert listed(sets) == [((1, 5, 9), 6)]
    structures = build_structures(sets, engine.cluster(sets))
    assert structures.items.tolist() == [1, 5, 9]
    assert structures.frequencies.tolist() == [6, 6, 6]
    assert structures.sets.tolist() == [6]


def test_blocks_join_to_the_whole(engine, monkeypatch):
    """40 items of 160 kB each: no block is much larger than what the readers take at once."""
    monkeypatch.setattr("minia_spark.smh.twin._BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr("minia_spark.smh.wire.CHUNK_BYTES", 1 << 20)
    batches = [batch(planted(documents=20)[i : i + 3]) for i in range(0, 20, 3)]
    shape = {"tuple_size": 2, "tables": 20_000}
    blocks = list(engine.sketch_blocks(batches, **shape))
    assert max(block.minima.nbytes for block in blocks) <= 2 << 20
    whole = engine.sketch([batch(planted(documents=20))], **shape)
    assert same_signatures(Signatures.concatenate(blocks), whole)


def test_documents_with_one_key_count_as_two_documents(engine):
    found = engine.sketch([batch([(3, {5: 1}, 1.0), (3, {5: 1}, 1.0)])], **SMALL)
    assert found.documents.tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuple_size": 0, "tables": 2}, "tuple"),
        ({"tuple_size": 2, "tables": 0}, "tables"),
        ({"tuple_size": 2**12, "tables": 2**13}, "16777216"),
        ({"tuple_size": 2, "tables": 2, "seed": -1}, "seed"),
        ({"tuple_size": 2, "tables": 2, "seed": 2**32}, "seed"),
        (
            {"tuple_size": 2, "tables": 2, "table_range": (0, 3)},
            r"0\.\.3 are not a range of 0\.\.2",
        ),
        ({"tuple_size": 2, "tables": 2, "table_range": (1, 1)}, r"range of tables 1\.\.1 is empty"),
    ],
)
def test_sketch_refuses_settings(engine, options, message):
    with pytest.raises(SettingsError, match=message):
        engine.sketch([], **options)


def test_sketch_needs_what_its_options_need(engine):
    bare = Documents(
        np.zeros(1, np.uint32), np.array([0, 1], dtype=np.int64), np.zeros(1, np.uint32)
    )
    with pytest.raises(MalformedError, match="needs documents with frequencies"):
        engine.sketch([bare], **SMALL, expand=True)
    huge = batch([(1, {1: 2**20 + 1}, 1.0)])
    with pytest.raises(MalformedError, match=r"1048577 is too large .* 1048576 \(row 0\)"):
        engine.sketch([huge], **SMALL, expand=True)


def test_merge_refuses(engine):
    with pytest.raises(MalformedError, match="no signatures to merge"):
        merge_signatures([])
    one = engine.sketch([batch(planted(documents=2))], **SMALL)
    other = engine.sketch([batch(planted(documents=2))], tuple_size=3, tables=4)
    with pytest.raises(MalformedError, match="2, 6 tables; tuple size 3, 4 tables"):
        merge_signatures([one, other])
    with pytest.raises(MiniaError, match=r"tuple size|settings"):
        merged(engine, [one, other])


def test_counts_that_no_stream_can_hold(engine):
    """Documents fit into 32 bits and occurrences into 64; sums beyond them are refused."""

    def counted(documents, occurrences):
        minima = np.zeros((2, 1), dtype=np.uint32)
        return Signatures(
            np.array([3, 7], np.uint32),
            np.array([1, documents], np.uint32),
            np.array([1, occurrences], np.uint64),
            minima,
            1,
            1,
        )

    most = merged(engine, [counted(2**32 - 2, 2**64 - 2), counted(1, 1)])
    assert most.documents.tolist() == [2, 2**32 - 1]
    assert most.occurrences.tolist() == [2, 2**64 - 1]
    with pytest.raises(MiniaError, match=r"item 7 is in more than"):
        merged(engine, [counted(2**32 - 1, 2**32), counted(1, 1)])
    with pytest.raises(MiniaError, match=r"item 7 occurs more than"):
        merged(engine, [counted(1, 2**64 - 1), counted(1, 1)])


def test_one_word(engine):
    """A single word meets nobody: no set of three, and one of one when that is asked for."""
    found = engine.sketch([batch([(key, {5: 2}, 1.0) for key in range(9)])], **SMALL)
    assert (found.items.tolist(), found.documents.tolist()) == ([5], [9])
    assert len(engine.mine(found)) == 0
    sets = engine.mine(found, min_set_size=1)
    assert listed(sets) == [((5,), 6)]
    assert len(engine.cluster(sets)) == 0


def test_a_frequency_at_the_limit(engine):
    """2**20 replicas of one document and one of another: counts and minima of a million keys."""
    documents = [(7, {1: 2**20, 2: 1}, 1.0), (8, {1: 1}, 1.0)]
    options = {"tuple_size": 1, "tables": 2, "expand": True}
    found = engine.sketch([batch(documents)], **options)
    assert found.occurrences.tolist() == [2**20 + 1, 1]
    keys = np.array(slow_twin.replicas(7, 2**20), dtype=np.uint64).astype(np.uint32)
    drawn = permutations(DEFAULT_SEED, tuple_size=1, tables=2)
    minima = affine(np.append(keys, np.uint32(8)), drawn).min(axis=0)
    assert found.minima[0].tolist() == minima.tolist()


def test_mine_and_cluster_refuse(engine):
    signatures = Signatures.empty(**SMALL)
    for bounds in ((-1, 2), (3, 2), (0, 7)):
        with pytest.raises(SettingsError, match="are not a range of"):
            engine.mine(signatures, table_range=bounds)
        with pytest.raises(SettingsError, match="are not a range of"):
            engine.cluster(empty_sets(), tables=6, table_range=bounds)
    with pytest.raises(SettingsError, match=r"min.set.size"):
        engine.mine(signatures, min_set_size=0)
    for overlap in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="overlap"):
            engine.cluster(empty_sets(), overlap=overlap)


def test_an_exception_of_the_feed_comes_through(engine):
    def broken():
        yield batch(planted(documents=3))
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        engine.sketch(broken(), **SMALL)


def test_engines_agree_on_a_corpus_with_structures(engine):
    """The whole chain, with and without expansion, against the reference implementation."""
    documents = planted(documents=80)
    twin = DatasketchEngine()
    for expand in (False, True):
        options = {"tuple_size": 2, "tables": 60, "expand": expand}
        results = []
        for one in (twin, engine):
            sets = one.mine(one.sketch([batch(documents)], **options))
            results.append(build_structures(sets, one.cluster(sets)))
        assert len(results[0]) > 0
        assert same_structures(*results)


class TestGetEngine:
    def test_names(self, engine):
        assert get_engine("datasketch").name == "datasketch"
        with pytest.raises(SettingsError, match="'smh' is not one of auto, native, datasketch"):
            get_engine("smh")
        with pytest.raises(SettingsError, match="datasketch engine has no binary"):
            get_engine("datasketch", binary="smh")
        assert engine.name in ("native", "datasketch")

    def test_no_binary(self, engine, monkeypatch, caplog):
        monkeypatch.setattr(engine_module, "find_binary", lambda path: None)
        with pytest.raises(SettingsError, match=r"not found; \./build\.sh native builds it"):
            get_engine("native")
        with caplog.at_level(logging.WARNING):
            assert isinstance(get_engine("auto"), DatasketchEngine)
        assert "./build.sh native builds it" in caplog.text

    @needs_binary
    def test_binary(self, engine):
        assert isinstance(get_engine("auto", binary=BINARY), NativeEngine)
        assert isinstance(get_engine("native"), NativeEngine)
