"""The demonstration: how it is judged, where it may write, and (heavy) the whole of it."""

from __future__ import annotations

import re

import pytest
from commands import run_minia

from minia_spark.cli.demo import planted_matches


class TestPlantedMatches:
    def test_the_structure_whose_images_are_most_alike(self):
        truth = {"ring": {"a", "b", "c", "d"}}
        found = {0: {"a", "x", "y", "z"}, 1: {"a", "b", "c", "x"}, 2: {"d"}}
        assert planted_matches(truth, found) == {"ring": (1, 0.75, 0.75)}

    def test_of_equally_good_ones_the_first(self):
        assert planted_matches({"p": {"a", "b"}}, {7: {"b"}, 3: {"a"}}) == {"p": (3, 1.0, 0.5)}

    def test_none(self):
        assert planted_matches({"p": {"a"}}, {0: {"b"}}) == {"p": (None, 0.0, 0.0)}
        assert planted_matches({"p": {"a"}}, {}) == {"p": (None, 0.0, 0.0)}
        assert planted_matches({}, {0: {"b"}}) == {}

    def test_one_structure_may_be_like_several_patterns(self):
        truth = {"p": {"a"}, "q": {"a", "b"}}
        assert planted_matches(truth, {0: {"a", "b"}}) == {"p": (0, 0.5, 1.0), "q": (0, 1.0, 1.0)}


def test_somebody_elses_folder_is_not_touched(tmp_path):
    own = tmp_path / "W-images"
    own.mkdir()
    (own / "thesis.txt").write_text("years of work")
    found = run_minia("demo", "--warehouse", tmp_path / "W").expect(2)
    assert f"the demo would write its images to {own}, but somebody else made that" in found.err
    assert (own / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "W").exists()


def test_a_remote_warehouse_has_no_place_for_images():
    found = run_minia("demo", "--warehouse", "mock:///W").expect(2)
    assert "give a local folder" in found.err


@pytest.mark.heavy
def test_the_whole(minia, tmp_path):
    """Every planted pattern is found, and the page is there."""
    pytest.importorskip("skimage", reason="the demo's pixels come with scikit-image")
    found = minia("demo", "--warehouse", tmp_path / "W").expect(0)
    rows = re.findall(r"^(\w+) +\d+  s\d{4} +(\d\.\d\d) +(\d\.\d\d)$", found.out, re.MULTILINE)
    assert len(rows) == 8
    for pattern, precision, recall in rows:
        assert float(precision) >= 0.7, pattern
        assert float(recall) >= 0.5, pattern
    assert f"page: {tmp_path / 'W'}/report/index.html" in found.out
    again = minia("demo", "--warehouse", tmp_path / "W").expect(0)
    assert again.out.endswith(found.out[found.out.index("\n") :])
