"""Weighted words: by hand, against NumPy's own decomposition, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from minia_spark.embedding import tfidf
from minia_spark.embedding.tfidf import components, idf, projected, weighted

WORDS = np.array([0, 1, 0, 2, 1], np.int32)
COUNTS = np.array([2, 1, 1, 3, 5], np.int32)
OFFSETS = np.array([0, 2, 4, 5, 5])


def bags(seed=1, images=300, words=200):
    random = np.random.default_rng(seed)
    kinds = random.random((5, words)) ** 6
    found = random.poisson(kinds[random.integers(0, 5, images)] * 2)
    rows, columns = np.nonzero(found)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=images))])
    return columns.astype(np.int32), found[rows, columns].astype(np.int32), offsets


class TestByHand:
    def test_rare_words_count_more(self):
        assert idf(np.array([4, 2, 1, 0]), 4).tolist() == pytest.approx(
            [0, np.log(2), np.log(4), np.log(4)]
        )

    def test_rows_have_length_one(self):
        found = weighted(WORDS, COUNTS, OFFSETS, np.array([1.0, 2.0, 0.5])).toarray()
        first = np.array([2, 2, 0]) / np.sqrt(8)
        second = np.array([1, 0, 1.5]) / np.sqrt(3.25)
        assert found == pytest.approx(np.array([first, second, [0, 1, 0], [0, 0, 0]]))

    def test_an_image_without_words_has_no_embedding(self):
        vectors, has = projected(weighted(WORDS, COUNTS, OFFSETS, np.ones(3)), None)
        assert has.tolist() == [True, True, True, False]
        assert vectors.dtype == np.float32
        assert not vectors[3].any()

    def test_a_word_of_all_images_says_nothing(self):
        _, has = projected(weighted(WORDS, COUNTS, OFFSETS, np.zeros(3)), None)
        assert not has.any()

    def test_no_images(self):
        none = np.zeros(0, np.int32)
        vectors = weighted(none, none, np.zeros(1, np.int64), np.ones(3))
        matrix, strengths = components(vectors, 2)
        assert matrix.shape == (3, 0)
        assert not len(strengths)


class TestComponents:
    @pytest.mark.parametrize("dense", [0, 5000])
    def test_they_are_those_of_the_whole_decomposition(self, monkeypatch, dense):
        monkeypatch.setattr(tfidf, "_DENSE", dense)
        words, counts, offsets = bags()
        vectors = weighted(words, counts, offsets, np.ones(200))
        matrix, strengths = components(vectors, 12)
        _, values, rows = np.linalg.svd(vectors.toarray(), full_matrices=False)
        assert strengths == pytest.approx(values[:12] ** 2)
        assert np.abs((matrix * rows[:12].T).sum(axis=0)) == pytest.approx(np.ones(12))
        assert (matrix[np.abs(matrix).argmax(axis=0), np.arange(12)] > 0).all()

    def test_no_more_than_images_span(self):
        one = sp.csr_array(np.tile([1.0, 1.0, 0.0], (5, 1)))
        matrix, strengths = components(one, 3)
        assert matrix.shape == (3, 1)
        assert strengths == pytest.approx([10])

    def test_every_image_by_itself(self):
        words, counts, offsets = bags()
        weights = np.random.default_rng(2).random(200)
        matrix, _ = components(weighted(words, counts, offsets, weights), 12)
        every, _ = projected(weighted(words, counts, offsets, weights), matrix)
        for i in (0, 17, 299):
            part = slice(offsets[i], offsets[i + 1])
            own = weighted(words[part], counts[part], offsets[i : i + 2] - offsets[i], weights)
            alone, _ = projected(own, matrix)
            assert np.array_equal(alone[0], every[i])
