"""list_folder: every file once, links and special files under control, any name."""

from __future__ import annotations

import os
import random
import socket
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.images.listing import (
    Listed,
    ListingDigest,
    list_file,
    list_files,
    list_folder,
    parts_of,
)


def listed(root, **options):
    """path -> size, or the reason of a refusal."""
    entries = list(list_folder(root, **options))
    found = {e.path: e.rejected.reason if e.rejected else e.size_bytes for e in entries}
    assert len(found) == len(entries)
    return found


def test_files_at_every_depth_with_size_and_time(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one.jpg").write_bytes(b"1")
    (tmp_path / "a" / "b" / "two.png").write_bytes(b"22")
    os.utime(tmp_path / "one.jpg", ns=(5, 1_234_567_891))
    assert listed(tmp_path) == {b"one.jpg": 1, b"a/b/two.png": 2}
    times = {e.path: e.mtime_ns for e in list_folder(os.fsencode(tmp_path))}
    assert times[b"one.jpg"] == 1_234_567_891


def test_hidden_names_and_the_bookkeeping_of_parquet_are_left_out(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "_temporary").mkdir()
    for name in (".git/x.jpg", ".hidden.jpg", "_SUCCESS", "_temporary/y", ".p.parquet.crc"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "_DSC0001.jpg").write_bytes(b"camera")  # cameras write such names
    assert listed(tmp_path) == {b"_DSC0001.jpg": 6}


HOSTILE = [
    b"new\nline.png",
    b"quote'\".png",
    b"<script>alert(1)</script>.png".replace(b"/", b"_"),
    b"not-utf8-\xff\xfe.png",
    b"%2e%2e%2f.png",
    b"...",
    b" ",
    b"\x01\x7f",
    b"--help",
    b"$(touch x);`id`|&.png",
    b"n" * 255,
    "\u202egnp.exe".encode(),
]


def test_hostile_names_are_listed_byte_for_byte(tmp_path):
    names = [name for name in HOSTILE if not name.startswith(b".")]
    folder = os.fsencode(tmp_path) + b"/\xff\n"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    for name in names:
        with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(b"x")
    assert listed(tmp_path) == {b"\xff\n/" + name: 1 for name in names}


def test_special_files_are_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket paths are short
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        (tmp_path / "device.jpg").symlink_to("/dev/zero")
        details = {
            e.path: str(e.rejected) for e in list_folder(tmp_path, follow_links_outside=True)
        }
    assert "not_an_image: The entry is a named pipe" in details[b"pipe.jpg"]
    assert "not_an_image: The entry is a socket" in details[b"socket.jpg"]
    assert "not_an_image: The entry is a device" in details[b"device.jpg"]


@pytest.fixture
def inside_and_outside(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    (inside / "sub" / "real.jpg").write_bytes(b"inside")
    (outside / "secret.jpg").write_bytes(b"outside!")
    (outside / "deep" / "er.jpg").write_bytes(b"o")
    return inside, outside


def test_links_that_stay_inside(inside_and_outside):
    inside, _ = inside_and_outside
    (inside / "alias.jpg").symlink_to("sub/real.jpg")
    (inside / "sub" / "loop").symlink_to("..")
    (inside / "again").symlink_to("sub")
    assert listed(inside) == {b"sub/real.jpg": 6, b"alias.jpg": 6}


def test_links_that_leave_are_refused(inside_and_outside):
    inside, outside = inside_and_outside
    (inside / "file.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "up.jpg").symlink_to("../outside/secret.jpg")
    (inside / "root").symlink_to("/")
    assert listed(inside) == {
        b"sub/real.jpg": 6,
        b"file.jpg": "outside_root",
        b"folder": "outside_root",
        b"up.jpg": "outside_root",
        b"root": "outside_root",
    }


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "x.jpg").write_bytes(b"x")
    (tmp_path / "data" / "x.jpg").symlink_to(tmp_path / "data2" / "x.jpg")
    assert listed(tmp_path / "data") == {b"x.jpg": "outside_root"}


def test_links_that_leave_are_followed_when_allowed_and_end(inside_and_outside):
    inside, outside = inside_and_outside
    (inside / "file.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "holder").symlink_to(inside.parent)
    (outside / "back").symlink_to(inside)  # inside: listed where it is
    (outside / "self").symlink_to(outside)  # a link to a folder below a link
    assert listed(inside, follow_links_outside=True) == {
        b"sub/real.jpg": 6,
        b"file.jpg": 8,
        b"folder/secret.jpg": 8,
        b"folder/deep/er.jpg": 1,
        b"folder/self": "outside_root",
        b"holder": "outside_root",
    }


def test_dead_and_circular_links_are_unreadable(tmp_path):
    (tmp_path / "dead.jpg").symlink_to("nowhere")
    (tmp_path / "a.jpg").symlink_to("b.jpg")
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    details = {e.path: str(e.rejected) for e in list_folder(tmp_path)}
    assert details[b"dead.jpg"] == "unreadable: The system says: No such file or directory."
    assert "Too many levels of symbolic links" in details[b"a.jpg"]
    assert b"b.jpg" in details


def test_a_root_reached_by_a_link_is_fine(inside_and_outside):
    inside, _ = inside_and_outside
    link = inside.parent / "link"
    link.symlink_to(inside)
    assert listed(link) == {b"sub/real.jpg": 6}


def test_unreadable_folder_is_one_refusal(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.jpg").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path):  # the tests may run as root, for whom no folder is closed
        if os.fsencode(path).endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = {e.path: str(e.rejected) for e in list_folder(tmp_path)}
    assert found[b"closed"] == "unreadable: The system says: Permission denied."
    assert found[b"open.jpg"] == "None"


def test_empty_folder(tmp_path):
    assert listed(tmp_path) == {}


def test_wrong_roots(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for name in ("missing", "file"):
        with pytest.raises(InputError, match=f"{name} does not exist or is not a folder"):
            list(list_folder(tmp_path / name))


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    for i in range(5000):
        (tmp_path / f"{i:05d}{'x' * 100}.jpg").touch()
    tracemalloc.start()
    assert sum(1 for _ in list_folder(tmp_path)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000  # the names alone are 500,000 bytes and more


# ---------------------------------------------------------------------------- digest

ENTRIES = st.lists(
    st.tuples(st.binary(max_size=20), st.integers(0, 2**62), st.integers(-(2**62), 2**62))
)


def digest(entries):
    total = ListingDigest()
    for entry in entries:
        total.add(*entry)
    return total


@given(ENTRIES, st.randoms(use_true_random=False), st.integers(0, 20))
def test_digest_ignores_order_and_parts(entries, shuffle: random.Random, cut):
    mixed = list(entries)
    shuffle.shuffle(mixed)
    parts = digest(mixed[:cut]) + digest(mixed[cut:])
    assert parts.hexdigest() == digest(entries).hexdigest()


def test_digest_notices_every_field_and_repetition():
    base = (b"a", 1, 2)
    variants = [
        [],
        [base],
        [base, base],
        [(b"b", 1, 2)],
        [(b"a", 2, 2)],
        [(b"a", 1, 3)],
        [(b"", 1, 2), (b"a", 1, 2)],
    ]
    assert len({digest(entries).hexdigest() for entries in variants}) == len(variants)
    assert ListingDigest().hexdigest() == "0" * 32 + "-0"


class TestLists:
    @pytest.fixture
    def named(self, tmp_path):
        """Write a list into a folder with three files, and return {path: size or reason}."""
        root = tmp_path / "root"
        (root / "below").mkdir(parents=True)
        (root / "one.png").write_bytes(b"1")
        (root / "below" / "two.png").write_bytes(b"22")
        (tmp_path / "secret.png").write_bytes(b"333")

        def run(lines: bytes, **options):
            (root / "list.txt").write_bytes(lines)
            found = list_files(root, root / "list.txt", **options)
            return [(e.path, e.rejected.reason if e.rejected else e.size_bytes) for e in found]

        return run

    def test_in_its_order_with_any_line_ends(self, named):
        assert named(b"below/two.png\r\n\none.png") == [(b"below/two.png", 2), (b"one.png", 1)]
        assert named(b"./one.png\nbelow/../one.png\n") == [(b"one.png", 1), (b"one.png", 1)]
        assert named(b"") == []

    def test_the_same_times_as_a_folder_has(self, named, tmp_path):
        named(b"one.png\nbelow/two.png\n")
        root = tmp_path / "root"
        listed = {e for e in list_folder(root) if e.path != b"list.txt"}
        assert set(list_files(root, root / "list.txt")) == listed

    def test_paths_that_leave_the_folder(self, named, tmp_path):
        (tmp_path / "root" / "link.png").symlink_to(tmp_path / "secret.png")
        lines = b"../secret.png\nlink.png\nbelow/../../secret.png\n/etc/passwd\n"
        found = named(lines)
        assert [reason for _, reason in found] == ["outside_root"] * 4
        followed = named(lines, follow_links_outside=True)
        assert [reason for _, reason in followed] == [3, 3, 3, "outside_root"]

    def test_what_is_not_there_or_no_file(self, named, tmp_path):
        os.mkfifo(tmp_path / "root" / "pipe.png")
        found = named(b"none.png\nbelow\npipe.png\nnu\0ll\n" + b"n" * 300)
        assert [reason for _, reason in found] == [
            *("unreadable", "not_an_image", "not_an_image", "unreadable", "unreadable")
        ]

    def test_a_list_that_cannot_be_read(self, tmp_path):
        with pytest.raises(InputError, match=r"The list .*none cannot be read: No such file"):
            list(list_files(tmp_path, tmp_path / "none"))


class TestOneFile:
    def test_is_the_root_itself(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(b"123")
        (tmp_path / "link.zip").symlink_to("a.zip")
        for name in ("a.zip", "link.zip"):
            (only,) = list_file(tmp_path / name)
            assert (only.path, only.size_bytes) == (b"", 3)
            assert only.mtime_ns == (tmp_path / "a.zip").stat().st_mtime_ns

    def test_anything_else_is_an_error(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.zip")
        for name, said in (("pipe.zip", "no regular file"), ("none", "No such file"), (".", "no")):
            with pytest.raises(InputError, match=f"cannot be read: .*{said}"):
                list(list_file(tmp_path / name))

    @pytest.mark.parametrize(
        ("path", "mib", "parts"),
        [
            (b"a.jpg", 5000, 1),
            (b"a.zip", 1, 1),
            (b"n/a.TAR.GZ", 33, 2),
            (b"a.parquet", 100_000, 64),
            (b"", 320, 10),
            (b"a.zip", 0, 1),
        ],
    )
    def test_parts_of_large_files_of_images(self, path, mib, parts):
        assert parts_of(Listed(path, mib << 20, 0)) == parts
