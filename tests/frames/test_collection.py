"""A warehouse in a notebook: frames, neighbours, figures; what is asked for in vain."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from notebooks import run_notebook

import minia_spark
from minia_spark.base.errors import InputError
from minia_spark.warehouse.warehouse import Warehouse

sys.path.insert(0, str(Path(__file__).parent))
import warehouses

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    return warehouses.write(tmp_path_factory.mktemp("frames") / "W")


@pytest.fixture
def collection(location):
    return minia_spark.open(location)


class TestTables:
    def test_what_is_there(self, collection):
        assert repr(collection).endswith(": 4 images>")
        assert collection.tables["images"] == 4
        assert collection.batches == ["b1", "b2"]
        assert collection.variants("map") == ["words"]
        assert collection.variants("images") == []

    def test_a_batch_some_columns_some_rows(self, collection):
        frame = collection.frame("images", batch="b1", columns=["image_id", "label"])
        assert frame.shape == (3, 2)
        few = collection.arrow("images", where=ds.field("label") == "merger")
        assert few["image_id"].to_pylist() == ["=c.png"]

    @pytest.mark.parametrize(
        ("asked", "problem"),
        [
            ({"table": "stars"}, "there is no table 'stars' .*; tables: embeddings, images"),
            (
                {"table": "map", "variant": "pca"},
                "table map has no variant 'pca'; there are: words",
            ),
            ({"table": "map", "batch": "b3"}, "table map has no batch 'b3'; there are: b1, b2"),
            ({"table": "map", "columns": ["w"]}, "table map has no column 'w'; columns: batch"),
        ],
    )
    def test_what_is_not_there(self, collection, asked, problem):
        with pytest.raises(InputError, match=problem):
            collection.frame(asked.pop("table"), **asked)

    def test_no_warehouse(self, tmp_path):
        with pytest.raises(InputError, match="no warehouse at"):
            minia_spark.open(tmp_path)

    def test_one_state_is_held(self, tmp_path):
        location = warehouses.write(tmp_path / "W")
        held = minia_spark.open(location)
        house = Warehouse(str(location))
        now = house.catalogue()
        kept = [e for e in now.entries if e.batch != "b2"]
        house.commit(now, "r2", kept, "without b2")
        assert held.state == 1
        assert len(held.frame("images")) == 4
        assert len(minia_spark.open(location).frame("images")) == 3
        assert len(minia_spark.open(location, state=1).frame("images")) == 4


class TestNeighbours:
    def test_the_nearest_first(self, collection):
        found = collection.neighbours("deep/b.png")
        assert found["image_id"].tolist() == ["a.png", "=c.png", "a.png"]
        assert found["batch"].tolist() == ["b1", "b1", "b2"]
        assert found["distance"].tolist() == [1, 2, 3]

    def test_a_name_in_two_batches(self, collection):
        with pytest.raises(InputError, match=r"'a\.png': batches b1, b2 have one: give batch="):
            collection.neighbours("a.png")
        assert len(collection.neighbours("a.png", batch="b2")) == 3

    def test_no_such_image(self, collection):
        with pytest.raises(InputError, match=r"'z\.png': it is not in the collection, or has no"):
            collection.neighbours("z.png")


class TestMap:
    def test_places_with_labels(self, collection):
        found = collection.map()
        assert list(zip(found["batch"], found["image_id"], strict=True)) == sorted(warehouses.NAMES)
        assert found.set_index(["batch", "image_id"]).loc[("b1", "=c.png"), "label"] == "merger"
        assert found["fitted"].tolist() == [True, True, True, False]

    @pytest.mark.parametrize("colour", ["label", "batch", None, np.arange(4), list("abca")])
    def test_a_figure(self, collection, tmp_path, colour):
        figure = collection.figure_map(colour=colour)
        (axes, *_) = figure.axes
        assert axes.get_xlim() == (-1, 6)
        shown = np.concatenate([drawn.get_offsets() for drawn in axes.collections])
        wanted = collection.map()[["x", "y"]].to_numpy()
        assert sorted(map(tuple, shown)) == sorted(map(tuple, wanted))
        for name in ("map.png", "map.pdf"):
            figure.savefig(tmp_path / name, dpi=40)
            assert (tmp_path / name).stat().st_size > 1000

    def test_a_figure_in_three_dimensions_with_a_note(self, tmp_path):
        deep = warehouses.write(tmp_path / "W", deep=True, note="never trained")
        collection = minia_spark.open(deep)
        assert collection.note() == "never trained"
        figure = collection.figure_map()
        assert figure._supxlabel.get_text() == "never trained"
        figure.savefig(tmp_path / "map.png", dpi=40)

    def test_colours_that_do_not_fit(self, collection):
        with pytest.raises(InputError, match="the map has no column 'size'; columns: batch"):
            collection.figure_map(colour="size")
        with pytest.raises(InputError, match=r"colour has shape \(3,\), and there are 4 images"):
            collection.figure_map(colour=[1, 2, 3])


class TestExport:
    def test_as_the_article_has_it(self, minia, location, tmp_path):
        out = tmp_path / "out.csv"
        minia("export", "map", out, "--warehouse", location).expect(0)
        assert out.read_text().splitlines() == [
            "Image_file_names;Image_file_paths;Image_features;X;Y",
            "%3Dc.png;%3Dc.png;[2.0999999, 9.99999972e-10];0.0;2.0",
            "a.png;a.png;[0.100000001, 9.99999972e-10];0.0;0.0",
            "b.png;deep/b.png;[1.10000002, 9.99999972e-10];1.0;0.0",
            "a.png;a.png;[3.0999999, 9.99999972e-10];5.0;5.0",
        ]

    def test_paths_below_a_root(self, minia, location, tmp_path):
        out = tmp_path / "out.csv"
        minia("export", "map", out, "--warehouse", location, "--root", "/survey").expect(0)
        paths = [line.split(";")[1] for line in out.read_text().splitlines()[1:]]
        assert paths == ["b1/=c.png", "b1/a.png", "b1/deep/b.png", "b2/a.png"]
        told = minia("export", "map", out, "--warehouse", location, "--root", "/survey/b1")
        assert "image a.png of batch b2 is not below --root /survey/b1" in told.expect(2).err

    def test_a_name_by_the_time(self, minia, location, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        minia("export", "map", "--warehouse", location, "--batch", "b2").expect(0)
        (found,) = tmp_path.glob("map_run_????_??_??-??_??.csv")
        assert len(found.read_text().splitlines()) == 2
        minia("export", "map", tmp_path, "--warehouse", location).expect(0)

    def test_three_dimensions_and_a_note(self, minia, tmp_path):
        deep = warehouses.write(tmp_path / "W", deep=True, note="never trained")
        told = minia("export", "map", tmp_path / "o.csv", "--warehouse", deep).expect(0)
        assert told.err == "warning: never trained\n"
        lines = (tmp_path / "o.csv").read_text().splitlines()
        assert lines[0].endswith(";X;Y;Z")
        assert lines[1].endswith(";0.0;2.0;7.0")

    def test_what_does_not_go(self, minia, location, tmp_path):
        where = ("--warehouse", location)
        assert "needs OUT" in minia("export", "words", *where).expect(2).err
        told = minia("export", "words", tmp_path / "w", *where, "--root", tmp_path).expect(2)
        assert "--root belongs to 'minia export map'" in told.err
        inside = minia("export", "map", location / "x.csv", *where).expect(2).err
        assert "lies in the warehouse" in inside


def test_the_notebook_runs(location, tmp_path):
    assert "'words'" in run_notebook("map.ipynb", location, tmp_path)
    assert (tmp_path / "map.png").stat().st_size > 5000
