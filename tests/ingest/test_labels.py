"""Label files: which columns, which rows, and clear words where something is missing."""

from __future__ import annotations

import bz2
import gzip
import os
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_samples import SHARED

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.images.identity import image_id_of
from minia_spark.ingest.labels import (
    LABELS_SCHEMA,
    Matches,
    ambiguous,
    check_labels,
    choose_columns,
    label_batches,
    match_keys,
)

UNPACKABLE = b"name,label\n" + random.Random(1).randbytes(9999)


@pytest.mark.parametrize(
    ("image_id", "keys"),
    [
        ("588.jpeg", ("588.jpeg", "588.jpeg", "588")),
        ("a/b/588.JPG", ("a/b/588.JPG", "588.JPG", "588")),
        ("./a/x.fits.bz2", ("a/x.fits.bz2", "x.fits.bz2", "x")),
        ("NGC.1234", ("NGC.1234", "NGC.1234", "NGC.1234")),  # a name, not an extension
        ("NGC.1234.fits.fz", ("NGC.1234.fits.fz", "NGC.1234.fits.fz", "NGC.1234")),
        ("c.parquet#12", ("c.parquet#12", "c.parquet#12", "c.parquet#12")),
        (".jpg", (".jpg", ".jpg", ".jpg")),
        ("", ("", "", "")),
    ],
)
def test_match_keys_by_hand(image_id, keys):
    assert match_keys(image_id) == keys


@given(st.text(max_size=40))
def test_match_keys_of_anything(image_id):
    keys = match_keys(image_id)
    assert keys.path.endswith(keys.name)
    assert keys.name.startswith(keys.stem)
    assert bool(keys.stem) == bool(keys.name)


def written(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def table_of(path, **columns):
    batches = list(label_batches(path, **columns))
    return pa.Table.from_batches(batches, LABELS_SCHEMA).to_pylist()


def test_labels_and_positions(tmp_path):
    path = written(
        tmp_path,
        'file,label,ra,dec,other\na/1.png,"spiral, barred",10.5,-20.25,x\n 2.png ,,,,\n',
    )
    assert table_of(path) == [
        {
            "key": "a/1.png",
            "key_path": "a/1.png",
            "key_name": "1.png",
            "key_stem": "1",
            "label": "spiral, barred",
            "ra_deg": 10.5,
            "dec_deg": -20.25,
        },
        {
            "key": "2.png",
            "key_path": "2.png",
            "key_name": "2.png",
            "key_stem": "2",
            "label": None,
            "ra_deg": None,
            "dec_deg": None,
        },
    ]


def test_numbers_as_keys_and_labels_stay_text(tmp_path):
    path = written(tmp_path, "dr7objid,class\n588848901009637626,007\n")
    (row,) = table_of(path)
    assert (row["key_stem"], row["label"]) == ("588848901009637626", "007")


def test_keys_are_names_on_disk_unless_the_column_is_image_id(tmp_path):
    name = "100% ñ.png"
    as_name = table_of(written(tmp_path, f"file,label\n{name},a\n"))
    as_id = table_of(written(tmp_path, f"image_id,label\n{image_id_of(name.encode())},a\n"))
    assert as_name[0]["key_path"] == as_id[0]["key_path"] == "100%25 ñ.png"


@pytest.mark.parametrize(
    ("name", "pack"), [("l.csv.gz", gzip.compress), ("l.csv.bz2", bz2.compress)]
)
def test_compressed_and_marked_files(tmp_path, name, pack):
    content = b"\xef\xbb\xbfname,label\r\nx,1\r\n"
    assert table_of(written(tmp_path, pack(content), name))[0]["key"] == "x"


def test_large_file_comes_in_pieces(tmp_path):
    path = written(tmp_path, "name,label\n" + "".join(f"{i:060d},x\n" for i in range(150_000)))
    sizes = [batch.num_rows for batch in label_batches(path)]
    assert sum(sizes) == 150_000
    assert len(sizes) > 1


def test_header_only_is_an_empty_table(tmp_path):
    assert table_of(written(tmp_path, "name,label\n")) == []


def test_columns_that_are_set_win():
    names = ["objid", "file", "gz1_class", "gz1_class_name", "class"]
    assert choose_columns(names, label="gz1_class_name") == ("file", "gz1_class_name", None, None)
    assert choose_columns(names, key="objid") == ("objid", "class", None, None)


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (
            ["a", "b"],
            {},
            r"No column of the label file names the image: it has a, b; expected is one of image_id"
            r", image, file, .*, or set ingest\.labels\.key_column\.",
        ),
        (["name", "b"], {}, "neither a label nor a position: its columns are name, b; set"),
        (
            ["a", "objID", "Class"],
            {},
            r"or set ingest\.labels\.key_column \(likely: objID\)\.",
        ),
        (
            ["dr7objid", "file", "gz1_class", "gz1_class_name", "gz2_asset_id", "gz2_class"],
            {},
            r"neither a label .*; set ingest\.labels\.label_column \(likely: gz1_class, "
            r"gz1_class_name, gz2_class\), or ra_column",
        ),
        (
            ["name", "label"],
            {"label": "klass"},
            r"ingest\.labels\.label_column is 'klass', but the label file has the columns name, l",
        ),
        (["name", "ra"], {}, "needs right ascension and declination, but .* columns name, ra; set"),
    ],
)
def test_wrong_columns(names, columns, message):
    with pytest.raises(SettingsError, match=message):
        choose_columns(names, **columns)


def test_column_twice():
    with pytest.raises(InputError, match="has the column 'label' more than once"):
        choose_columns(["name", "label", "label"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\n,a\n", "has a row without a value in column 'name'"),
        ("name,label\na,b,c\n", "cannot be read: CSV parse error"),
        ("name,ra,dec\na,12:30:00,1\n", "Column 'ra' .* other than decimal degrees"),
        ("name,ra,dec\na,360,1\n", r"Column 'ra' .* holds '360'; .* 0 <= ra < 360, or nothing"),
        ("name,ra,dec\na,1,-99\n", r"Column 'dec' .* holds '-99'; .* -90 <= dec <= 90, or"),
        ("name,ra,dec\na,nan,1\n", "Column 'ra' .* holds 'nan'"),
        (b"name,label\n\xff,a\n", "cannot be read"),
        ("", "cannot be read: Empty CSV file"),
    ],
)
def test_wrong_content(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        table_of(written(tmp_path, text))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv cannot be read: .*No such file"):
        table_of(tmp_path / "none.csv")


class TestCheck:
    """What check_labels finds out before anything starts."""

    def test_columns_of_a_good_file(self, tmp_path):
        path = written(tmp_path, "file,label,ra,dec\na,b,1,2\n")
        assert check_labels(path) == ("file", "label", "ra", "dec")
        assert check_labels(path, label="dec") == ("file", "dec", "ra", "dec")

    def test_a_pipe_does_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.csv")
        (tmp_path / "link.csv").symlink_to("pipe.csv")
        for name in ("pipe.csv", "link.csv", "."):
            with pytest.raises(InputError, match=r"cannot be read: The path is no regular file"):
                check_labels(tmp_path / name)

    def test_no_rows(self, tmp_path):
        with pytest.raises(InputError, match=r"The label file .*labels\.csv has no rows\."):
            check_labels(written(tmp_path, "name,label\n"))

    @pytest.mark.parametrize(
        ("content", "error", "message"),
        [
            ("a,b\n1,2\n", SettingsError, "No column of the label file names the image"),
            ("name,b\n1,2\n", SettingsError, "neither a label nor a position"),
            ("", InputError, "cannot be read: Empty CSV file"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", InputError, "cannot be read: .utf-8"),
            (gzip.compress(UNPACKABLE, mtime=0)[:99], InputError, "cannot be read"),
            (b"\x1f\x8b", InputError, "cannot be read"),
            ("name,label\n" + "x" * (9 << 20), InputError, "cannot be read"),
        ],
    )
    def test_bad_files(self, tmp_path, content, error, message):
        with pytest.raises(error, match=message) as caught:
            check_labels(written(tmp_path, content))
        assert str(caught.value).isprintable()

    def test_only_the_beginning_of_a_large_file_is_read(self, tmp_path):
        rows = "".join(f"{i:060d},x\n" for i in range(150_000))
        path = written(tmp_path, "name,label\n" + rows + ",no key\n")
        assert check_labels(path).label == "label"
        with pytest.raises(InputError, match="a row without a value"):
            table_of(path)


class TestMatches:
    @pytest.mark.parametrize(
        ("images", "rows", "matched_images", "matched_rows", "few"),
        [
            (100, 100, 0, 0, True),
            (100, 100, 9, 9, True),
            (100, 100, 10, 9, False),
            (100, 10**6, 100, 100, False),  # a catalogue of the whole sky
            (10**6, 100, 100, 100, False),  # a collection of which little is labelled
            (100, 100, 90, 1, False),  # one row for many images of the same name
        ],
    )
    def test_few_are_those_below_a_tenth_of_both(
        self, images, rows, matched_images, matched_rows, few
    ):
        assert Matches(images, rows, matched_images, matched_rows).few is few

    def test_words_are_fit_to_print(self):
        said = Matches(1000, 20, 0, 0).told("a\nb.csv", "k\n", ["x\ny", "\u202e"], ["1.png"])
        assert said.startswith(
            "none of 20 rows of the label file a%0Ab.csv names one of 1,000 images: column 'k"
        )
        assert said.isprintable()


def test_edges_of_the_sky_are_in(tmp_path):
    rows = table_of(written(tmp_path, "name,ra,dec\na,0,-90\nb,359.999,90\n"))
    assert [(r["ra_deg"], r["dec_deg"]) for r in rows] == [(0.0, -90.0), (359.999, 90.0)]


def test_ambiguity_names_both_rows():
    assert str(ambiguous("a/1.png", "x/1.png", "y/1.png")).startswith(
        "The image 'a/1.png' matches two different rows of the label file, 'x/1.png' and 'y/1.png'"
    )


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
def test_real_labels_find_their_images_from_either_folder():
    rows = table_of(SHARED / "galaxies" / "labels.csv", label="gz1_class_name")
    names = {p.name for p in (SHARED / "galaxies" / "images").iterdir()}
    assert len(rows) == len(names) == 921
    assert {match_keys(n).name for n in names} == {r["key_name"] for r in rows}
    assert {match_keys(f"images/{n}").path for n in names} == {r["key_path"] for r in rows}
