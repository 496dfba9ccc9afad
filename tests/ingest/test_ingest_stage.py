"""Ingest through Spark: what is listed is an image or a reject with its reason."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_samples import packed_tar, tarred, zipped
from astropy.io import fits
from commands import chosen, rows_of, run_minia, table_of
from image_samples import broken_files, good_files, picture, saved

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.engine.pixels import PixelPass
from minia_spark.engine.stage import Source
from minia_spark.images.identity import content_hash
from minia_spark.images.reasons import Reason
from minia_spark.ingest.sources import source_digest
from minia_spark.warehouse.warehouse import Warehouse

LIMITS = ("ingest.max_file_mib=1", "ingest.max_pixels=1000000")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def ingest(published, tmp_path, folder):
    """Ingest the folder as batch ``b1`` of a new warehouse; return where that is."""

    def run(*settings: str) -> Path:
        published(tmp_path / "W", "ingest", "b1", *settings, source=folder)
        return tmp_path / "W"

    return run


def png(seed: int) -> bytes:
    return saved(picture(seed=seed), "PNG")


def container(path: Path, rows: list[tuple[str | None, bytes | None]], *, group: int = 2) -> None:
    column = pa.array(
        [{"bytes": data, "path": name} for name, data in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    pq.write_table(pa.table({"image": column}), path, row_group_size=group)


def test_fifty_good_and_fifty_broken_files(folder, ingest, published, tmp_path):
    good, broken = good_files(), broken_files()
    for name, content in good.items():
        (folder / name).write_bytes(content)
    (folder / "deep" / "er").mkdir(parents=True)
    for name, (_, content) in broken.items():
        (folder / "deep" / "er" / name).write_bytes(content)
    location = ingest(*LIMITS)
    images = table_of(location, "images").set_index("image_id")
    assert sorted(images.index) == sorted(good)
    for name, content in good.items():
        row = images.loc[name]
        assert row["content_hash"] == content_hash(content)
        assert row["size_bytes"] == len(content)
        assert (row["height"], row["width"]) == (24, 32)
        assert row["uri"] == f"file://{folder}/{name}"
        assert row["batch"] == "b1"
    assert Counter(images["format"]) == {"fits": 15, "png": 15, "jpeg": 10, "tiff": 10}
    assert images["stretch"].notna().sum() == 25  # deep PNG, TIFF and FITS
    found = {
        Path(uri).name: reason for uri, reason in rows_of(location, "rejects", "uri", "reason")
    }
    assert found == {name: reason for name, (reason, _) in broken.items()}
    details = [row[0] for row in rows_of(location, "rejects", "detail")]
    assert min(map(len, details)) > 20  # sentences
    assert set(rows_of(location, "rejects", "batch", "stage")) == {("b1", "ingest")}

    made = published(location, "features", "b1", *LIMITS)
    assert made.counts["images"] == 50
    assert made.counts["rejects"] == 0
    assert not any((location / "scratch").glob("*"))  # what ingest needed on its way


class TestContainers:
    def test_rows_are_images_and_features_reads_them_again(
        self, folder, ingest, published, tmp_path
    ):
        """The same pictures as files, with the same names, give the same features."""
        contents = [png(seed) for seed in range(7)]
        container(folder / "a.parquet", [(f"p{n}.png", c) for n, c in enumerate(contents)])
        location = ingest()
        uris = rows_of(location, "images", "image_id", "uri")
        assert uris[0] == ("p0.png", f"file://{folder}/a.parquet#row_group=0&row=0")
        assert uris[5] == ("p5.png", f"file://{folder}/a.parquet#row_group=2&row=1")
        published(location, "features", "b1")
        columns = ("image_id", "n_features", "x", "y", "size", "descriptors", "reason")
        rows = rows_of(location, "features", *columns)
        assert len(rows) == 7
        plain = tmp_path / "plain"
        plain.mkdir()
        for number, content in enumerate(contents):
            (plain / f"p{number}.png").write_bytes(content)
        published(tmp_path / "V", "ingest", "b1", source=plain)
        published(tmp_path / "V", "features", "b1")
        assert rows_of(tmp_path / "V", "features", *columns) == rows

    def test_rows_without_a_name_or_bytes_and_files_that_are_no_container(self, folder, ingest):
        container(folder / "a.parquet", [(None, png(0)), ("", png(1)), ("x", None), ("y", b"?")])
        pq.write_table(pa.table({"other": [1]}), folder / "b.parquet")
        (folder / "c.parquet").write_bytes(b"PAR1 and nothing else")
        location = ingest()
        assert rows_of(location, "images", "image_id") == [("a.parquet#0",), ("a.parquet#1",)]
        found = {
            uri.rpartition("/")[2]: r for uri, r in rows_of(location, "rejects", "uri", "reason")
        }
        assert found == {
            "a.parquet#row_group=1&row=0": Reason.EMPTY_FILE,
            "a.parquet#row_group=1&row=1": Reason.NOT_AN_IMAGE,
            "b.parquet": Reason.NOT_AN_IMAGE,
            "c.parquet": Reason.CORRUPT,
        }

    def test_names_that_are_claimed_twice(self, folder, ingest):
        """The first by place stays; the others are rejects, and no image is lost unseen."""
        container(folder / "a.parquet", [("x.png", png(0)), ("x.png", png(1)), ("y.png", png(2))])
        (folder / "y.png").write_bytes(png(3))
        location = ingest()
        images = dict(rows_of(location, "images", "image_id", "uri"))
        assert images == {
            "x.png": f"file://{folder}/a.parquet#row_group=0&row=0",
            "y.png": f"file://{folder}/a.parquet#row_group=1&row=0",
        }
        rejects = rows_of(location, "rejects", "uri", "reason", "detail")
        assert [r[:2] for r in rejects] == [
            (f"file://{folder}/a.parquet#row_group=0&row=1", "id_conflict"),
            (f"file://{folder}/y.png", "id_conflict"),
        ]
        assert rejects[1][2] == "Two images of one batch have the same image_id. y.png"


class TestArchives:
    def test_beside_files_good_and_bad_and_read_again(self, folder, ingest, published, tmp_path):
        """Archives give the images that their unpacked folders would, and the same features."""
        contents = {f"n{seed % 2}/{seed}.png": png(seed) for seed in range(6)}
        (folder / "a.zip").write_bytes(zipped(contents | {"../x.png": png(0), "notes.txt": b"?"}))
        whole = packed_tar(contents | {"last.png": os.urandom(5000)})
        (folder / "b.tgz").write_bytes(whole[:-3000])
        (folder / "c.tar").write_bytes(tarred({"1.png": png(1), "./1.png": png(2)}))
        (folder / "d.zip").write_bytes(zipped(contents)[:-30])
        (folder / "plain.png").write_bytes(png(7))
        location = ingest()
        images = rows_of(location, "images", "image_id", "content_hash")
        expected = {
            f"{a}/{name}": content_hash(data)
            for a in ("a.zip", "b.tgz")
            for name, data in contents.items()
        }
        assert dict(images) == expected | {
            "c.tar/1.png": content_hash(png(2)),  # the first of two, in the order of URIs
            "plain.png": content_hash(png(7)),
        }
        rejects = rows_of(location, "rejects", "uri", "reason")
        found = sorted((uri.rpartition("/")[2].partition("&")[0], r) for uri, r in rejects)
        assert found == [
            ("a.zip#member=notes.txt", "not_an_image"),
            ("b.tgz", "truncated"),
            ("c.tar#member=1.png", "id_conflict"),
            ("d.zip", "truncated"),
            ("x.png", "outside_root"),
        ]
        made = published(location, "features", "b1")
        assert made.counts["rejects"] == 0
        columns = ("image_id", "n_features", "x", "y", "size", "descriptors")
        rows = {row[0]: row[1:] for row in rows_of(location, "features", *columns)}
        for name in contents:
            assert rows[f"a.zip/{name}"] == rows[f"b.tgz/{name}"]
        assert rows["a.zip/n1/1.png"] != rows["a.zip/n0/2.png"] == rows["c.tar/1.png"]


class TestListing:
    def test_a_list_of_files(self, folder, published, tmp_path):
        """Two of three images, one of them twice, and one that is not there."""
        for seed, name in enumerate(("a.png", "n/b.png", "c.png")):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(png(seed))
        (folder / "night.txt").write_text("n/b.png\na.png\n./a.png\nnone.png\n../W/x.png\n")
        source = Source(folder, folder / "night.txt")
        made = published(tmp_path / "W", "ingest", "b1", source=source)
        assert rows_of(tmp_path / "W", "images", "image_id") == [("a.png",), ("n/b.png",)]
        rejects = rows_of(tmp_path / "W", "rejects", "uri", "reason")
        assert [(uri.rpartition("/")[2], reason) for uri, reason in rejects] == [
            ("x.png", "outside_root"),
            ("a.png", "id_conflict"),
            ("none.png", "unreadable"),
        ]
        assert source_digest(source, made.all_settings).endswith("-5:none")

    def test_more_refusals_than_images(self, folder, ingest, tmp_path):
        """One image beside a pipe and links that lead out: still a batch."""
        (folder / "good.png").write_bytes(png(0))
        (tmp_path / "secret").write_bytes(png(1))
        os.mkfifo(folder / "pipe.png")
        for name in ("a.png", "b.png"):
            (folder / name).symlink_to(tmp_path / "secret")
        (folder / "dead.png").symlink_to(tmp_path / "nothing")
        location = ingest()
        assert rows_of(location, "images", "image_id") == [("good.png",)]
        found = {Path(uri).name: r for uri, r in rows_of(location, "rejects", "uri", "reason")}
        assert found == {
            "pipe.png": "not_an_image",
            "a.png": "outside_root",
            "b.png": "outside_root",
            "dead.png": "unreadable",
        }

    def test_names_that_are_hostile(self, folder, ingest):
        names = [b"a\nb.png", b'quo"te,.png', b"<script>.png", b"\xff\xfe.png", b"per%41cent.png"]
        names += [b" spaces .png", b"=1+1.png", "gal\u202exia.png".encode(), b"x" * 251 + b".png"]
        for number, name in enumerate(names):
            Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(png(number))
        location = ingest()
        ids = [row[0] for row in rows_of(location, "images", "image_id")]
        assert len(ids) == len(set(ids)) == len(names)
        for expected in ("a%0Ab.png", "%FF%FE.png", "per%2541cent.png", 'quo"te,.png'):
            assert expected in ids
        assert "gal%E2%80%AExia.png" in ids
        assert rows_of(location, "rejects") == []

    def test_nothing_readable_ends_with_3_and_publishes_nothing(self, minia, folder, tmp_path):
        (folder / "a.png").write_bytes(b"")
        (folder / "b.png").write_bytes(b"text")
        (folder / "c.png").write_bytes(b"text")
        source = ("--images", folder, "--batch", "b1", "--warehouse", tmp_path / "W")
        found = minia("run", *source).expect(3)
        assert f"no image of {folder} could be read (not_an_image 2, empty_file 1)" in found.err
        assert f"e.g. file://{folder}/a.png: " in found.err
        assert "Nothing was published." in found.err
        house = Warehouse(str(tmp_path / "W"))
        assert house.versions() == []
        assert house.unpublished(house.catalogue()) == {}
        assert next(house.runs()).state == "failed"
        told = run_minia("status", "--warehouse", tmp_path / "W").expect(3).err
        assert "nothing was published at" in told


class TestLabels:
    @pytest.fixture
    def label(self, folder, ingest, tmp_path):
        """Ingest three images in two folders with labels; return {image_id: label}."""
        for seed, name in enumerate(("n/one.png", "s/two.png", "s/three.png")):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(png(seed))

        def run(text: str, *settings: str):
            (tmp_path / "labels.csv").write_text(text)
            location = ingest(f"ingest.labels.file={tmp_path / 'labels.csv'}", *settings)
            return dict(rows_of(location, "images", "image_id", "label"))

        return run

    def test_by_path_by_name_and_by_stem(self, label):
        found = label("file,label\nn/one.png,path\ntwo.png,name\nthree,stem\n")
        assert found == {"n/one.png": "path", "s/two.png": "name", "s/three.png": "stem"}

    def test_a_row_that_names_one_by_its_path_means_no_other(self, label, folder):
        (folder / "s" / "one.png").write_bytes(png(9))
        found = label("file,label\nn/one.png,path\n")
        assert (found["n/one.png"], found["s/one.png"]) == ("path", None)

    def test_those_without_stay_null(self, label):
        found = label("image,class\nn/one.png,\nother.png,x\ntwo,spiral\n")
        assert found == {"n/one.png": None, "s/three.png": None, "s/two.png": "spiral"}

    def test_the_same_row_twice_is_no_contradiction(self, label):
        assert label("image,label\ntwo,a\ntwo,a\n")["s/two.png"] == "a"

    @pytest.mark.parametrize(
        "rows", ["two,a\ntwo,b\n", "s/two.png,a\ns/two.png,b\n", "x/two.png,a\ny/two.png,b\n"]
    )
    def test_two_that_contradict_each_other(self, label, rows, tmp_path):
        wanted = r"'s/two\.png' matches two different rows of the label file"
        with pytest.raises(InputError, match=wanted):
            label("image,label\n" + rows)
        assert Warehouse(str(tmp_path / "W")).versions() == []

    def test_a_better_key_settles_it(self, label):
        found = label("image,label\ns/two.png,best\ntwo.png,a\ntwo.png,b\n")
        assert found["s/two.png"] == "best"

    def test_positions(self, label, tmp_path):
        label("name,ra,dec\none,10.5,-90\ntwo,0,45.25\n")
        found = rows_of(tmp_path / "W", "images", "image_id", "ra_deg", "dec_deg", "label")
        assert found == [
            ("n/one.png", 10.5, -90.0, None),
            ("s/three.png", None, None, None),
            ("s/two.png", 0.0, 45.25, None),
        ]

    def test_counts(self, label, tmp_path, published, folder):
        label("image,label\ntwo,a\n")
        made = published(
            tmp_path / "V",
            "ingest",
            "b1",
            f"ingest.labels.file={tmp_path / 'labels.csv'}",
            source=folder,
        )
        assert made.counts == {
            **{"listed": 3, "images": 3, "rejects": 0},
            **{"labelled": 1, "positioned": 0, "matched": 1},
        }
        assert "warning: " not in made.progress.stream.getvalue()

    def test_from_folders_and_what_the_file_says_comes_first(
        self, label, folder, published, tmp_path
    ):
        (folder / "top.png").write_bytes(png(5))
        (folder / "s" / "a.zip").write_bytes(zipped({"4.png": png(4), "ring/5.png": png(6)}))
        made = published(
            tmp_path / "V", "ingest", "b1", "ingest.labels.from_folders=true", source=folder
        )
        from_folders = {
            "n/one.png": "n",
            "s/a.zip/4.png": "s",
            "s/a.zip/ring/5.png": "ring",
            "s/three.png": "s",
            "s/two.png": "s",
            "top.png": None,
        }
        assert dict(rows_of(tmp_path / "V", "images", "image_id", "label")) == from_folders
        assert made.counts["labelled"] == 5
        (tmp_path / "labels.csv").write_text("file,label,ra,dec\none,n,1,2\ntwo,spiral,,\n5,,3,4\n")
        made = published(
            tmp_path / "U",
            *("ingest", "b1", "ingest.labels.from_folders=true"),
            f"ingest.labels.file={tmp_path / 'labels.csv'}",
            source=folder,
        )
        found = dict(rows_of(tmp_path / "U", "images", "image_id", "label"))
        assert found == from_folders | {"s/two.png": "spiral"}
        assert (made.counts["labelled"], made.counts["positioned"]) == (5, 2)
        assert "warning: ingest b1: 1 images have another label in" in warnings_of(made)
        assert "e.g. s/two.png: 'spiral', not 's'; those of the file" in warnings_of(made)

    def test_a_file_of_other_images_is_an_error_with_both_sides(
        self, label, published, folder, tmp_path
    ):
        text = "id,name,label\nn/one.png,NGC 4,a\ntwo,NGC 1,b\nthree,NGC 2,c\nfour,NGC 3,d\n"
        wanted = (
            r"ingest b1: none of 4 rows of the label file .*labels\.csv names one of 3 images: "
            r"column 'name' has 'NGC 1', 'NGC 2', 'NGC 3'; images are called 'n/one\.png', "
            r"'s/three\.png', 's/two\.png'\. Set ingest\.labels\.key_column to .*, or "
            r"ingest\.labels\.must_match=false if this batch has no labels and no batch before it "
            r"had any\. Nothing was"
        )
        with pytest.raises(InputError, match=wanted):
            label(text)
        assert Warehouse(str(tmp_path / "W")).versions() == []
        labels = f"ingest.labels.file={tmp_path / 'labels.csv'}"
        rest = ("ingest.labels.must_match=false",)
        made = published(tmp_path / "V", "ingest", "b1", labels, *rest, source=folder)
        assert made.counts["labelled"] == 0
        assert "warning: ingest b1: none of 4 rows" in warnings_of(made)
        assert label(text, "ingest.labels.key_column=id")["s/two.png"] == "b"

    def test_labels_that_matched_once_are_missed(self, minia, tmp_path):
        """The small twin of the next test."""
        labels = tmp_path / "labels.csv"
        labels.write_text("file,label\nn1.png,a\n")
        for night, given in (("n1", ("--labels", labels)), ("n2", ())):
            folder = tmp_path / night
            folder.mkdir()
            (folder / f"{night}.png").write_bytes(png(1))
            where = ("--images", folder, "--batch", night, "--warehouse", tmp_path / "W")
            said = minia("ingest", *where, *given, *chosen("spark.partitions=1")).expect(0).err
        assert f"no labels: --labels was not given, and another batch has those of {labels}" in said
        # the batch that had labels is the same again, until somebody says otherwise
        again = ("--images", tmp_path / "n1", "--batch", "n1", "--warehouse", tmp_path / "W")
        planned = minia("plan", *again).expect(0).out
        assert re.search(r"^ingest +n1 +skip +up to date$", planned, re.MULTILINE)
        without = minia("plan", *again, "--set", "ingest.labels.file=null").expect(0).out
        assert "the source changed" in without
        labels.unlink()
        said = minia("ingest", *again).expect(3).err
        assert f"batch n1 was read with the labels {labels}, which are not there any more" in said

    @pytest.mark.heavy
    def test_a_night_without_labels_after_one_with_them(self, minia, tmp_path):
        """What matched once is no typo; another file or column may be one."""
        where = ("--warehouse", tmp_path / "W", *chosen("spark.partitions=1"))
        labels = tmp_path / "labels.csv"
        labels.write_text("file,object,label\nnone.png,x,a\n")

        def take(night: str, file: Path = labels, *settings: str):
            folder = tmp_path / night
            folder.mkdir(exist_ok=True)
            (folder / f"{night}.png").write_bytes(png(int(night[1:])))
            given = ("--images", folder, "--batch", night, "--labels", file)
            return minia("ingest", *given, *where, *chosen(*settings))

        assert "none of 1 rows" in take("n1").expect(3).err
        labels.write_text("file,object,label\nn1.png,x,a\n")
        assert "warning" not in take("n1").expect(0).err
        labels.write_text("file,object,label\nn1.png,x,a\nn9.png,y,b\n")  # continued every night
        said = take("n2").expect(0).err
        assert "warning: ingest n2: none of 2 rows" in said
        assert rows_of(tmp_path / "W", "images", "label", batch="n2") == [(None,)]
        other = tmp_path / "other.csv"
        other.write_text(labels.read_text())
        assert "none of 2 rows" in take("n3", other).expect(3).err
        assert (
            "none of 2 rows" in take("n3", labels, "ingest.labels.key_column=object").expect(3).err
        )
        given = ("--images", tmp_path / "n2", "--batch", "n5")
        said = minia("ingest", *given, *where).expect(0).err
        assert f"no labels: --labels was not given, and another batch has those of {labels}" in said
        # the columns are remembered only from what was published
        take("n3").expect(0)
        minia("batch", "remove", "n1", "--warehouse", tmp_path / "W").expect(0)
        assert "none of 2 rows" in take("n4").expect(3).err

    def test_few_matches_and_empty_columns_are_warned_of(self, label, published, folder, tmp_path):
        for number in range(8):
            (folder / f"{number}.png").write_bytes(png(number))
        rows = "".join(f"x{number},a,,\n" for number in range(11))
        (tmp_path / "labels.csv").write_text("name,label,ra,dec\n7,a,,\n" + rows)
        labels = f"ingest.labels.file={tmp_path / 'labels.csv'}"
        made = published(tmp_path / "V", "ingest", "b1", labels, source=folder)
        assert "only 1 of 12 rows of the label file" in warnings_of(made)
        assert (
            "name an image, and only 1 of 11 images are named: column 'name' has 'x0', 'x1', "
            "'x10'; images are called '0.png', '1.png', '2.png'. Set" in warnings_of(made)
        )
        (tmp_path / "labels.csv").write_text("name,label,ra,dec\n7,a,,\n6,b,,\n")
        made = published(tmp_path / "U", "ingest", "b1", labels, source=folder)
        assert warnings_of(made).count("warning: ") == 1
        assert "column 'ra' of" in warnings_of(made)
        assert "is empty in all 2 rows that match an image" in warnings_of(made)


def warnings_of(made) -> str:
    return made.progress.stream.getvalue()


class TestAnArchiveAsTheWholeInput:
    """``--images FILE.zip``: the same images as in the folder that it was made of."""

    @pytest.mark.parametrize(
        "kind", [*(pytest.param(kind, marks=pytest.mark.heavy) for kind in ("zip", "tar")), "gztar"]
    )
    def test_gives_what_its_folder_gives(self, folder, published, tmp_path, monkeypatch, kind):
        (folder / "n").mkdir()
        for seed, name in enumerate(("a.png", "n/b.png", "n/c.png", "d.png")):
            (folder / name).write_bytes(png(seed))
        (folder / "broken.png").write_bytes(b"no image")
        archive = Path(shutil.make_archive(str(tmp_path / "all"), kind, folder))
        monkeypatch.setattr(
            "minia_spark.images.listing._PART_BYTES", 1000
        )  # several tasks share it
        for name, place in (("F", folder), ("A", archive)):
            published(tmp_path / name, "ingest", "b1", source=place)
            published(tmp_path / name, "features", "b1")
        columns = ("image_id", "width", "height", "format", "size_bytes", "content_hash")
        images = rows_of(tmp_path / "F", "images", *columns)
        assert rows_of(tmp_path / "A", "images", *columns) == images
        assert len(images) == 4
        features = ("image_id", "n_features", "x", "y", "descriptors", "reason")
        assert rows_of(tmp_path / "A", "features", *features) == rows_of(
            tmp_path / "F", "features", *features
        )
        (reject,) = rows_of(tmp_path / "A", "rejects", "reason")
        assert reject == ("not_an_image",)

    def test_a_single_image_is_none(self, folder, minia, tmp_path):
        (folder / "a.png").write_bytes(png(0))
        given = ("--images", folder / "a.png", "--batch", "b", "--warehouse", tmp_path / "W")
        found = minia("run", *given).expect(3)
        assert "is neither a folder nor an archive (.tar, .tar.gz, .zip) or Parquet" in found.err


def test_what_was_listed_and_never_came_back(folder, ingest, monkeypatch):
    """The count starts from the listing: a task whose rows got lost is no smaller batch."""
    for number in range(8):
        (folder / f"{number}.png").write_bytes(png(number))
    made = PixelPass.run

    def losing(own: PixelPass, context) -> None:
        made(own, context)
        parts = sorted((context.warehouse.storage.local / own.path).glob("*.parquet"))
        max(parts, key=lambda part: part.stat().st_size).unlink()

    monkeypatch.setattr(PixelPass, "run", losing)
    with pytest.raises(MiniaError, match=r"ingest b1: \d files were listed of which nothing came"):
        ingest()


def test_files_of_images_without_any_are_warned_of(folder, ingest, caplog):
    (folder / "a.png").write_bytes(png(1))
    container(folder / "none.parquet", [])
    location = ingest()
    assert rows_of(location, "images", "image_id") == [("a.png",)]
    assert "1 files of images hold none, e.g. file:///" in caplog.text


def test_wrong_checksums_are_warned_of_or_rejected(folder, ingest, caplog):
    out = io.BytesIO()
    fits.PrimaryHDU(np.arange(600, dtype=np.int16).reshape(20, 30)).writeto(out, checksum=True)
    data = out.getvalue()
    (folder / "a.fits").write_bytes(data)
    (folder / "b.fits").write_bytes(data[:2900] + bytes([data[2900] ^ 1]) + data[2901:])
    location = ingest()
    told = caplog.text
    assert "ingest b1: 1 images have something wrong, e.g. file:///" in told
    assert "b.fits: DATASUM of HDU 0 is wrong" in told
    assert len(rows_of(location, "images")) == 2
    location = ingest("ingest.fits_checksums=reject")
    assert rows_of(location, "images", "image_id") == [("a.fits",)]
    assert rows_of(location, "rejects", "reason") == [("corrupt",)]


def test_fits_images_are_where_their_headers_say(folder, ingest, tmp_path):
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.1, "CDELT2": 0.1}
    header |= {"CRPIX1": 15.5, "CRPIX2": 10.5, "CRVAL1": 200.0, "CRVAL2": -30.0}  # the middle
    image = fits.PrimaryHDU(np.arange(600, dtype=np.int16).reshape(20, 30))
    image.writeto(folder / "without.fits")
    image.header.update(header)
    for name in ("own", "labelled", "with_class"):
        image.writeto(folder / f"{name}.fits")
    labels = tmp_path / "labels.csv"
    rows = ["image,label,ra_deg,dec_deg", "labelled.fits,spiral,10,20", "with_class.fits,ring,,"]
    labels.write_text("\n".join(rows))
    columns = ("image_id", "label", "ra_deg", "dec_deg")
    header_says = (pytest.approx(200), pytest.approx(-30))
    wanted = {
        "own.fits": (None, *header_says),
        "labelled.fits": ("spiral", 10.0, 20.0),
        "with_class.fits": ("ring", *header_says),
        "without.fits": (None, None, None),
    }
    location = ingest(f"ingest.labels.file={json.dumps(str(labels))}")
    found = {name: tuple(rest) for name, *rest in rows_of(location, "images", *columns)}
    assert found == wanted
    location = ingest()
    found = {name: tuple(rest) for name, *rest in rows_of(location, "images", *columns)}
    own = dict.fromkeys(["labelled.fits", "with_class.fits"], wanted["own.fits"])
    assert found == wanted | own
