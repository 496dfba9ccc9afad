"""Planted corpora: the shape, the truth, and that the statistics are those asked for."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.base.errors import SettingsError
from minia_spark.sky.corpus import planted_corpus


def dense(corpus, items):
    matrix = np.zeros((len(corpus.keys), items), dtype=int)
    document = np.repeat(np.arange(len(corpus.keys)), np.diff(corpus.offsets))
    matrix[document, corpus.items] = corpus.freqs
    return matrix


def test_rows_are_ascending_and_distinct():
    corpus = planted_corpus(documents=500, items=60, background_words=30, structures=3)
    assert corpus.offsets[0] == 0
    assert corpus.offsets[-1] == len(corpus.items) == len(corpus.freqs)
    np.testing.assert_array_equal(corpus.keys, np.arange(500))
    for start, stop in zip(corpus.offsets, corpus.offsets[1:], strict=False):
        assert (np.diff(corpus.items[start:stop].astype(int)) > 0).all()
    assert corpus.freqs.min() >= 1
    assert corpus.items.max() < 60
    types = (corpus.keys.dtype, corpus.offsets.dtype, corpus.items.dtype, corpus.freqs.dtype)
    assert types == (np.uint32, np.int64, np.uint32, np.uint32)


def test_without_noise_and_background_a_document_is_its_structures():
    corpus = planted_corpus(
        documents=300,
        items=50,
        structures=4,
        structure_size=(3, 5),
        frequency=0.3,
        noise=0,
        background_words=0,
    )
    expected = np.zeros((300, 50), dtype=int)
    for words, members in zip(corpus.structures, corpus.members, strict=True):
        assert 3 <= len(words) <= 5
        expected[np.ix_(members, words)] += 1
    np.testing.assert_array_equal(dense(corpus, 50), expected)
    assert len(np.unique(np.concatenate(corpus.structures))) == sum(map(len, corpus.structures))


def test_noise_and_frequency_are_those_asked_for():
    corpus = planted_corpus(
        documents=20_000, items=1000, structures=10, frequency=0.05, noise=0.2, background_words=0
    )
    has = dense(corpus, 1000) > 0
    for words, members in zip(corpus.structures, corpus.members, strict=True):
        assert len(members) == pytest.approx(1000, abs=150)
        assert has[np.ix_(members, words)].mean() == pytest.approx(0.8, abs=0.03)


def test_background_is_zipf():
    corpus = planted_corpus(
        documents=20_000, items=100, structures=0, background_words=20, zipf_exponent=1.0
    )
    totals = np.sort(dense(corpus, 100).sum(axis=0))[::-1]
    expected = 400_000 / np.arange(1, 101) / (1 / np.arange(1, 101)).sum()
    np.testing.assert_allclose(totals[:20], expected[:20], rtol=0.06)
    assert corpus.structures == corpus.members == ()


def test_more_documents_extend_a_corpus():
    short = planted_corpus(documents=1000, items=80, structures=3, seed=4)
    long = planted_corpus(documents=17_000, items=80, structures=3, seed=4)
    np.testing.assert_array_equal(long.offsets[:1001], short.offsets)
    np.testing.assert_array_equal(long.items[: len(short.items)], short.items)
    np.testing.assert_array_equal(long.freqs[: len(short.freqs)], short.freqs)
    for more, fewer in zip(long.members, short.members, strict=True):
        np.testing.assert_array_equal(more[more < 1000], fewer)
    assert planted_corpus(documents=9, items=80, seed=5).items.tolist() != (
        planted_corpus(documents=9, items=80, seed=6).items.tolist()
    )


def test_structures_share_words_where_the_codebook_is_small():
    corpus = planted_corpus(documents=10, items=6, structures=5, structure_size=(4, 4))
    assert [len(np.unique(words)) for words in corpus.structures] == [4] * 5


def test_no_documents():
    corpus = planted_corpus(documents=0, items=10, structures=2, structure_size=(2, 3))
    assert corpus.offsets.tolist() == [0]
    assert len(corpus.items) == len(corpus.freqs) == len(corpus.keys) == 0
    assert [len(members) for members in corpus.members] == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"documents": -1}, "documents is -1, must be 0 or more"),
        ({"items": 0}, "items is 0"),
        ({"structures": -1}, "structures is -1"),
        ({"structure_size": (5, 4)}, r"structure_size is \(5, 4\)"),
        ({"structure_size": (5, 101)}, r"within \[1, 100\]"),
        ({"frequency": 2.0}, "frequency is 2.0"),
        ({"noise": 1.0}, r"noise is 1.0, must be in \[0, 1\)"),
        ({"background_words": -1.0}, "background_words is -1.0"),
        ({"zipf_exponent": -0.1}, "zipf_exponent is -0.1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(SettingsError, match=message):
        planted_corpus(**({"documents": 5, "items": 100} | wrong))
