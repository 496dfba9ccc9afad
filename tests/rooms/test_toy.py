"""The test of the design: a new room works end to end, and no other file knows it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, Result, rows_of
from PIL import Image

from minia_spark.cli import main
from minia_spark.engine.room import House
from minia_spark.rooms import HOUSE

from .toy import ROOM


@pytest.fixture(scope="module")
def house() -> House:
    return House((*HOUSE.rooms, ROOM))


@pytest.fixture
def minia(opened, house):
    def run(*arguments: object) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(a) for a in arguments], house)
            except SystemExit as end:
                code = int(end.code or 0)
        return Result(code, out.getvalue(), err.getvalue())

    assert opened is not None
    return run


@pytest.fixture
def levels_of_grey(tmp_path: Path) -> Path:
    """Three flat images with one white pixel each: means and largest levels by hand."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, level, peak in (("a", 10, 40), ("b", 30, 30), ("c", 20, 60)):
        pixels = np.full((10, 10), level, np.uint8)
        pixels[0, 0] = peak
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_a_toy_room_works_end_to_end(minia, levels_of_grey, tmp_path):
    location = tmp_path / "W"
    where = ("--warehouse", location)
    given = ("--images", levels_of_grey, "--batch", "b1")
    minia("ingest", *given, *where, *SMALL).expect(0)
    for stage in ("levels", "brightness", "brightest"):
        minia(stage, *where, *SMALL).expect(0)
    brightness = rows_of(location, "toy_brightness", "variant", "image_id", "brightness")
    assert brightness == [
        ("largest", "a.png", 40.0),
        ("largest", "b.png", 30.0),
        ("largest", "c.png", 60.0),
        ("mean", "a.png", 10.3),
        ("mean", "b.png", 30.0),
        ("mean", "c.png", 20.4),
    ]
    told = minia("toy", *where).expect(0).out.splitlines()
    assert told == ["largest: c.png of 3", "mean: b.png of 3"]
    assert len(minia("path", "toy_brightness", *where).expect(0).out.splitlines()) == 2
    one = minia("path", "toy_brightness", "--variant", "mean", *where).expect(0).out.splitlines()
    assert len(one) == 1

    # a setting of one variant alone redoes that; the reason names it
    told = minia("brightness", *where, "--set", "toy.factor=2").expect(0).err
    assert "toy.factor 1 -> 2" in told
    again = minia("brightness", *where).expect(0).out
    assert again.startswith("nothing to do")  # what was set is remembered
    assert rows_of(location, "toy_brightness", "variant", "brightness") == [
        *(("largest", value) for value in (120.0, 60.0, 80.0)),
        *(("mean", value) for value in (20.6, 40.8, 60.0)),
    ]


def test_it_is_in_the_help_and_the_settings(minia):
    told = minia("--help").expect(0).out
    assert "brightest" in told
    assert "print the brightest image" in told
    settings = minia("settings").expect(0).out
    assert "toy:" in settings
    assert "factor: 1" in settings
    assert "toy_brightness: a row is an image" in minia("tables").expect(0).out


def test_a_panel_reads_what_it_shows(house):
    report = house.by_name["report"]
    assert {output.name for output in report.inputs} >= {"toy_brightest"}
    assert house.stages.index(report) > house.stages.index(house.by_name["brightest"])
