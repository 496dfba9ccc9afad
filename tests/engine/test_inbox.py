"""What waits in an inbox, and what the batches are called."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.engine.inbox import Candidate, batch_name_of, look
from minia_spark.warehouse.records import check_batch_name


def titles(inbox: Path, outside: bool = False) -> list[str]:
    return [candidate.title for candidate in look(inbox, follow_links_outside=outside)[0]]


def only(inbox: Path, outside: bool = False) -> Candidate:
    (candidate,) = look(inbox, follow_links_outside=outside)[0]
    return candidate


class TestLook:
    def test_in_natural_order_whatever_the_file_system_says(self, tmp_path):
        wanted = ["2", "9", "10", "night2", "night2b", "night10", "night010b", "nightly"]
        for name in random.Random(1).sample(wanted, len(wanted)):
            (tmp_path / name).mkdir()
        assert titles(tmp_path) == wanted

    def test_what_is_still_being_written_is_left_out(self, tmp_path):
        for name in ("a", ".b", "c.part", "d.tmp", "lost+found", "_temporary", "e.parts"):
            (tmp_path / name).mkdir()
        for name in ("f.txt", ".g.txt", "h.txt.part"):
            (tmp_path / name).touch()
        assert titles(tmp_path) == ["a", "e.parts", "f.txt"]

    def test_folders_and_lists(self, tmp_path):
        (tmp_path / "a").mkdir()
        for name in ("b.txt", "c.list", "d.csv", "e.TXT", "image.jpg"):
            (tmp_path / name).touch()
        found, others = look(tmp_path, follow_links_outside=False)
        assert [(c.title, c.batch, c.source.files is None) for c in found] == [
            ("a", "a", True),
            ("b.txt", "b", False),
            ("c.list", "c", False),
        ]
        assert others == 3
        assert {c.source.place for c in found[1:]} == {tmp_path}

    def test_an_inbox_that_is_none(self, tmp_path):
        with pytest.raises(InputError, match=r"inbox .*/none cannot be read: No such file"):
            look(tmp_path / "none", follow_links_outside=False)
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="Not a directory"):
            look(tmp_path / "file", follow_links_outside=False)

    def test_links(self, tmp_path):
        inbox, outside = tmp_path / "inbox", tmp_path / "outside"
        for folder in (inbox / "a", outside):
            folder.mkdir(parents=True)
            (folder / "x.png").write_bytes(b"x")
        (inbox / "again").symlink_to("a")
        (inbox / "away").symlink_to(outside)
        (inbox / "dead").symlink_to("nothing")
        assert titles(inbox) == ["a", "away"]
        with pytest.raises(InputError, match="away is a link that leaves the inbox"):
            _ = look(inbox, follow_links_outside=False)[0][1].listing
        assert look(inbox, follow_links_outside=True)[0][1].listing.entries == 1
        (tmp_path / "door").symlink_to(inbox)  # the inbox itself may be reached by a link
        assert look(tmp_path / "door", follow_links_outside=False)[0][0].listing.entries == 1

    def test_links_to_themselves(self, tmp_path):
        for name in ("loop", "loop.txt"):
            (tmp_path / name).symlink_to(name)
        (tmp_path / "there").symlink_to("back")
        (tmp_path / "back").symlink_to("there")
        (tmp_path / "night").mkdir()
        found, others = look(tmp_path, follow_links_outside=True)
        assert [candidate.title for candidate in found] == ["night"]
        assert others == 4

    def test_a_pipe_called_like_a_list_keeps_nobody_waiting(self, tmp_path):
        os.mkfifo(tmp_path / "night.txt")
        with pytest.raises(InputError, match=r"night\.txt cannot be read: .*no regular file"):
            _ = only(tmp_path).listing


class TestCandidates:
    def test_a_list_counts_the_files_it_names(self, tmp_path):
        for name in ("one.png", "two.png", "three.png"):
            (tmp_path / name).write_bytes(name.encode())
        (tmp_path / "night.txt").write_text("one.png\n\nthree.png\n")
        assert only(tmp_path).listing.entries == 2

    def test_what_tells_that_something_changed(self, tmp_path):
        folder = tmp_path / "a"
        folder.mkdir()
        (folder / "x.png").write_bytes(b"x")
        first = only(tmp_path)
        before = first.arrival()

        os.utime(folder / "x.png", ns=(5, 5))
        touched = only(tmp_path).arrival()
        assert touched.listing != before.listing
        assert touched.named == before.named

        (folder / "x.png").rename(folder / "y.png")
        renamed = only(tmp_path).arrival()
        assert renamed.named != before.named
        assert renamed.unnamed == before.unnamed

        (folder / "y.png").write_bytes(b"y")
        assert only(tmp_path).arrival().unnamed != before.unnamed

    def test_when_it_changed(self, tmp_path):
        """A copy may keep the times of its files; the folder that it grows in cannot."""
        folder = tmp_path / "a" / "below"
        folder.mkdir(parents=True)
        (folder / "x.png").write_bytes(b"x")
        os.utime(folder / "x.png", ns=(5, 5))
        assert only(tmp_path).changed_ns() == folder.stat().st_ctime_ns
        os.utime(folder / "x.png", ns=(5, 2**62))
        assert only(tmp_path).changed_ns() == 2**62

    def test_when_a_list_changed(self, tmp_path):
        (tmp_path / "x.png").write_bytes(b"x")
        (tmp_path / "night.txt").write_text("x.png")
        os.utime(tmp_path / "x.png", ns=(5, 5))
        os.utime(tmp_path / "night.txt", ns=(5, 5))
        assert only(tmp_path).changed_ns() == (tmp_path / "night.txt").stat().st_ctime_ns


HOSTILE = (
    *(b"new\nline", b"a b", b"$(touch x)", b"`id`", b"--help", b"<script>", b"...", b"\xff\xfe"),
    *("Ωmega".encode(), b"%2e%2e", b"n" * 255, b"a'b\"c", b"=1+1", b" ", "\u202etxt.exe".encode()),
)


class TestNames:
    def test_good_ones_stay(self):
        for name in ("night1", "2026-11-20", "N.G_C-1", "a" * 100):
            assert batch_name_of(name.encode()) == name

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_ones_become_harmless(self, tmp_path, name):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)  # noqa: PTH102 - bytes
        if name.startswith(b"."):
            return
        candidate = only(tmp_path)
        assert check_batch_name(candidate.batch) == candidate.batch
        assert candidate.title.isprintable()
        assert candidate.place.isascii()

    @given(st.binary(max_size=255))
    def test_all_pass(self, name):
        assert check_batch_name(batch_name_of(name))

    @given(st.sets(st.binary(min_size=1, max_size=12), min_size=2, max_size=2))
    def test_different_ones_stay_different(self, names):
        one, other = names
        assert batch_name_of(one) != batch_name_of(other)
