"""Plots: the numbers behind them by hand, the files by opening them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from minia_spark.report.plots import (
    DARK,
    LIGHT,
    outlier_bounds,
    plot_costs,
    plot_drift,
    plot_pca,
    plot_word_counts,
    principal_axes,
)

from .site import EMPTY, ODD, batch, drift


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_principal_axes_by_hand():
    # On a line through (1, 2, 2) / 3: all variance on the first axis, whose largest entry is > 0.
    rows = np.outer([-3, 0, 3], [1, 2, 2]).astype(np.float32) + 5
    mean, axes, shares = principal_axes(rows)
    np.testing.assert_allclose(mean, [5, 5, 5])
    np.testing.assert_allclose(axes[:, 0], [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


@pytest.mark.parametrize("rows", [np.ones((1, 4)), np.ones((5, 4)), np.arange(3.0)[:, None]])
def test_principal_axes_of_degenerate_rows(rows):
    _, axes, shares = principal_axes(rows)
    assert axes.shape == (rows.shape[1], 2)
    assert np.isfinite(axes).all()
    assert np.isfinite(shares).all()


def test_outlier_bounds():
    assert outlier_bounds(np.array([1, 3]), 2.0) == (0.0, 4.0)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_plots_are_transparent_pictures(theme):
    rng = np.random.default_rng(1)
    descriptors = rng.integers(0, 255, (300, 16)).astype(np.float32)
    for png in (
        plot_pca(descriptors, descriptors[:20], theme),
        plot_pca(descriptors[:0], descriptors[:1], theme),
        plot_word_counts(rng.integers(0, 90, 50), 2.0, theme),
        plot_word_counts(np.array([0]), 2.0, theme),
        plot_costs([1e9, 5e8, 4.9e8], theme),
        plot_costs([0.0], theme),
    ):
        image = pixels(png)
        assert image.shape == (600, 960, 4)
        assert (image[..., 3] == 0).mean() > 0.5
        assert (image[..., 3] == 255).any()


def test_the_same_data_gives_the_same_bytes():
    counts = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    assert plot_word_counts(counts, 2.0, LIGHT) == plot_word_counts(counts, 2.0, LIGHT)
    assert plot_word_counts(counts, 2.0, LIGHT) != plot_word_counts(counts, 2.0, DARK)


@pytest.mark.parametrize("count", [2, 60])
@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_drift(count, theme):
    calm = [batch(f"b{number}") for number in range(count - 1)]
    plain = pixels(plot_drift(drift(batch("calm"), *calm), theme))
    odd = pixels(plot_drift(drift(batch("odd", **ODD), *calm), theme))
    assert plain.shape == odd.shape
    assert (plain != odd).any()
    # a single image has no deviation to draw, a batch without features nothing at all
    alone = batch("x", error_deviation=float("inf"))
    assert plot_drift(drift(alone, batch("none", **EMPTY), *calm), theme)
