"""hash_files: what files hold, in any order, under any name."""

from __future__ import annotations

import os

import pytest

from minia_spark.images import contents
from minia_spark.images.contents import hash_files
from minia_spark.images.listing import list_file, list_folder


def hashed(folder):
    return hash_files(os.fsencode(folder), list_folder(folder))


@pytest.fixture
def folder(tmp_path):
    for name, data in (("a/1.png", b"one"), ("a/2.png", b"two"), ("b/3.png", b"three")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def test_order_and_pieces_do_not_count(folder, monkeypatch):
    whole = hashed(folder)
    monkeypatch.setattr(contents, "_FILES_AT_ONCE", 2)
    root, entries = os.fsencode(folder), list(list_folder(folder))
    assert hash_files(root, entries) == hash_files(root, entries[::-1]) == whole


def test_copies_under_other_names(folder, tmp_path):
    before = hashed(folder)
    (folder / "a/1.png").rename(folder / "renamed.png")
    after = hashed(folder)
    assert after.unnamed == before.unnamed
    assert after.named != before.named


def test_names_that_were_exchanged(folder):
    before = hashed(folder)
    (folder / "a/1.png").write_bytes(b"two")
    (folder / "a/2.png").write_bytes(b"one")
    after = hashed(folder)
    assert after.unnamed == before.unnamed
    assert after.named != before.named


def test_the_same_bytes_twice_are_not_once(folder):
    before = hashed(folder)
    (folder / "4.png").write_bytes(b"one")
    assert hashed(folder).unnamed != before.unnamed


def test_of_nothing(tmp_path):
    assert hashed(tmp_path).unnamed == "0" * 32 + "-0"


def test_what_cannot_be_read_is_like_nothing_else(tmp_path):
    """Two folders full of dead links hold nothing that could be the same."""
    seen = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").symlink_to("nowhere")
        os.mkfifo(tmp_path / name / f"{name}.pipe")
        seen.add(hashed(tmp_path / name).unnamed)
    assert len(seen) == 2


def test_of_an_archive_that_is_the_input(tmp_path):
    seen = set()
    for data in (b"one", b"two"):
        (tmp_path / "a.zip").write_bytes(data)
        path = os.fsencode(tmp_path / "a.zip")
        seen.add(hash_files(path, list_file(path)))
    assert len(seen) == 2
    assert all(found.unnamed.endswith("-1") for found in seen)
