"""Nearest vectors: by hand, against all distances one by one, and in any pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.neighbours import nearest as module
from minia_spark.neighbours.nearest import Hits, Lists, Search, merged, nearest, prepared


def slow(queries, collection, count, own, distance="euclidean"):
    """Every distance by itself, in Python's own loops; sorted by (distance, position)."""
    positions = np.full((len(queries), count), -1, np.int64)
    distances = np.full((len(queries), count), np.inf)
    for i, query in enumerate(queries):
        found = []
        for j, other in enumerate(collection):
            if j != own[i]:
                difference = query.astype(np.float64) - other
                square = np.einsum("ij,ij->i", difference[None], difference[None])[0]
                found.append((square / 2 if distance == "cosine" else np.sqrt(square), j))
        for place, (far, j) in enumerate(sorted(found)[:count]):
            positions[i, place], distances[i, place] = j, far
    return Lists(positions, distances)


def same(left: Lists, right: Lists) -> bool:
    return np.array_equal(left.positions, right.positions) and np.array_equal(
        left.distances, right.distances
    )


def whole(vectors):
    return [(np.arange(len(vectors)), vectors)]


def on_a_line(*numbers):
    return np.array(numbers, np.float32)[:, None]


class TestByHand:
    def test_on_a_line(self):
        vectors = on_a_line(0, 1, 3, 7)
        found = nearest(vectors, whole(vectors), 2, own=np.arange(4))
        assert found.positions.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
        assert found.distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]

    def test_of_equally_near_ones_the_smaller_position_comes_first(self):
        found = nearest(on_a_line(0), whole(on_a_line(1, -1, 1, -1)), 3)
        assert found.positions.tolist() == [[0, 1, 2]]

    def test_fewer_than_wanted(self):
        vectors = on_a_line(5, 6)
        found = nearest(vectors, whole(vectors), 3, own=np.arange(2))
        assert found.positions.tolist() == [[1, -1, -1], [0, -1, -1]]
        assert found.distances.tolist() == [[1, np.inf, np.inf]] * 2

    def test_none_at_all(self):
        none = np.zeros((0, 4), np.float32)
        assert nearest(none, whole(none), 3).positions.shape == (0, 3)
        alone = np.ones((1, 4), np.float32)
        assert nearest(alone, whole(none), 2).positions.tolist() == [[-1, -1]]

    def test_cosine_knows_no_length(self):
        vectors = prepared(np.array([[1, 0], [5, 0], [0, 2], [-3, 0]], np.float32), "cosine")
        own = np.zeros(1, np.int64)
        found = nearest(vectors[:1], whole(vectors), 3, own=own, distance="cosine")
        assert found.positions.tolist() == [[1, 2, 3]]
        assert found.distances.tolist() == [[0, 1, 2]]

    def test_zeros_have_no_direction(self):
        vectors = prepared(np.array([[0, 0], [1, 0]], np.float32), "cosine")
        assert vectors.tolist() == [[0, 0], [1, 0]]

    def test_lists_are_merged_by_distance_then_position(self):
        left = Lists(np.array([[4, 1]]), np.array([[1.0, 2.0]]))
        right = Lists(np.array([[3, -1]]), np.array([[1.0, np.inf]]))
        assert merged(left, right, 3).positions.tolist() == [[3, 4, 1]]


def grown(vectors, known, new, count, distance="euclidean", sizes=(10_000,)):
    """Lists of all, where new ones come to those that lists are known of, a piece after another."""
    reach = known.distances[:, -1].copy()
    reach[new] = -np.inf
    search = Search(vectors[new], count, own=new, distance=distance)
    hits, first = Hits.none(), 0
    while first < len(vectors):
        here = np.arange(first, min(first + sizes[0], len(vectors)))
        told = search.add(here, vectors[here], reach[here])
        assert (np.diff(told.positions) >= 0).all()
        assert np.unique(told.positions, return_counts=True)[1].max(initial=0) <= count
        hits, first, sizes = hits + told, first + sizes[0], sizes[1:] or sizes
    found = Lists(known.positions.copy(), known.distances.copy())
    found.positions[new], found.distances[new] = search.lists.positions, search.lists.distances
    for position, row, far in zip(hits.positions, hits.rows, hits.distances, strict=True):
        one = Lists(np.array([[new[row]]]), np.array([[far]]))
        here = slice(position, position + 1)
        better = merged(Lists(found.positions[here], found.distances[here]), one, count)
        found.positions[here], found.distances[here] = better.positions, better.distances
    return found


def of_old(vectors, new, count, distance="euclidean"):
    """Lists of all but the new ones, which have none."""
    old = np.setdiff1d(np.arange(len(vectors)), new)
    lists = nearest(vectors[old], [(old, vectors[old])], count, own=old, distance=distance)
    shape = (len(vectors), count)
    found = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
    found.positions[old], found.distances[old] = lists.positions, lists.distances
    return found


class TestWhoHasToListThem:
    def test_by_hand(self):
        vectors = on_a_line(0, 1, 3, 7, 2)  # the last one is new
        known = of_old(vectors, np.array([4]), 2)
        assert known.positions.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1], [-1, -1]]
        assert known.distances.tolist()[:4] == [[1, 3], [1, 2], [2, 3], [4, 6]]
        search = Search(vectors[4:], 2, own=np.array([4]))
        reach = np.append(known.distances[:4, 1], -np.inf)
        hits = search.add(np.arange(5), vectors, reach)
        assert search.lists.positions.tolist() == [[1, 2]]
        assert hits.positions.tolist() == [0, 1, 2, 3]
        assert hits.distances.tolist() == [2, 1, 1, 5]
        assert hits.rows.tolist() == [0, 0, 0, 0]
        reach[3] = 4.9  # nobody as far as 5 is wanted
        assert search.add(np.arange(5), vectors, reach).positions.tolist() == [0, 1, 2]

    def test_a_list_that_is_not_full_takes_everybody(self):
        vectors = on_a_line(0, 5, 6)
        new = np.array([1, 2])
        found = grown(vectors, of_old(vectors, new, 3), new, 3)
        assert found.positions.tolist() == [[1, 2, -1], [2, 0, -1], [1, 0, -1]]

    def test_an_equally_near_one_that_comes_first_by_its_position(self):
        vectors = np.zeros((70, 3), np.float32)  # copies, whose lists hold the first of them
        for new in (np.arange(2), np.array([5, 69])):
            found = grown(vectors, of_old(vectors, new, 4), new, 4)
            assert same(found, slow(vectors, vectors, 4, np.arange(70)))

    @settings(max_examples=40)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 3, 17, 64]))
    def test_any_vectors(self, seed, count, numbers):
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(random.integers(1, 90), numbers)).astype(np.float32)
        vectors[random.integers(0, len(vectors), len(vectors) // 3)] = vectors[0]
        if seed % 3 == 0:
            vectors = np.round(vectors)
        if seed % 5 == 0:
            vectors += np.float32(1000)
        distance = "cosine" if seed % 2 else "euclidean"
        vectors = prepared(vectors, distance)
        new = np.flatnonzero(random.random(len(vectors)) < random.random())
        known = of_old(vectors, new, count, distance)
        sizes = tuple(random.integers(1, 60, 3).tolist())
        found = grown(vectors, known, new, count, distance, sizes)
        assert same(found, slow(vectors, vectors, count, np.arange(len(vectors)), distance))

    @pytest.mark.parametrize("most", [1, 1 << 20])
    def test_more_than_a_block_holds(self, monkeypatch, most):
        monkeypatch.setattr(module, "_HITS", most)
        monkeypatch.setattr(module, "_ROWS", 100)
        random = np.random.default_rng(3)
        vectors = np.round(random.normal(size=(2500, 4)) * 4).astype(np.float32)
        vectors[random.integers(0, 2500, 1200)] = vectors[7]
        new = np.flatnonzero(random.random(2500) < 0.2)
        every = np.arange(2500)
        wanted = nearest(vectors, whole(vectors), 6, own=every)
        assert same(grown(vectors, of_old(vectors, new, 6), new, 6), wanted)


class TestTwin:
    @settings(max_examples=40)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.sampled_from([1, 3, 17, 64]))
    def test_any_vectors(self, seed, count, numbers):
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(random.integers(1, 90), numbers)).astype(np.float32)
        vectors[random.integers(0, len(vectors), len(vectors) // 3)] = vectors[0]  # copies
        if seed % 3 == 0:
            vectors = np.round(vectors)  # many are equally near
        if seed % 5 == 0:
            vectors += np.float32(1000)  # float32 alone would see little of the differences
        distance = "cosine" if seed % 2 else "euclidean"
        vectors = prepared(vectors, distance)
        own = np.arange(len(vectors))
        found = nearest(vectors, whole(vectors), count, own=own, distance=distance)
        assert same(found, slow(vectors, vectors, count, own, distance))

    def test_more_than_a_block_holds(self):
        random = np.random.default_rng(3)
        vectors = random.normal(size=(2500, 8)).astype(np.float32)
        vectors[1000:1900] = vectors[7]  # a crowd of equal images
        asked = np.array([0, 7, 1000, 1899, 2499])
        found = nearest(vectors[asked], whole(vectors), 20, own=asked)
        assert same(found, slow(vectors[asked], vectors, 20, asked))


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(5)
    centres = random.normal(size=(9, 24)) * 2
    found = centres[random.integers(0, 9, 1500)] + random.normal(size=(1500, 24))
    found[100:130] = found[5]
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def lists(vectors):
    return nearest(vectors, whole(vectors), 15, own=np.arange(1500))


class TestPieces:
    def test_queries_by_themselves(self, vectors, lists):
        for asked in (slice(0, 1), slice(700, 703), slice(1499, 1500)):
            found = nearest(vectors[asked], whole(vectors), 15, own=np.arange(1500)[asked])
            assert np.array_equal(found.positions, lists.positions[asked])
            assert np.array_equal(found.distances, lists.distances[asked])

    @pytest.mark.parametrize("rows", [1, 100, 257])
    def test_blocks_of_any_size(self, monkeypatch, vectors, lists, rows):
        monkeypatch.setattr(module, "_ROWS", rows)
        asked = slice(0, 300)
        found = nearest(vectors[asked], whole(vectors), 15, own=np.arange(300))
        assert np.array_equal(found.distances, lists.distances[asked])

    def test_a_collection_in_pieces_of_any_order(self, vectors, lists):
        random = np.random.default_rng(6)
        parts = np.array_split(random.permutation(1500), 4)
        pieces = [(np.sort(part), vectors[np.sort(part)]) for part in parts]
        assert same(nearest(vectors, pieces, 15, own=np.arange(1500)), lists)

    def test_old_lists_and_new_images(self, vectors, lists):
        """What a new batch adds to lists that are there makes those of the whole."""
        old, new = np.arange(1300), np.arange(1300, 1500)
        known = nearest(vectors[old], [(old, vectors[old])], 15, own=old)
        grown = nearest(vectors[old], [(new, vectors[new])], 15, own=old, known=known)
        fresh = nearest(vectors[new], whole(vectors), 15, own=new)
        assert np.array_equal(np.concatenate([grown.positions, fresh.positions]), lists.positions)
        assert np.array_equal(np.concatenate([grown.distances, fresh.distances]), lists.distances)

    def test_lists_within_a_reach(self, vectors, lists):
        """Who is as near as the last one of a list is told, and nobody else."""
        old, new = np.arange(1300), np.arange(1300, 1500)
        known = nearest(vectors[old], [(old, vectors[old])], 15, own=old)
        within = Lists.within(known.distances[:, -1], 15)
        found = nearest(vectors[old], [(new, vectors[new])], 15, own=old, known=within)
        assert same(merged(known, found, 15), Lists(lists.positions[:1300], lists.distances[:1300]))
        assert (found.positions >= 0).sum() < 15 * 1300 / 4

    def test_a_crowd_of_equal_images_is_not_compared_pair_by_pair(self):
        vectors = np.zeros((4000, 4), np.float32)
        kept = module._not_copied_often(vectors, 51)
        assert kept.tolist() == list(range(51))
        vectors[::2] = 1
        assert module._not_copied_often(vectors, 2).tolist() == [0, 1, 2, 3]
