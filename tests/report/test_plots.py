"""Plots: the numbers behind them by hand, the drawings by what stands where."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.report.plots import (
    nice_ticks,
    plot_drift,
    plot_principal_axes,
    plot_steps,
    plot_word_counts,
    principal_axes,
)

from .site import EMPTY, ODD, batch, drift


def parsed(svg):
    """The drawing as XML; it has a text for those who do not see it, and stays inside its frame."""
    root = ET.fromstring(str(svg))
    assert root.get("aria-label")
    assert root.get("role") == "img"
    width, height = (float(number) for number in root.get("viewBox").split()[2:])
    for element in root.iter("rect"):
        assert -0.1 <= float(element.get("x")) <= width
        assert float(element.get("y")) + float(element.get("height")) <= height
    for element in root.iter("circle"):
        assert 0 <= float(element.get("cx")) <= width
        assert -1 <= float(element.get("cy")) <= height
    for element in root.iter("path"):
        assert re.fullmatch(r"[-MHVLhv0-9. ]+", element.get("d"))
    return root


def titles(root, kind):
    return [element.find("title").text for element in root.iter(kind)]


def texts(root):
    return [element.text for element in root.iter("text")]


def test_principal_axes_by_hand():
    # On a line through (1, 2, 2) / 3: all variance on the first axis, whose largest entry is > 0.
    line = np.outer([-3, 0, 3], [1, 2, 2]).astype(np.float32) + 5
    mean, axes, shares = principal_axes(line)
    np.testing.assert_allclose(mean, [5, 5, 5])
    np.testing.assert_allclose(axes[:, 0], [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


@pytest.mark.parametrize("rows", [np.ones((1, 4)), np.ones((5, 4)), np.arange(3.0)[:, None]])
def test_principal_axes_of_degenerate_rows(rows):
    _, axes, shares = principal_axes(rows)
    assert axes.shape == (rows.shape[1], 2)
    assert np.isfinite(axes).all()
    assert np.isfinite(shares).all()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-0.3, 0.31, [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        (17120.3, 18181.4, [17200, 17400, 17600, 17800, 18000]),
        (0.001, 0.0049, [0.001, 0.002, 0.003, 0.004]),
        (3, 3, [3]),
        (4, 3, [4]),
        (0, math.inf, [0]),
        (math.nan, 1, []),
    ],
)
def test_ticks(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


@given(low=st.floats(-1e9, 1e9), span=st.floats(1e-6, 1e9), wanted=st.integers(2, 10))
def test_any_ticks_are_few_and_inside(low, span, wanted):
    ticks = nice_ticks(low, low + span, wanted)
    assert len(ticks) <= 1.6 * wanted + 1
    assert ticks == sorted(ticks)
    slack = 1e-6 * max(span, abs(low) * 1e-3)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


def test_word_counts_are_stacked_by_what_is_kept():
    # mean 15, sd 29: 90 is beyond mean + 2 sd, 0 is not beyond mean - 2 sd
    counts = np.array([5, 6, 7, 5, 6, 7, 5, 6, 7, 5, 0, 90])
    root = parsed(plot_word_counts(counts, 2.0, "alt"))
    bars = titles(root, "rect")
    assert bars == [
        "11 words, 0 to 18 occurrences (kept)",
        "1 word, 72 to 90 occurrences (outliers)",
    ]
    kinds = [element.get("class") for element in root.iter("rect")]
    assert kinds == ["strong", "warn"]
    heights = [float(element.get("height")) for element in root.iter("rect")]
    assert heights[0] == pytest.approx(11 * heights[1], rel=0.01)
    assert {"mean", "mean + 2 sd", "occurrences of a word", "words"} <= set(texts(root))
    assert "mean \N{MINUS SIGN} 2 sd" not in texts(root)  # counts have no negative side


def test_one_bin_can_hold_both():
    # with a narrow bound the bin of 0 and 1 has kept and dropped words, one above the other
    counts = np.array([0] * 5 + [1] * 20 + [9])
    root = parsed(plot_word_counts(counts, 0.5, "alt"))
    first = [element for element in root.iter("rect") if float(element.get("x")) < 80]
    assert [element.get("class") for element in first] == ["strong", "warn"]
    assert [t.split(",")[0] for t in titles(root, "rect")[:2]] == ["20 words", "5 words"]
    bottom = float(first[1].get("y")) + float(first[1].get("height"))
    assert bottom == pytest.approx(float(first[0].get("y")), abs=0.11)


def test_descriptors_are_shaded_and_words_are_dots():
    rng = np.random.default_rng(1)
    descriptors = rng.integers(0, 255, (300, 16)).astype(np.float32)
    root = parsed(plot_principal_axes(descriptors, descriptors[:20], "alt"))
    classes = [element.get("class") for element in root.iter("path")]
    assert any(name.startswith("shade d") for name in classes)
    dots = next(element.get("d") for element in root.iter("path") if element.get("class") == "dots")
    assert dots.count("M") == 20
    assert any("of variance" in text for text in texts(root))
    alone = parsed(plot_principal_axes(descriptors[:0], descriptors[:1], "alt"))
    assert not any("shade" in element.get("class") for element in alone.iter("path"))


def test_steps_have_a_point_each():
    iterations = {"titles": ("iteration", "cost"), "step": "iteration"}
    root = parsed(plot_steps([1e5, 5e4, 4.9e4], "alt", **iterations))
    assert titles(root, "circle") == [
        "iteration 0: 100,000",
        "iteration 1: 50,000",
        "iteration 2: 49,000",
    ]
    heights = [float(element.get("cy")) for element in root.iter("circle")]
    assert heights == sorted(heights)
    assert {"iteration", "cost"} <= set(texts(root))
    alone = parsed(plot_steps([0.0], "alt", **iterations))
    assert titles(alone, "circle") == ["iteration 0: 0"]
    assert [dot.get("class") for dot in root.iter("circle")] == ["strong"] * 3


def test_steps_beside_a_level():
    factors = {"titles": ("factors", "spread"), "step": "factors", "level": (1.0, "chance")}
    root = parsed(plot_steps([3.0, 1.5, 1.1, 1.09], "alt", used=2, **factors))
    looks = [dot.get("class") for dot in root.iter("circle")]
    assert looks == ["strong", "strong", "strong", "strong hollow"]
    (line,) = (p.get("d") for p in root.iter("path") if p.get("class") == "limit quiet")
    level = float(re.fullmatch(r"M72 ([0-9.]+)H468", line).group(1))
    heights = [float(dot.get("cy")) for dot in root.iter("circle")]
    # a level below all values is in the plot, at its place on the same scale
    assert level == pytest.approx(heights[0] + (heights[1] - heights[0]) * 2 / 1.5, abs=0.2)
    assert "chance" in texts(root)
    beyond = parsed(plot_steps([0.9], "alt", used=0, **factors))
    assert float(next(beyond.iter("circle")).get("cy")) > 10


def test_the_same_data_gives_the_same_drawing():
    counts = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    assert plot_word_counts(counts, 2.0, "alt") == plot_word_counts(counts, 2.0, "alt")


@pytest.mark.parametrize("count", [2, 60])
def test_drift(count):
    calm = [batch(f"b{number}") for number in range(count - 1)]
    root = parsed(plot_drift(drift(batch("odd", **ODD), *calm), "alt"))
    points = list(root.iter("circle"))
    assert len(points) == 2 * count  # the error above, the divergence below
    assert [point.get("class") for point in points].count("warn") == 2
    assert titles(root, "circle")[0] == "odd: 1.9"
    assert texts(root).count("limit") == 2
    assert ("odd" in texts(root)) == (count == 2)  # of many batches, names stand on their dots
    trained = parsed(plot_drift(drift(batch("a", trained_on=True), *calm), "alt"))
    assert [p.get("class") for p in trained.iter("circle")].count("strong hollow") == 2
    # a single image has no deviation to draw, a batch without features nothing at all
    alone = batch("x", error_deviation=float("inf"))
    few = parsed(plot_drift(drift(alone, batch("none", **EMPTY), *calm), "alt"))
    assert len(list(few.iter("circle"))) == 2 * count


def test_names_of_batches_cannot_break_out():
    hostile = '<script>"&\u202e'
    svg = plot_drift(drift(batch(hostile), batch("b")), hostile)
    root = parsed(svg)
    assert "<script>" not in str(svg)
    assert titles(root, "circle")[0].startswith('<script>"&\\u202e')
    assert root.get("aria-label") == '<script>"&\\u202e'
