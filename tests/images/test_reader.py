"""Bytes by URI: plain files and rows of Parquet files."""

from __future__ import annotations

import io
import os
import re
import stat
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_samples import MAKERS

from minia_spark.base.errors import Rejected
from minia_spark.images import reader as source
from minia_spark.images.parquet import ParquetImages
from minia_spark.images.reader import PLACE, ImageReader, images_of_file
from minia_spark.images.tar_archive import TarArchive

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_struct(path, rows, *, row_group_size=1000, kind=IMAGE):
    column = pa.array([{"bytes": d, "path": p} for d, p in rows], type=kind)
    pq.write_table(
        pa.table({"label": list(range(len(rows))), "image": column}),
        path,
        row_group_size=row_group_size,
    )


def sourced(folder, name, max_bytes=1000):
    return list(images_of_file(os.fsencode(folder), name.encode(), max_bytes=max_bytes))


def rows_of(folder, name, **options):
    return [
        (
            s.image_id,
            s.uri.partition("#")[2],
            s.data if isinstance(s.data, bytes) else s.data.reason,
        )
        for s in sourced(folder, name, **options)
    ]


def test_plain_file(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "%.jpg").write_bytes(b"content")
    (only,) = sourced(tmp_path, "a b/%.jpg")
    assert only.image_id == "a b/%25.jpg"
    assert only.uri.endswith("/a%20b/%25.jpg")
    assert only.data == b"content"
    with ImageReader(max_bytes=1000) as reader:
        assert reader.read(only.uri) == b"content"


def test_a_plain_file_is_opened_once_and_asked_for_no_more_than_it_has(tmp_path, monkeypatch):
    """Surveys have millions of small files: no look at one may cost a second one."""
    (tmp_path / "x").write_bytes(b"\xff\xd8\xff" + b"2" * 20_000)  # digits, as tar's headers have
    opened, asked = [], []
    monkeypatch.setattr(os, "open", _noting(opened, os.open))
    monkeypatch.setattr(TarArchive, "__init__", lambda *_: pytest.fail("it is no archive"))

    class Asked(io.BufferedReader):
        def read(self, size):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(source, "open", lambda n, _: Asked(io.FileIO(n)), raising=False)
    assert len(sourced(tmp_path, "x", max_bytes=10**6)[0].data) == 20_003
    assert len(opened) == 1
    assert asked == [20_004]


def _noting(calls, function):
    def noted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return noted


def test_a_file_that_grows_while_it_is_read_is_read_whole(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x" * 50)
    said = os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, 20, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: said)
    assert sourced(tmp_path, "x", max_bytes=50)[0].data == b"x" * 50
    refused = sourced(tmp_path, "x", max_bytes=49)[0].data
    assert str(refused).startswith("file_limit: The file has ")


def test_file_limit_is_exact_and_checked_before_reading(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert sourced(tmp_path, "x", max_bytes=5)[0].data == b"12345"
    refused = sourced(tmp_path, "x", max_bytes=4)[0].data
    assert str(refused) == (
        "file_limit: The file has 5 bytes; the limit is 4 (ingest.max_file_mib)."
    )


def test_what_the_system_refuses_is_unreadable(tmp_path):
    assert "No such file" in str(sourced(tmp_path, "missing")[0].data)
    (tmp_path / "folder").mkdir()
    assert sourced(tmp_path, "folder")[0].data.reason == "unreadable"
    os.mkfifo(tmp_path / "pipe")  # must not wait for a writer
    assert str(sourced(tmp_path, "pipe")[0].data) == (
        "unreadable: The path is no regular file any more."
    )
    reader = ImageReader(max_bytes=10)
    with pytest.raises(Rejected, match="unreadable: The system says: No such file"):
        reader.read("file:///no/such/file")
    with pytest.raises(Rejected, match=r"unreadable: The system says: .*embedded null"):
        reader.read("file:///a%00b")


@pytest.mark.parametrize("row_group_size", [1, 3, 1000])
def test_rows_of_a_struct_column(tmp_path, row_group_size):
    rows = [(f"image {i}".encode(), f"d/{i}.png") for i in range(40)]
    write_struct(tmp_path / "c.parquet", rows, row_group_size=row_group_size)
    found = sourced(tmp_path, "c.parquet")
    assert [(s.data, s.image_id) for s in found] == rows
    with ImageReader(max_bytes=1000) as reader:
        assert [reader.read(s.uri) for s in found] == [d for d, _ in rows]
        assert [reader.read(s.uri) for s in reversed(found)] == [d for d, _ in reversed(rows)]


def test_rows_without_a_path_are_numbered_through_the_file(tmp_path):
    rows = [(b"a", "p"), (b"b", None), (b"c", ""), (None, "lost"), (b"", "nothing"), (b"%", "%")]
    write_struct(tmp_path / "c.parquet", rows, row_group_size=2)
    assert rows_of(tmp_path, "c.parquet") == [
        ("p", "row_group=0&row=0", b"a"),
        ("c.parquet#1", "row_group=0&row=1", b"b"),
        ("c.parquet#2", "row_group=1&row=0", b"c"),
        ("lost", "row_group=1&row=1", "empty_file"),
        ("nothing", "row_group=2&row=0", b""),
        ("%25", "row_group=2&row=1", b"%"),
    ]


def test_null_struct_is_a_null_image(tmp_path):
    column = pa.array([{"bytes": b"a", "path": "p"}, None], type=IMAGE)
    pq.write_table(pa.table({"image": column}), tmp_path / "c.parquet")
    assert [r[2] for r in rows_of(tmp_path, "c.parquet")] == [b"a", "empty_file"]
    assert rows_of(tmp_path, "c.parquet")[1][0] == "c.parquet#1"


@pytest.mark.parametrize("binary", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.binary()])
def test_flat_columns_and_other_types(tmp_path, binary, text):
    path = "ñ.png" if text != pa.binary() else b"\xff.png"
    table = pa.table(
        {
            "other": pa.array([1]),
            "image.path": pa.array([path], type=text),
            "image.bytes": pa.array([b"x"], type=binary),
        }
    )
    pq.write_table(table, tmp_path / "flat.parquet")
    image_id = "ñ.png" if text != pa.binary() else "%FF.png"
    assert rows_of(tmp_path, "flat.parquet") == [(image_id, "row_group=0&row=0", b"x")]


def test_bytes_without_paths(tmp_path):
    pq.write_table(pa.table({"image.bytes": [b"x", b"y"]}), tmp_path / "f.parquet")
    assert [r[0] for r in rows_of(tmp_path, "f.parquet")] == ["f.parquet#0", "f.parquet#1"]


def test_row_limit(tmp_path):
    write_struct(tmp_path / "c.parquet", [(b"12345", "a"), (b"123456", "b")])
    assert [r[2] for r in rows_of(tmp_path, "c.parquet", max_bytes=5)] == [b"12345", "file_limit"]


def test_empty_parquet_file_has_no_images(tmp_path):
    write_struct(tmp_path / "c.parquet", [])
    assert sourced(tmp_path, "c.parquet") == []


def test_parquet_without_images_says_what_is_wanted(tmp_path):
    pq.write_table(pa.table({"a": [1], "image": ["text"]}), tmp_path / "t.parquet")
    (only,) = sourced(tmp_path, "t.parquet")
    assert str(only.data) == (
        "not_an_image: A Parquet file of images has a binary column image.bytes (or a struct "
        "column image with the field bytes) and may have image.path; this one has a, image."
    )


def test_broken_parquet_is_one_refusal(tmp_path):
    write_struct(tmp_path / "c.parquet", [(b"a" * 500, "a")] * 10)
    whole = (tmp_path / "c.parquet").read_bytes()
    for name, data in {"cut": whole[:-20], "magic": b"PAR1", "noise": b"PAR1" + b"\7" * 99}.items():
        (tmp_path / name).write_bytes(data)
        (only,) = sourced(tmp_path, name)
        assert only.image_id == name
        assert "corrupt: The Parquet file is damaged" in str(only.data)


def test_damaged_row_group_keeps_the_others(tmp_path):
    rows = [(os.urandom(300), f"{i}.png") for i in range(30)]
    write_struct(tmp_path / "c.parquet", rows, row_group_size=10)
    data = bytearray((tmp_path / "c.parquet").read_bytes())
    metadata = pq.ParquetFile(tmp_path / "c.parquet").metadata
    start = metadata.row_group(1).column(1).data_page_offset
    data[start : start + 30] = b"\xff" * 30  # the page header
    (tmp_path / "c.parquet").write_bytes(data)
    found = rows_of(tmp_path, "c.parquet")
    assert [f[2] for f in found if isinstance(f[2], bytes)] == [d for d, _ in rows[:10] + rows[20:]]
    assert [f for f in found if isinstance(f[2], str)] == [("c.parquet", "row_group=1", "corrupt")]


def test_rows_in_order_cost_one_pass(tmp_path, monkeypatch):
    rows = [(f"{i}".encode(), f"{i}") for i in range(200)]
    write_struct(tmp_path / "c.parquet", rows, row_group_size=50)
    found = sourced(tmp_path, "c.parquet")
    passes = Counter()

    class Counting(ParquetImages):
        def rows(self, row_group):
            passes[row_group] += 1
            return super().rows(row_group)

    monkeypatch.setattr(source, "KINDS", (Counting,))
    with ImageReader(max_bytes=1000) as reader:
        for s in found[::3]:
            assert reader.read(s.uri) == s.data
            assert reader.read(s.uri) == s.data  # the same again costs nothing
    assert passes == {0: 1, 1: 1, 2: 1, 3: 1}


def test_a_row_group_is_not_held_whole(tmp_path):
    rows = [(os.urandom(100_000), str(i)) for i in range(200)]
    column = pa.array([{"bytes": d, "path": p} for d, p in rows], type=IMAGE)
    pq.write_table(
        pa.table({"image": column}),
        tmp_path / "c.parquet",
        write_batch_size=1,
        use_dictionary=False,
    )
    del column
    before, most = pa.total_allocated_bytes(), 0
    for found, (data, _) in zip(
        images_of_file(os.fsencode(tmp_path), b"c.parquet", max_bytes=10**6), rows, strict=True
    ):
        assert found.data == data
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 10_000_000  # of 20 MB


def test_place_orders_uris_as_the_files_have_them(tmp_path):
    members = {f"{i % 3}/{i}.png": f"{i}".encode() * i for i in range(30)}
    write_struct(tmp_path / "p", [(b"x", "row_group=7&row=9")] * 30, row_group_size=11)
    (tmp_path / "row=1").write_bytes(b"plain")
    for name, make in MAKERS.items():
        (tmp_path / name).write_bytes(make(members))
    names = sorted(["p", "row=1", *MAKERS])
    uris = [s.uri for name in names for s in sourced(tmp_path, name)]

    def place(uri):
        file, *numbers = [re.search(pattern, uri) for pattern in PLACE]
        return file[0], *(int(found[1]) if found else -1 for found in numbers)

    mixed = uris[::-1]
    assert sorted(mixed, key=place) == uris
    assert len(set(map(place, uris))) == len(uris) == 121


def test_reader_changes_between_files(tmp_path):
    for name in "ab":
        write_struct(tmp_path / name, [(f"{name}{i}".encode(), None) for i in range(3)])
    (tmp_path / "plain").write_bytes(b"plain")
    uris = [s for name in ("a", "plain", "b", "a") for s in sourced(tmp_path, name)]
    with ImageReader(max_bytes=1000) as reader:
        for s in uris:
            assert reader.read(s.uri) == s.data


def test_positions_that_do_not_exist(tmp_path):
    write_struct(tmp_path / "c.parquet", [(b"a", "a")])
    (only,) = sourced(tmp_path, "c.parquet")
    base = only.uri.partition("#")[0]
    with ImageReader(max_bytes=10) as reader:
        with pytest.raises(Rejected, match=r"corrupt: Row group 0 .* has no row 7; the file has"):
            reader.read(f"{base}#row_group=0&row=7")
        with pytest.raises(Rejected, match="has 1 row groups and no number 3"):
            reader.read(f"{base}#row_group=3&row=0")
        with pytest.raises(ValueError, match="names no image of a file of images"):
            reader.read(f"{base}#row=1")
        assert reader.read(only.uri) == b"a"  # still of use afterwards
