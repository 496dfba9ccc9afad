"""Pictures: hostile labels, many clusters, the same bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.cluster.hierarchy import linkage

from minia_spark.clustering.tree import Branch
from minia_spark.lab import figures

HOSTILE = ["$\\frac{$", "a\nb\u202e", "\u4e2d\u6587" * 40, "<script>"]


def picture(figure):
    files = figures.encoded(figure)
    assert set(files) == {"png", "pdf"}
    assert files["pdf"].startswith(b"%PDF")
    return np.asarray(Image.open(io.BytesIO(files["png"])).convert("L"))


def test_labels_may_be_anything():
    counts = {"train": np.arange(16).reshape(4, 4), "test": np.ones((4, 4), int)}
    one, other = (
        figures.encoded(figures.class_histograms(HOSTILE, [-1, 0, 1, 2], counts)) for _ in range(2)
    )
    assert one == other  # nothing of the time or the machine
    few = {split: sizes[0] for split, sizes in counts.items()}
    assert (picture(figures.class_sizes(HOSTILE, few)) < 200).any()


def test_sheets_show_every_image():
    """A white image among black ones is where it belongs."""
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    shown = picture(figures.member_sheet({-1: [black], 0: [black, white, black]}))
    dark = (shown < 50).mean()
    fewer = picture(figures.member_sheet({-1: [black], 0: [black, white]}))
    assert 0.2 < dark < 0.6
    assert picture(figures.member_sheet({})).size > 0
    assert (fewer < 50).mean() != dark


def test_pixels_are_cut_to_bytes():
    found = figures.to_pixels(np.array([[-5.0, 0.4, 0.6, 254.6, 999.0, 7.0] * 2]), 2)
    assert found.shape == (1, 2, 2, 3)
    assert found[0, 0, :, 0].tolist() == [0, 255]
    assert found[0, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("count", [2, 5, 60])
def test_trees_of_any_size(count):
    tree = linkage(np.random.default_rng(0).normal(size=(count, 3)), "ward")
    assert (picture(figures.dendrogram(tree, 3)) < 200).any()


def test_condensed_trees_of_any_depth():
    """A branch is as wide as it has images; equal ones lie infinitely dense."""
    none = np.empty((0, 2))
    branches = [
        Branch(-1, 0.0, 1.0, np.array([[0.5, 4.0]]), 20, -1),
        Branch(0, 1.0, 3.0, np.array([[3.0, 6.0]]), 6, 0),
        Branch(0, 1.0, np.inf, np.array([[2.0, 1.0], [np.inf, 9.0]]), 10, 1),
    ]
    shown = picture(figures.condensed_tree(branches))
    alone = picture(figures.condensed_tree([Branch(-1, 0.0, 0.0, none, 3, -1)]))
    assert (shown < 200).sum() > (alone < 200).sum()


def test_fits_beside_each_other():
    both = (np.array([0.2, np.nan]), np.array([0.1, np.nan]))
    shown = figures.repeat_bars(["kmeans", "kmeans of words"], {"all": both, "balanced": both}, "")
    assert (picture(shown) < 200).any()


def test_what_is_not_known_is_not_drawn():
    nothing = np.array([np.nan, 0.5])
    shown = figures.agreement_bars(["a", "b"], {"ami": (nothing, nothing)})
    assert (picture(shown) < 200).any()
