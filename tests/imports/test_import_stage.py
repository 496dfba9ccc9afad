"""Features from minIA's files: there and back, beside batches of images, and what is refused."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, chosen, rows_of, run_minia, table_of

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.engine.stage import Source
from minia_spark.images.identity import path_of_uri
from minia_spark.imports import stage as module
from minia_spark.imports.sources import source_digest
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.warehouse import Warehouse

HEADER = "location_x,location_y,size,image_name\n"


@pytest.fixture(scope="module")
def exported(minia, warehouse, tmp_path_factory):
    """The shared warehouse's features in minIA's two files."""
    out = tmp_path_factory.mktemp("exported") / "features.csv"
    minia("export", "features", out, "--warehouse", warehouse, "--quiet").expect(0)
    return out, Path(f"{out}.descriptors")


@pytest.fixture
def files(tmp_path):
    """Write the two files of a few rows, and return them."""

    def write(table: str, matrix: str, *, header: str = HEADER) -> tuple[Path, Path]:
        paths = tmp_path / "f.csv", tmp_path / "f.txt"
        paths[0].write_text(header + table)
        paths[1].write_text(matrix)
        return paths

    return write


def take(minia, location: Path, both: tuple[Path, Path], *options: object, batch: str = "b1"):
    where = ("--batch", batch, "--warehouse", location, *chosen("spark.partitions=3"))
    return minia("import", "features", *both, *where, *options)


@pytest.fixture(scope="module")
def imported(minia, exported, tmp_path_factory):
    location = tmp_path_factory.mktemp("imported") / "W"
    said = take(minia, location, exported, *SMALL).expect(0)
    assert "rejected" not in said.err
    minia("run", "--warehouse", location, *chosen("spark.partitions=2")).expect(0)
    return location


class TestThereAndBack:
    """One import, one run; then the same with the pictures."""

    def test_features_with_whole_positions(self, imported, warehouse):
        theirs = table_of(warehouse, "features").sort_values("image_id")
        ours = table_of(imported, "features").sort_values("image_id")
        for name in ("image_id", "n_features", "n_found", "descriptors", "variant"):
            assert ours[name].tolist() == theirs[name].tolist(), name
        for name in ("x", "y", "size"):
            for own, other in zip(ours[name], theirs[name], strict=True):
                assert np.array_equal(own, np.trunc(other)), name
        assert {a for angles in ours["angle"] for a in angles} == {-1}
        assert ours["response"].isna().all()

    @pytest.mark.parametrize(
        ("table", "columns"),
        [
            ("codebooks", ("version", "word", "centre", "occurrences")),
            ("words", ("batch", "image_id", "feature_words", "words", "counts")),
            ("word_counts", ("batch", "word", "images", "occurrences")),
            ("tuning", ("link", "tuple_size", "tables")),
            (
                "structures",
                ("structure_id", "words", "frequencies", "support", "expected_support", "q"),
            ),
            ("structure_images", ("structure_id", "rank", "image_id", "overlap", "features")),
        ],
    )
    def test_the_same_words_and_structures(self, imported, warehouse, table, columns):
        ours = rows_of(imported, table, *columns)
        assert ours == rows_of(warehouse, table, *columns)
        assert ours

    def test_images_are_known_by_name_alone(self, imported, warehouse):
        names = ("image_id", "batch")
        assert rows_of(imported, "images", *names) == rows_of(warehouse, "images", *names)
        images = table_of(imported, "images")
        assert images.drop(columns=list(names)).isna().all(axis=None)
        assert len(table_of(imported, "thumbnails")) == 0
        assert len(table_of(imported, "drift")) == 1

    def test_the_page_says_so(self, imported):
        page = (imported / "report" / "index.html").read_text()
        assert "<b>No picture</b>" in page

    def test_again_there_is_nothing_to_do(self, minia, imported, exported, opened):
        before = len(opened)
        for found in (take(minia, imported, exported), minia("run", "--warehouse", imported)):
            assert found.expect(0).out.startswith("nothing to do")
        assert len(opened) == before
        told = minia("status", "--warehouse", imported).expect(0).out
        assert "b1                           60        0" in told

    def test_other_thumbnails_open_nothing(self, minia, imported, tmp_path):
        location = shutil.copytree(imported, tmp_path / "W")
        other = chosen("thumbnails.side_px=64")
        said = minia("thumbnails", "--warehouse", location, *other).expect(0)
        assert "thumbnails 0, missing 60" in said.err
        assert "nothing to do" in minia("features", "--warehouse", location).expect(0).out

    @pytest.mark.heavy
    def test_with_pictures(self, minia, imported, exported, survey, warehouse, tmp_path):
        location = shutil.copytree(imported, tmp_path / "W")
        folder = tmp_path / "elsewhere"
        for number, image in enumerate(sorted(survey.images.iterdir())[:-1]):
            below = folder / str(number % 3)
            below.mkdir(parents=True, exist_ok=True)
            shutil.copy(image, below / image.name)
        twice = sorted(survey.images.iterdir())[0].name
        (folder / "again").mkdir()
        shutil.copy(folder / "0" / twice, folder / "again" / twice)
        said = take(minia, location, exported, "--images", folder).expect(0)
        assert "2 images were not found below" in said.err
        ours = table_of(location, "images").set_index("image_id")
        theirs = table_of(warehouse, "images").set_index("image_id")
        found = ours[ours["uri"].notna()]
        assert len(found) == 58
        assert twice not in found.index
        for name in ("width", "height", "content_hash", "format", "size_bytes"):
            assert found[name].tolist() == theirs.loc[found.index, name].tolist()
        said = minia("run", "--warehouse", location).expect(0)
        assert "thumbnails 58, missing 2" in said.err
        assert "codebook" not in said.err  # the same features
        words = ("image_id", "feature_words")
        assert rows_of(location, "words", *words) == rows_of(warehouse, "words", *words)


class TestBesideImages:
    @pytest.mark.heavy
    def test_the_words_of_the_same_features(self, minia, own_warehouse, exported):
        take(minia, own_warehouse, exported, batch="b2").expect(0)
        said = minia("run", "--warehouse", own_warehouse).expect(0)
        assert "2 batches, 120 images" in said.out
        columns = ("image_id", "feature_words", "counts")
        ours = rows_of(own_warehouse, "words", *columns, batch="b2")
        assert ours == rows_of(own_warehouse, "words", *columns, batch="b1")
        minia("batch", "remove", "b2", "--warehouse", own_warehouse).expect(0)
        assert len(table_of(own_warehouse, "images")) == 60

    def test_neither_takes_the_others_place(self, own_warehouse, exported, files, survey, tmp_path):
        found = take(run_minia, own_warehouse, exported).expect(3)
        assert "a batch b1 is there already, which 'minia ingest' took in: give this" in found.err
        assert "or 'minia batch remove b1' first" in found.err

    def test_descriptors_of_another_kind(self, own_warehouse, files, opened):
        before = len(opened)
        floats = files("1,1,1,a\n", "0.5 1\n")
        found = take(run_minia, own_warehouse, floats, batch="b2").expect(3)
        assert (
            "f.txt has descriptors of 2 numbers, not all whole ones from 0 to 255; t" in found.err
        )
        assert "are 128 whole numbers from 0 to 255 of sift: descriptors of different" in found.err
        floats = files("1,1,1,a\n", "0.5 " * 128 + "\n")
        assert "descriptors of different" in take(run_minia, own_warehouse, floats).expect(3).err
        named = ("--extractor", "imported")
        found = take(run_minia, own_warehouse, floats, *named, batch="b2").expect(2)
        assert "the features in" in found.err
        assert "are of sift, and these would be of imported" in found.err
        assert len(opened) == before


class TestOtherDescriptors:
    """Of another extractor: floats, whole numbers, with scores."""

    def test_floats_go_on_to_words(self, minia, files, tmp_path, survey):
        random = np.random.default_rng(1)
        values = random.normal(size=(60, 5)).astype(np.float32)
        matrix = "".join(" ".join(f"{v:.9g}" for v in row) + "\n" for row in values)
        table = "".join(f"{i / 4},2,3,{i / 8},image{i // 6}.png\n" for i in range(60))
        header = HEADER.replace("size", "size,score")
        location = tmp_path / "V"
        take(minia, location, files(table, matrix, header=header)).expect(0)
        features = table_of(location, "features").sort_values("image_id")
        stored = np.frombuffer(b"".join(features["descriptors"]), "<f4").reshape(-1, 5)
        assert np.array_equal(stored, values)
        assert np.concatenate(features["response"].tolist()).tolist() == [i / 8 for i in range(60)]
        assert np.concatenate(features["x"].tolist()).tolist() == [i / 4 for i in range(60)]
        assert set(features["variant"]) == {"imported"}
        for stage in ("codebook", "words"):
            minia(stage, "--warehouse", location, *chosen("codebook.size=4")).expect(0)
        assert len(rows_of(location, "words", "words")) == 10
        out = tmp_path / "again.csv"
        minia("export", "features", out, "--warehouse", location).expect(0)
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["score"]) for row in rows] == [i / 8 for i in range(60)]
        matrix = np.loadtxt(f"{out}.descriptors", dtype=np.float32)
        assert np.array_equal(matrix, values)
        # what the images do not hold cannot be extracted, and what has no score is no match
        source = ("--images", survey.images, "--batch", "b2", "--warehouse", location)
        found = minia("run", *source).expect(2)
        assert "nothing extracts these from images" in found.err
        found = take(minia, location, files("1,1,1,a\n", "1 2 3 4 5\n"), batch="b3").expect(3)
        assert "without a score; those in the warehouse are 5 32-bit floats of imported, w" in (
            found.err
        )
        # another extractor for the collection: this batch has none of its features
        found = minia("words", "--warehouse", location, *chosen("features.extractors=[sift]"))
        wanted = "words needs table features of batch b1 for sift, and that batch came without"
        assert wanted in found.expect(3).err

    def test_whole_numbers_are_bytes_and_what_they_are_called(self, minia, files, tmp_path):
        both = files("1,1,1,a\n2,2,2,b\n", "0 255\n7 8\n")
        found = take(minia, tmp_path / "V", both, "--extractor", "sift").expect(2)
        assert "of sift are 128 whole numbers from 0 to 255: --extractor imported" in found.err
        take(minia, tmp_path / "V", both).expect(0)
        rows = rows_of(tmp_path / "V", "features", "image_id", "descriptors")
        assert rows == [("a", b"\x00\xff"), ("b", b"\x07\x08")]

    def test_one_number_late_in_the_file_decides(self, published, files, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
        both = files("".join(f"{i},1,1,{i // 3}\n" for i in range(9)), "1 2\n" * 8 + "1 2.5\n")
        source = Source(both[0], None, "features", both[1])
        only = ("import", "b1", "features.extractors=[imported]", "features.max_features=2")
        made = published(tmp_path / "V", *only, source=source)
        stored = rows_of(tmp_path / "V", "features", "image_id", "n_found", "descriptors")
        two = np.array([1, 2, 1, 2], "<f4").tobytes()
        assert stored == [(name, 3, two) for name in "012"]
        wanted = {"rows": 9, "images": 3, "features": 6, "rejects": 0}
        assert made.counts == wanted
        assert "3 features beyond features.max_features (2) an image, the last ones, were" in (
            made.progress.stream.getvalue()
        )


class TestRejects:
    def test_rows_with_file_line_and_reason(self, published, files, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", 3)
        table = "1,1,1,a\nx,1,1,a\n2,1,1,a\n3,1,1,b\n4,1,1,<b>\n5,1,1,b\n6,1,1,\n7,1,1,c\n"
        both = files(table, "1 2\n" * 3 + "1\n" + "1 2\n" * 3 + "nan 1\n")
        source = Source(both[0], None, "features", both[1])
        made = published(
            tmp_path / "V", "import", "b1", "features.extractors=[imported]", source=source
        )
        found = table_of(tmp_path / "V", "rejects")
        told = sorted(zip(found["uri"], found["reason"], found["detail"], strict=True))
        by_line = {path_of_uri(uri): (reason, detail) for uri, reason, detail in told}
        table_path, matrix_path = (str(path).encode() for path in both)
        assert by_line == {
            (table_path, "line=3"): (
                "malformed_row",
                "Line 3 of f.csv has no number in column location_x: 'x'.",
            ),
            (table_path, "line=8"): ("bad_name", "Line 8 of f.csv has no name of an image."),
            (matrix_path, "line=4"): (
                "other_dimension",
                "Line 4 of f.txt has 1 numbers, not 2.",
            ),
            (matrix_path, "line=8"): (
                "number_not_finite",
                "Line 8 of f.txt has a number that is not finite in 32 bits.",
            ),
        }
        assert set(found["stage"]) == {"import"}
        rows = rows_of(tmp_path / "V", "features", "image_id", "n_features")
        assert rows == [("<b>", 1), ("a", 2), ("b", 1)]
        assert made.counts == {"rows": 8, "images": 3, "features": 4, "rejects": 4}
        assert "rejected: bad_name 1, malformed_row 1, number_not_finite 1, other_dim" in (
            made.progress.stream.getvalue()
        )

    def test_an_image_in_two_places(self, published, files, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
        names = "aaabbaac"  # pieces: aa ab ba ac
        both = files("".join(f"{i},1,1,{n}\n" for i, n in enumerate(names)), "1 2\n" * 8)
        source = Source(both[0], None, "features", both[1])
        made = published(
            tmp_path / "V", "import", "b1", "features.extractors=[imported]", source=source
        )
        rows = rows_of(tmp_path / "V", "features", "image_id", "x")
        assert rows == [("a", (0, 1, 2)), ("b", (3, 4)), ("c", (7,))]
        found = table_of(tmp_path / "V", "rejects")
        assert set(found["reason"]) == {"repeated_image"}
        assert "Line 7 of f.csv has the first of 1 more rows of a, whose rows stand" in (
            found["detail"].min()
        )
        assert made.counts["rows"] == 8

    def test_no_row_is_good(self, published, files, tmp_path):
        both = files("x,1,1,a\n", "1 2\n")
        source = Source(both[0], None, "features", both[1])
        wanted = r"no row of .*f\.csv and .*f\.txt could be used, e\.g\. Line 2 of f\.csv has no "
        with pytest.raises(InputError, match=wanted):
            published(
                tmp_path / "V", "import", "b1", "features.extractors=[imported]", source=source
            )
        assert Warehouse(str(tmp_path / "V")).versions() == []


class TestFiles:
    @pytest.mark.parametrize(
        ("table", "matrix", "wanted"),
        [
            (
                "1,1,1,a\n",
                "1 2\n1 2\n",
                r"f\.csv has 1 rows below its first .*f\.txt has 2",
            ),
            ("1,1,1,a\n1,1,1,a\n", "1 2", r"f\.csv has 2 rows .* cut off\. Nothing was published"),
            ("", "1 2\n", r"f\.csv has 0 rows below its first line and .*f\.txt has 1"),
            (
                "1,1,1,a",
                "1 2\n" + "1" * 300_000,
                r"f\.txt is no file of one feature a line: l",
            ),
        ],
    )
    def test_files_that_do_not_belong_together(
        self, context, files, tmp_path, table, matrix, wanted
    ):
        both = files(table, matrix)
        made = context(
            tmp_path / "V",
            *("import", "b1", "features.extractors=[imported]"),
            source=Source(both[0], None, "features", both[1]),
        )
        with pytest.raises(InputError, match=wanted):
            module.run(made)
        assert made.entries == []

    @pytest.mark.parametrize(
        ("header", "matrix", "wanted"),
        [
            ("x,y\n", "1 2\n", r"f\.csv is no CSV file of features: the first line must name"),
            (HEADER, "", r"f\.txt is no file of descriptors: none of its first 0 lines"),
            (HEADER, "a,b\n<html>\n", r"f\.txt is no file of descriptors: none of its first 2 l"),
        ],
    )
    def test_before_anything_starts(self, files, tmp_path, header, matrix, wanted, opened):
        before = len(opened)
        found = take(run_minia, tmp_path / "V", files("1,1,1,a\n", matrix, header=header)).expect(3)
        assert re.search(wanted, found.err)
        assert not (tmp_path / "V").exists()
        assert len(opened) == before

    def test_files_that_cannot_be_read(self, files, tmp_path):
        both = files("1,1,1,a\n", "1 2\n")
        found = take(run_minia, tmp_path / "V", (both[0], tmp_path / "none")).expect(3)
        assert "none cannot be read: No such file or directory" in found.err
        found = take(run_minia, tmp_path / "V", (tmp_path, both[1])).expect(3)
        assert f"{tmp_path} cannot be read: The path is no regular file" in found.err
        found = take(run_minia, tmp_path / "V", both, "--images", tmp_path / "none").expect(3)
        assert "--images" in found.err
        found = take(run_minia, tmp_path / "V", both, batch="../b").expect(2)
        assert "batch name '../b'" in found.err

    def test_what_counts_as_changed(self, files, tmp_path):
        both = files("1,1,1,a\n", "1 2\n")
        source = Source(both[0], None, "features", both[1])
        settings = HOUSE.load_settings()
        before = source_digest(source, settings)
        assert source_digest(source, settings) == before
        both[1].write_text("1 22\n")
        assert source_digest(source, settings) != before
        pictured = Source(both[0], None, "features", both[1], tmp_path)
        assert source_digest(pictured, settings) != source_digest(source, settings)


class TestCrash:
    def test_what_was_finished_is_taken_over(self, minia, files, tmp_path, monkeypatch):
        both = files("1,1,1,a\n2,2,2,b\n", "0 255\n7 8\n")

        def broken(*_: object, **_more: object) -> None:
            raise MiniaError("the power went")

        with monkeypatch.context() as patch:
            patch.setattr(Warehouse, "commit", broken)
            assert "the power went" in take(minia, tmp_path / "V", both).expect(1).err
        assert Warehouse(str(tmp_path / "V")).versions() == []
        said = take(minia, tmp_path / "V", both).expect(0)
        assert "import b1 imported: made by a run that broke off" in said.err
        assert rows_of(tmp_path / "V", "features", "image_id") == [("a",), ("b",)]
        assert not (tmp_path / "V" / "scratch").exists() or not any(
            (tmp_path / "V" / "scratch").iterdir()
        )
