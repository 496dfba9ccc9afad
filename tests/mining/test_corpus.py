import numpy as np
import pytest
from cases import BINARY, DATA, ENGINES, batch, planted, same_structures
from minia_spark.mining.corpus import mine_corpus, numbered_documents

from minia_spark.base.bags import read_bags
from minia_spark.base.errors import InputError
from minia_spark.mining.model import cross_recall
from minia_spark.smh.engine import get_engine
from minia_spark.smh.twin import DatasketchEngine

LINES = [b"2 0:1 4:2\n", b"0\n", b"1 4294967295:7\n"]


def test_documents_of_a_corpus_file():
    pieces = list(read_bags(LINES, max_entries=3))
    assert [len(piece) for piece in pieces] == [1, 2]
    documents = list(numbered_documents(pieces, weights=np.array([1.0, 2.0, 3.0])))
    assert [d.keys.tolist() for d in documents] == [[0], [1, 2]]
    assert [d.weights.tolist() for d in documents] == [[1.0], [2.0, 3.0]]
    assert documents[1].items.tolist() == [2**32 - 1]
    assert documents[1].frequencies.tolist() == [7]
    assert list(numbered_documents([])) == []


@pytest.mark.parametrize(
    ("count", "message"), [(2, "2 weights for more documents"), (4, "4 weights for 3 documents")]
)
def test_weights_must_fit(count, message):
    with pytest.raises(InputError, match=message):
        list(numbered_documents(read_bags(LINES), weights=np.ones(count)))


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_groups_are_found(engine):
    """Four groups of five words, each in a twentieth of 300 documents."""
    corpus = planted(documents=300, words=200, share=0.05)
    documents = [batch(corpus[i : i + 5]) for i in range(0, 300, 5)]
    steps = []
    found = mine_corpus(
        documents, engine, tuple_size=3, tables=200, progress=lambda *step: steps.append(step)
    )
    models = [
        set(found.items[found.offsets[i] : found.offsets[i + 1]].tolist())
        for i in range(len(found))
    ]
    for group in range(4):
        words = set(range(5 * group, 5 * group + 5))
        assert any(len(words & one) / len(words | one) >= 0.5 for one in models)
    names = [name for name, _ in steps]
    assert names == ["documents"] * 60 + ["items", "sets", "distinct sets", "structures"]
    assert steps[59] == ("documents", 300)
    assert steps[-1] == ("structures", len(found))
    assert same_structures(found, mine_corpus(documents[::-1], engine, tuple_size=3, tables=200))


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_corpus(engine):
    assert len(mine_corpus([], engine, tuple_size=2, tables=10)) == 0


@pytest.mark.skipif(
    not (DATA / "words" / "ap.dat").is_file(), reason="shared/data/words/ap.dat is not here"
)
class TestAssociatedPress:
    """The reference's own numbers: 190k-192k sets, 2,507-2,537 structures, recall 0.155."""

    def mine(self, engine, **options):
        steps = {}
        with (DATA / "words" / "ap.dat").open("rb") as lines:
            found = mine_corpus(
                numbered_documents(read_bags(lines, name="ap.dat")),
                engine,
                tuple_size=2,
                tables=432,
                progress=steps.__setitem__,
                **options,
            )
        return found, steps

    def references(self):
        for seed in (1, 2):
            with (DATA / "words" / f"ap.r2.l432.seed{seed}.model").open("rb") as lines:
                (model,) = read_bags(lines)
                yield model

    def test_agreement_with_the_reference(self):
        engine = get_engine("native") if BINARY.is_file() else DatasketchEngine()
        found, steps = self.mine(engine)
        assert (steps["documents"], steps["items"]) == (2246, 10473)
        assert 190_000 * 0.99 <= steps["sets"] <= 192_000 * 1.01
        assert 2507 * 0.95 <= steps["structures"] <= 2537 * 1.05
        for reference in self.references():
            assert cross_recall(found, reference) == pytest.approx(0.155, abs=0.03)

    @pytest.mark.heavy
    @pytest.mark.skipif(not BINARY.is_file(), reason="native/build/smh is not built")
    def test_engines_agree(self):
        fast, _ = self.mine(get_engine("native"))
        slow, _ = self.mine(DatasketchEngine())
        assert same_structures(fast, slow)
