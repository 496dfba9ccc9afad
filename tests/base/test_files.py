"""Files that people name: whole or not there, never in place of what is no file."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minia_spark.base import files as module
from minia_spark.base.files import open_regular, require_replaceable, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWholeFile:
    def test_appears_at_the_end(self, tmp_path):
        with whole_file(tmp_path / "out") as file:
            file.write(b"1")
            assert not (tmp_path / "out").exists()
        assert (tmp_path / "out").read_bytes() == b"1"
        assert names(tmp_path) == ["out"]

    def test_that_breaks_off_is_not_there(self, tmp_path):
        (tmp_path / "out").write_bytes(b"older")
        with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "out") as file:
            file.write(b"%d" % (1 // (file.write(b"1") - 1)))
        assert (tmp_path / "out").read_bytes() == b"older"
        assert names(tmp_path) == ["out"]

    def test_as_readable_as_any_new_file(self, tmp_path):
        (tmp_path / "usual").touch()
        with whole_file(tmp_path / "out") as file:
            file.write(b"1")
        assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_of_the_longest_name(self, tmp_path):
        with whole_file(tmp_path / ("n" * 255)) as file:
            file.write(b"1")
        assert names(tmp_path) == ["n" * 255]

    def test_writers_of_one_name_do_not_mix(self, tmp_path):
        start = threading.Barrier(8)

        def write(number: int) -> None:
            start.wait()
            with whole_file(tmp_path / "out") as file:
                for _ in range(200):
                    file.write(b"%d" % number * 100)
                    file.flush()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        found = (tmp_path / "out").read_bytes()
        assert len(found) == 20_000
        assert len(set(found)) == 1
        assert names(tmp_path) == ["out"]

    def test_nobody_can_lay_a_link_in_its_way(self, tmp_path):
        """The name under which it grows was that of the file with '.part'."""
        (tmp_path / "precious").write_bytes(b"precious")
        (tmp_path / ".out.part").symlink_to("precious")
        with whole_file(tmp_path / "out") as file:
            file.write(b"1")
        assert (tmp_path / "precious").read_bytes() == b"precious"
        assert (tmp_path / ".out.part").is_symlink()

    def test_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        done: list[str] = []
        sync, replace = os.fsync, Path.replace

        def synced(number: int) -> None:
            done.append(f"sync {os.stat(number).st_size if not done else 'folder'}")
            sync(number)

        def replaced(self: Path, target: Path) -> Path:
            done.append("rename")
            return replace(self, target)

        monkeypatch.setattr(module.os, "fsync", synced)
        monkeypatch.setattr(Path, "replace", replaced)
        with whole_file(tmp_path / "out") as file:
            file.write(b"12345")
        assert done == ["sync 5", "rename", "sync folder"]

    def test_a_link_stays_and_leads_to_the_new_bytes(self, tmp_path):
        (tmp_path / "real").write_bytes(b"older")
        (tmp_path / "link").symlink_to("real")
        (tmp_path / "dead").symlink_to("new")
        for name in ("link", "dead"):
            with whole_file(tmp_path / name) as file:
                file.write(b"newer")
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / name).read_bytes() == b"newer"
        assert names(tmp_path) == ["dead", "link", "new", "real"]

    @pytest.mark.parametrize(
        ("make", "what"),
        [
            (os.mkfifo, "no regular file"),
            (os.mkdir, "no regular file"),
            (lambda path: path.symlink_to("/dev/full"), "no regular file"),
            (lambda path: path.symlink_to(path.name), "symbolic links"),
        ],
    )
    def test_what_is_no_file_is_not_replaced(self, tmp_path, make, what):
        make(tmp_path / "out")
        before = (tmp_path / "out").lstat()
        with pytest.raises(OSError, match=what), whole_file(tmp_path / "out") as file:
            file.write(b"1")
        with pytest.raises(OSError, match=what):
            require_replaceable(tmp_path / "out")
        assert (tmp_path / "out").lstat() == before
        assert names(tmp_path) == ["out"]

    def test_nowhere(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="No such file"):
            require_replaceable(tmp_path / "none" / "out")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        open_regular(tmp_path / "pipe")


class TestWholeFolder:
    def test_it_appears_when_it_is_whole(self, tmp_path):
        target = tmp_path / "below" / "new"
        with whole_folder(target) as folder:
            (folder / "a").write_text("1")
            assert not target.exists()
        assert (target / "a").read_text() == "1"
        assert [p.name for p in target.parent.iterdir()] == ["new"]

    def test_what_breaks_off_leaves_nothing(self, tmp_path):
        def break_off():
            with whole_folder(tmp_path / "new") as folder:
                (folder / "a").write_text("1")
                raise ValueError("why")

        with pytest.raises(ValueError, match="why"):
            break_off()
        assert list(tmp_path.iterdir()) == []

    def test_what_is_there_stays_unless_it_is_to_be_replaced(self, tmp_path):
        target = tmp_path / "new"
        target.mkdir()
        with whole_folder(target) as folder:  # an empty one is none
            (folder / "a").write_text("1")
        with pytest.raises(OSError, match="not empty"), whole_folder(target) as folder:
            (folder / "b").write_text("2")
        assert [p.name for p in target.iterdir()] == ["a"]
        with whole_folder(target, replace=True) as folder:
            (folder / "b").write_text("2")
        assert [p.name for p in target.iterdir()] == ["b"]
        assert [p.name for p in tmp_path.iterdir()] == ["new"]

    def test_a_file_is_not_replaced(self, tmp_path):
        target = tmp_path / "new"
        target.write_text("mine")
        with pytest.raises(OSError, match="Not a directory"), whole_folder(target, replace=True):
            pass
        assert target.read_text() == "mine"
        assert [p.name for p in tmp_path.iterdir()] == ["new"]
