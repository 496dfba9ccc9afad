"""Small files: whole or not at all, on local and remote file systems."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store import ObjectStore, object_store

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.warehouse.conditional import store_options
from minia_spark.warehouse.storage import Storage
from minia_spark.warehouse.warehouse import Warehouse

WRITERS = 16

_RACE = """
import errno, os, sys, time
from minia_spark.warehouse import storage as module

def refuse(*_):
    raise OSError(errno.EPERM, "Operation not permitted")

folder, start_at, *refused, number = sys.argv[1:]
os.link = refuse
if "rename" in refused:
    module._rename_to_new = refuse
storage = module.Storage(folder)
for name in range(300):
    wait = float(start_at) + name * 0.004 - time.monotonic()
    time.sleep(max(0, wait))
    if storage.create(f"w/{name}", f"{number}\\n".encode() * 500):
        print(name)
"""
"""Tries to win 300 names, each at the same moment as all the others."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    """An object store on this machine."""
    with object_store() as found:
        yield found


@pytest.fixture
def objects(store: ObjectStore) -> ObjectStore:
    pytest.importorskip("obstore", reason="the extra objectstore is not installed")
    store.objects.clear()
    store.keeps_conditions, store.lost_answers = True, 0
    return store


@pytest.fixture(params=["local", "remote", "object store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A local folder, a file system in memory that is reached by a URI, an object store."""
    if request.param == "object store":
        return Storage(request.getfixturevalue("objects").uri("w"))
    return Storage(str(tmp_path / "w") if request.param == "local" else "mock:///w")


class TestPlaces:
    def test_local_path(self, tmp_path):
        storage = Storage(str(tmp_path))
        assert storage.local == tmp_path
        assert storage.uri("t/run=1") == f"file://{tmp_path}/t/run=1"
        assert storage.uri("") == f"file://{tmp_path}"
        assert str(storage) == str(tmp_path)

    def test_relative_path_becomes_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert Storage("w").local == tmp_path / "w"

    def test_file_uri_is_decoded(self, tmp_path):
        assert Storage(f"file://{tmp_path}/a%20b").local == tmp_path / "a b"

    def test_spark_gets_names_as_they_are(self):
        """Hadoop does not decode %20: a quoted name would be another folder."""
        assert Storage("/data/my survey").uri("t") == "file:///data/my survey/t"

    def test_spark_reads_patterns_so_their_signs_are_escaped(self):
        storage = Storage("/data/[ab]{c}*?\\x")
        assert storage.pattern("t/run=1") == "file:///data/\\[ab\\]\\{c\\}\\*\\?\\\\x/t/run=1"

    def test_remote_uri_loses_query_and_escapes(self):
        assert Storage("mock:///a%20b/?x=1").uri("t") == "mock:///a b/t"

    def test_unknown_scheme(self):
        with pytest.raises(SettingsError, match="warehouse gopher://x/w cannot be reached"):
            Storage("gopher://x/w")

    def test_constructor_touches_nothing(self, tmp_path):
        Storage(str(tmp_path / "w"))
        assert list(tmp_path.iterdir()) == []


class TestFiles:
    def test_replace_and_read(self, storage):
        storage.replace("runs/a.json", b"1")
        storage.replace("runs/a.json", b"22")
        assert storage.read("runs/a.json") == b"22"
        assert storage.names("runs") == ["a.json"]  # no temporary file stays

    def test_create_takes_a_free_name_only(self, storage):
        assert storage.create("catalogue/1", b"first")
        assert not storage.create("catalogue/1", b"second")
        assert storage.read("catalogue/1") == b"first"
        assert storage.names("catalogue") == ["1"]

    def test_absent_is_empty_and_removing_it_is_no_error(self, storage):
        assert storage.names("nothing") == []
        assert storage.folder_names("nothing") == []
        assert storage.size_bytes("nothing") == 0
        assert not storage.exists("nothing")
        storage.remove_file("nothing")
        storage.remove_folder("nothing")
        with pytest.raises(FileNotFoundError):
            storage.read("nothing")

    def test_names_sizes_and_folders(self, storage):
        storage.replace("t/b", b"123")
        storage.replace("t/a", b"12")
        storage.replace("t/deep/er/c", b"1")
        assert storage.names("t") == ["a", "b", "deep"]
        assert storage.folder_names("t") == ["deep"]
        assert storage.size_bytes("t") == 6
        storage.remove_folder("t/deep")
        assert storage.names("t") == ["a", "b"]


class TestObjectStores:
    def test_of_many_creators_one_wins(self, objects):
        """Each looks first, finds nothing, and puts: only the store can tell them apart."""
        start = threading.Barrier(WRITERS)
        storages = [Storage(objects.uri("W")) for _ in range(WRITERS)]
        for number, storage in enumerate(storages):
            storage.exists = lambda _: bool(start.wait()) and False
            assert storage._objects.create(f"W/warm/{number}", b"")

        def create(number: int) -> bool:
            return storages[number].create("catalogue/7", b"%d" % number)

        for _ in range(5):
            with ThreadPoolExecutor(WRITERS) as pool:
                won = list(pool.map(create, range(WRITERS)))
            assert sum(won) == 1
            assert objects.objects.pop("W/catalogue/7") == b"%d" % won.index(True)

    def test_an_answer_that_was_lost(self, objects):
        """The put is repeated and refused, since it was done: what is there is ours."""
        storage = Storage(objects.uri("W"))
        assert storage.create("a", b"1")
        objects.lost_answers = 1
        assert storage.create("catalogue/7", b"mine")
        assert objects.objects["W/catalogue/7"] == b"mine"
        assert objects.lost_answers == 0

    def test_a_store_that_ignores_conditions_is_refused(self, objects):
        objects.keeps_conditions = False
        for _ in range(2):
            with pytest.raises(SettingsError, match="s3://survey overwrites an object although"):
                Storage(objects.uri("W")).create("catalogue/7", b"1")
        assert "W/catalogue/7" not in objects.objects

    def test_without_the_extra(self, store, monkeypatch):
        monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
        with pytest.raises(SettingsError, match=r"it takes pip install .minia-spark\[objectst"):
            Storage(store.uri("W")).create("catalogue/7", b"1")

    def test_nobody_is_told_the_secret(self, store):
        assert str(Storage(store.uri("W"))) == "s3://survey/W"
        assert Storage(store.uri("W")).uri("t") == "s3://survey/W/t"

    @pytest.mark.parametrize(
        ("query", "options"),
        [
            ("", {}),
            ("?region=eu-west-1", {"region": "eu-west-1"}),
            ("?endpoint_override=store:9000", {"endpoint": "https://store:9000"}),
            (
                "?endpoint_override=http://store:9000",
                {"endpoint": "http://store:9000", "client_options": {"allow_http": True}},
            ),
            (
                "?scheme=http&endpoint_override=store:9000",
                {"endpoint": "http://store:9000", "client_options": {"allow_http": True}},
            ),
        ],
    )
    def test_options(self, query, options):
        assert store_options(f"s3://bucket/a/b{query}") == ("s3://bucket", options)
        secret = {"access_key_id": "k/", "secret_access_key": "s+"}
        assert store_options(f"s3://k%2F:s%2B@bucket/a{query}") == ("s3://bucket", secret | options)

    def test_two_runs_that_both_hold_the_lock(self, objects):
        """One publishes; the other is told, and its state is nowhere."""
        houses = [Warehouse(objects.uri("W")) for _ in range(2)]
        bases = [house.catalogue() for house in houses]
        runs = [house.new_run("minia run", "1", {}).run for house in houses]
        assert houses[0].commit(bases[0], runs[0], [], "minia run").version == 1
        for house in houses:
            house.storage.exists = lambda _: False  # as it looked a moment ago
        houses[1]._state_sizes = dict
        with pytest.raises(MiniaError, match="another run published state 1 of s3://survey/W"):
            houses[1].commit(bases[1], runs[1], [], "minia run")
        assert Warehouse(objects.uri("W")).require().run == runs[0]

    def test_the_lock(self, objects):
        house, other = (Warehouse(objects.uri("W")) for _ in range(2))
        refused = pytest.raises(MiniaError, match="minia run")
        with house.lock("minia run"), refused, other.lock("minia vacuum"):
            pass
        with other.lock("minia vacuum"):
            pass
        assert not [name for name in objects.objects if "lock" in name]


class TestRaces:
    def test_of_many_creators_one_wins(self, tmp_path):
        start = threading.Barrier(WRITERS)

        def create(number: int) -> bool:
            start.wait()
            return Storage(str(tmp_path)).create("catalogue/7", b"%d" % number)

        for _ in range(10):
            with ThreadPoolExecutor(WRITERS) as pool:
                won = list(pool.map(create, range(WRITERS)))
            assert sum(won) == 1
            assert (tmp_path / "catalogue/7").read_bytes() == b"%d" % won.index(True)
            assert names(tmp_path / "catalogue") == ["7"]
            (tmp_path / "catalogue/7").unlink()

    @pytest.mark.parametrize("refused", [("link",), ("link", "rename")])
    def test_of_many_processes_one_wins_also_without_hard_links(self, tmp_path, refused):
        """As on FAT, and on FUSE: there, not even a rename can be told to replace nothing."""
        start_at = time.monotonic() + 2.5
        arguments = [sys.executable, "-c", _RACE, str(tmp_path), str(start_at), *refused]
        racers = [
            subprocess.Popen([*arguments, str(n)], stdout=subprocess.PIPE, text=True)
            for n in range(6)
        ]
        won = [racer.communicate(timeout=60)[0].split() for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * 6
        assert sorted(name for mine in won for name in mine) == sorted(
            str(number) for number in range(300)
        )
        for number, mine in enumerate(won):
            assert all((tmp_path / "w" / n).read_text() == f"{number}\n" * 500 for n in mine)
        assert len(names(tmp_path / "w")) == 300  # no temporary file stays

    def test_readers_see_the_old_bytes_or_the_new(self, tmp_path):
        storage = Storage(str(tmp_path))
        contents = [bytes([letter]) * 100_000 for letter in b"ab"]
        storage.replace("page", contents[0])
        seen, done = set(), threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.add(storage.read("page"))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for turn in range(60):
            storage.replace("page", contents[turn % 2])
        done.set()
        for reader in readers:
            reader.join()
        assert seen <= set(contents)


class TestFailures:
    def test_a_full_disk_leaves_the_old_file(self, tmp_path, monkeypatch):
        storage = Storage(str(tmp_path))
        storage.replace("a", b"old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            storage.replace("a", b"new")
        with pytest.raises(OSError, match="No space left"):
            storage.create("b", b"new")
        assert names(tmp_path) == ["a"]
        assert storage.read("a") == b"old"

    def test_file_systems_without_hard_links(self, tmp_path, monkeypatch):
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        storage = Storage(str(tmp_path))
        assert storage.create("a", b"1")
        assert not storage.create("a", b"2")
        assert storage.read("a") == b"1"
        assert names(tmp_path) == ["a"]


class TestDurability:
    """Spark writes without waiting for the disk; a state that names its files must wait."""

    def test_every_file_and_folder_is_synced_up_to_the_warehouse(self, tmp_path, monkeypatch):
        storage = Storage(str(tmp_path / "W"))
        for name in ("t/run=1/batch=a/x.parquet", "t/run=1/batch=a/y.parquet", "t/run=2/z"):
            storage.make_folder(name.rpartition("/")[0])
            (tmp_path / "W" / name).write_bytes(b"x")
        synced = set()
        sync = os.fsync

        def noted(descriptor: int) -> None:
            synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", noted)
        storage.make_durable(["t/run=1/batch=a"])
        below = ("", "t", "t/run=1", "t/run=1/batch=a")
        wanted = {tmp_path / "W" / p for p in (*below, *(f"{below[3]}/{n}.parquet" for n in "xy"))}
        assert synced == wanted

    def test_nothing_of_a_remote_store(self):
        Storage("mock:///W").make_durable(["t/run=1"])

    def test_a_run_syncs_before_its_state_is_there(self, minia, own_warehouse, monkeypatch):
        order = []
        durable, commit = Storage.make_durable, Warehouse.commit

        def first(self, paths):
            order.extend(paths)
            durable(self, paths)

        def second(self, *given, **named):
            order.append("state")
            return commit(self, *given, **named)

        monkeypatch.setattr(Storage, "make_durable", first)
        monkeypatch.setattr(Warehouse, "commit", second)
        more = ("--set", "structures.min_overlap=0.3")
        minia("run", "--warehouse", own_warehouse, *more).expect(0)
        assert order[-1] == "state"
        tables = {path.partition("/")[0] for path in order[:-1]}
        assert tables == {"structure_images", "patterns", "verifications", "gallery", "report"}
