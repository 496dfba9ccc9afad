"""Figures of a map: what is drawn, and where."""

from __future__ import annotations

import math
import re
import zlib

import cv2
import numpy as np
import pyarrow as pa
import pytest

from minia_spark.explorer.figure import figure, in_file
from minia_spark.explorer.palette import LIGHT, OTHER

from .samples import HOSTILE, colour_picture


def names(n):
    return pa.array([f"image-{i:04d}" for i in range(n)])


def shot(made):
    data = np.frombuffer(in_file(made, "png"), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def near(pixels, colour, tolerance=8):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels.astype(int) - rgb).max(axis=2) <= tolerance


def test_dots_are_where_they_belong():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    made = figure(points, image_ids=names(3), colours=pa.array(["a", "a", "b"]))
    pixels = shot(made)
    rows, columns = np.nonzero(near(pixels, LIGHT[0])[:, :1150])
    other_rows, other_columns = np.nonzero(near(pixels, LIGHT[1])[:, :1150])
    assert np.ptp(rows) < 20  # both at y = 0
    assert np.ptp(columns) > 300
    assert other_rows.max() < rows.min() - 300  # y is upwards
    assert abs(other_columns.mean() - columns.min()) < 20
    (axes,) = made.axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["a (2)", "b (1)"]


def test_many_values_share_grey():
    values = [f"v{i:02d}" for i in range(12)] + [None]
    made = figure(
        np.random.default_rng(1).normal(size=(13, 2)), image_ids=names(13), colours=pa.array(values)
    )
    texts = [text.get_text() for text in made.axes[0].get_legend().get_texts()]
    assert texts[-1] == "others (5)"
    assert len(texts) == len(LIGHT) + 1
    assert near(shot(made), OTHER).sum() > 20
    alone = figure(np.zeros((2, 2)), image_ids=names(2), colours=pa.array(["a", None]))
    assert alone.axes[0].get_legend().get_texts()[-1].get_text() == "none (1)"


def test_numbers_have_a_scale():
    made = figure(
        np.random.default_rng(1).normal(size=(50, 2)),
        image_ids=names(50),
        colours=pa.array([*np.arange(49.0), math.nan]),
        colour_name="brightness",
    )
    assert [axes.get_ylabel() for axes in made.axes] == ["", "brightness"]
    none = figure(np.zeros((1, 2)), image_ids=names(1), colours=pa.array([None], pa.float64()))
    assert len(none.axes) == 1


def test_thumbnails_are_shown_where_there_is_room():
    """Two images at one place: one thumbnail, the same one in whatever order they come."""
    points = np.array([[0.0, 0.0], [0.001, 0.0], [10.0, 5.0], [5.0, 9.0]])
    copies = [colour_picture(255, 0, 255), colour_picture(0, 255, 255), None, b"broken"]
    asked = []

    def pictures(order):
        def given(chosen):
            asked.append([order[i] for i in chosen])
            return [copies[order[i]] for i in chosen]

        return given

    shots = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        made = figure(
            points[order], image_ids=names(4).take(pa.array(order)), pictures=pictures(order)
        )
        shots.append(in_file(made, "png"))
    assert shots[0] == shots[1]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 3
    pixels = cv2.imdecode(np.frombuffer(shots[0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    seen = [near(pixels, colour).sum() for colour in ("#ff00ff", "#00ffff")]
    side = 9 * 150 / 18
    assert sorted(seen)[0] == 0
    assert max(seen) == pytest.approx(side * side, rel=0.25)


def test_the_same_figure_is_the_same_file():
    for kind, start in (("png", b"\x89PNG"), ("pdf", b"%PDF-")):
        files = [
            in_file(figure(np.eye(2), image_ids=names(2), title="t", note="n"), kind)
            for _ in range(2)
        ]
        assert files[0] == files[1]
        assert files[0].startswith(start)
    streams = re.findall(rb"stream\r?\n(.*?)endstream", files[0], re.DOTALL)
    assert any(b" re" in zlib.decompress(s) for s in streams if s[:1] == b"x")  # vector graphics


def test_a_name_is_no_formula_and_no_command():
    odd = [*HOSTILE, "$\\frac{1}{0}$", "_a^b"]
    made = figure(
        np.random.default_rng(0).normal(size=(len(odd), 2)),
        image_ids=names(len(odd)),
        colours=pa.array(odd),
        colour_name="$x$",
        title=odd[-2],
        note=odd[0],
    )
    assert in_file(made, "pdf").startswith(b"%PDF")


def test_nothing_and_one():
    for points in (np.empty((0, 2)), np.full((3, 2), math.nan)):
        made = figure(
            points,
            image_ids=names(len(points)),
            colours=pa.array([None] * len(points), pa.string()),
        )
        assert made.axes[0].texts[0].get_text() == "no images"
    one = figure(
        np.array([[3.0, 4.0]]), image_ids=names(1), pictures=lambda chosen: [None] * len(chosen)
    )
    assert near(shot(one), LIGHT[0]).sum() > 20


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="there are 2 positions but 3 image_ids"):
        figure(np.zeros((2, 2)), image_ids=names(3))
    with pytest.raises(ValueError, match="there are 2 positions but 1 colours"):
        figure(np.zeros((2, 2)), image_ids=names(2), colours=pa.array(["a"]))
