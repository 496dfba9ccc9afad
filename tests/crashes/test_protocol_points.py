"""A writer that dies at every single access to the disk: while it runs, publishes, and vacuums.

The warehouse's own code does everything; only the rows come from no Spark. Before each opening,
renaming, linking and removing of a file below the warehouse, and before and after each step of the
storage, there is a point to die at; each is tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minia_spark.engine.run import PAGE, publish_page
from minia_spark.warehouse.health import find_damage
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Entry, StepRecord
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse

BATCHES = ("b1", "b2", "b3")
_STORAGE = ("replace", "create", "write", "empty", "make_durable", "make_folder", "remove_folder")
_EVENTS = ("open", "os.rename", "os.link", "os.remove", "os.mkdir")


def made(house: Warehouse, run: str, table: str, batch: str | None) -> Entry:
    path = f"{table}/run={run}" + (f"/batch={batch}" if batch else "")
    house.storage.make_folder(path)
    for part in range(2):
        rows = pa.table({"x": [part, 2, 3]})
        pq.write_table(rows, house.storage.full(f"{path}/part-{part}.parquet"))
    if table == "report":
        (house.storage.local / path / "index-above.html").write_text(f"<h1>{table}</h1>")
    files, count = write_manifest(house.storage, path)
    return Entry(
        table=table, batch=batch, stage=table, run=run, path=path,
        rows=None if table == "report" else count,
        fingerprint=f"{table} {batch}", digest="d", files=files,
    )  # fmt: skip


def bring_in(house: Warehouse, batch: str) -> None:
    """Do what a run does: take over, make, note, check, publish, show."""
    base = house.catalogue()
    if batch in base.batches:
        publish_page(base, house, ("report",))
        return
    left = house.unpublished(base)
    house.settle_newest_run()
    record = house.new_run("minia run", "1.0", {})
    view = base
    for table, own in (("images", batch), ("words", batch), ("report", None)):
        key = (table, own, None, f"{table} {own}")
        entries = left[key].entries if key in left else (made(house, record.run, table, own),)
        step = StepRecord(stage=table, batch=own, action="done", why="", entries=entries)
        record = record.model_copy(update={"steps": (*record.steps, step)})
        house.save_run(record)
        view = view.with_entries(entries)
    house.require_whole(view.entries, again=True)
    house.storage.make_durable({"/".join(e.path.split("/")[:2]) for e in view.entries})
    state = house.commit(base, record.run, view.entries, "minia run")
    house.save_run(record.model_copy(update={"state": "done", "catalogue": state.version}))
    publish_page(state, house, ("report",))


def night(location: Path) -> None:
    """Bring two more batches in, one after another, and vacuum."""
    house = Warehouse(str(location))
    with house.lock("minia reprocess"):
        for batch in BATCHES[1:]:
            bring_in(house, batch)
    with house.lock("minia vacuum"):
        house.vacuum(1, age_seconds=0)


def in_a_fork(work: Callable[[], None]) -> bool:
    """Do something in a fork of this process; return whether it came to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forks of threaded processes
        pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "it failed"
    return os.WIFEXITED(status)


def die_at(location: Path, point: int) -> None:
    """Arm this process."""
    count = 0
    below = str(location)

    def pass_a_point() -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event in _EVENTS and str(given[0]).startswith(below):
            pass_a_point()

    def armed(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            pass_a_point()
            done = work(*given, **named)
            pass_a_point()
            return done

        return wrapped

    for name in _STORAGE:
        setattr(Storage, name, armed(getattr(Storage, name)))
    sys.addaudithook(hook)


def check_readers(location: Path) -> int:
    house = Warehouse(str(location))
    state = house.require()
    assert state.batches in (["b1"], ["b1", "b2"], ["b1", "b2", "b3"])
    assert list(find_damage(house, state, full=True)) == []
    assert (location / PAGE).read_text() == "<h1>report</h1>"
    return state.version


def ends(location: Path) -> list[tuple[str, str | None, int | None]]:
    """What is there in the end: rows by table and batch; no folder is left that nobody needs."""
    house = Warehouse(str(location))
    state = house.require()
    named = {"/".join(e.path.split("/")[:2]) for e in state.entries}
    there = {
        f"{table}/{run}" for table in ("images", "words", "report")
        for run in house.storage.folder_names(table)
    }  # fmt: skip
    assert there == named
    assert not house.storage.exists("lock.json")
    return [(e.table, e.batch, e.rows) for e in sorted(state.entries, key=lambda e: e.order)]


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.heavy)])
def test_a_second_start_ends_as_if_nothing_had_been(tmp_path, every):
    base = tmp_path / "base"
    bring_in(Warehouse(str(base)), BATCHES[0])
    whole = Path(shutil.copytree(base, tmp_path / "whole"))
    night(whole)
    wanted, versions = ends(whole), []
    for point in range(1, 10_000, every):
        location = Path(shutil.copytree(base, tmp_path / f"W{point}"))

        def dying(location: Path = location, point: int = point) -> None:
            die_at(location, point)
            night(location)

        finished = in_a_fork(dying)
        versions.append(check_readers(location))
        night(location)
        assert ends(location) == wanted, point
        assert list(find_damage(Warehouse(str(location)), Warehouse(str(location)).require())) == []
        shutil.rmtree(location)
        if finished:
            break
    assert versions == sorted(versions)
    assert set(versions) == {1, 2, 3, 4}
    assert len(versions) * every > 200
