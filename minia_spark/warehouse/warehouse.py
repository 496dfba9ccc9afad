"""The warehouse: run folders, one catalogue, the ledger of runs.

::

    <warehouse>/
      catalogue/000000000007.json   state 7: which run holds which batch of which table
      runs/<run>.json               the ledger: one file a run
      <table>/run=<run>/...         Parquet, written by Spark, never changed afterwards
      report/index.html             the page
      lock.json                     who writes now (see minia_spark.warehouse.lock)

**Publishing.** A state is one small file that is created under the next number: a file appears
whole or not at all, and of two writers one fails. The newest number is the current state. Readers
that hold an older state keep reading it: run folders stay until ``vacuum``.

**Time.** Nothing is decided by the clock: states have numbers, and names of runs grow even when the
clock is set back. Times are only noted for people.

No Spark here: ``status``, ``history``, ``rollback`` and ``vacuum`` start at once.
"""

from __future__ import annotations

import contextlib
import difflib
import getpass
import json
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.warehouse.lock import Lock
from minia_spark.warehouse.records import (
    FORMAT,
    Arrival,
    Catalogue,
    Entry,
    RunHead,
    RunRecord,
    StepRecord,
    clock,
    now,
)
from minia_spark.warehouse.storage import Storage

__all__ = ["Unpublished", "Warehouse"]

_STAMP = "%Y%m%dT%H%M%S.%f"  # to the microsecond, of one width: names sort as the runs came
_RUN_PAGE = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6})-[0-9a-f]{6}\.json")
_CATALOGUE = "catalogue"
_YOUNG_SECONDS = 86_400.0  # what is younger is never removed
_RUNS = "runs"

Unpublished: TypeAlias = dict[tuple[str, str | None, str | None, str], StepRecord]
"""Finished steps of runs that broke off, by stage, batch, variant and fingerprint."""

_Page = TypeVar("_Page", bound=RunHead)


class Warehouse:
    """A warehouse at a location; nothing is touched before a method is called.

    Parameters
    ----------
    location : str
        Local path or URI (see :class:`minia_spark.warehouse.storage.Storage`).
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
            data = self.storage.read(path)
            self._require_format(data)
            return Catalogue.model_validate_json(data)
        except FileNotFoundError:
            kept = ", ".join(map(str, self.versions())) or "none"
            raise InputError(f"state {version} is not in {self.storage}; kept: {kept}") from None
        except ValidationError as error:
            raise InputError(f"{self.storage}/{path} cannot be understood: {error}") from None

    def _require_format(self, data: bytes) -> None:
        """Refuse a state of another layout; what is no state at all is refused elsewhere."""
        try:
            told = json.loads(data)
        except (ValueError, RecursionError):
            return
        if not isinstance(told, dict) or not isinstance(told.get("entries"), list):
            return
        found = told.get("format", 1)
        if found != FORMAT:
            raise InputError(
                f"{self.storage} was written in layout {found}, and this version of minia reads "
                f"layout {FORMAT}: make a new warehouse, or use the version that wrote this one"
            )

    def require(self) -> Catalogue:
        """Return the newest state; InputError when there is no warehouse here."""
        catalogue = self.catalogue()
        if catalogue.version == 0:
            raise InputError(
                f"no warehouse at {self.storage}: nothing was published there yet; "
                "'minia run --images DIR --batch NAME --warehouse DIR' makes one"
            )
        return catalogue

    def commit(
        self,
        base: Catalogue,
        run: str,
        entries: Iterable[Entry],
        note: str,
        *,
        settings: Mapping[str, Any] | None = None,
        uses: Mapping[str, dict[str, Any]] | None = None,
    ) -> Catalogue:
        """Publish the state after `base`: all the entries at once.

        Parameters
        ----------
        base : Catalogue
        run : str
        entries : iterable of Entry
        note : str
            The command, for people.
        settings : mapping or None
            What the next run shall work with; None: as in `base`.
        uses : mapping or None
            Settings that entries were made with, besides those of `base`.

        Raises
        ------
        MiniaError
            Somebody else published a state since `base` was read.
        """
        known, kept = base.uses | dict(uses or {}), tuple(entries)
        state = Catalogue(
            version=base.version + 1,
            parent=base.version,
            run=run,
            committed_at=now(),
            note=note,
            settings=base.settings if settings is None else dict(settings),
            uses={key: known[key] for key in sorted({e.uses for e in kept} & known.keys())},
            entries=kept,
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
        return self.commit(
            current,
            target.run,
            target.entries,
            f"rollback to {target.version}",
            settings=target.settings,
            uses=target.uses,
        )

    def entries(
        self, table: str, batch: str | None = None, variant: str | None = None
    ) -> list[Entry]:
        """Return a table's entries in the current state, at least one.

        Raises
        ------
        InputError
            The table, or the batch or variant in it, is not there; the message names those that
            are.
        """
        catalogue = self.require()
        entries = catalogue.of_table(table, batch, variant)
        if not entries:
            tables = sorted({e.table for e in catalogue.entries})
            close = difflib.get_close_matches(table, tables, n=1) if table not in tables else []
            variants = sorted({e.variant for e in catalogue.of_table(table) if e.variant})
            what = f"table {table!r}"
            what += f" of batch {batch!r}" if batch else ""
            what += f" of variant {variant!r}" if variant else ""
            raise InputError(
                f"{what} is not in {self.storage}"
                + (f"; did you mean {close[0]!r}?" if close else "")
                + f"; tables: {', '.join(tables)}; batches: {', '.join(catalogue.batches)}"
                + (f"; variants of {table}: {', '.join(variants)}" if variants else "")
            )
        return entries

    def folders(
        self, table: str, batch: str | None = None, variant: str | None = None
    ) -> list[str]:
        """Return the Parquet folders of a table's current state; raises as :meth:`entries`."""
        return [self.path_of(entry) for entry in self.entries(table, batch, variant)]

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
        stamp = clock().strftime(_STAMP)
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

        Since nobody else holds the lock, its process was killed.
        """
        record = next(self.runs(), None)
        if record is not None and record.state == "running":
            self.save_run(self._killed(record))

    def as_it_ended(self, record: RunRecord) -> RunRecord:
        """Return a run's page, with how it ended also when its process was killed.

        A process of another machine that cannot be seen counts as running.
        """
        if record.state != "running" or not Lock(self.storage).is_abandoned():
            return record
        record = self.run(record.run)  # it may have ended while we looked
        return self._killed(record) if record.state == "running" else record

    def _killed(self, record: RunRecord) -> RunRecord:
        """If it had published its state by then, it did all that readers see."""
        newest = self.catalogue()
        ended: dict[str, Any] = {"state": "failed", "error": "its process was killed"}
        if newest.run == record.run:
            ended = {"state": "done", "catalogue": newest.version}
        return record.model_copy(update=ended)

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
            head = self._understood(RunHead, run, data)
            if head.succeeded:
                for arrival in head.arrivals:
                    found.setdefault(arrival.place, arrival)
        return found

    def unpublished(self) -> Unpublished:
        """Return complete outputs of runs that ended before they could publish them.

        Returns
        -------
        dict
            (stage, batch, variant, fingerprint) to the step: a second start takes it up.
        """
        found: Unpublished = {}
        for run, data in self._pages():
            if self._understood(RunHead, run, data).catalogue:
                continue
            for step in self._understood(RunRecord, run, data).steps:
                if step.action != "done" or not step.entries:
                    continue
                key = (step.stage, step.batch, step.variant, step.entries[0].fingerprint)
                if key not in found and all(self.storage.exists(e.path) for e in step.entries):
                    found[key] = step
        return found

    def vacuum(self, keep: int, *, dry_run: bool = False) -> tuple[list[str], int]:
        """Remove states but the newest `keep`, and run folders that no kept state names.

        States and the ledger's notes of unpublished outputs go before the folders: when this
        breaks off, nothing names a folder that is half gone, and the next call removes the rest.
        What changed within a day stays, and before each folder goes it is looked again whether a
        state names it by now: a run may be at work that this process cannot see.

        Returns
        -------
        paths : list of str
            What was (or, with `dry_run`, would be) removed, relative to the warehouse.
        size_bytes : int
            How much that is.
        """
        self.require()
        versions = self.versions()
        dropped = [
            version
            for version in versions[:-keep]
            if not self.storage.younger_than(_state_file(version), _YOUNG_SECONDS)
        ]
        kept = [version for version in versions if version not in dropped]
        needed = {e.path for v in kept for e in self.catalogue(v).entries}
        tables = [n for n in self.storage.folder_names("") if n not in (_CATALOGUE, _RUNS)]
        folders = [
            f"{table}/{run}"
            for table in tables
            for run in self.storage.folder_names(table)
            if run.startswith("run=")
        ]
        folders = [f for f in folders if not any(_is_within(path, f) for path in needed)]
        folders = [f for f in folders if not self.storage.younger_than(f, _YOUNG_SECONDS)]
        states = [_state_file(version) for version in dropped]
        size_bytes = sum(self.storage.size_bytes(folder) for folder in folders)
        if not dry_run:
            for state in states:
                self.storage.remove_file(state)
            self._forget(set(folders))
            for folder in list(folders):
                if self._is_named(folder, versions):
                    folders.remove(folder)
                else:
                    self.storage.remove_folder(folder)
        return [*folders, *states], size_bytes

    def _is_named(self, folder: str, seen: Sequence[int]) -> bool:
        """Tell whether a state that came since names a folder."""
        fresh = [version for version in self.versions() if version not in seen]
        entries = (e for version in fresh for e in self.catalogue(version).entries)
        return any(_is_within(e.path, folder) for e in entries)

    def _forget(self, folders: set[str]) -> None:
        """Take unpublished outputs in these folders from the ledger: no run may take them over."""

        def cut(step: StepRecord) -> StepRecord:
            gone = any("/".join(e.path.split("/")[:2]) in folders for e in step.entries)
            return step.model_copy(update={"entries": ()}) if gone else step

        for record in list(self.runs()):
            steps = tuple(map(cut, record.steps))
            if steps != record.steps and not record.catalogue:
                self.save_run(record.model_copy(update={"steps": steps}))

    def lock(
        self, command: str, *, say: Callable[[str], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out; see :meth:`minia_spark.warehouse.lock.Lock.held`."""
        return Lock(self.storage).held(command, say=say)


def _page_of(run: str) -> str:
    return f"{_RUNS}/{run}.json"


def _state_file(version: int) -> str:
    return f"{_CATALOGUE}/{version:012d}.json"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
