"""A collection is mined, its decoys and itself again, on this machine."""

import numpy as np
import pytest
from cases import (
    BINARY,
    DATA,
    ENGINES,
    batch,
    needs_binary,
    planted,
    same_structures,
)

from minia_spark.base.bags import Bags, read_bags
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.mining import local
from minia_spark.mining.chance import Totals
from minia_spark.mining.consensus import Consensus
from minia_spark.mining.local import LocalCollection, numbered_documents
from minia_spark.mining.miner import Sketch, Trials, mine
from minia_spark.mining.model import SingleLink, best_matches, build_structures, cross_recall
from minia_spark.mining.shuffle import decoy
from minia_spark.sky.corpus import planted_corpus
from minia_spark.smh.arrays import Documents
from minia_spark.smh.engine import get_engine
from minia_spark.smh.twin import DatasketchEngine

from .test_model import rows

LINES = [b"2 0:1 4:2\n", b"0\n", b"1 4294967295:7\n"]
ALONE = Trials(seeds=0, decoys=0)


def pieces_of(corpus, count):
    """The documents of a corpus, dealt out in ranges."""
    bounds = np.linspace(0, len(corpus.keys), count + 1).astype(int)
    return [
        Documents(
            corpus.keys[a:b],
            corpus.offsets[a : b + 1] - corpus.offsets[a],
            corpus.items[corpus.offsets[a] : corpus.offsets[b]],
            corpus.freqs[corpus.offsets[a] : corpus.offsets[b]],
        )
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)  # noqa: RUF007
    ]


def collection_of(pieces, engine=None, **options):
    engine = engine or DatasketchEngine()
    return LocalCollection(lambda: pieces, lambda _threads: engine, **options)


@pytest.fixture(scope="module")
def corpus():
    return planted_corpus(
        documents=800, items=200, structures=5, structure_size=(4, 8), frequency=0.05, seed=4
    )


# ---------------------------------------------------------------------------- documents


def test_documents_of_a_corpus_file():
    pieces = list(read_bags(LINES, max_entries=3))
    assert [len(piece) for piece in pieces] == [1, 2]
    documents = list(numbered_documents(pieces))
    assert [d.keys.tolist() for d in documents] == [[0], [1, 2]]
    assert documents[1].items.tolist() == [2**32 - 1]
    assert documents[1].frequencies.tolist() == [7]
    assert list(numbered_documents([])) == []


def test_more_documents_than_keys(monkeypatch):
    monkeypatch.setattr(local, "_U32_MAX", 1)
    with pytest.raises(InputError, match="at most 2 documents"):
        list(numbered_documents(read_bags(LINES)))


@pytest.mark.parametrize("room", [0, 1 << 20])
def test_pieces_are_the_same_every_time(corpus, monkeypatch, room):
    """Kept or drawn again, of the documents and of decoys; piece by piece shuffled by `decoy`."""
    monkeypatch.setattr(local, "_KEPT_ENTRIES", room)
    drawn = []
    parts = pieces_of(corpus, 3)
    one = LocalCollection(lambda: drawn.append(1) or parts, lambda _: DatasketchEngine(), seed=7)
    for _ in range(2):
        assert [p.items.tolist() for p in one.pieces(None)] == [p.items.tolist() for p in parts]
        assert [p.items.tolist() for p in one.pieces(5)] == [
            decoy(part, seed=7, number=5, piece=n).items.tolist() for n, part in enumerate(parts)
        ]
    assert len(drawn) == (1 if room else 4)


def test_decoys_keep_totals_and_differ(corpus):
    (documents,) = pieces_of(corpus, 1)
    first, again, other, elsewhere = (
        decoy(documents, seed=1, number=number, piece=piece)
        for number, piece in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert first.items.tolist() == again.items.tolist()
    for one in (other, elsewhere):
        assert first.items.tolist() != one.items.tolist()
    assert first.keys is documents.keys
    assert np.bincount(first.items).tolist() == np.bincount(documents.items).tolist()
    assert first.offsets.tolist() == documents.offsets.tolist()
    assert np.bincount(first.items, first.frequencies).tolist() == (
        np.bincount(documents.items, documents.frequencies).tolist()
    )


def test_totals_of_pieces_add_up(corpus):
    whole = Totals.of(Bags(corpus.offsets, corpus.items, corpus.freqs))
    parts = collection_of(pieces_of(corpus, 5)[::-1]).totals()
    for name in ("words", "word_images", "image_sizes", "image_counts"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()
    assert whole.word_images.tolist() == np.bincount(corpus.items)[whole.words].tolist()
    assert len(Totals.sum([]).chance().words) == 0


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_tallies_add_up_over_pieces_and_threads(corpus, cores):
    """Occurrences of each word, in the documents and in decoy 1; nobody asks about decoy 0."""

    def counter(documents):
        return np.bincount(documents.items, documents.frequencies, minlength=200).astype(np.int64)

    one = collection_of(pieces_of(corpus, 3), cores=cores)
    of_documents, of_none, of_decoy = one.tallies("words", [counter, None, counter])
    expected = np.bincount(corpus.items, corpus.freqs, minlength=200).tolist()
    assert of_documents.tolist() == of_decoy.tolist() == expected
    assert of_none is None
    assert collection_of([]).tallies("words", [counter])[0].tolist() == [0] * 200


# ---------------------------------------------------------------------------- mining


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_groups_are_found(engine):
    """Four groups of five words, each in a twentieth of 300 documents."""
    documents = planted(documents=300, words=200, share=0.05)
    pieces = [batch(documents[i : i + 5]) for i in range(0, 300, 5)]
    sketch = Sketch(3, 200)
    found, look = mine(collection_of(pieces, engine), sketch, SingleLink(), ALONE)
    items, offsets = found.structures.items, found.structures.offsets
    models = [set(items[offsets[i] : offsets[i + 1]].tolist()) for i in range(len(found))]
    for group in range(4):
        words = set(range(5 * group, 5 * group + 5))
        assert any(len(words & one) / len(words | one) >= 0.5 for one in models)
    again, other = mine(collection_of(pieces[::-1], engine), sketch, SingleLink(), ALONE)
    assert same_structures(found.structures, again.structures)
    assert look.mined == other.mined > look.different == other.different > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_structures_are_found_and_believed(corpus, engine):
    one = collection_of(pieces_of(corpus, 1), engine, cores=2)
    result, _ = mine(one, Sketch(2, 300), Consensus(), Trials(decoys=4, seeds=2))
    count = int((result.significant & result.reproducible).sum())
    ends = result.structures.offsets[: count + 1]
    kept = rows(
        *(
            result.structures.items[a:b].tolist()
            for a, b in zip(ends[:-1], ends[1:], strict=True)  # noqa: RUF007
        )
    )
    truth = rows(*(words.tolist() for words in corpus.structures))
    assert np.mean(best_matches(truth, kept)[1] >= 0.5) >= 0.8
    assert np.mean(best_matches(kept, truth)[1] < 0.5) <= 0.2


@needs_binary
@pytest.mark.parametrize("cores", [1, 7])
def test_single_link_is_the_engines_own_steps(corpus, cores):
    """Also where cluster tables are shared out among more cores than minings."""
    engine = get_engine("native")
    one = collection_of(pieces_of(corpus, 2), engine, cores=cores)
    link = SingleLink(tables=100, overlap=0.8, min_cluster_size=5)
    result, look = mine(one, Sketch(3, 500), link, Trials(decoys=1, seeds=0))
    sets = engine.mine(engine.sketch(pieces_of(corpus, 1), tuple_size=3, tables=500))
    links = engine.cluster(sets, tables=100, overlap=0.8)
    expected = build_structures(sets, links, min_cluster_size=5)
    assert (look.mined, look.different) == (sets.mined, len(sets))
    assert sorted(result.structures.sets.tolist()) == sorted(expected.sets.tolist())
    assert sorted(result.structures.items.tolist()) == sorted(expected.items.tolist())
    assert len(result) > 0


@needs_binary
@pytest.mark.parametrize("cores", [1, 3])
def test_pieces_and_cores_change_only_the_decoys(corpus, cores):
    whole, parts = (
        mine(
            collection_of(pieces_of(corpus, count), get_engine("native"), cores=own),
            Sketch(2, 300),
            Consensus(),
            Trials(decoys=2, seeds=1),
        )[0]
        for count, own in ((1, 1), (3, cores))
    )
    assert same_structures(whole.structures, parts.structures)
    assert whole.support.tolist() == parts.support.tolist()
    assert whole.expected_support.tolist() == parts.expected_support.tolist()
    assert whole.stability.tolist() == parts.stability.tolist()
    assert len(whole) >= 4


@needs_binary
def test_progress_and_reproduction(corpus):
    told = []

    def mined(**options):
        one = collection_of(pieces_of(corpus, 2), get_engine("native"), **options)
        return mine(one, Sketch(2, 100), Consensus(), Trials(decoys=2, seeds=1))[0]

    first = mined(progress=lambda *step: told.append(step))
    again = mined(cores=2)
    for what in ("collections mined", "pairs of words", "structures"):
        assert [step for step in told if step[0] == what] == [(what, n, 4) for n in range(5)]
    assert ("collections counted: support", 1, 1) in told
    assert first.q.tolist() == again.q.tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("link", [Consensus(), SingleLink()])
def test_an_empty_collection_has_no_structures(engine, link):
    trials = Trials(decoys=1, seeds=1)
    result, look = mine(collection_of([], engine), Sketch(2, 5), link, trials)
    assert (len(result), look.mined, look.different) == (0, 0, 0)


def test_wrong_numbers_of_runs():
    with pytest.raises(SettingsError, match="must not be negative, got -1 and 3"):
        Trials(decoys=-1)


def test_other_seeds_differ():
    seeds = Trials(seed=12345678, seeds=1000).seeds_of_images()
    assert seeds[0] == 12345678
    assert len(set(seeds)) == 1001
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.skipif(
    not (DATA / "words" / "ap.dat").is_file(), reason="shared/data/words/ap.dat is not here"
)
class TestAssociatedPress:
    """The reference's own numbers: 190k-192k sets, 2,507-2,537 structures, recall 0.155."""

    def mine(self, engine):
        with (DATA / "words" / "ap.dat").open("rb") as lines:
            documents = list(numbered_documents(read_bags(lines, name="ap.dat")))
        assert sum(map(len, documents)) == 2246
        return mine(collection_of(documents, engine), Sketch(2, 432), SingleLink(), ALONE)

    def references(self):
        for seed in (1, 2):
            with (DATA / "words" / f"ap.r2.l432.seed{seed}.model").open("rb") as lines:
                (model,) = read_bags(lines)
                yield model

    def test_agreement_with_the_reference(self):
        found, sets = self.mine(get_engine("native") if BINARY.is_file() else DatasketchEngine())
        assert 190_000 * 0.99 <= sets.mined <= 192_000 * 1.01
        assert 2507 * 0.95 <= len(found) <= 2537 * 1.05
        for reference in self.references():
            assert cross_recall(found.structures, reference) == pytest.approx(0.155, abs=0.03)

    @pytest.mark.heavy
    @pytest.mark.skipif(not BINARY.is_file(), reason="native/build/smh is not built")
    def test_engines_agree(self):
        (fast, _), (slow, _) = (self.mine(e) for e in (get_engine("native"), DatasketchEngine()))
        assert same_structures(fast.structures, slow.structures)
