"""``minia search``: images of a structure; what a collection says of an image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minia_spark
from minia_spark.base.errors import InputError, SettingsError
from minia_spark.warehouse.warehouse import Warehouse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def collection(warehouse):
    return minia_spark.open(warehouse)


@pytest.fixture(scope="module")
def known(collection, survey):
    """An image of the collection with several structures: its name, its file and its words."""
    rows = collection.frame("structure_images")
    name = rows.groupby("image_id").size().idxmax()
    words = collection.frame("words").set_index("image_id").loc[name]
    return name, survey.images / name, words


class TestStructure:
    def test_images_above_a_threshold(self, collection):
        rows = collection.frame("structure_images")
        own = rows[rows["structure_id"] == 0].sort_values("rank")
        middle = float(own["overlap"].median())
        found = collection.search_structure(0, threshold=middle)
        assert found["image_id"].tolist() == own[own["overlap"] >= middle]["image_id"].tolist()
        assert 0 < len(found) < len(own)
        labels = collection.frame("images").set_index("image_id")["label"]
        assert found["label"].tolist() == labels.loc[found["image_id"]].tolist()

    def test_by_its_lineage_too(self, collection):
        whole = collection.search_structure("s0001")
        lineage = collection.frame("lineage").set_index("structure_id")["lineage_id"][1]
        assert collection.search_structure(lineage).equals(whole)

    @pytest.mark.parametrize("wanted", ["s9999", "9.99", "../x", "", "-1"])
    def test_none_of_that_name(self, collection, wanted):
        with pytest.raises(InputError, match=r"there is no structure .*numbers 0 to"):
            collection.search_structure(wanted)

    def test_wrong_threshold_and_variant(self, collection):
        with pytest.raises(SettingsError, match=r"within 0\.\.1, got 1\.5"):
            collection.search_structure(0, threshold=1.5)
        with pytest.raises(SettingsError, match="no structures of 'surf', only of sift"):
            collection.search_structure(0, variant="surf")


class TestFigure:
    def test_nothing_to_draw(self, collection):
        most = collection.frame("structure_images").groupby("structure_id")["overlap"].max()
        number = int(most.idxmin())
        assert most[number] < 1
        with pytest.raises(InputError, match=f"to draw: no image holds structure {number} with"):
            collection.figure_structure(number, threshold=1.0)

    def test_rates_that_cannot_be(self, collection):
        for rate in (0.0, -1.0, 1.5, float("nan")):
            with pytest.raises(SettingsError, match="rate must be above 0 and at most 1"):
                collection.news(rate=rate)

    def test_circles_are_the_matched_features(self, collection):
        figure = collection.figure_structure(0, images=4)
        rows = collection.frame("structure_images")
        best = rows[rows["structure_id"] == 0].sort_values("rank").head(4)
        features = collection.frame("features").set_index("image_id")
        assert len(figure.axes) == len(best)
        for axes, row in zip(figure.axes, best.itertuples(), strict=True):
            wanted = features.loc[row.image_id, "x"][row.features]
            assert [patch.center[0] for patch in axes.patches] == pytest.approx(list(wanted))
            assert axes.get_xlim() == (-0.5, 127.5)
            assert axes.get_ylim() == (127.5, -0.5)
            assert row.image_id in axes.get_title()

    def test_the_notebook_runs(self, warehouse, known, tmp_path):
        book = json.loads((ROOT / "jobs" / "notebooks" / "structures.ipynb").read_text())
        cells = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
        assert not any(c["outputs"] for c in book["cells"] if c["cell_type"] == "code")
        script = tmp_path / "book.py"
        script.write_text("\n".join(cells))
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        own = {"MINIA_WAREHOUSE": warehouse, "MINIA_IMAGE": known[1], "PYTHONPATH": paths}
        done = subprocess.run(
            [sys.executable, "-W", "error", script],
            cwd=tmp_path,
            env=os.environ | {name: str(value) for name, value in own.items()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "b1 0 alerts" in done.stdout
        assert (tmp_path / "structure.png").stat().st_size > 5000
        assert (tmp_path / "catalogue.vot").stat().st_size > 1000


class TestImage:
    def test_a_known_image_is_what_the_tables_say(self, collection, known):
        name, file, words = known
        found = collection.search_image(file)
        assert found.same == [("b1", name)]
        sift = found.by_words["sift"]
        assert sift.words.tolist() == words["words"].tolist()
        assert sift.counts.tolist() == words["counts"].tolist()
        assert sift.error == pytest.approx(words["quantisation_error"])
        rows = collection.frame("structure_images")
        own = rows[rows["image_id"] == name].sort_values(
            ["overlap", "structure_id"], ascending=[False, True]
        )
        assert sift.structures["structure_id"].tolist() == own["structure_id"].tolist()
        assert sift.structures["overlap"].tolist() == own["overlap"].tolist()
        assert [list(f) for f in sift.structures["features"]] == [list(f) for f in own["features"]]
        assert sift.images["image_id"][0] == name
        assert sift.images["distance"][0] == pytest.approx(0, abs=1e-12)

    def test_an_unseen_image(self, collection, known, tmp_path):
        name, file, _ = known
        with Image.open(file) as image:
            image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "new.png")
        found = collection.search_image(tmp_path / "new.png", geometry=True, count=3)
        assert found.same == []
        near = found.by_words["sift"].images
        assert near["image_id"][0] == name  # SIFT does not care about the turn
        assert len(near) == 3
        assert near["alike"][0] >= 5
        assert json.loads(json.dumps(found.as_dict()))["by_words"]["sift"]["images"]

    def test_nothing_stands_out(self, collection, tmp_path):
        Image.new("L", (64, 64), 40).save(tmp_path / "flat.png")
        with pytest.raises(InputError, match=r"flat\.png: sift: no feature was found"):
            collection.search_image(tmp_path / "flat.png")

    def test_by_embeddings(self, own_warehouse, known, published):
        published(own_warehouse, "embedding_words")
        published(own_warehouse, "embed_words", "b1")
        collection = minia_spark.open(own_warehouse)
        name, file, _ = known
        found = collection.search_image(file, count=2).by_embedding["words"]
        assert found["image_id"][0] == name
        assert found["distance"][0] == 0

    def test_on_spark_the_same(self, collection, known, spark):
        here = collection.search_image(known[1])
        there = collection.search_image(known[1], spark=spark)
        assert there.as_dict() == here.as_dict()


class TestCommand:
    def test_text(self, minia, warehouse, known):
        told = minia("search", "--image", known[1], "--warehouse", warehouse).expect(0)
        assert "structure s00" in told.out
        assert f"b1: {known[0]}" in told.out
        told = minia("search", "--structure", "s0000", "--count", 2, "--warehouse", warehouse)
        last = told.expect(0).out.splitlines()[-1]
        assert re.fullmatch(r"2 of [0-9]+ images", last)
        every = minia("search", "--structure", "s0000", "--warehouse", warehouse).expect(0).out
        assert last == f"2 of {every.splitlines()[-1]}"

    def test_names_are_printed(self, minia, own_warehouse, known):
        where = ("--warehouse", own_warehouse)
        found = json.loads(minia("search", "--image", known[1], "--json", *where).expect(0).out)
        first = found["by_words"]["sift"]["structures"][0]
        assert first["name"] is None
        number = str(first["structure_id"])
        minia("structures", "name", number, "--name", "a ring", "--kind", "x\u202fy", *where)
        told = minia("search", "--image", known[1], *where).expect(0).out
        assert f"structure s{first['structure_id']:04d} a ring x" in told

    def test_json(self, minia, warehouse, known):
        told = minia("search", "--image", known[1], "--json", "--warehouse", warehouse).expect(0)
        assert json.loads(told.out)["same"] == [{"batch": "b1", "image_id": known[0]}]
        told = minia("search", "--structure", "0", "--json", "--warehouse", warehouse).expect(0)
        assert json.loads(told.out)[0]["rank"] == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "problem"),
        [
            (["--image", "nowhere.png"], 3, "nowhere.png is not there: --image names one"),
            (["--image", "."], 3, ". is a folder"),
            (["--image", "broken.png"], 3, "broken.png cannot be used (truncated)"),
            (["--image", "text\n.png"], 3, "text%0A.png cannot be used (not_an_image)"),
            (["--image", "~nobody-is-called-so/x.png"], 3, "is not there"),
            (["--image", "broken.png", "--set", "x.y=1"], 2, "belong to --on-spark"),
            (["--image", "broken.png", "--threshold", "0.5"], 2, "--threshold belongs to --struct"),
            (["--structure", "s0999"], 3, "there is no structure 's0999'"),
            (["--structure", "0", "--geometry"], 2, "--geometry belongs to --image"),
            (["--structure", "0", "--threshold", "nan"], 2, "within 0..1, got nan"),
            ([], 2, "one of the arguments --structure --image is required"),
        ],
    )
    def test_bad_input(self, minia, warehouse, tmp_path, monkeypatch, arguments, code, problem):
        monkeypatch.chdir(tmp_path)
        Image.fromarray(np.zeros((50, 50), np.uint8)).save("whole.png")
        whole = (tmp_path / "whole.png").read_bytes()
        (tmp_path / "broken.png").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "text\n.png").write_text("hello")
        told = minia("search", *arguments, "--warehouse", warehouse)
        assert told.expect(code).out == ""
        assert problem in told.err

    def test_no_warehouse_and_no_words(self, minia, tmp_path, known):
        told = minia("search", "--structure", 0, "--warehouse", tmp_path / "W")
        assert "no warehouse at" in told.expect(3).err

    def test_words_are_gone(self, minia, own_warehouse, known):
        house = Warehouse(str(own_warehouse))
        state = house.catalogue()
        kept = [e for e in state.entries if e.table in ("images", "features")]
        house.commit(state, state.run, kept, "without words")
        told = minia("search", "--image", known[1], "--warehouse", own_warehouse)
        assert "the collection has no words yet" in told.expect(3).err
        told = minia("search", "--structure", 0, "--warehouse", own_warehouse)
        assert "there are no structures" in told.expect(3).err

    def test_without_spark(self, warehouse, known):
        program = (
            "import sys, minia_spark\n"
            "found = minia_spark.open(sys.argv[1]).search_image(sys.argv[2])\n"
            "assert found.by_words['sift'].features\n"
            "assert 'pyspark' not in sys.modules, 'Spark was loaded'\n"
        )
        subprocess.run([sys.executable, "-c", program, warehouse, known[1]], check=True)
