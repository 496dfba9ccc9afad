"""The power goes at any moment: what a state names is on the disk, and so is what was announced.

A file system on a loop device; at random moments the writer is stopped, and the image is copied as
it is then: what was not flushed is not in it. The copy is mounted, as after a cold start.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minia_spark.warehouse.health import find_damage
from minia_spark.warehouse.warehouse import Warehouse

WRITER = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.warehouse import Warehouse

house = Warehouse(sys.argv[1])
rows = pa.table({"x": list(range(2000))})
for number in range(1, 100_000):
    base, entries = house.catalogue(), []
    run = f"20260101T000000.{number:06d}-000000"
    for table in ("images", "words", "structures"):
        path = f"{table}/run={run}/batch=b{number % 5}"
        house.storage.make_folder(path)
        for part in range(3):  # as Spark does: without waiting for the disk
            pq.write_table(rows, f"{sys.argv[1]}/{path}/part-{part}.parquet")
        files, count = write_manifest(house.storage, path)
        entries.append(Entry(
            table=table, batch=f"b{number % 5}", stage=table, run=run, path=path, rows=count,
            fingerprint="f", digest="d", files=files,
        ))
    house.storage.make_durable([e.path for e in entries])
    state = house.commit(base, run, base.with_entries(entries).entries, "minia run")
    if number % 7 == 0:
        house.vacuum(2, age_seconds=0)
        state = house.catalogue()
    print(state.version, flush=True)
"""


def run(*command: object) -> bool:
    return not subprocess.call(list(map(str, command)), stderr=subprocess.DEVNULL)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[Path, str], Path]]]:
    """An image with a file system, and what mounts images; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(image: Path, name: str) -> Path:
        place = tmp_path / name
        place.mkdir()
        if not run("mount", "-o", "loop,commit=300", image, place):
            pytest.skip("this user may not mount images (loop devices)")
        mounted.append(place)
        return place

    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(96 << 20)
    if shutil.which("mkfs.ext4") is None or not run("mkfs.ext4", "-q", "-F", image):
        pytest.skip("there is no mkfs.ext4")
    yield image, mount
    for place in mounted:
        run("umount", place) or run("umount", "--lazy", place)


@pytest.mark.parametrize("moments", [5, pytest.param(30, marks=pytest.mark.heavy)])
def test_power_loss(disk, tmp_path, moments):
    image, mount = disk
    location = mount(image, "disk") / "W"
    chance = random.Random(moments)
    announced = [0]
    command = [sys.executable, "-c", WRITER, str(location)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None

        def listen() -> None:
            announced.extend(map(int, writer.stdout))

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            while len(announced) < 4:
                time.sleep(0.01)
                assert writer.poll() is None
            for moment in range(moments):
                time.sleep(chance.uniform(0.0, 0.2))
                told = announced[-1]
                os.kill(writer.pid, signal.SIGSTOP)
                time.sleep(0.05)  # what is on its way to the disk arrives
                copy = tmp_path / f"copy{moment}"
                shutil.copy(image, copy)
                os.kill(writer.pid, signal.SIGCONT)
                house = Warehouse(str(mount(copy, f"mounted{moment}") / "W"))
                state = house.require()
                assert state.version >= told
                assert list(find_damage(house, state, full=True)) == []
                assert run("umount", tmp_path / f"mounted{moment}")
                copy.unlink()
        finally:
            writer.kill()
            listener.join()
    assert announced[-1] > moments
