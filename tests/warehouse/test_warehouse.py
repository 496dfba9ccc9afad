"""States, ledger, vacuum and lock, without Spark: runs are written by hand."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.warehouse import ledger, records
from minia_spark.warehouse import lock as lock_module
from minia_spark.warehouse import warehouse as module
from minia_spark.warehouse.lock import Lock
from minia_spark.warehouse.records import Arrival, Catalogue, Entry, StepRecord, check_batch_name
from minia_spark.warehouse.warehouse import Warehouse

PARALLEL = 12


def entry(run: str, batch: str | None = "b1", table: str = "words", **values: object) -> Entry:
    path = f"{table}/run={run}" + (f"/batch={batch}" if batch else "")
    fields = {"stage": table, "rows": 1, "fingerprint": f"f-{run}", "digest": f"d-{run}"}
    return Entry(table=table, batch=batch, run=run, path=path, **(fields | values))


def write(house: Warehouse, *entries: Entry) -> None:
    for one in entries:
        house.storage.replace(f"{one.path}/part-0.parquet", b"x" * 100)


def publish(house: Warehouse, *entries: Entry, note: str = "") -> Catalogue:
    """Write the entries' files and commit them on top of the newest state."""
    write(house, *entries)
    base = house.catalogue()
    return house.commit(base, entries[0].run, base.with_entries(entries).entries, note)


@pytest.fixture(params=["local", "remote"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "W") if request.param == "local" else "mock:///W")


@pytest.fixture
def local(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "W"))


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests make is older than the day that vacuum leaves to things."""
    monkeypatch.setattr(module, "AGE_SECONDS", 0)


class TestStates:
    def test_nothing_there(self, house):
        assert house.catalogue() == Catalogue()
        assert house.versions() == []
        with pytest.raises(InputError, match=r"no warehouse at .*W: nothing was published"):
            house.require()
        assert not house.storage.exists("")  # looking makes nothing

    def test_commits_follow_each_other(self, house):
        publish(house, entry("r1"), note="first")
        state = publish(house, entry("r2", "b2"))
        assert (state.version, state.parent, state.run) == (2, 1, "r2")
        assert house.versions() == [1, 2]
        assert house.catalogue() == state
        assert house.catalogue(1).note == "first"
        assert house.catalogue().batches == ["b1", "b2"]
        assert [e.run for e in house.catalogue().of_table("words", "b2")] == ["r2"]

    def test_an_entry_replaces_that_of_its_table_batch_and_stage(self):
        first = Catalogue(entries=(entry("r1"), entry("r1", "b2"), entry("r1", None, "structures")))
        merged = first.with_entries([entry("r2"), entry("r2", stage="features")]).entries
        assert [(e.table, e.batch, e.stage, e.run) for e in merged] == [
            ("structures", None, "structures", "r1"),
            ("words", "b1", "features", "r2"),
            ("words", "b1", "words", "r2"),
            ("words", "b2", "words", "r1"),
        ]

    def test_what_a_stage_made(self):
        both = (entry("r1", stage="x"), entry("r1", table="rejects", stage="x"))
        state = Catalogue(entries=(*both, entry("r1", "b2", stage="x"), entry("r1", None, "y")))
        assert state.of_step("x", "b1") == state.made_by("x", ["b1", "b9", None]) == list(both)
        assert state.made_by("x") == list(state.entries[:3])
        assert state.made_by("y", ["b1"]) == state.made_by("none") == []
        fewer = state.model_copy(update={"entries": state.entries[3:]})
        assert fewer.made_by("x") == []  # a copy looks up its own entries
        assert fewer.made_by("y") == state.made_by("y", [None]) == [state.entries[3]]
        assert state == Catalogue(entries=state.entries)

    def test_the_second_of_two_writers_fails_and_changes_nothing(self, house):
        base = publish(house, entry("r1"))
        winner = house.commit(base, "r2", base.entries, "")
        with pytest.raises(MiniaError, match=r"another run published state 2 .* in the meantime"):
            house.commit(base, "r3", base.entries, "")
        assert house.catalogue() == winner

    def test_an_old_base_fails_also_where_vacuum_made_its_number_free(self, house):
        base = publish(house, entry("r1"))
        for run in ("r2", "r3"):
            publish(house, entry(run))
        house.vacuum(1)
        with pytest.raises(MiniaError, match="another run published state 4"):
            house.commit(base, "r4", base.entries, "")
        assert house.versions() == [3, 4]

    def test_of_many_writers_one_wins(self, local):
        base = publish(local, entry("r0"))
        start = threading.Barrier(PARALLEL)

        def commit(number: int) -> bool:
            start.wait()
            with contextlib.suppress(MiniaError):
                local.commit(base, f"r{number}", base.entries, "")
                return True
            return False

        with ThreadPoolExecutor(PARALLEL) as pool:
            won = list(pool.map(commit, range(PARALLEL)))
        assert sum(won) == 1
        assert local.catalogue().run == f"r{won.index(True)}"

    def test_readers_see_whole_states_that_only_grow(self, local):
        publish(local, entry("r0"))
        seen: list[list[int]] = []
        done = threading.Event()

        def read() -> None:
            own = []
            while not done.is_set():
                state = local.catalogue()
                # state n was made by run r(n-1) and holds n batches
                assert state.run == f"r{state.version - 1}"
                assert len(state.entries) == state.version
                own.append(state.version)
            seen.append(own)

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            for number in range(1, 25):
                publish(local, entry(f"r{number}", f"c{number}"))
            done.set()
            for reader in readers:
                reader.result()
        assert all(own == sorted(own) for own in seen)

    def test_a_state_that_is_not_kept(self, house):
        publish(house, entry("r1"))
        with pytest.raises(InputError, match=r"state 5 is not in .*; kept: 1$"):
            house.catalogue(5)

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"version": "x"}', b'{"other": 1}'])
    def test_a_damaged_state_is_named(self, house, data):
        publish(house, entry("r1"))
        house.storage.replace("catalogue/000000000002.json", data)
        with pytest.raises(InputError, match=r"catalogue/000000000002\.json cannot be understood"):
            house.catalogue()

    @pytest.mark.parametrize("data", [b"", b"{"])
    def test_a_damaged_newest_state_can_be_rolled_back(self, house, data):
        publish(house, entry("r1"))
        publish(house, entry("r2"))
        house.storage.replace("catalogue/000000000003.json", data)
        state = house.rollback()
        assert (state.version, state.entries) == (4, house.catalogue(2).entries)
        assert house.rollback(1).entries == (entry("r1"),)

    def test_past_a_damaged_state_nothing_unpublished_is_taken_over(self, house):
        """It may have been vacuum's, which gave that up and may still be removing it."""
        publish(house, entry("r1"))
        record = house.new_run("minia run", "1.0", {})
        made = entry(record.run, "b2")
        write(house, made)
        step = StepRecord(stage="words", batch="b2", action="done", why="", entries=(made,))
        house.save_run(record.model_copy(update={"steps": (step,)}))
        assert house.unpublished(house.catalogue())
        house.storage.replace("catalogue/000000000002.json", b"{")
        assert house.unpublished(house.rollback()) == {}

    def test_a_newer_layout_is_refused_in_one_sentence(self, house):
        newer = publish(house, entry("r1")).model_copy(update={"version": 2, "format": 9})
        house.storage.replace("catalogue/000000000002.json", newer.model_dump_json().encode())
        wanted = r"W was written in layout 9, and this version of minia reads layouts 2 to 3: use"
        for look in (house.require, house.rollback, lambda: house.vacuum(1)):
            with pytest.raises(InputError, match=wanted):
                look()
        record = house.new_run("minia run", "1.0", {})
        house.save_run(record.model_copy(update={"format": 9}))
        with pytest.raises(InputError, match=wanted):
            list(house.runs())

    def test_an_older_layout_is_read_and_continued(self, house):
        base = publish(house, entry("r1"))
        old = base.model_dump(exclude={"floor", "forgotten"}) | {"format": 2}
        for made in old["entries"]:
            del made["files"]
        house.storage.replace("catalogue/000000000001.json", json.dumps(old).encode())
        assert house.catalogue().entries == base.entries
        assert publish(house, entry("r2")).format == 3

    def test_fields_that_are_not_known_are_kept(self, house):
        """Of a version that is newer, but whose states this one does not misread."""
        base = publish(house, entry("r1")).model_dump()
        base["entries"][0]["ripeness"] = 7
        house.storage.replace("catalogue/000000000001.json", json.dumps(base).encode())
        publish(house, entry("r2", "b2"))
        assert (
            json.loads(house.storage.read("catalogue/000000000002.json"))["entries"][0]["ripeness"]
            == 7
        )
        record = house.new_run("minia run", "1.0", {})
        page = json.loads(house.storage.read(f"runs/{record.run}.json")) | {"mood": "good"}
        house.storage.replace(f"runs/{record.run}.json", json.dumps(page).encode())
        house.settle_newest_run()
        page = json.loads(house.storage.read(f"runs/{record.run}.json"))
        assert (page["state"], page["mood"]) == ("failed", "good")

    def test_other_files_beside_the_states_do_not_count(self, house):
        publish(house, entry("r1"))
        for name in (".000000000009.json.1f.tmp", "notes.txt", "9.json", "000000000009.json.tmp"):
            house.storage.replace(f"catalogue/{name}", b"{}")
        assert house.versions() == [1]

    def test_folders(self, house):
        publish(house, entry("r1"), entry("r1", "b2"), entry("r1", None, "structures"))
        assert [f.rpartition("W/")[2] for f in house.folders("words")] == [
            "words/run=r1/batch=b1",
            "words/run=r1/batch=b2",
        ]
        assert len(house.folders("words", "b2")) == 1
        with pytest.raises(
            InputError, match=r"table 'cats' is not in .*; tables: structures, words"
        ):
            house.folders("cats")
        with pytest.raises(InputError, match=r"'words' of batch 'b9' is not .*; batches: b1, b2"):
            house.folders("words", "b9")

    def test_folders_are_paths_when_local_and_uris_elsewhere(self, tmp_path):
        for location, wanted in ((tmp_path, str(tmp_path)), ("mock:///W", "mock:///W")):
            house = Warehouse(str(location))
            publish(house, entry("r1"))
            assert house.folders("words") == [f"{wanted}/words/run=r1/batch=b1"]


class TestRollback:
    def test_back_and_back_again(self, house):
        publish(house, entry("r1"))
        publish(house, entry("r2"))
        back = house.rollback()
        assert (back.version, back.run, back.note) == (3, "r1", "rollback to 1")
        assert back.entries == house.catalogue(1).entries
        assert house.rollback().entries == house.catalogue(2).entries  # of the rollback itself
        assert house.rollback(1).entries == house.catalogue(1).entries
        assert house.versions() == [1, 2, 3, 4, 5]

    def test_the_first_state_has_none_before(self, house):
        publish(house, entry("r1"))
        with pytest.raises(InputError, match="has no state before 1"):
            house.rollback()
        with pytest.raises(InputError, match="no warehouse"):
            Warehouse("mock:///empty").rollback()

    def test_a_state_that_vacuum_removed(self, house):
        for run in ("r1", "r2", "r3"):
            publish(house, entry(run))
        house.vacuum(1)
        with pytest.raises(InputError, match=r"state 2 is not in .*; kept: 3, 4"):
            house.rollback(2)
        assert house.versions() == [3, 4]

    def test_a_state_whose_data_is_gone(self, house):
        publish(house, entry("r1"))
        publish(house, entry("r2"))
        house.storage.remove_folder("words/run=r1")
        with pytest.raises(
            MiniaError, match=r"words/run=r1/batch=b1 \(words\) is damaged: missing"
        ):
            house.rollback()
        assert house.versions() == [1, 2]


class TestLedger:
    def test_a_run_that_was_killed(self, house):
        """Its page says that it runs until somebody else holds the lock."""
        house.settle_newest_run()  # there is none
        record = house.new_run("minia run", "1.0", {})
        house.settle_newest_run()
        settled = house.run(record.run)
        assert (settled.state, settled.catalogue) == ("failed", 0)
        assert settled.error == "its process was killed"
        house.settle_newest_run()
        assert house.run(record.run) == settled

    def test_a_run_that_was_killed_after_it_had_published(self, house):
        record = house.new_run("minia run", "1.0", {})
        house.commit(house.catalogue(), record.run, [entry("r1")], "")
        house.settle_newest_run()
        settled = house.run(record.run)
        assert (settled.state, settled.catalogue, settled.error) == ("done", 1, "")

    def test_a_page_a_run_newest_first(self, house):
        made = [house.new_run(f"minia {n}", "1.0", {"a": {"b": n}}) for n in range(20)]
        assert [r.run for r in house.runs()] == [r.run for r in reversed(made)]
        assert house.run(made[3].run) == made[3]
        assert made[3].pid == os.getpid()
        assert made[3].host == socket.gethostname()
        assert made[3].state == "running"

    def test_their_order_does_not_depend_on_the_clock(self, house, monkeypatch):
        start = datetime(2026, 11, 20, 12, tzinfo=UTC)
        times = [start, start, start - timedelta(days=400), start - timedelta(1), start]
        times += [start + timedelta(1), datetime(1970, 1, 1, tzinfo=UTC)]
        made = []
        for moment in times:
            for place in (ledger, records):
                monkeypatch.setattr(place, "clock", lambda moment=moment: moment)
            made.append(house.new_run("minia run", "1.0", {}).run)
        assert made == sorted(made)
        assert [r.run for r in house.runs()] == made[::-1]
        assert made[0].startswith("20261120T120000.000000-")
        assert made[2].startswith("20261120T120000.000002-")
        assert made[5].startswith("20261121T120000.000000-")
        assert made[6].startswith("20261121T120000.000001-")
        assert next(house.runs()).started_at == "1970-01-01T00:00:00+00:00"  # what the clock said

    def test_a_run_whose_process_was_killed(self, local):
        publish(local, entry("r1"))
        with holder(local.storage.local) as process:
            running = local.new_run("minia run", "1.0", {})
            assert local.as_it_ended(running) == running
            process.kill()
            process.wait()
            killed = local.as_it_ended(running)
        assert (killed.state, killed.error) == ("failed", "its process was killed")
        assert next(local.runs()) == running  # who looks does not write

    def test_a_look_at_a_run_that_was_killed_after_it_had_published(self, local):
        running = local.new_run("minia run", "1.0", {})
        publish(local, entry(running.run))
        ended = local.as_it_ended(running)
        assert (ended.state, ended.catalogue, ended.error) == ("done", 1, "")

    def test_a_run_that_ends_while_it_is_looked_at(self, local):
        running = local.new_run("minia run", "1.0", {})
        done = running.model_copy(update={"state": "done", "catalogue": 7})
        local.save_run(done)
        assert local.as_it_ended(running) == done

    def test_a_run_on_another_machine(self, house):
        with held_elsewhere(house):
            running = house.new_run("minia run", "1.0", {})
            assert house.as_it_ended(running) == running

    def test_other_files_beside_the_pages(self, house):
        house.storage.replace("runs/zzz.json.bak", b"")
        house.storage.replace("runs/notes", b"")
        run = house.new_run("minia run", "1.0", {}).run
        assert [r.run for r in house.runs()] == [run]

    def test_a_run_that_is_not_there(self, house):
        with pytest.raises(InputError, match=r"the ledger of .*W has no run r1"):
            house.run("r1")

    def test_saving_again_replaces_the_page(self, house):
        record = house.new_run("minia run", "1.0", {})
        house.save_run(record.model_copy(update={"state": "done"}))
        assert [r.state for r in house.runs()] == ["done"]

    def test_a_damaged_page_is_named_and_passed_over(self, house, capsys):
        run = house.new_run("minia run", "1.0", {}).run
        house.storage.replace("runs/x.json", b"{")
        for look in (house.runs, house.arrivals, lambda: house.unpublished(Catalogue())):
            list(look())
        assert [r.run for r in house.runs()] == [run]
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1  # once is enough
        assert "W/runs/x.json cannot be understood: Invalid JSON" in told[0]
        assert f"'minia repair --warehouse {house.storage}' goes on without it" in told[0]
        with pytest.raises(InputError, match=r"runs/x\.json cannot be understood"):
            house.run("x")


class TestUnpublished:
    def step(self, *entries: Entry, action: str = "done") -> StepRecord:
        return StepRecord(
            stage=entries[0].stage, batch=entries[0].batch, action=action, why="", entries=entries
        )

    def record(self, house, *steps: StepRecord, **values: object) -> None:
        record = house.new_run("minia run", "1.0", {})
        house.save_run(record.model_copy(update={"steps": steps, "state": "failed"} | values))

    def test_what_a_failed_run_finished(self, house):
        made = entry("r1")
        write(house, made)
        self.record(house, self.step(made))
        assert house.unpublished(house.catalogue())["words", "b1", None, "f-r1"].entries == (made,)

    @pytest.mark.parametrize("missing", ["folder", "one of two", "published", "reused"])
    def test_nothing_else(self, house, missing):
        made, beside = entry("r1"), entry("r1", table="word_counts", stage="words")
        if missing != "folder":
            write(house, made)
        if missing not in ("folder", "one of two"):
            write(house, beside)
        self.record(
            house,
            self.step(made, beside, action="reused" if missing == "reused" else "done"),
            catalogue=4 if missing == "published" else 0,
        )
        assert house.unpublished(house.catalogue()) == {}

    def test_the_newest_of_equal_ones(self, house):
        for run in ("r1", "r2"):
            made = entry(run, fingerprint="same")
            write(house, made)
            self.record(house, self.step(made))
        assert (
            house.unpublished(house.catalogue())["words", "b1", None, "same"].entries[0].run == "r2"
        )


class TestArrivals:
    def arrival(self, place: str, **values: object) -> Arrival:
        digests = {"listing": "l", "named": "n", "unnamed": "u", "batch": place}
        return Arrival(place=f"file:///{place}", **(digests | values))

    def test_the_latest_of_every_place_from_runs_that_succeeded(self, house):
        for state, listing in (("done", "1"), ("nothing to do", "2"), ("failed", "3")):
            arrivals = [self.arrival("a", listing=listing), self.arrival(state)]
            record = house.new_run("minia reprocess", "1.0", {}, arrivals)
            house.save_run(record.model_copy(update={"state": state}))
        house.new_run("minia reprocess", "1.0", {}, [self.arrival("running")])
        found = house.arrivals()
        assert sorted(found) == ["file:///a", "file:///done", "file:///nothing to do"]
        assert found["file:///a"].listing == "2"

    def test_pages_of_an_older_version_have_none(self, house):
        record = house.new_run("minia run", "1.0", {})
        page = json.loads(house.storage.read(f"runs/{record.run}.json"))
        del page["arrivals"]
        house.storage.replace(f"runs/{record.run}.json", json.dumps(page).encode())
        assert house.arrivals() == {}
        assert house.run(record.run).arrivals == ()


class TestVacuum:
    def test_what_is_younger_than_a_day_stays(self, local, monkeypatch):
        publish(local, entry("r1"))
        publish(local, entry("r2"))
        write(local, entry("r9"))  # of a run that may still be at work somewhere
        monkeypatch.setattr(module, "AGE_SECONDS", 86_400)
        assert local.vacuum(1) == ([], 0)
        yesterday = time.time() - 90_000
        for folder in ("words/run=r1", "words/run=r9"):
            for place, _, names in os.walk(local.storage.local / folder):
                for name in names:
                    os.utime(Path(place) / name, (yesterday, yesterday))
                os.utime(place, (yesterday, yesterday))
        assert local.vacuum(1)[0] == ["words/run=r9"]  # state 1 is young and needs r1

    def test_removes_what_no_kept_state_names(self, house):
        publish(house, entry("r1"), entry("r1", None, "structures"))
        publish(house, entry("r2"))  # state 2 still needs the structures of r1
        publish(house, entry("r3"))
        write(house, entry("r9"))  # of a run that never published
        told = house.vacuum(2, dry_run=True)
        assert told[0] == ["words/run=r1", "words/run=r9", "catalogue/000000000001.json"]
        assert told[1] == 200
        assert house.versions() == [1, 2, 3]  # a dry run changes nothing
        assert house.storage.exists("words/run=r1")
        assert house.vacuum(2) == told
        assert house.versions() == [2, 3, 4]
        assert house.catalogue().entries == house.catalogue(3).entries
        assert house.catalogue().note == "vacuum"
        assert house.storage.names("words") == ["run=r2", "run=r3"]
        assert house.storage.names("structures") == ["run=r1"]
        assert house.vacuum(2) == ([], 0)

    def test_a_run_folder_stays_whole_while_one_batch_of_it_is_needed(self, house):
        publish(house, entry("r1", "a"), entry("r1", "b"))
        publish(house, entry("r2", "a"))
        house.vacuum(1)
        assert house.storage.names("words/run=r1") == ["batch=a", "batch=b"]

    def test_leaves_alone_what_is_not_the_warehouses(self, house):
        publish(house, entry("r1"))
        publish(house, entry("r2"))
        for path in ("README", ".lock.json.77.tmp", "report/index.html", "own/data", "lock.json"):
            house.storage.replace(path, b"x")
        removed, _ = house.vacuum(1)
        assert removed == ["words/run=r1", "catalogue/000000000001.json"]
        for path in ("README", "report/index.html", "own/data"):
            assert house.storage.exists(path)

    def test_breaking_off_leaves_no_state_without_its_data(self, house, monkeypatch):
        publish(house, entry("r1"))
        publish(house, entry("r2"))
        write(house, entry("r9"))

        def broken(_: str) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(house.storage, "remove_folder", broken)
            with pytest.raises(KeyboardInterrupt):
                house.vacuum(1)
        assert house.versions() == [2, 3]
        assert house.vacuum(1)[0] == ["words/run=r1", "words/run=r9"]

    def test_of_nothing(self, house):
        with pytest.raises(InputError, match="no warehouse"):
            house.vacuum(1)


HOLD = """\
import sys, time
from minia_spark.warehouse.warehouse import Warehouse
with Warehouse(sys.argv[1]).lock("minia hold"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(location: Path):
    """A process of its own that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(location)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def held_elsewhere(house: Warehouse, **values: object):
    """Write a lock as if by another machine; yields what sets its beat."""
    lock = {"host": "elsewhere", "machine": "another", "pid": 1, "started": "1", "command": ""}
    lock |= {"token": "0" * 16, "since": "2026-01-01"} | values
    house.storage.replace("lock.json", json.dumps(lock).encode())
    yield lambda data: house.storage.replace(f"lock-{lock['token']}.beat", data)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose patience with other machines after a second."""
    monkeypatch.setattr(lock_module, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(lock_module, "_POLL_SECONDS", 0.02)


def until(condition):
    """Return what a condition gives once it holds."""
    for _ in range(1000):
        if found := condition():
            return found
        time.sleep(0.01)
    return pytest.fail("it never came")


class TestLock:
    def test_is_there_only_inside(self, house):
        with house.lock("minia run"):
            written = json.loads(house.storage.read("lock.json"))
            assert written["pid"] == os.getpid()
            assert written["command"] == "minia run"
        assert not house.storage.exists("lock.json")

    def test_goes_with_an_exception(self, house):
        with pytest.raises(ZeroDivisionError), house.lock("minia run"):
            raise ZeroDivisionError
        assert not house.storage.exists("lock.json")

    def test_a_second_run_is_refused_and_told_by_whom(self, house):
        wanted = rf"in use by process {os.getpid()} on host {socket.gethostname()} .*\(minia one\)"
        with (
            house.lock("minia one"),
            pytest.raises(MiniaError, match=wanted),
            house.lock("minia two"),
        ):
            pytest.fail("two hold it")
        with house.lock("minia two"):
            pass

    def test_a_living_process_keeps_it_and_a_killed_one_loses_it(self, local):
        with holder(local.storage.local) as process:
            with pytest.raises(MiniaError, match=f"in use by process {process.pid} "):
                local.lock("minia run").__enter__()
            process.send_signal(signal.SIGKILL)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet waited for
            with local.lock("minia run"):
                assert json.loads(local.storage.read("lock.json"))["pid"] == os.getpid()

    @pytest.mark.parametrize("error", [PermissionError, None])
    def test_a_living_process_that_is_hidden_keeps_it(self, local, monkeypatch, error):
        """As where /proc is mounted with hidepid, and the holder is another user's."""
        real = Path.read_text

        def hidden(path: Path, *arguments: object, **named: object) -> str:
            if path.match("/proc/[0-9]*/stat"):
                raise FileNotFoundError
            return real(path, *arguments, **named)

        def signal_of(_pid: int, _signal: int) -> None:
            if error is not None:
                raise error

        with held_elsewhere(local, machine=lock_module._machine(), started="123"):
            monkeypatch.setattr(Path, "read_text", hidden)
            monkeypatch.setattr(os, "kill", signal_of)
            assert not Lock(local.storage).is_abandoned()
            with pytest.raises(MiniaError, match="in use by process 1 "):
                local.lock("minia run").__enter__()

    def test_a_later_process_with_the_same_number_is_another(self, local):
        with holder(local.storage.local) as process:
            pass
        held = json.loads(local.storage.read("lock.json"))
        assert held["pid"] == process.pid
        local.storage.replace("lock.json", json.dumps(held | {"pid": os.getpid()}).encode())
        with local.lock("minia run"):
            pass

    def test_a_living_process_of_another_machine_keeps_it(self, house, quick):
        with held_elsewhere(house) as beat:
            beat(b"1")
            beats = threading.Timer(0.2, beat, [b"2"])
            beats.start()
            with pytest.raises(
                MiniaError, match=r"process 1 on host elsewhere .*wait for it, or end it"
            ):
                house.lock("minia run").__enter__()
            beats.join()
        assert house.storage.exists("lock.json")

    def test_a_dead_one_of_another_machine_loses_it(self, house, quick):
        said: list[str] = []
        with held_elsewhere(house) as beat:
            beat(b"7")
            with house.lock("minia run", say=said.append):
                assert json.loads(house.storage.read("lock.json"))["pid"] == os.getpid()
        assert [n for n in house.storage.names("") if n.startswith("lock")] == []
        where = "the warehouse is in use by process 1 on host elsewhere"
        assert said == [f"{where}; waiting up to 1 s for a sign of life"]

    def test_it_ends_while_somebody_waits_for_a_beat(self, house, quick):
        with held_elsewhere(house):
            ending = threading.Timer(0.2, house.storage.remove_file, ["lock.json"])
            ending.start()
            with house.lock("minia run"):
                pass
            ending.join()

    def test_the_holder_gives_beats(self, house, monkeypatch):
        monkeypatch.setattr(lock_module, "_BEAT_SECONDS", 0.01)

        def beat() -> int:
            names = [n for n in house.storage.names("") if n.endswith(".beat")]
            return int(house.storage.read(names[0])) if names else 0

        with house.lock("minia run"):
            first = until(beat)
            assert until(lambda: beat() > first)
        assert house.storage.names("") == []

    def test_a_lock_that_was_taken_over_meanwhile_is_not_removed(self, house, monkeypatch):
        with held_elsewhere(house, machine=lock_module._machine(), pid=2**22 + 1):
            newer = json.dumps({"host": "other", "pid": 2, "token": "f" * 16}).encode()
            dead = Lock._is_dead

            def slow(*arguments: object) -> bool:
                found = dead(*arguments)
                house.storage.replace("lock.json", newer)
                return found

            monkeypatch.setattr(Lock, "_is_dead", slow)
            Lock(house.storage)._remove_dead_lock()
            assert house.storage.read("lock.json") == newer

    def test_a_token_leads_nowhere_else(self, house, quick):
        house.storage.replace("lock-x/precious.beat", b"1")
        with (
            held_elsewhere(house, token="x/precious"),
            pytest.raises(MiniaError, match="in use by process 1"),
        ):
            house.lock("minia run").__enter__()
        assert house.storage.exists("lock-x/precious.beat")

    def test_a_lock_that_cannot_be_understood_is_not_taken_over(self, house):
        house.storage.replace("lock.json", b"?")
        with pytest.raises(MiniaError, match="is in use by process None"):
            house.lock("minia run").__enter__()

    def test_a_lock_that_somebody_else_has_by_now_stays(self, house):
        with house.lock("minia run"):
            house.storage.replace("lock.json", b'{"token": "not mine"}')
        assert house.storage.exists("lock.json")

    def test_of_many_that_find_it_dead_one_gets_it(self, local, monkeypatch):
        """The classic race: B has seen the dead lock, A takes it over, B removes A's lock."""
        real = local.storage.remove_file

        def slow(path: str) -> None:
            time.sleep(0.02)  # between the verdict and its execution
            real(path)

        monkeypatch.setattr(local.storage, "remove_file", slow)
        inside, most = 0, 0
        count = threading.Lock()
        start = threading.Barrier(PARALLEL)

        def take(_: int) -> bool:
            nonlocal inside, most
            start.wait()
            try:
                with local.lock("minia run"):
                    with count:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0.1)
                    with count:
                        inside -= 1
                return True
            except MiniaError:
                return False

        with (
            held_elsewhere(local, machine=lock_module._machine(), pid=2**22 + 1),
            ThreadPoolExecutor(PARALLEL) as pool,
        ):
            won = list(pool.map(take, range(PARALLEL)))
        assert any(won)
        assert most == 1

    def test_who_takes_over_trusts_no_folder_of_another(self, tmp_path, monkeypatch):
        """Names in the common temporary folder can be guessed, and be there before us."""
        bait, victim = tmp_path / f"minia-{os.getuid()}", tmp_path / "victim"
        monkeypatch.setattr(lock_module.tempfile, "gettempdir", lambda: str(tmp_path))
        house = Warehouse("mock:///w")
        victim.mkdir(mode=0o700)
        for prepare in (lambda: bait.symlink_to(victim), lambda: bait.mkdir(0o777), bait.touch):
            with held_elsewhere(house, machine=lock_module._machine(), pid=2**22 + 1):
                prepare()
                if bait.is_dir() and not bait.is_symlink():
                    bait.chmod(0o777)
                with pytest.raises(MiniaError, match=rf"{bait} is not ours alone: .*TMPDIR"):
                    house.lock("minia run").__enter__()
            assert list(victim.iterdir()) == []
            bait.rmdir() if bait.is_dir() and not bait.is_symlink() else bait.unlink()
        with house.lock("minia run"):
            assert bait.stat().st_mode & 0o777 == 0o700
            assert [path.stat().st_mode & 0o777 for path in bait.iterdir()] == [0o600]

    def test_where_nothing_can_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(MiniaError, match=r"warehouse .*file/W cannot be written"):
            Warehouse(str(tmp_path / "file" / "W")).lock("minia run").__enter__()


def test_process_start_tells_the_living_from_the_dead():
    start = lock_module._process_start(os.getpid())
    assert start is not None
    assert start == lock_module._process_start(os.getpid())
    assert lock_module._process_start(2**22 + 1) is None


ALPHABET = "abcXYZ019._-"


class TestBatchNames:
    @given(st.text(ALPHABET, min_size=1, max_size=100))
    def test_those_that_make_harmless_folders(self, name):
        if name[0].isalnum():
            assert check_batch_name(name) == name
        else:
            with pytest.raises(SettingsError, match="beginning with a letter or digit"):
                check_batch_name(name)

    @given(st.text(max_size=120))
    def test_a_name_that_passes_is_one_harmless_path_component(self, name):
        with contextlib.suppress(SettingsError):
            assert Path(check_batch_name(name)).name == name
            assert name.isascii()
            assert not set(name) & set("/\\ %='\"<>&\n\t*?[]{}:")
            assert 1 <= len(name) <= 100

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "-b", "a/b", "a b", "a\n", "ä", "a" * 101, "a=b", "../b", "b\0"]
    )
    def test_refused(self, name):
        with pytest.raises(SettingsError, match="use letters, digits"):
            check_batch_name(name)
