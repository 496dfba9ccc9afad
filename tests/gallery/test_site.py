"""The gallery's files: what a batch brought is written once."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from minia_spark.base.errors import MiniaError
from minia_spark.gallery.site import Gallery, Variant, density, write

from .samples import HOSTILE, batch, gallery


def _head(folder):
    text = (folder / "gallery-data.js").read_text("ascii")
    return json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))


class TestWrite:
    def test_only_a_new_batch_is_new(self, tmp_path):
        first = batch("b1", [f"i{k}.png" for k in range(300)])
        one = write(gallery([first]), tmp_path / "1")
        assert (one.images, one.structures, one.kept) == (300, 5, 0)
        more = batch("b2", ["new.png"])
        two = write(gallery([first, more]), tmp_path / "2", tmp_path / "1")
        # names, two sheets, two parts of features, ten of large copies stay, and, as nothing else
        # is said of them, the structures
        assert two.kept == 16
        heavy = {"sheets", "larger", "features", "about"}
        before, after = _head(tmp_path / "1")["batches"][0], _head(tmp_path / "2")["batches"][0]
        assert {k: before[k] for k in heavy} == {k: after[k] for k in heavy}

    def test_the_same_bytes_again(self, tmp_path):
        for name in "ab":
            write(gallery([batch("b1", ["a.png", "b.png"])]), tmp_path / name, threads=2)
        files = [
            {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
            for n in "ab"
        ]
        for name in ("gallery.html", "index-above.html"):
            for one in files:
                one.pop(next(path for path in one if path.name == name))
        assert files[0] == files[1]

    @pytest.mark.parametrize("change", ["digest", "cell"])
    def test_what_changed_is_made_anew(self, tmp_path, change):
        write(gallery([batch("b1", ["a.png"])]), tmp_path / "1")
        changed = batch("b1", ["a.png"], digest="e" if change == "digest" else "d")
        more = {"cell_px": 32} if change == "cell" else {}
        write(gallery([changed], **more), tmp_path / "2", tmp_path / "1")
        stamps = {_head(tmp_path / n)["batches"][0]["stamp"] for n in "12"}
        assert len(stamps) == 2

    def test_names_of_files_come_from_nobody(self, tmp_path):
        write(gallery([batch("../../<x>", HOSTILE)]), tmp_path / "g")
        names = [path.name for path in (tmp_path / "g" / "map").iterdir()]
        assert all(
            re.fullmatch(r"[a-z0-9]+-[0-9a-f]{10}-\d+-[0-9a-f]{16}\.(js|jpg)", n) for n in names
        )
        for path in (tmp_path / "g").rglob("*.js"):
            text = path.read_text("ascii")
            assert path.name == "gallery.js" or "<" not in text

    def test_a_page_before_that_lies(self, tmp_path):
        write(gallery([batch("b1", ["a.png"])]), tmp_path / "1")
        data = tmp_path / "1" / "gallery-data.js"
        (sheet,) = _head(tmp_path / "1")["batches"][0]["sheets"]
        data.write_text(data.read_text("ascii").replace(sheet, "../gallery.js"))
        write(gallery([batch("b1", ["a.png"])]), tmp_path / "2", tmp_path / "1")
        assert _head(tmp_path / "2")["batches"][0]["sheets"] == [sheet]

    def test_not_into_a_full_folder(self, tmp_path):
        (tmp_path / "x").write_text("")
        with pytest.raises(MiniaError, match="is not empty"):
            write(gallery([batch("b1", ["a.png"])]), tmp_path)

    def test_what_other_lines_know_is_new_where_it_changed(self, tmp_path):
        first = batch("b1", [f"i{k}.png" for k in range(300)], known=True)
        write(gallery([first]), tmp_path / "1")
        more = batch("b2", ["new.png"], known=True)
        two = write(gallery([first, more]), tmp_path / "2", tmp_path / "1")
        # the same as above, a part of places, two of nearest images and two of clusters, and how
        # crowded the map is: the new image is not on it
        assert two.kept == 16 + 6
        heavy = {"places", "nearest", "known"}
        before, after = _head(tmp_path / "1")["batches"][0], _head(tmp_path / "2")["batches"][0]
        assert {k: before[k] for k in heavy} == {k: after[k] for k in heavy}

    def test_nothing_at_all(self, tmp_path):

        none = Gallery(
            title="", batches=[], variants=[Variant(name="sift", structures=[], images=[])]
        )
        assert write(none, tmp_path / "g").images == 0


def test_density():
    points = np.array([[-1, 1], [-1, 1], [1, -1], [9, 0], [np.nan, np.nan]], np.float64)
    found = density(points, (-1.0, -1.0, 1.0, 1.0))
    assert found.shape == (96, 96)
    assert (found > 0).sum() == 3
    assert (found[0, 0], found[95, 95]) == (255, 161)  # two and one: log 2 / log 3
    assert found[47:49, 95].max() == 161  # outside: at the edge
    assert density(np.zeros((0, 2)), (-1.0, -1.0, 1.0, 1.0)).max() == 0
