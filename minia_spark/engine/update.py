"""``minia reprocess``: what is new in an inbox becomes batches; what a scheduler calls every night.

A place in the inbox (a sub-folder or a list of files) is known once a run that succeeded took it;
the ledger has its digests. A known place that did not change costs a listing of its files. Anything
else is hashed: it is new, changed (its batch is replaced), only touched, or the same as a batch
that is there already. What failed is tried again by the next call.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark import __version__
from minia_spark.base.errors import (
    InputError,
    MiniaError,
    SettingsError,
    explained,
    leaving_readers,
)
from minia_spark.base.events import log_event
from minia_spark.engine.inbox import Candidate, look
from minia_spark.engine.plan import Request
from minia_spark.engine.run import Runner
from minia_spark.engine.sources import holds
from minia_spark.images.identity import path_of_uri, uri_of
from minia_spark.warehouse.records import Arrival, Entry, RunRecord, now

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Outcome", "counts_of", "exit_code", "reprocess", "summary"]

_WORDS = {
    "done": "brought in",
    "failed": "failed",
    "same": "the same as another",
    "known": "known",
    "waiting": "waiting",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a place in the inbox.

    Attributes
    ----------
    title : str
        Its name in the inbox.
    verdict : str
        ``done``, ``failed``, ``same`` (as a batch that is there), ``known`` or ``waiting``.
    text : str
        For people.
    code : int
        Exit code of the failure; 0 where none.
    """

    title: str
    verdict: str
    text: str
    code: int = 0


def reprocess(
    inbox: Path,
    runner: Runner,
    *,
    tell: Callable[[Outcome], None],
    settle_seconds: float = 0.0,
    batches_per_run: int = 1,
    replace: bool = False,
    follow_links_outside: bool = False,
    clock_ns: Callable[[], int] = time.time_ns,
) -> list[Outcome]:
    """Bring every batch that is new or changed into the warehouse, in natural order of their names.

    Parameters
    ----------
    inbox : Path
    runner : Runner
    tell : callable
        Is given every outcome as soon as it is known.
    settle_seconds : float
        What changed less than so long ago waits for a later call.
    batches_per_run : int
        How many new batches are published together: what is made from all batches is made once
        for them.
    replace : bool
        Other settings may throw away costly work.
    follow_links_outside : bool
        Whether links may lead out of the inbox.
    clock_ns : callable
        Nanoseconds of the clock that times of files are compared with.

    Returns
    -------
    list of Outcome
        One a place, in the order in which they were decided.

    Raises
    ------
    InputError
        The inbox cannot be read.
    MiniaError
        The warehouse is in use, or cannot be written.
    """
    candidates, others = look(inbox, follow_links_outside=follow_links_outside)
    if others:
        runner.progress.warn(
            f"{others:,} files lie in the inbox itself and belong to no batch: every batch needs a "
            "folder or a list of its own"
        )
    candidates = _without_warehouse(candidates, runner)
    with runner.warehouse.lock("minia reprocess", say=runner.progress.say):
        call = _Call(runner, tell, replace=replace)
        call.settle_ns, call.clock_ns = int(settle_seconds * 1e9), clock_ns
        try:
            call.work(candidates, batches_per_run)
        finally:
            call.save_notes()
        return call.outcomes


def _without_warehouse(candidates: Sequence[Candidate], runner: Runner) -> list[Candidate]:
    """Leave out, and say so, the folder of the inbox that is or holds the warehouse."""
    kept = []
    for candidate in candidates:
        is_link = os.path.realpath(candidate.path) != candidate.path  # judged elsewhere
        if is_link or not holds(candidate.source, runner.warehouse.storage.local):
            kept.append(candidate)
        else:
            runner.progress.warn(
                f"{candidate.title} is left out: the warehouse {runner.warehouse.storage} lies in "
                "it; keep it outside of the inbox"
            )
    return kept


class _Call:
    """One call while it goes through the inbox."""

    def __init__(self, runner: Runner, tell: Callable[[Outcome], None], *, replace: bool) -> None:
        self.warehouse = runner.warehouse
        self.settle_ns = 0
        self.clock_ns = time.time_ns
        self.outcomes: list[Outcome] = []
        self._open_session = runner.open_session
        self._runner = dataclasses.replace(runner, open_session=self._session)
        self._tell = tell
        self._replace = replace
        self._spark: SparkSession | None = None
        self._known = self.warehouse.arrivals()
        self._state = self.warehouse.catalogue()
        self._notes: list[Arrival] = []
        house = runner.house
        lines = map(house.by_name.get, house.stages_of(runner.settings.run.lines))
        # that of the first line: images, or exposures where they are all there is
        self._kind = next((s.source for s in lines if s is not None and s.source), "images")

    def work(self, candidates: Sequence[Candidate], batches_per_run: int) -> None:
        """Decide on every candidate and run those that are new, so many at a time."""
        queue = deque(candidates)
        while queue:
            group: list[Candidate] = []
            later: list[Candidate] = []  # what becomes of them depends on one of the group
            while queue and len(group) < batches_per_run:
                candidate = queue.popleft()
                try:
                    outcome = self._at_a_glance(candidate) or self._by_content(candidate)
                    if outcome is not None:
                        self._say(candidate, outcome)
                    elif any(_clash(candidate, other) for other in group):
                        later.append(candidate)
                    else:
                        group.append(candidate)
                except InputError as error:
                    self._say(candidate, _failed(candidate, error))
            self._run(group)
            queue.extendleft(reversed(later))

    def _old(self, candidate: Candidate) -> Arrival | None:
        """Return how its place was when a run took it as this batch."""
        old = self._known.get(candidate.place)
        return old if old is not None and old.batch == candidate.batch else None

    def _at_a_glance(self, candidate: Candidate) -> Outcome | None:
        """Return what a listing of its files tells; None: they have to be read."""
        title = candidate.title
        if candidate.listing.entries == 0:
            return Outcome(title, "waiting", "there is nothing in it yet")
        # either way: a clock may have been set back
        if abs(self.clock_ns() - candidate.changed_ns()) < self.settle_ns:
            return Outcome(title, "waiting", "it changed just now")
        old = self._old(candidate)
        if old is not None and old.listing == candidate.listing.hexdigest():
            return Outcome(title, "known", "nothing changed")
        return None

    def _by_content(self, candidate: Candidate) -> Outcome | None:
        """Return what its files' content tells; None: it has to run."""
        title, batch, old = candidate.title, candidate.batch, self._old(candidate)
        self._runner.progress.say(f"{title}: looking into {candidate.listing.entries:,} files")
        if old is not None and old.named == candidate.contents.named:
            self._note(candidate.arrival(old.same_as))
            return Outcome(title, "known", "touched, but nothing changed")
        there = [
            arrival
            for arrival in self._known.values()
            if arrival.place != candidate.place
            and arrival.same_as is None
            and arrival.batch in self._state.batches
        ]
        ours = old is not None and old.same_as is None and batch in self._state.batches
        twin = next((a for a in there if a.unnamed == candidate.contents.unnamed), None)
        if twin is not None and twin.batch == batch and not _is_there(twin):
            return None  # the inbox has moved
        if twin is not None and ours:
            raise InputError(
                f"it changed and has now the content of batch {twin.batch}: 'minia batch remove' "
                "one of them"
            )
        if twin is not None:
            self._note(candidate.arrival(twin.batch))
            return Outcome(title, "same", f"the same as batch {twin.batch}, left out")
        if batch in self._state.batches and not ours:
            owner = next((a.place for a in there if a.batch == batch), None)
            owner = owner or self._stranger(candidate)
            if owner is not None:
                raise InputError(
                    f"a batch {batch} is there already, from {owner}: give this one another name"
                )
        return None

    def _stranger(self, candidate: Candidate) -> str | None:
        """Return where the images of the batch of this name are, if that is somewhere else."""
        below = uri_of(os.path.realpath(os.fsencode(candidate.source.place))) + "/"
        for _, files in self.warehouse.datasets(self._entries(candidate)):
            for uri in files.head(1, columns=["uri"])["uri"].to_pylist():
                if uri is None:
                    return "'minia import'"
                if not uri.startswith(below):
                    return str(uri)
        return None

    def _entries(self, candidate: Candidate) -> list[Entry]:
        """Return the entries of what was taken in as the batch of this name."""
        tables = ("images", "exposures")
        return [e for table in tables for e in self._state.of_table(table, candidate.batch)]

    def _run(self, group: list[Candidate]) -> None:
        """Bring candidates into the warehouse in one run, without those that cannot be used."""
        while group:
            try:
                record = self._execute(group)
            except SettingsError:
                raise
            except InputError as error:
                # what the others had finished is taken over by the next attempt
                bad = [c for c in group if c.batch == error.batch] or group
                group = [c for c in group if c not in bad]
                for candidate in bad:
                    self._say(candidate, _failed(candidate, error))
            except Exception as error:
                from minia_spark.engine.session import is_running  # noqa: PLC0415

                if self._spark is None or not is_running(self._spark):
                    raise  # nothing else would fare better
                for candidate in group:
                    self._say(candidate, _failed(candidate, error))
                return
            else:
                self._state = self.warehouse.catalogue()
                for arrival in record.arrivals:
                    self._known[arrival.place] = arrival
                with leaving_readers(self._state.version):
                    for candidate in group:
                        self._say(candidate, self._done(candidate, record, alone=len(group) == 1))
                return

    def _execute(self, group: list[Candidate]) -> RunRecord:
        names = [candidate.batch for candidate in group]
        what = ", ".join(names) if len(names) <= 3 else f"{len(names)} batches"
        request = Request(
            f"minia reprocess: {what}",
            self._runner.house.stages_of(self._runner.settings.run.lines),
            replace=self._replace,
            sources={
                candidate.batch: dataclasses.replace(candidate.source, kind=self._kind)
                for candidate in group
            },
            arrivals=tuple(candidate.arrival() for candidate in group),
        )
        return self._runner.execute_locked(request)

    def _session(self, mllib: bool) -> SparkSession:
        self._spark = self._open_session(mllib)
        return self._spark

    def _done(self, candidate: Candidate, record: RunRecord, *, alone: bool) -> Outcome:
        if record.state == "nothing to do":
            return Outcome(candidate.title, "known", "it is there already")
        rejects = sum(e.rows or 0 for e in self._state.of_table("rejects", candidate.batch))
        there = "".join(f"{e.rows or 0:,} {e.table}, " for e in self._entries(candidate))
        seconds = sum(s.seconds for s in record.steps if alone or s.batch == candidate.batch)
        name = "" if candidate.batch == candidate.title else f"batch {candidate.batch}: "
        text = f"{name}{there}{rejects:,} rejects, {seconds:.1f} s, state {self._state.version}"
        return Outcome(candidate.title, "done", text)

    def _say(self, candidate: Candidate, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        level = logging.ERROR if outcome.verdict == "failed" else logging.INFO
        text = f"{outcome.title}: {outcome.text}"
        log_event(f"batch {outcome.verdict}", text, level=level, batch=candidate.batch)
        self._tell(outcome)

    def _note(self, arrival: Arrival) -> None:
        self._known[arrival.place] = arrival
        self._notes.append(arrival)

    def save_notes(self) -> None:
        """Write into the ledger what was looked into and needed no run."""
        if self._notes:
            settings = self._runner.settings.model_dump(mode="json")
            record = self.warehouse.new_run("minia reprocess", __version__, settings, self._notes)
            ended = {
                "state": "nothing to do",
                "ended_at": now(),
                "catalogue": self._state.version,
            }
            self.warehouse.save_run(record.model_copy(update=ended))


def _clash(one: Candidate, other: Candidate) -> bool:
    return one.batch == other.batch or one.contents.unnamed == other.contents.unnamed


def _is_there(arrival: Arrival) -> bool:
    return os.path.exists(path_of_uri(arrival.place)[0])  # noqa: PTH110 - bytes


def _failed(candidate: Candidate, error: Exception) -> Outcome:
    code = error.exit_code if isinstance(error, MiniaError) else 1
    text = str(error) if isinstance(error, MiniaError) else explained(error)
    return Outcome(candidate.title, "failed", text, code)


def counts_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many places got which verdict, 0 for those that none got."""
    return dict.fromkeys(_WORDS, 0) | Counter(outcome.verdict for outcome in outcomes)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the one line that a call ends with."""
    counts = counts_of(outcomes)
    told = [f"{counts[verdict]:,} {words}" for verdict, words in _WORDS.items() if counts[verdict]]
    return "reprocess: " + (", ".join(told) or "the inbox is empty")


def exit_code(outcomes: Sequence[Outcome], *, empty: int = 0) -> int:
    """Return how a call ends.

    Returns
    -------
    int
        1 when a batch failed for another reason than its input; else 3 when an input could not be
        used; else 0 when something was brought in, and `empty` when nothing was new.
    """
    codes = {outcome.code for outcome in outcomes if outcome.verdict == "failed"}
    if codes:
        return InputError.exit_code if codes == {InputError.exit_code} else 1
    return 0 if any(outcome.verdict == "done" for outcome in outcomes) else empty
