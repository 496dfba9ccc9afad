"""The warehouse: run folders, one catalogue, the ledger of runs, the lock.

::

    <warehouse>/
      catalogue/000000000007.json   state 7: which run holds which batch of which table
      runs/<run>.json               the ledger: one file a run
      <table>/run=<run>/...         Parquet, written by Spark, never changed afterwards
      report/index.html             the page
      lock.json                     who writes now

**Publishing.** A state is one small file that is created under the next number: a file appears
whole or not at all, and of two writers one fails. The newest number is the current state. Readers
that hold an older state keep reading it: run folders stay until ``vacuum``.

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
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

_BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CATALOGUE = "catalogue"
_RUNS = "runs"
_LOCK = "lock.json"


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
        return [e for e in self.entries if e.stage == stage and e.batch == batch]

    @property
    def batches(self) -> list[str]:
        """Names of the batches, sorted."""
        return sorted({e.batch for e in self.entries if e.batch is not None})

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


class RunRecord(_Model):
    """The ledger's page of one run."""

    run: str
    command: str
    state: str = Field(description="running, done, nothing to do, or failed")
    started_at: str
    ended_at: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    version: str = Field(description="of minia-spark")
    catalogue: int = Field(0, description="the state this run published; 0: none")
    error: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()
    arrivals: tuple[Arrival, ...] = Field((), description="what 'minia reprocess' took")

    @property
    def succeeded(self) -> bool:
        """It ended, and what it was asked for is in the warehouse."""
        return self.state in ("done", "nothing to do")


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
        # to the microsecond, so that names sort as the runs came
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        record = RunRecord(
            run=f"{stamp}-{secrets.token_hex(3)}",
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

    def save_run(self, record: RunRecord) -> None:
        """Write the ledger's page of a run anew."""
        data = (record.model_dump_json(indent=1) + "\n").encode()
        self.storage.replace(f"{_RUNS}/{record.run}.json", data)

    def run(self, run: str) -> RunRecord:
        """Return the ledger's page of one run.

        Raises
        ------
        InputError
            It is not there, or its file cannot be understood.
        """
        try:
            return self._page(run)
        except FileNotFoundError:
            raise InputError(f"the ledger of {self.storage} has no run {run}") from None

    def _page(self, run: str) -> RunRecord:
        path = f"{_RUNS}/{run}.json"
        try:
            return RunRecord.model_validate_json(self.storage.read(path))
        except ValidationError as error:
            raise InputError(f"{self.storage}/{path} cannot be understood: {error}") from None

    def runs(self) -> Iterator[RunRecord]:
        """Yield the ledger's pages, newest first."""
        for name in reversed(self.storage.names(_RUNS)):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    yield self._page(name[:-5])

    def arrivals(self) -> dict[str, Arrival]:
        """Return what runs that succeeded took as batches: of every place the latest, by place."""
        found: dict[str, Arrival] = {}
        for record in self.runs():
            if record.succeeded:
                for arrival in record.arrivals:
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
        for record in self.runs():
            if record.catalogue:
                continue
            for step in record.steps:
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
    def lock(self, command: str) -> Iterator[None]:
        """Keep other writers out; the lock of a process that is dead on this host is taken over.

        Raises
        ------
        MiniaError
            Somebody else holds it (the message names host, process and command), or the
            warehouse cannot be written.
        """
        holder = {
            "host": socket.gethostname(),
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
                    self._remove_dead_lock()
        except OSError as error:
            raise MiniaError(f"warehouse {self.storage} cannot be written: {error}") from None
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError, ValueError):
                if json.loads(self.storage.read(_LOCK)).get("token") == holder["token"]:
                    self.storage.remove_file(_LOCK)

    @contextlib.contextmanager
    def _alone_on_this_host(self) -> Iterator[None]:
        """Let one process at a time judge the holder: two could remove each other's new lock.

        Only processes of the holder's host can see that it is dead, so the kernel's own lock on a
        file of this host is enough; it goes with the process.
        """
        local = self.storage.local
        name = hashlib.sha256(self.storage.location.encode()).hexdigest()[:16]
        place = local / ".takeover" if local else Path(tempfile.gettempdir()) / f"minia-{name}"
        with place.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _remove_dead_lock(self) -> None:
        try:
            holder = json.loads(self.storage.read(_LOCK))
        except FileNotFoundError:
            return  # just released
        except ValueError:
            holder = {}
        if holder.get("host") == socket.gethostname() and isinstance(holder.get("pid"), int):
            started = _process_start(holder["pid"])
            if started is None or started != holder.get("started"):
                self.storage.remove_file(_LOCK)
                return
        raise MiniaError(
            f"warehouse {self.storage} is in use by process {holder.get('pid')} on host "
            f"{holder.get('host')} since {holder.get('since')} ({holder.get('command')}); wait "
            f"for it, or, if that process is gone, remove {self.storage}/{_LOCK}"
        )


def _state_file(version: int) -> str:
    return f"{_CATALOGUE}/{version:012d}.json"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


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
    return datetime.now(UTC).isoformat(timespec="seconds")
