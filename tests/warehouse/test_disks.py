"""Disks that are full or may not be written: one message, exit code 1, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import SMALL, chosen, rows_of, run_minia, table_of

from minia_spark.engine import cost
from minia_spark.warehouse.warehouse import Warehouse

COMMANDS = (
    ("run",),
    ("batch", "remove", "b1"),
    ("rollback",),
    ("vacuum",),
)


def mount(*arguments: object) -> bool:
    command = ["mount", *map(str, arguments)]
    return shutil.which("mount") is not None and not subprocess.call(
        command, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make a disk of a size, in memory; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()

    def make(size: str) -> Path:
        if not mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", place):
            pytest.skip("this user may not mount a disk")
        return place

    yield make
    subprocess.call(["umount", "--lazy", str(place)], stderr=subprocess.DEVNULL)


def test_a_warehouse_that_may_only_be_read(disk, warehouse):
    place = disk("64m")
    shutil.copytree(warehouse, place / "W")
    assert mount("-o", "remount,ro", place)
    for command in COMMANDS:
        found = run_minia(*command, "--warehouse", place / "W").expect(1)
        (line,) = found.err.splitlines()
        assert line == (
            f"minia {command[0]}: warehouse {place / 'W'} cannot be written: Read-only file system"
        )
    for command in (("status",), ("history",), ("path", "words"), ("batch", "list")):
        run_minia(*command, "--warehouse", place / "W").expect(0)


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk still has room when a run starts: others fill it."""
    monkeypatch.setattr(cost, "check_disk", lambda *_: None)


def test_no_room_at_all(disk, survey, unforeseen):
    place = disk("64k")
    (place / "filler").write_bytes(bytes(60 << 10))
    source = ("--images", survey.images, "--batch", "b1", "--warehouse", place / "W")
    found = run_minia("run", *source).expect(1)
    assert "No space left on device" in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("room", [64 << 10, 400 << 10])
@pytest.mark.heavy
def test_a_disk_that_fills_up(disk, warehouse, minia, unforeseen, room):
    """The state is unharmed; with some room made, the same line again ends as if nothing was."""
    place = disk("64m")
    location = Path(shutil.copytree(warehouse, place / "W"))
    before = {t: rows_of(location, t) for t in ("words", "structures", "structure_images")}
    house = Warehouse(str(location))
    more = chosen("codebook.size=100")
    filler = place / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(place).free - room))

    found = minia("run", "--replace", "--warehouse", location, *SMALL, *more).expect(1)
    assert "No space left on device" in found.err
    assert room > 100_000 or f"Make room in {location} and in Spark's scratch" in found.err
    assert len(found.err.split("minia run: ")[1].splitlines()) <= 3  # not Spark's hundred frames
    assert house.versions() == [1]
    for table, rows in before.items():
        assert rows_of(location, table) == rows
    assert [p.name for p in location.iterdir() if p.name.startswith(("lock", "."))] in (
        [],
        [".takeover"],
    )

    filler.unlink()
    minia("run", "--replace", "--warehouse", location, *SMALL, *more).expect(0)
    assert house.versions() == [1, 2]
    assert len(table_of(location, "codebooks")) == 100
