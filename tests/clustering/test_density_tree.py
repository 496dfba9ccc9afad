"""The tree of HDBSCAN: against scipy's single linkage, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, is_valid_linkage, linkage
from scipy.spatial.distance import cdist, squareform

from minia_spark.clustering import fit
from minia_spark.clustering.tree import condensed, grown


@settings(max_examples=30)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=25), st.integers(1, 4))
def test_the_tree_is_that_of_scipy(places, neighbours):
    vectors = np.array(places, np.float64)[:, None]
    apart = cdist(vectors, vectors)
    core = np.sort(apart, axis=1)[:, min(neighbours, len(places)) - 1]
    tree = grown(vectors, core)
    reach = np.maximum(np.maximum(apart, core), core[:, None])
    np.fill_diagonal(reach, 0)
    wanted = linkage(squareform(reach, checks=False), "single")
    assert is_valid_linkage(tree)
    assert np.array_equal(tree[:, 2], wanted[:, 2])
    for height in np.unique(tree[:, 2]):
        one, other = (fcluster(t, height, "distance") for t in (tree, wanted))
        assert np.array_equal(one[:, None] == one, other[:, None] == other)


def test_condensed_by_hand():
    """Two groups on a line and a lone point, which leaves first; then the groups part."""
    line = np.array([0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 1e3])[:, None]
    model = fit.density(line, 3, 2)
    root, *groups = condensed(model.arrays["tree"], model.arrays["labels"], 3)
    assert (root.parent, root.size, root.cluster) == (-1, 11, -1)
    assert root.leaves == pytest.approx(np.array([[1 / 896, 1]]))
    assert root.end == pytest.approx(1 / 96)
    assert [(g.parent, g.size, g.cluster, g.start) for g in groups] == [
        (0, 5, 0, root.end),
        (0, 5, 1, root.end),
    ]
    for group in groups:
        assert group.end == 1
        assert group.leaves[:, 1].sum() == 5


def test_equal_vectors_are_one_branch_of_infinite_density():
    model = fit.density(np.full((6, 2), 3.0), 2, None)
    branches = condensed(model.arrays["tree"], model.arrays["labels"], 3)
    assert sum(b.leaves[:, 1].sum() for b in branches) == 6
    assert branches[0].end == np.inf


@pytest.mark.parametrize("count", [0, 1])
def test_what_is_no_tree(count):
    assert grown(np.zeros((count, 2)), np.zeros(count)).shape == (0, 4)


def test_every_image_leaves_once_and_chosen_clusters_are_branches():
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(5, 3)) * 8
    vectors = centres[rng.integers(0, 5, 300)] + rng.normal(size=(300, 3))
    model = fit.density(vectors, 8, None)
    branches = condensed(model.arrays["tree"], model.arrays["labels"], 8)
    assert sum(b.leaves[:, 1].sum() for b in branches) == 300
    chosen = {b.cluster: b.size for b in branches if b.cluster >= 0}
    labels = model.arrays["labels"]
    assert chosen == {c: int((labels == c).sum()) for c in range(labels.max() + 1)}
    assert all(b.end >= b.start for b in branches)
    assert all(b.parent < i for i, b in enumerate(branches))
