"""The warehouse: run folders, one catalogue, the ledger of runs.

::

    <warehouse>/
      catalogue/000000000007.json   state 7: which run holds which batch of which table
      runs/<run>.json               the ledger: one file a run
      <table>/run=<run>/...         Parquet, written by Spark, never changed afterwards
      report/index.html             the page
      lock.json                     who writes now (see minia_spark.warehouse.lock)

**The protocol.** Everything hangs on one step that the type of the store makes safe: creating a
file under a name that is free. tests/warehouse/test_protocol.py searches it for faults.

1. A state is one small file that is created under the number after that of the state it was made
   from. It appears whole or not at all, and of two writers one fails. What it names is on the disk
   before. The newest number is what readers see.
2. Every writer, vacuum too, creates a state *before* it does anything that cannot be undone. Who
   slept and was taken for dead so finds out at this moment: its number is taken. The lock only
   saves wasted work; the rest holds also when several processes believe that they hold it.
3. Vacuum's state notes what is given up from then on: states below ``floor``, and outputs that runs
   up to ``forgotten`` left unpublished. No later state may name them: no rollback goes below the
   floor, no run takes over outputs of a forgotten run, and names of runs only grow. So what vacuum
   then deletes nobody can want any more, however late it is deleted, and by however many.
4. A number is never given twice: of a state that vacuum removed, an empty file stays.
5. Readers hold a state for as long as they read. Vacuum leaves states that were followed by another
   one less than an age ago (a week, unless it is told otherwise), and what changed since.

**Time.** Nothing else is decided by the clock: states have numbers, and names of runs grow even
when the clock is set back. Other times are only noted for people.

No Spark here: ``status``, ``history``, ``rollback`` and ``vacuum`` start at once.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import ValidationInfo, field_validator

from minia_spark.base.errors import InputError, MiniaError
from minia_spark.warehouse.ledger import DamagedError, Ledger
from minia_spark.warehouse.lock import Lock
from minia_spark.warehouse.manifest import at_once, damage
from minia_spark.warehouse.records import (
    Catalogue,
    Entry,
    RunHead,
    RunRecord,
    StateHead,
    StepRecord,
    now,
)
from minia_spark.warehouse.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["AGE_SECONDS", "Unpublished", "Warehouse"]

AGE_SECONDS = 7 * 86_400.0
"""How long vacuum leaves what nobody needs any more but somebody may still read."""

_CATALOGUE = "catalogue"
_ENTRIES = b'\n "entries": ['
"""Where a state's entries begin: nothing that is deeper begins a line like that."""

Unpublished: TypeAlias = dict[tuple[str, str | None, str | None, str], StepRecord]
"""Finished steps of runs that broke off, by stage, batch, variant and fingerprint."""


class _Unpublished(RunHead):
    """A page of the ledger as far as it matters for what a run left unpublished."""

    steps: tuple[StepRecord, ...] = ()

    @field_validator("steps", mode="wrap")
    @classmethod
    def _skipped(cls, value: Any, understood: Any, info: ValidationInfo) -> Any:
        """Pass over the many steps of a run that published."""
        return () if info.data.get("catalogue") else understood(value)


class Warehouse(Ledger):
    """A warehouse at a location; nothing is touched before a method is called.

    Parameters
    ----------
    location : str
        Local path or URI (see :class:`minia_spark.warehouse.storage.Storage`).
    """

    def __init__(self, location: str) -> None:
        super().__init__(Storage(location))
        self._found_whole: set[tuple[str, str]] = set()

    # -- states ---------------------------------------------------------------------------------

    def versions(self) -> list[int]:
        """Return the numbers of the states that are kept, ascending."""
        sizes = self._state_sizes()
        return [version for version, size in sizes.items() if size or version == max(sizes)]

    def _state_sizes(self) -> dict[int, int]:
        """Return the bytes of all states by number, ascending; 0: vacuum removed it."""
        sizes = self.storage.sizes(_CATALOGUE)
        return {
            int(name[:-5]): size
            for name, size in sorted(sizes.items())
            if re.fullmatch(r"[0-9]{12}\.json", name)
        }

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
            if not data and version not in self.versions():
                raise FileNotFoundError
            state = self._understood(Catalogue, path, data)
        except FileNotFoundError:
            kept = ", ".join(map(str, self.versions())) or "none"
            raise InputError(f"state {version} is not in {self.storage}; kept: {kept}") from None
        if state.version != version:
            raise self._not_understood(path, f"it says that it is state {state.version}")
        return state

    def states(self) -> Iterator[Catalogue]:
        """Yield the states that are kept, newest first; damaged ones are warned of and left out."""
        for version in reversed(self.versions()):
            try:
                yield self.catalogue(version)
            except DamagedError as error:
                self._warn(str(error))

    def head(self, version: int) -> StateHead:
        """Return what a state says besides its entries; its beginning and end alone are read.

        Raises
        ------
        InputError
            The state is not kept, or what was read of its file cannot be understood.
        """
        path = _state_file(version)
        try:
            before, last = self.storage.read_outside(path, _ENTRIES)
        except FileNotFoundError:
            raise InputError(f"state {version} is not in {self.storage}") from None
        if not last.endswith(b"}\n"):
            raise self._not_understood(path, "it is cut off")
        head = self._understood(StateHead, path, before + _ENTRIES + b"]}")
        if head.version != version:
            raise self._not_understood(path, f"it says that it is state {head.version}")
        return head

    def heads(self) -> Iterator[StateHead]:
        """Yield what the states that are kept say besides their entries, as :meth:`states`."""
        for version in reversed(self.versions()):
            try:
                yield self.head(version)
            except DamagedError as error:
                self._warn(str(error))

    def require(
        self, *, maker: str = "minia run --images DIR --batch NAME --warehouse DIR"
    ) -> Catalogue:
        """Return the newest state; InputError, which names what makes one, when there is none."""
        catalogue = self.catalogue()
        if catalogue.version == 0:
            last = next(map(self.as_it_ended, self.runs()), None)
            raise InputError(
                f"no warehouse at {self.storage}: nothing was published there yet; "
                f"'{maker}' makes one"
                if last is None
                else f"nothing was published at {self.storage} yet; the last run, {last.run} "
                f"({last.command}), is {last.state}{f': {last.error}' if last.error else ''}; the "
                "same command again goes on with what it had finished; 'minia history' shows the "
                "runs, 'minia vacuum' removes what they left"
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
        kept = tuple(entries)
        named = {e.path for e in base.entries}
        late = [e.path for e in kept if e.path not in named and e.run <= base.forgotten]
        if late:
            raise MiniaError(
                f"vacuum gave up {late[0]} of {self.storage}, the output of a run that seemed "
                "to be dead; nothing of this run is visible; start it again"
            )
        return self._publish(base, run, kept, note, settings=settings, uses=uses)

    def _publish(
        self,
        base: Catalogue,
        run: str,
        entries: tuple[Entry, ...],
        note: str,
        *,
        settings: Mapping[str, Any] | None = None,
        uses: Mapping[str, dict[str, Any]] | None = None,
        floor: int = 0,
        forgotten: str = "",
    ) -> Catalogue:
        """Create the state after `base`: the one moment that decides between writers."""
        known = base.uses | dict(uses or {})
        state = Catalogue(
            version=base.version + 1,
            parent=base.version,
            run=run,
            committed_at=now(),
            note=note,
            settings=base.settings if settings is None else dict(settings),
            uses={key: known[key] for key in sorted({e.uses for e in entries} & known.keys())},
            floor=max(floor, base.floor),
            forgotten=max(forgotten, base.forgotten),
            entries=entries,
        )
        data = (state.model_dump_json(indent=1) + "\n").encode()
        newest = max(self._state_sizes(), default=0)
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
        current, base = self.newest_understood(), self.base_past_damage()
        newest = base.version
        before = current.parent if current.version == newest else current.version
        if version is None and before == 0:
            raise InputError(f"{self.storage} has no state before {newest}")
        wanted = before if version is None else version
        target = self.kept_state(wanted)
        self.require_whole(target.entries, again=True)
        return self._publish(
            base,
            target.run,
            target.entries,
            f"rollback to {target.version}",
            settings=target.settings,
            uses=target.uses,
        )

    def newest_understood(self) -> Catalogue:
        """Return the newest state that is not damaged; InputError when there is none."""
        found = next(self.states(), None)
        if found is None:
            return self.require()
        return found

    def base_past_damage(self) -> Catalogue:
        """Return what the next state is made from, also where the newest ones are damaged.

        Vacuum may have given up something by one of those: nothing that runs left unpublished so
        far is taken over then.
        """
        state = self.newest_understood()
        newest = max(self._state_sizes())
        if state.version == newest:
            return state
        forgotten = max([state.forgotten, *self.run_names()])
        return state.model_copy(update={"version": newest, "forgotten": forgotten})

    def kept_state(self, version: int) -> Catalogue:
        """Return a state, to be read for less than vacuum's age; InputError when it is not kept."""
        newest = self.newest_understood()
        if version < newest.floor:
            kept = ", ".join(str(v) for v in self.versions() if v >= newest.floor)
            raise InputError(
                f"state {version} is not in {self.storage}; kept: {kept}; vacuum gave it up"
            )
        return self.catalogue(version)

    def entries(
        self,
        table: str,
        batch: str | None = None,
        variant: str | None = None,
        *,
        state: Catalogue | None = None,
    ) -> list[Entry]:
        """Return a table's entries in the current state, at least one.

        Parameters
        ----------
        table : str
        batch, variant : str or None
            Only these.
        state : Catalogue or None
            Another state than the current one; who reads several tables holds one.

        Raises
        ------
        InputError
            The table, or the batch or variant in it, is not there; the message names those that
            are.
        MiniaError
            Its files are not all there.
        """
        catalogue = state or self.require()
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
        self.require_whole(entries)
        return entries

    def folders(
        self,
        table: str,
        batch: str | None = None,
        variant: str | None = None,
        *,
        state: Catalogue | None = None,
    ) -> list[str]:
        """Return the Parquet folders of :meth:`entries`; raises as that."""
        return [self.path_of(entry) for entry in self.entries(table, batch, variant, state=state)]

    def require_whole(self, entries: Iterable[Entry], *, again: bool = False) -> None:
        """Raise MiniaError unless all files of entries are there, of the size that they had.

        Parameters
        ----------
        entries : iterable of Entry
        again : bool
            Look also at those that were found whole before.
        """
        for entry, wrong in self.damaged(entries, again=again):
            if self._was_given_up(entry):
                raise MiniaError(
                    f"{self.storage}/{entry.path} ({entry.table}) went while it was needed: vacuum "
                    "gave it up, because whoever needed it seemed to be dead, or slept for longer "
                    "than vacuum waits; nothing of this is visible; start it again"
                )
            raise MiniaError(
                f"{self.storage}/{entry.path} ({entry.table}) is damaged: {wrong}; "
                f"'minia verify --warehouse {self.storage}' lists what else is, and 'minia repair' "
                "lets the warehouse go on without it"
            )

    def _was_given_up(self, entry: Entry) -> bool:
        """Tell whether vacuum removed an entry's files, which no kept state names."""
        newest = next(self.states(), Catalogue())
        if entry.run > newest.forgotten:
            return False
        kept = (version for version in self.versions() if version >= newest.floor)
        sign = json.dumps(entry.path).encode()
        return not any(sign in self.storage.read(_state_file(version)) for version in kept)

    def are_whole(self, entries: Iterable[Entry]) -> bool:
        """Tell whether all files of entries are there, of the size that they had."""
        return not any(self.damaged(entries, again=True))

    def damaged(
        self, entries: Iterable[Entry], *, again: bool = False
    ) -> Iterator[tuple[Entry, str]]:
        """Yield entries whose files are not all there, each with what is wrong."""
        due = [e for e in entries if again or (e.path, e.files) not in self._found_whole]
        if not due:
            return
        for entry, wrong in zip(due, at_once(lambda e: damage(self.storage, e), due), strict=True):
            if wrong is not None:
                yield entry, wrong
            else:
                self._found_whole.add((entry.path, entry.files))

    def rows_of(
        self,
        entries: Iterable[Entry],
        columns: Sequence[str] | None = None,
        where: Any = None,
    ) -> pa.Table:
        """Return the rows of entries, one below the other: how tables are read without Spark.

        Parameters
        ----------
        entries : iterable of Entry
            Of none there is a table without columns.
        columns : sequence of str or None
            None: all.
        where : pyarrow.dataset.Expression or None
            Only these rows.

        Raises
        ------
        MiniaError
            Files of theirs are missing, were added, or cannot be read.
        """
        import pyarrow as pa  # noqa: PLC0415 - who only looks at states does without

        chosen = None if columns is None else list(columns)
        parts = []
        for entry, files in self.datasets(entries):
            with self._reading(entry):
                parts.append(files.to_table(columns=chosen, filter=where))
        return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})

    def datasets(self, entries: Iterable[Entry]) -> Iterator[tuple[Entry, ds.Dataset]]:
        """Yield entries, each with its files; raises as :meth:`rows_of`."""
        import pyarrow.dataset as ds  # noqa: PLC0415

        those = list(entries)
        self.require_whole(those)
        for entry in those:
            place, files = self.storage.full(entry.path), self.storage.filesystem
            with self._reading(entry):
                found = ds.dataset(place, filesystem=files, format="parquet")
            yield entry, found

    @contextlib.contextmanager
    def _reading(self, entry: Entry) -> Iterator[None]:
        """Name the entry whose files cannot be read although they are all there."""
        import pyarrow as pa  # noqa: PLC0415

        try:
            yield
        except (OSError, pa.ArrowException) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MiniaError(
                f"{self.storage}/{entry.path} ({entry.table}) cannot be read: {said}; "
                f"'minia verify --full --warehouse {self.storage}' tells whether it is damaged, "
                "and 'minia repair --full' takes it out of the state"
            ) from error

    def path_of(self, entry: Entry) -> str:
        """Return where an entry's files are: a plain path when local, else a URI."""
        local = self.storage.local
        return str(local / entry.path) if local is not None else self.storage.uri(entry.path)

    # -- runs that broke off --------------------------------------------------------------------

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
        newest = next(self.states(), Catalogue())
        ended: dict[str, Any] = {"state": "failed", "error": "its process was killed"}
        if newest.run == record.run:
            ended = {"state": "done", "catalogue": newest.version}
        return record.model_copy(update=ended)

    def unpublished(self, base: Catalogue) -> Unpublished:
        """Return complete outputs of runs that ended before they could publish them.

        Parameters
        ----------
        base : Catalogue
            The state that will be built on: what it has given up is not taken over.

        Returns
        -------
        dict
            (stage, batch, variant, fingerprint) to the step: a second start takes it up.
        """
        found: Unpublished = {}
        for run, page in self._pages(_Unpublished):
            if run <= base.forgotten:
                break
            for step in page.steps:
                if step.action != "done" or not step.entries:
                    continue
                key = (step.stage, step.batch, step.variant, step.entries[0].fingerprint)
                if key not in found and self.are_whole(step.entries):
                    found[key] = step
        return found

    def vacuum(
        self, keep: int, *, age_seconds: float | None = None, dry_run: bool = False
    ) -> tuple[list[str], int]:
        """Remove states but the newest `keep` that differ, and what no kept state names.

        What is removed is given up first, by a state of its own (see the protocol above). When this
        breaks off, nothing names a folder that is half gone, and the next call removes the rest.

        Parameters
        ----------
        keep : int
            At least so many states stay.
        age_seconds : float or None
            States that were followed by another one less than so long ago stay, and so do outputs
            that no state names when they, or the page of their run, changed since; None:
            `AGE_SECONDS`.
        dry_run : bool
            Only look.

        Returns
        -------
        paths : list of str
            What was (or, with `dry_run`, would be) removed, relative to the warehouse.
        size_bytes : int
            How much that is.

        Raises
        ------
        MiniaError
            Somebody else published a state meanwhile; nothing was removed.
        """
        age = AGE_SECONDS if age_seconds is None else age_seconds
        base = self.catalogue()
        if base.version == 0 and not self.run_names():
            self.require()
        kept = self._kept(base, keep, age)
        unnamed = self._unnamed({e.path for state in kept for e in state.entries})
        forgotten, folders = base.forgotten, list[str]()
        for run, its in sorted(unnamed.items()):
            own = [*its, page] if self.storage.exists(page := self.page_file(run)) else its
            if run > base.forgotten and any(self.storage.younger_than(p, age) for p in own):
                break  # it may be at work, and so may all that came later
            forgotten = max(forgotten, run)
            folders += its
        floor = max(base.floor, min(state.version for state in kept))
        states = [_state_file(v) for v, size in self._state_sizes().items() if size and v < floor]
        size_bytes = sum(self.storage.size_bytes(folder) for folder in folders)
        if not dry_run:
            given_up = (floor, forgotten)
            if (states or folders) and given_up != (base.floor, base.forgotten):
                self._publish(
                    base, base.run, base.entries, "vacuum", floor=floor, forgotten=forgotten
                )
            for state in states:
                self.storage.empty(state)
            for folder in folders:
                self.storage.remove_folder(folder)
        return [*sorted(folders), *states], size_bytes

    def _kept(self, newest: Catalogue, keep: int, age_seconds: float) -> list[Catalogue]:
        """Return the states that vacuum leaves, newest first; equal neighbours count as one."""
        kept = [newest]
        different = 1
        for version in reversed([v for v in self.versions() if newest.floor <= v < newest.version]):
            state, after = self.catalogue(version), kept[-1]
            different += state.entries != after.entries
            if different > keep and not self.storage.younger_than(
                _state_file(after.version), age_seconds
            ):
                break
            kept.append(state)
        return kept

    def _unnamed(self, needed: set[str]) -> dict[str, list[str]]:
        """Return the folders of runs of which nothing is needed, by run."""
        top = {"/".join(path.split("/")[:2]) for path in needed}
        found: dict[str, list[str]] = {}
        for table in self.storage.folder_names(""):
            for name in self.storage.folder_names(table):
                if name.startswith("run=") and f"{table}/{name}" not in top:
                    found.setdefault(name.removeprefix("run="), []).append(f"{table}/{name}")
        return found

    def set_aside(self, path: str, folder: str) -> None:
        """Move a damaged state or page into another folder; a state's number stays taken."""
        self.storage.replace(f"{folder}/{path}", self.storage.read(path))
        if path.startswith(f"{_CATALOGUE}/"):
            self.storage.empty(path)
        else:
            self.storage.remove_file(path)

    def state_file(self, version: int) -> str:
        """Return where a state is written, relative to the warehouse."""
        return _state_file(version)

    def lock(
        self, command: str, *, say: Callable[[str], None] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out; see :meth:`minia_spark.warehouse.lock.Lock.held`."""
        return Lock(self.storage).held(command, say=say)


def _state_file(version: int) -> str:
    return f"{_CATALOGUE}/{version:012d}.json"
