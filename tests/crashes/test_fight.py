"""Processes that fight over a warehouse while they are suspended, woken and killed at random.

Each in a PID namespace of its own where that is allowed, as on other hosts: nobody sees whether
another one lives, and soon loses patience. What the search in tests/warehouse/test_protocol.py does
to a machine, this does to the code.
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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from minia_spark.warehouse.warehouse import Warehouse

FIGHTER = """
import random, sys, time
import pyarrow as pa
import pyarrow.parquet as pq
from minia_spark.base.errors import MiniaError
from minia_spark.warehouse import lock
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Entry, StepRecord
from minia_spark.warehouse.warehouse import Warehouse

lock._PATIENCE_SECONDS, lock._BEAT_SECONDS, lock._POLL_SECONDS = 0.15, 0.05, 0.02
lock._machine = lambda: sys.argv[2]  # of another host each
house, chance, age = Warehouse(sys.argv[1]), random.Random(sys.argv[2]), float(sys.argv[3])
rows = pa.table({"x": [1, 2, 3]})

def run():
    base = house.catalogue()
    left = house.unpublished(base)
    record = house.new_run("minia run", "1.0", {})
    steps, entries = [], []
    for batch in chance.sample(["b1", "b2", "b3", "b4"], 2):
        # settings change now and then: else all would be taken over, and vacuum find nothing
        asked = f"{batch} {chance.randrange(20)}"
        taken = next((s for key, s in left.items() if key[1] == batch and key[3] == asked), None)
        if taken is None:
            path = f"words/run={record.run}/batch={batch}"
            house.storage.make_folder(path)
            for part in range(2):
                pq.write_table(rows, f"{sys.argv[1]}/{path}/part-{part}.parquet")
            files, count = write_manifest(house.storage, path)
            made = Entry(table="words", batch=batch, stage="words", run=record.run, path=path,
                         rows=count, fingerprint=asked, digest="d", files=files)
            taken = StepRecord(stage="words", batch=batch, action="done", why="", entries=(made,))
            steps.append(taken)
            record = record.model_copy(update={"steps": tuple(steps)})
            house.save_run(record)
        entries += taken.entries
    if chance.random() < 0.2:
        raise MiniaError("it broke off")
    view = base.with_entries(entries).entries
    house.require_whole(view, again=True)
    house.storage.make_durable([e.path for e in entries])
    print("ready", flush=True)
    time.sleep(0.1)  # a good moment to be suspended
    return house.commit(base, record.run, view, "minia run"), record

while True:
    try:
        with house.lock("minia fight"):
            chosen = chance.random()
            if chosen < 0.5:
                state, record = run()
                print(state.version, record.run, flush=True)
                house.save_run(record.model_copy(update={"catalogue": state.version}))
            elif chosen < 0.6:
                state = house.rollback(chance.choice(house.versions()))
                print(state.version, state.run, flush=True)
            else:
                house.vacuum(2, age_seconds=age)
    except MiniaError as error:
        if "damaged" in str(error) or "cannot be understood" in str(error):
            print("fault", error, flush=True)
    except (OSError, IndexError) as error:
        print("oserror", type(error).__name__, error, flush=True)
    time.sleep(chance.random() * 0.02)
"""

AGE_SECONDS = 0.02
"""So short that vacuum removes what those have made that are suspended."""


class Fighter:
    """One writer; a new one takes its place when it is killed."""

    def __init__(self, location: Path, name: str) -> None:
        alone = ["unshare", "--pid", "--fork", "--kill-child"]
        if subprocess.call([*alone, "true"], stderr=subprocess.DEVNULL):
            alone = []
        self.said: list[list[str]] = []
        self.is_ready = False  # to publish
        self._process = subprocess.Popen(
            [*alone, sys.executable, "-c", FIGHTER, str(location), name, str(AGE_SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.is_ready = line == "ready\n"
                if line.count(" "):
                    self.said.append(line.split(maxsplit=1))

    def send(self, what: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, what)

    def end(self) -> list[list[str]]:
        self.send(signal.SIGKILL)
        self._process.wait()
        self._listener.join()
        return self.said


def read_whole(location: Path) -> int:
    """Read the newest state as a reader does, from its files; return its number."""
    house = Warehouse(str(location))
    while True:
        state = house.catalogue()
        broken = [
            entry.path
            for entry in state.entries
            if len(list((location / entry.path).glob("*.parquet"))) != 2
        ]
        if not broken:
            return state.version
        # who reads for longer than the age meets what vacuum gave up, and nothing else
        assert state.version < house.catalogue().floor, (state.version, broken)


def check_said(location: Path, said: Sequence[Sequence[str]]) -> None:
    """What a writer was told to be published is: under its number, once, in an unbroken line."""
    house = Warehouse(str(location))
    assert not [words for words in said if words[0] == "fault"]
    numbers = [int(words[0]) for words in said if words[0].isdigit()]
    assert len(numbers) == len(set(numbers))
    runs = {int(words[0]): "".join(words[1:]).strip() for words in said if words[0].isdigit()}
    for version in house.versions():
        state = house.catalogue(version)
        assert state.parent == version - 1
        assert runs.get(version, state.run) == state.run
        if version >= house.catalogue().floor:
            for entry in state.entries:
                assert house.storage.names(entry.path), (version, entry.path)


@pytest.mark.parametrize("seconds", [8, pytest.param(600, marks=pytest.mark.heavy)])
def test_nothing_is_lost(tmp_path, seconds):
    location, chance = tmp_path / "W", random.Random(seconds)
    names = iter(range(1_000_000))
    fighters = [Fighter(location, str(next(names))) for _ in range(3)]
    said: list[list[str]] = []
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until or len(said) == 0:
            place = chance.randrange(3)
            for _ in range(50):  # rather one that has checked everything
                place = next((n for n, one in enumerate(fighters) if one.is_ready), place)
                if fighters[place].is_ready:
                    break
                time.sleep(0.01)
            fighters[place].send(signal.SIGSTOP)
            for _ in range(2):
                time.sleep(chance.uniform(0.02, 0.6))
                read_whole(location)
            if chance.random() < 0.15:
                said += fighters[place].end()
                fighters[place] = Fighter(location, str(next(names)))
            else:
                fighters[place].send(signal.SIGCONT)
    finally:
        for fighter in fighters:
            said += fighter.end()
    read_whole(location)
    check_said(location, said)
    assert len([words for words in said if words[0].isdigit()]) > seconds / 2
    newest = Warehouse(str(location)).require()
    assert newest.floor > newest.version / 2  # vacuum was at work to the end
    shutil.rmtree(location)
