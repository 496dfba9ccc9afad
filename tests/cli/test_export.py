"""Exports against the tables they come from, and against the native program."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, rows_of, table_of, take_codebook

from minia_spark.base.bags import invert, read_bags
from minia_spark.base.errors import MiniaError
from minia_spark.cli import exchange as module

BINARY = Path(__file__).resolve().parents[2] / "native" / "build" / "smh"


@pytest.fixture
def export(minia, warehouse, tmp_path):
    """Export from the shared warehouse; return the path of the main file."""

    def run(what: str, *options: object, location: Path = warehouse) -> Path:
        out = tmp_path / f"out.{what}"
        found = minia("export", what, out, "--warehouse", location, *SMALL, *options).expect(0)
        assert found.out.splitlines() == [
            str(p) for p in (out, *sorted(tmp_path.glob(f"out.{what}.*")))
        ]
        return out

    return run


def line(pairs) -> str:
    fields = [f"{a}:{b}" for a, b in pairs]
    return " ".join([str(len(fields)), *fields])


class TestWords:
    @pytest.mark.parametrize(("weight", "column"), [("frequency", "counts"), ("size", "sizes")])
    def test_a_line_an_image_in_the_order_of_their_names(self, export, warehouse, weight, column):
        out = export("words", "--set", f"words.weight={weight}")
        rows = rows_of(warehouse, "words", "image_id", "words", column)
        wanted = [line(zip(words, weights, strict=True)) for _, words, weights in rows]
        assert out.read_text().splitlines() == wanted
        names = Path(f"{out}.images").read_text().splitlines()
        assert names == [name for name, _, _ in rows]

    def test_inverted_file(self, export, warehouse):
        out = export("ifs")
        with export("words").open("rb") as lines:
            (bags,) = read_bags(lines)
        with out.open("rb") as lines:
            (found,) = read_bags(lines)
        wanted = invert(bags, rows=120)  # a line a word, also for words that no image has
        for name in ("offsets", "items", "counts"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))
        names = Path(f"{out}.images").read_text().splitlines()
        assert names == [row[0] for row in rows_of(warehouse, "words", "image_id")]

    @pytest.mark.skipif(not BINARY.is_file(), reason="no native/build/smh: ./build.sh native")
    def test_inverted_file_is_that_of_smh(self, export, tmp_path):
        words, ours = export("words"), export("ifs")
        theirs = tmp_path / "theirs.ifs"
        subprocess.run([BINARY, "ifindex", words, theirs], check=True, capture_output=True)
        assert ours.read_text().rstrip("0\n") == theirs.read_text().rstrip("0\n")


class TestOutliers:
    """Words that are too rare or too frequent are left out wherever documents are read."""

    @pytest.fixture
    def kept(self, warehouse):
        """Counts within one standard deviation of their mean, by hand."""
        totals = table_of(warehouse, "word_counts").groupby("word")["occurrences"].sum()
        counts = totals.reindex(range(120), fill_value=0).to_numpy()
        low, high = counts.mean() - counts.std(), counts.mean() + counts.std()
        found = {int(w) for w in np.flatnonzero((counts >= low) & (counts <= high))}
        assert 20 < len(found) < 120
        return found

    @pytest.mark.parametrize("what", ["words", "ifs"])
    def test_they_are_not_exported(self, export, warehouse, kept, what):
        given = ("words.drop_outliers=true", "words.outlier_deviations=1")
        out = export(what, *(word for setting in given for word in ("--set", setting)))
        with out.open("rb") as lines:
            (bags,) = read_bags(lines)
        if what == "words":
            assert len(bags.offsets) == 61  # images without words stay, as empty documents
            assert set(bags.items.tolist()) == kept
        else:
            sizes = np.diff(bags.offsets)
            assert len(sizes) == 120
            assert set(np.flatnonzero(sizes).tolist()) == kept


class TestStructures:
    def test_a_line_a_structure(self, export, warehouse):
        rows = rows_of(warehouse, "structures", "structure_id", "words", "frequencies")
        assert export("structures").read_text().splitlines() == [
            line(zip(words, frequencies, strict=True)) for _, words, frequencies in rows
        ]

    def test_belong_to_no_batch(self, minia, warehouse, tmp_path):
        given = ("--warehouse", warehouse, "--batch", "b1")
        found = minia("export", "structures", tmp_path / "out", *given).expect(2)
        assert "structures belong to the whole collection" in found.err


class TestFeatures:
    def test_minias_csv_and_matrix(self, export, warehouse):
        out = export("features")
        with out.open(newline="", encoding="utf-8") as file:
            header, *found = csv.reader(file)
        assert header == ["location_x", "location_y", "size", "image_name", "visual_word_id"]
        features = table_of(warehouse, "features").sort_values("image_id")
        words = table_of(warehouse, "words").set_index("image_id")
        wanted, blocks = [], []
        for _, row in features.iterrows():
            numbers = [row["x"], row["y"], row["size"]]
            own = words.loc[row["image_id"], "feature_words"]
            for k in range(row["n_features"]):
                truncated = [str(int(column[k])) for column in numbers]
                wanted.append([*truncated, row["image_id"], str(own[k])])
            blocks.append(np.frombuffer(row["descriptors"], np.uint8).reshape(-1, 128))
        assert found == wanted
        matrix = np.loadtxt(f"{out}.descriptors", dtype=np.uint8, ndmin=2)
        assert np.array_equal(matrix, np.concatenate(blocks))

    def test_after_extraction_alone_without_words(self, minia, published, survey, tmp_path):
        folder, location = tmp_path / "images", tmp_path / "V"
        folder.mkdir()
        for image in sorted(survey.images.iterdir())[:2]:
            (folder / image.name).write_bytes(image.read_bytes())
        for stage in ("ingest", "features"):
            published(location, stage, "b1", source=folder)
        out = tmp_path / "out.csv"
        minia("export", "features", out, "--warehouse", location).expect(0)
        header, *rows = out.read_text().splitlines()
        assert header == "location_x,location_y,size,image_name"
        counts = rows_of(location, "features", "n_features")
        assert len(rows) == sum(row[0] for row in counts) > 0
        for stage in ("ingest", "features"):  # other images may have the same names
            published(location, stage, "b2", source=folder)
        told = minia("export", "features", out, "--warehouse", location).expect(3)
        assert "is in batch b1 and in batch b2, and the file would not tell them apart" in told.err
        minia("export", "features", out, "--warehouse", location, "--batch", "b2").expect(0)
        assert out.read_text().splitlines()[1:] == rows

    def test_hostile_names_come_back_from_the_csv(
        self, export, published, warehouse, survey, tmp_path
    ):
        folder, location = tmp_path / "images", tmp_path / "V"
        folder.mkdir()
        names = ['quo"te, and comma.png', "=1+1.png", "'; drop table.png", "new\nline.png", "ü.png"]
        content = next(iter(sorted(survey.images.iterdir()))).read_bytes()
        for name in names:
            (folder / name).write_bytes(content)
        take_codebook(warehouse, location)
        for stage in ("ingest", "features", "words"):
            published(location, stage, "b1", source=folder)
        ids = [row[0] for row in rows_of(location, "words", "image_id")]
        assert set(ids) == {name.replace("\n", "%0A") for name in names}
        with export("features", location=location).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        shown = {"=1+1.png": "%3D1+1.png"}  # else a spreadsheet would compute it
        assert {row["image_name"] for row in rows} == {shown.get(name, name) for name in ids}
        assert len(rows) == 5 * rows_of(location, "features", "n_features")[0][0]
        listed = Path(f"{export('words', location=location)}.images")
        assert listed.read_text(encoding="utf-8").splitlines() == sorted(ids)


class TestWholeOrNotThere:
    @pytest.mark.parametrize(("what", "lines"), [("words", 3), ("ifs", 3), ("structures", 0)])
    def test_breaking_off_leaves_what_was_there(
        self, minia, warehouse, tmp_path, monkeypatch, what, lines
    ):
        (tmp_path / "out").write_text("older")
        lines = iter(range(lines))

        def broken(_: object) -> bytes:
            if next(lines, None) is None:
                raise MiniaError("broken off")
            return b"1 1:1\n"

        monkeypatch.setattr(module, "_line", broken)
        given = ("--warehouse", warehouse, *SMALL)
        assert "broken off" in minia("export", what, tmp_path / "out", *given).expect(1).err
        assert (tmp_path / "out").read_text() == "older"
        left = {p.name for p in tmp_path.iterdir()} - {"out", "out.images"}
        assert left == set()  # no temporary file

    def test_where_nothing_can_be_written(self, minia, warehouse, tmp_path):
        given = ("--warehouse", warehouse, *SMALL)
        found = minia("export", "words", tmp_path / "no" / "out", *given).expect(1)
        assert "out cannot be written: " in found.err
        found = minia("export", "structures", tmp_path, *given).expect(1)
        assert f"{tmp_path} cannot be written: " in found.err

    def test_batches(self, minia, warehouse, tmp_path, export):
        assert export("words", "--batch", "b1").read_text().count("\n") == 60
        given = ("--warehouse", warehouse, "--batch", "b9")
        found = minia("export", "words", tmp_path / "x", *given).expect(3)
        assert "table 'words' of batch 'b9' is not in" in found.err
