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
import getpass
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minia_spark.errors import InputError, MiniaError, SettingsError
from minia_spark.storage import Storage

__all__ = ["Catalogue", "Entry", "RunRecord", "StepRecord", "Warehouse", "check_batch_name", "now"]

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


def check_batch_name(name: str) -> str:
    """Return the name, or raise SettingsError: it becomes a folder name and a column value."""
    if not _BATCH_NAME.fullmatch(name):
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
        path = f"{_CATALOGUE}/{version:012d}.json"
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
        if not self.storage.create(f"{_CATALOGUE}/{state.version:012d}.json", data):
            raise MiniaError(
                f"another run published state {state.version} of {self.storage} in the meantime; "
                "nothing of this run is visible; start it again"
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
        target = self.catalogue(current.parent if version is None else version)
        if target.version == 0:
            raise InputError(f"{self.storage} has no state before {current.version}")
        gone = [e.path for e in target.entries if not self.storage.exists(e.path)]
        if gone:
            raise InputError(
                f"state {target.version} needs {gone[0]} and {len(gone) - 1} more folders "
                "that vacuum has removed"
            )
        return self.commit(current, target.run, target.entries, f"rollback to {target.version}")

    def folders(self, table: str, batch: str | None = None) -> list[str]:
        """Return the Parquet folders of a table's current state.

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
        return [self.path_of(entry) for entry in entries]

    def path_of(self, entry: Entry) -> str:
        """Return where an entry's files are: a plain path when local, else a URI."""
        local = self.storage.local
        return str(local / entry.path) if local is not None else self.storage.uri(entry.path)

    # -- ledger ---------------------------------------------------------------------------------

    def new_run(self, command: str, version: str, settings: dict[str, Any]) -> RunRecord:
        """Write the ledger's first line of a run and return it."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
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
        )
        self.save_run(record)
        return record

    def save_run(self, record: RunRecord) -> None:
        """Write the ledger's page of a run anew."""
        data = (record.model_dump_json(indent=1) + "\n").encode()
        self.storage.replace(f"{_RUNS}/{record.run}.json", data)

    def run(self, run: str) -> RunRecord:
        """Return the ledger's page of one run."""
        return RunRecord.model_validate_json(self.storage.read(f"{_RUNS}/{run}.json"))

    def runs(self) -> Iterator[RunRecord]:
        """Yield the ledger's pages, newest first."""
        for name in reversed(self.storage.names(_RUNS)):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    yield self.run(name[:-5])

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
        tables = [n for n in self.storage.names("") if n not in (_CATALOGUE, _RUNS, _LOCK)]
        removed, size_bytes = [], 0
        for table in tables:
            for run in self.storage.names(table):
                folder = f"{table}/{run}"
                if not run.startswith("run=") or any(_is_within(p, folder) for p in needed):
                    continue
                removed.append(folder)
                size_bytes += self.storage.size_bytes(folder)
                if not dry_run:
                    self.storage.remove_folder(folder)
        for version in dropped:
            removed.append(f"{_CATALOGUE}/{version:012d}.json")
            if not dry_run:
                self.storage.remove_file(removed[-1])
        return removed, size_bytes

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
                self._take_over()
        except OSError as error:
            raise MiniaError(f"warehouse {self.storage} cannot be written: {error}") from None
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError, ValueError):
                if json.loads(self.storage.read(_LOCK)).get("token") == holder["token"]:
                    self.storage.remove_file(_LOCK)

    def _take_over(self) -> None:
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
                time.sleep(0.01)
                return
        raise MiniaError(
            f"warehouse {self.storage} is in use by process {holder.get('pid')} on host "
            f"{holder.get('host')} since {holder.get('since')} ({holder.get('command')}); wait "
            f"for it, or, if that process is gone, remove {self.storage}/{_LOCK}"
        )


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _process_start(pid: int) -> str | None:
    """Return something that tells a process from a later one with its number; None: not alive."""
    try:
        # field 22, counted after the command name, which may hold spaces and brackets
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
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
