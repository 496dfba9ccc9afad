"""The warehouse: run folders, one catalogue, the ledger of runs, the lock.

::

    <warehouse>/
      catalogue/000000000007.json   state 7: which run holds which batch of which table
      runs/<run>.json               the ledger: one file a run
      <table>/run=<run>/...         Parquet, written by Spark, never changed afterwards
      report/index.html             the page
      lock.json                     who writes now; lock-<token>.beat: that it still lives

**Publishing.** A state is one small file that is created under the next number: a file appears
whole or not at all, and of two writers one fails. The newest number is the current state. Readers
that hold an older state keep reading it: run folders stay until ``vacuum``.

**Time.** Nothing is decided by the clock: states have numbers, and names of runs grow even when the
clock is set back. Times are only noted for people.

No Spark here: ``status``, ``history``, ``rollback`` and ``vacuum`` start at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
import re
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minia_spark.errors import InputError, MiniaError, SettingsError
from minia_spark.storage import Storage

__all__ = [
    "Arrival",
    "Catalogue",
    "Entry",
    "RunRecord",
    "StepRecord",
    "Warehouse",
    "check_batch_name",
    "is_batch_name",
    "now",
]

_STAMP = "%Y%m%dT%H%M%S.%f"  # to the microsecond, of one width: names sort as the runs came
_RUN_PAGE = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6})-[0-9a-f]{6}\.json")
_BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CATALOGUE = "catalogue"
_RUNS = "runs"
_LOCK = "lock.json"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_BEAT_SECONDS = 15.0
_PATIENCE_SECONDS = 6 * _BEAT_SECONDS  # without a beat: the holder is dead
_POLL_SECONDS = 1.0


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Model):
    """One published piece of a table: the rows of a batch that one stage wrote."""

    table: str
    batch: str | None = Field(description="None for tables of the whole collection")
    stage: str = Field(description="the stage that wrote it")
    run: str
    path: str = Field(description="folder of Parquet files, relative to the warehouse")
    rows: int
    fingerprint: str = Field(description="of the stage's settings, revision and inputs")
    digest: str = Field(description="what later stages' fingerprints are made from")
    inputs: str = Field("", description="hash of the digests that it was made from")

    @property
    def key(self) -> tuple[str, str | None, str]:
        """What a newer entry replaces."""
        return (self.table, self.batch, self.stage)


class Catalogue(_Model):
    """A state of the warehouse."""

    version: int = 0
    parent: int = 0
    run: str = ""
    committed_at: str = ""
    note: str = ""
    entries: tuple[Entry, ...] = ()

    def of_table(self, table: str, batch: str | None = None) -> list[Entry]:
        """Return a table's entries in batch order; only those of `batch` when it is given."""
        found = [e for e in self.entries if e.table == table and batch in (None, e.batch)]
        return sorted(found, key=lambda e: (e.batch or "", e.stage))

    def of_step(self, stage: str, batch: str | None) -> list[Entry]:
        """Return what a stage wrote for a batch (None: for the collection)."""
        return self.made_by(stage, [batch])

    def made_by(self, stage: str, batches: Iterable[str | None] | None = None) -> list[Entry]:
        """Return what a stage wrote for some batches (None among them: the collection), or all."""
        made = self._made_by.get(stage, {})
        wanted = made if batches is None else batches
        return [entry for batch in wanted for entry in made.get(batch, ())]

    @cached_property
    def _made_by(self) -> dict[str, dict[str | None, list[Entry]]]:
        """The entries by stage and batch: plans look up every step, also of a thousand batches."""
        found: dict[str, dict[str | None, list[Entry]]] = {}
        for entry in self.entries:
            found.setdefault(entry.stage, {}).setdefault(entry.batch, []).append(entry)
        return found

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which looks up its own entries."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_made_by", None)
        return copied

    @property
    def batches(self) -> list[str]:
        """Names of the batches, sorted."""
        return sorted({e.batch for e in self.entries if e.batch is not None})

    def rows(self) -> dict[str, int]:
        """Return how many rows every table has; the page is none."""
        tables: dict[str, int] = {}
        for entry in self.entries:
            if entry.table != "report":
                tables[entry.table] = tables.get(entry.table, 0) + entry.rows
        return dict(sorted(tables.items()))

    def with_entries(self, added: Iterable[Entry]) -> tuple[Entry, ...]:
        """Return the entries after `added` replaced those of the same table, batch and stage."""
        merged = {e.key: e for e in self.entries}
        merged.update({e.key: e for e in added})
        return tuple(sorted(merged.values(), key=lambda e: (e.table, e.batch or "", e.stage)))


class StepRecord(_Model):
    """What a run did for one stage of one batch."""

    stage: str
    batch: str | None
    action: str = Field(description="done, skipped or reused")
    why: str
    seconds: float = 0.0
    counts: dict[str, float] = Field(default_factory=dict)
    entries: tuple[Entry, ...] = Field(
        default=(), description="complete outputs, also of a run that failed later"
    )


class Arrival(_Model):
    """A folder or list of files that came as a batch, as it was when a run took it."""

    place: str = Field(description="its URI")
    batch: str
    listing: str = Field(description="digest of the files' names, sizes and times")
    named: str = Field(description="digest of their names and bytes")
    unnamed: str = Field(description="digest of their bytes alone")
    same_as: str | None = Field(None, description="the batch that has its content already")


class _Head(BaseModel):
    """What is looked up in every page of the ledger; a page's many steps are passed over."""

    model_config = ConfigDict(frozen=True)

    state: str = Field(description="running, done, nothing to do, or failed")
    catalogue: int = Field(0, description="the state this run published; 0: none")
    arrivals: tuple[Arrival, ...] = Field((), description="what 'minia reprocess' took")

    @property
    def succeeded(self) -> bool:
        """It ended, and what it was asked for is in the warehouse."""
        return self.state in ("done", "nothing to do")


class RunRecord(_Head):
    """The ledger's page of one run."""

    model_config = ConfigDict(extra="forbid")

    run: str
    command: str
    started_at: str
    ended_at: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    version: str = Field(description="of minia-spark")
    error: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()


_Page = TypeVar("_Page", bound=_Head)


def is_batch_name(name: str) -> bool:
    """Tell whether a batch may have this name: it becomes a folder name and a column value."""
    return _BATCH_NAME.fullmatch(name) is not None


def check_batch_name(name: str) -> str:
    """Return the name, or raise SettingsError when no batch may have it."""
    if not is_batch_name(name):
        raise SettingsError(
            f"batch name {name!r}: use letters, digits, '.', '_' and '-', at most 100, "
            "beginning with a letter or digit"
        )
    return name


class Warehouse:
    """A warehouse at a location; nothing is touched before a method is called.

    Parameters
    ----------
    location : str
        Local path or URI (see :class:`minia_spark.storage.Storage`).
    """

    def __init__(self, location: str) -> None:
        self.storage = Storage(location)

    # -- states ---------------------------------------------------------------------------------

    def versions(self) -> list[int]:
        """Return the numbers of the states that are kept, ascending."""
        names = self.storage.names(_CATALOGUE)
        return [int(n[:-5]) for n in names if re.fullmatch(r"[0-9]{12}\.json", n)]

    def catalogue(self, version: int | None = None) -> Catalogue:
        """Return a state, the newest by default; the empty state 0 of a new warehouse.

        Raises
        ------
        InputError
            The state is not kept, or its file cannot be understood.
        """
        if version is None:
            versions = self.versions()
            if not versions:
                return Catalogue()
            version = versions[-1]
        path = _state_file(version)
        try:
            return Catalogue.model_validate_json(self.storage.read(path))
        except FileNotFoundError:
            kept = ", ".join(map(str, self.versions())) or "none"
            raise InputError(f"state {version} is not in {self.storage}; kept: {kept}") from None
        except ValidationError as error:
            raise InputError(f"{self.storage}/{path} cannot be understood: {error}") from None

    def require(self) -> Catalogue:
        """Return the newest state; InputError when there is no warehouse here."""
        catalogue = self.catalogue()
        if catalogue.version == 0:
            raise InputError(
                f"no warehouse at {self.storage}: nothing was published there yet; "
                "'minia run --images DIR --batch NAME --warehouse DIR' makes one"
            )
        return catalogue

    def commit(self, base: Catalogue, run: str, entries: Iterable[Entry], note: str) -> Catalogue:
        """Publish the state after `base`: all the entries at once.

        Raises
        ------
        MiniaError
            Somebody else published a state since `base` was read.
        """
        state = Catalogue(
            version=base.version + 1,
            parent=base.version,
            run=run,
            committed_at=now(),
            note=note,
            entries=tuple(entries),
        )
        data = (state.model_dump_json(indent=1) + "\n").encode()
        newest = max(self.versions(), default=0)
        if newest != base.version or not self.storage.create(_state_file(state.version), data):
            raise MiniaError(
                f"another run published state {max(newest, state.version)} of {self.storage} in "
                "the meantime; nothing of this run is visible; start it again"
            )
        return state

    def rollback(self, version: int | None = None) -> Catalogue:
        """Publish an earlier state again, as a new one: history is never rewritten.

        Parameters
        ----------
        version : int or None
            The state to go back to; None is the one before the newest.

        Raises
        ------
        InputError
            There is no such state, or vacuum has removed data that it names.
        """
        current = self.require()
        if version is None and current.parent == 0:
            raise InputError(f"{self.storage} has no state before {current.version}")
        target = self.catalogue(current.parent if version is None else version)
        gone = [e.path for e in target.entries if not self.storage.exists(e.path)]
        if gone:
            raise InputError(
                f"state {target.version} needs folders that are gone from {self.storage}, "
                f"{len(gone)} in all: {', '.join(gone[:3])}"
            )
        return self.commit(current, target.run, target.entries, f"rollback to {target.version}")

    def entries(self, table: str, batch: str | None = None) -> list[Entry]:
        """Return a table's entries in the current state, at least one.

        Raises
        ------
        InputError
            The table, or the batch in it, is not there; the message names those that are.
        """
        catalogue = self.require()
        entries = catalogue.of_table(table, batch)
        if not entries:
            tables = sorted({e.table for e in catalogue.entries})
            what = f"table {table!r}" + (f" of batch {batch!r}" if batch else "")
            raise InputError(
                f"{what} is not in {self.storage}; tables: {', '.join(tables)}; "
                f"batches: {', '.join(catalogue.batches)}"
            )
        return entries

    def folders(self, table: str, batch: str | None = None) -> list[str]:
        """Return the Parquet folders of a table's current state; raises as :meth:`entries`."""
        return [self.path_of(entry) for entry in self.entries(table, batch)]

    def path_of(self, entry: Entry) -> str:
        """Return where an entry's files are: a plain path when local, else a URI."""
        local = self.storage.local
        return str(local / entry.path) if local is not None else self.storage.uri(entry.path)

    # -- ledger ---------------------------------------------------------------------------------

    def new_run(
        self,
        command: str,
        version: str,
        settings: dict[str, Any],
        arrivals: Iterable[Arrival] = (),
    ) -> RunRecord:
        """Write the ledger's first line of a run and return it."""
        record = RunRecord(
            run=f"{self._next_stamp()}-{secrets.token_hex(3)}",
            command=command,
            state="running",
            started_at=now(),
            user=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version,
            settings=settings,
            arrivals=tuple(arrivals),
        )
        self.save_run(record)
        return record

    def _next_stamp(self) -> str:
        """Return the time, or, where the clock was set back, a moment after the newest run."""
        pages = map(_RUN_PAGE.fullmatch, reversed(self.storage.names(_RUNS)))
        newest = next((page[1] for page in pages if page), "")
        stamp = _clock().strftime(_STAMP)
        if stamp > newest:
            return stamp
        following = datetime.strptime(newest, _STAMP) + timedelta(microseconds=1)
        return following.strftime(_STAMP)

    def save_run(self, record: RunRecord) -> None:
        """Write the ledger's page of a run anew."""
        data = (record.model_dump_json(indent=1) + "\n").encode()
        self.storage.replace(_page_of(record.run), data)

    def settle_newest_run(self) -> None:
        """Note how the newest run ended if its page says that it runs; for the lock's holder.

        Since nobody else holds the lock, its process was killed. If it had published its state by
        then, it did all that readers see.
        """
        record = next(self.runs(), None)
        if record is None or record.state != "running":
            return
        newest = self.catalogue()
        ended: dict[str, Any] = {"state": "failed", "error": "its process was killed"}
        if newest.run == record.run:
            ended = {"state": "done", "catalogue": newest.version}
        self.save_run(record.model_copy(update=ended))

    def run(self, run: str) -> RunRecord:
        """Return the ledger's page of one run.

        Raises
        ------
        InputError
            It is not there, or its file cannot be understood.
        """
        try:
            return self._understood(RunRecord, run, self.storage.read(_page_of(run)))
        except FileNotFoundError:
            raise InputError(f"the ledger of {self.storage} has no run {run}") from None

    def _understood(self, model: type[_Page], run: str, data: bytes) -> _Page:
        try:
            return model.model_validate_json(data)
        except ValidationError as error:
            raise InputError(
                f"{self.storage}/{_page_of(run)} cannot be understood: {error}"
            ) from None

    def _pages(self) -> Iterator[tuple[str, bytes]]:
        for name in reversed(self.storage.names(_RUNS)):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    yield name[:-5], self.storage.read(f"{_RUNS}/{name}")

    def runs(self) -> Iterator[RunRecord]:
        """Yield the ledger's pages, newest first."""
        for run, data in self._pages():
            yield self._understood(RunRecord, run, data)

    def arrivals(self) -> dict[str, Arrival]:
        """Return what runs that succeeded took as batches: of every place the latest, by place."""
        found: dict[str, Arrival] = {}
        for run, data in self._pages():
            head = self._understood(_Head, run, data)
            if head.succeeded:
                for arrival in head.arrivals:
                    found.setdefault(arrival.place, arrival)
        return found

    def unpublished(self) -> dict[tuple[str, str | None, str], tuple[Entry, ...]]:
        """Return complete outputs of runs that ended before they could publish them.

        Returns
        -------
        dict
            (stage, batch, fingerprint) to the entries: a second start takes them up.
        """
        found: dict[tuple[str, str | None, str], tuple[Entry, ...]] = {}
        for run, data in self._pages():
            if self._understood(_Head, run, data).catalogue:
                continue
            for step in self._understood(RunRecord, run, data).steps:
                if step.action != "done" or not step.entries:
                    continue
                key = (step.stage, step.batch, step.entries[0].fingerprint)
                if key not in found and all(self.storage.exists(e.path) for e in step.entries):
                    found[key] = step.entries
        return found

    def vacuum(self, keep: int, *, dry_run: bool = False) -> tuple[list[str], int]:
        """Remove states but the newest `keep`, and run folders that no kept state names.

        States and the ledger's notes of unpublished outputs go before the folders: when this
        breaks off, nothing names a folder that is half gone, and the next call removes the rest.

        Returns
        -------
        paths : list of str
            What was (or, with `dry_run`, would be) removed, relative to the warehouse.
        size_bytes : int
            How much that is.
        """
        self.require()
        versions = self.versions()
        kept, dropped = versions[-keep:], versions[:-keep]
        needed = {e.path for v in kept for e in self.catalogue(v).entries}
        tables = [n for n in self.storage.folder_names("") if n not in (_CATALOGUE, _RUNS)]
        folders = [
            f"{table}/{run}"
            for table in tables
            for run in self.storage.folder_names(table)
            if run.startswith("run=")
        ]
        folders = [f for f in folders if not any(_is_within(path, f) for path in needed)]
        states = [_state_file(version) for version in dropped]
        size_bytes = sum(self.storage.size_bytes(folder) for folder in folders)
        if not dry_run:
            for state in states:
                self.storage.remove_file(state)
            self._forget(set(folders))
            for folder in folders:
                self.storage.remove_folder(folder)
        return [*folders, *states], size_bytes

    def _forget(self, folders: set[str]) -> None:
        """Take unpublished outputs in these folders from the ledger: no run may take them over."""

        def cut(step: StepRecord) -> StepRecord:
            gone = any("/".join(e.path.split("/")[:2]) in folders for e in step.entries)
            return step.model_copy(update={"entries": ()}) if gone else step

        for record in list(self.runs()):
            steps = tuple(map(cut, record.steps))
            if steps != record.steps and not record.catalogue:
                self.save_run(record.model_copy(update={"steps": steps}))

    # -- lock -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, command: str, *, say: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep other writers out; the lock of a process that is dead is taken over.

        Whether a process of this machine lives, the system tells at once. One of another machine,
        or of another container, gives a beat every few seconds: it is dead when none came for a
        minute and a half. Should it only have slept, it cannot publish over what came since
        (:meth:`commit`).

        Parameters
        ----------
        command : str
            For those who are kept out.
        say : callable or None
            Is told when it takes a while to see whether another machine's process lives.

        Raises
        ------
        MiniaError
            Somebody else holds it (the message names host, process and command), or the
            warehouse cannot be written.
        """
        holder = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "command": command,
            "since": now(),
            "token": secrets.token_hex(8),
        }
        data = (json.dumps(holder, indent=1) + "\n").encode()
        try:
            self.storage.make_folder("")
            while not self.storage.create(_LOCK, data):
                with self._alone_on_this_host():
                    self._remove_dead_lock(say)
        except OSError as error:
            why = error.strerror or error
            raise MiniaError(f"warehouse {self.storage} cannot be written: {why}") from None
        try:
            with self._beating(str(holder["token"])):
                yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(self.storage.read(_LOCK)).get("token") == holder["token"]:
                    self.storage.remove_file(_LOCK)

    @contextlib.contextmanager
    def _beating(self, token: str) -> Iterator[None]:
        """Give a sign of life every few seconds, for those who cannot see this process."""
        over = threading.Event()

        def beat() -> None:
            number = 0
            while not over.wait(_BEAT_SECONDS):
                number += 1
                with contextlib.suppress(OSError):  # a full disk; there may be room next time
                    self.storage.replace(_beat_file(token), str(number).encode())

        thread = threading.Thread(target=beat, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(OSError):
                self.storage.remove_file(_beat_file(token))

    @contextlib.contextmanager
    def _alone_on_this_host(self) -> Iterator[None]:
        """Let one process at a time judge the holder: two could remove each other's new lock.

        The kernel's own lock on a file of this host goes with the process. Processes of two hosts
        that wait for the same dead one may in theory still do so; then :meth:`commit` lets one win.
        """
        local = self.storage.local
        name = hashlib.sha256(self.storage.location.encode()).hexdigest()[:16]
        place = local / ".takeover" if local else Path(tempfile.gettempdir()) / f"minia-{name}"
        with place.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_dead_lock(self, say: Callable[[str], None] | None = None) -> None:
        holder = self._holder()
        if holder is None:
            return  # just released
        if self._is_dead(holder, say):
            if self._holder() == holder:
                self.storage.remove_file(_LOCK)
                self.storage.remove_file(_beat_file(holder["token"]))
            return
        if self._holder() != holder:
            return  # released while we looked
        raise MiniaError(
            f"warehouse {self.storage} is in use by process {holder.get('pid')} on host "
            f"{holder.get('host')} since {holder.get('since')} ({holder.get('command')}); wait "
            f"for it, or, if that process is gone, remove {self.storage}/{_LOCK}"
        )

    def _holder(self) -> dict[str, Any] | None:
        """Return what the lock says; None: there is none; empty: it cannot be understood."""
        try:
            holder = json.loads(self.storage.read(_LOCK))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return holder if isinstance(holder, dict) else {}

    def _is_dead(self, holder: dict[str, Any], say: Callable[[str], None] | None) -> bool:
        known = isinstance(holder.get("pid"), int) and _TOKEN.fullmatch(str(holder.get("token")))
        if not known:
            return False  # we did not write that
        if holder.get("machine") == _machine():
            started = _process_start(holder["pid"])
            return started is None or started != holder.get("started")
        if say is not None:
            say(
                f"the warehouse is in use by process {holder['pid']} on host {holder.get('host')}; "
                f"waiting up to {_PATIENCE_SECONDS:.0f} s for a sign of life"
            )
        seen = self._beat(holder["token"])
        waited_from = time.monotonic()
        while time.monotonic() - waited_from < _PATIENCE_SECONDS:
            time.sleep(_POLL_SECONDS)
            if self._holder() != holder or self._beat(holder["token"]) != seen:
                return False
        return True

    def _beat(self, token: str) -> bytes | None:
        try:
            return self.storage.read(_beat_file(token))
        except FileNotFoundError:
            return None


def _page_of(run: str) -> str:
    return f"{_RUNS}/{run}.json"


def _state_file(version: int) -> str:
    return f"{_CATALOGUE}/{version:012d}.json"


def _beat_file(token: str) -> str:
    return f"lock-{token}.beat"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _machine() -> str:
    """Return what processes share that can see each other: a boot of a host, and a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _process_start(pid: int) -> str | None:
    """Return something that tells a process from a later one with its number; None: not alive."""
    try:
        # fields 3 (state) and 22, counted after the name, which may hold spaces and brackets
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie only waits for its parent
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def now() -> str:
    """Return the time as the catalogue and the ledger write it (UTC, ISO 8601)."""
    return _clock().isoformat(timespec="seconds")


def _clock() -> datetime:
    return datetime.now(UTC)
