"""The nearest images, whatever the pieces: against the sum that everybody writes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.embedding.tfidf import idf
from minia_spark.frames.scan import best, by_vector, by_words

LISTS = pa.list_(pa.int32())


def _rows(bags):
    return pa.table(
        {
            "batch": ["b"] * len(bags),
            "image_id": [f"i{n:02d}" for n in range(len(bags))],
            "words": pa.array([sorted(bag) for bag in bags], pa.list_(pa.int32())),
            "counts": pa.array(
                [[bag[w] for w in sorted(bag)] for bag in bags], pa.list_(pa.int32())
            ),
        }
    )


def _found(work, table, count, size):
    return best(pa.Table.from_batches(list(work(table.to_batches(size)))), count)


BAGS = st.lists(
    st.dictionaries(st.integers(0, 5), st.integers(1, 4), max_size=5), min_size=1, max_size=12
)
OWN = st.dictionaries(st.integers(0, 5), st.integers(1, 4), min_size=1)


class TestByWords:
    @given(
        BAGS, st.dictionaries(st.integers(0, 5), st.integers(1, 4), min_size=1), st.integers(1, 5)
    )
    def test_as_the_naive_cosine(self, bags, own, size):
        weights = idf(np.array([sum(w in bag for bag in bags) for w in range(6)]), len(bags) + 1)
        words = np.array(sorted(own))
        counts = np.array([own[w] for w in sorted(own)])
        found = _found(by_words(words, counts, weights, 4), _rows(bags), 4, size)

        def dense(bag):
            vector = np.array([bag.get(w, 0) for w in range(6)]) * weights
            length = np.linalg.norm(vector)
            return vector / length if length else vector

        cosines = [float(dense(bag) @ dense(own)) for bag in bags]
        wanted = sorted(c for c in cosines if c > 0)[::-1][:4]
        assert found["distance"].to_pylist() == pytest.approx([1 - c for c in wanted], abs=1e-12)

    def test_pieces_change_no_bit(self):
        rng = np.random.default_rng(3)
        bags = [
            {int(w): 1 + int(w) % 3 for w in rng.choice(40, 8, replace=False)} for _ in range(50)
        ]
        work = by_words(np.arange(8), np.ones(8, int), rng.uniform(0.1, 3, 40), 10)
        whole = _found(work, _rows(bags), 10, 50)
        assert _found(work, _rows(bags), 10, 7).equals(whole)
        assert whole.num_rows == 10


class TestByVector:
    TABLE = pa.table(
        {
            "batch": ["b", "b", "a", "a"],
            "image_id": ["far", "none", "near", "as near"],
            "vector": pa.array([[4.0, 4], None, [1, 1], [1, 1]], pa.list_(pa.float32())),
        }
    )

    @pytest.mark.parametrize("size", [1, 2, 4])
    def test_euclidean(self, size):
        found = _found(by_vector(np.float32([1, 0]), "euclidean", 3), self.TABLE, 3, size)
        assert found["image_id"].to_pylist() == ["as near", "near", "far"]
        assert found["distance"].to_pylist() == [1.0, 1.0, 5.0]

    def test_cosine(self):
        found = _found(by_vector(np.float32([2, 0]), "cosine", 1), self.TABLE, 1, 4)
        assert found["distance"].to_pylist() == pytest.approx([1 - np.sqrt(0.5)], abs=1e-7)
