"""Pictures by hand, and the page with texts that are not to be trusted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minia_spark.base.errors import MiniaError
from minia_spark.exposures.drawing import contact_sheet, heat, map_svg, mosaic
from minia_spark.exposures.histogram import histo_vector
from minia_spark.exposures.page import Cell, Member, Page, render
from minia_spark.exposures.pictures import picture


def test_a_mosaic_has_cell_1_beside_cell_0():
    tiles = np.array([[[0.0]], [[1.0]], [[2.0]], [[0.5]]])
    np.testing.assert_array_equal(mosaic(tiles, 2), [[0, 0, 255], [0, 0, 0], [255, 0, 128]])


def test_cutouts_that_are_few_leave_black_places():
    found = contact_sheet(np.array([[[7]], [[8]], [[9]]], np.uint8), columns=2)
    np.testing.assert_array_equal(found, [[7, 8], [9, 0]])


def test_a_histo_vector_lies_as_the_map_does():
    """One cutout in cell (row 0, column 1), four in cell (row 1, column 0)."""
    vector = histo_vector(np.array([1, 2, 2, 2, 2]), 5, side=2, full=5)
    np.testing.assert_array_equal(heat(vector, 2, zoom=1), [[0, 128], [255, 0]])
    assert not heat(np.zeros(4), 2).any()


def test_the_map_of_exposures():
    drawn = map_svg({0: 3, 5: 1}, {0: "good"}, 3, linked=[0])
    assert '<a href="#cell-0">' in drawn
    assert "#cell-5" not in drawn
    assert "cell 0: 3 exposures, good" in drawn
    assert drawn.count("<rect") == 9


def page(**changes):
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    member = Member(
        exposure_id="../<script>alert(1)</script>.fits",
        batch="n1",
        facts='g, 60 s "x"',
        dead=1,
        confidence=0.5,
        cutouts=np.ones((2, 32, 32), np.uint8),
        histo_vector=np.arange(4),
        ccds=[("<CCD>", picture(np.eye(300, 200, dtype=np.float32), 0, 0.1))],
    )
    told = {
        "exposures": 1,
        "ccds": 2,
        "dead_ccds": 1,
        "rejects": 0,
        "side": 2,
        "cutout_side": 2,
        "prototypes": buffer.getvalue(),
        "population": {3: 1},
        "qualities": {3: "<b>bad"},
        "telling": [3],
        "cells": [Cell(3, 1, "<b>bad", [member])],
        "nights": [(60_000, "<i>g", {"<b>bad": 1}), (None, None, {"no label": 2})],
        "warnings": ["batch n2 is unlike <it>"],
    }
    return Page(**told | changes)


def test_the_page_escapes_what_it_is_told(tmp_path):
    folder = tmp_path / "page"
    assert render(page(), folder) == 4
    html = (folder / "index.html").read_text()
    own = (folder / "e00001.html").read_text()
    assert "<script" not in html
    assert own.count("<script") == 1  # the one that draws
    assert '<script src="zoom.js"></script>' in own
    for text in ("<script>", "<b>bad", "<i>g", "<it>", "<CCD>"):
        assert text not in html + own
    assert 'data-name="t00001" data-width="100" data-height="150" data-levels="1"' in own
    assert (folder / "t00001-0-0-0.jpg").is_file()
    assert "&lt;script&gt;" in html
    assert 'id="cell-3"' in html
    for name in ("c00001.png", "h00001.png", "prototypes.png"):
        assert name in html
        with Image.open(folder / name) as picture:
            assert picture.size[0] > 0
    assert (folder / "cells.csv").read_text() == "order,cell,exposures,quality\n1,3,1,<b>bad\n"


def test_a_page_without_labels_says_how_to_give_some(tmp_path):
    render(page(qualities={}, cells=[]), tmp_path / "page")
    assert "minia exposures label" in (tmp_path / "page" / "index.html").read_text()


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(MiniaError, match="is not empty"):
        render(page(), tmp_path)
