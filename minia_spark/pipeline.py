"""The order of the stages, the plan of a run, and the run itself.

A step (a stage for a batch, or for the collection) is skipped when its fingerprint - settings,
revision of the code, digests of what it reads - is that of the current state. It is taken over
when an earlier run made it and broke off before it could publish. Otherwise it runs. All outputs
of a run become visible at once, by one new state of the catalogue.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyspark.sql import SparkSession

from minia_spark import __version__
from minia_spark.atlas.report import ABOVE
from minia_spark.atlas.stage import STAGE as REPORT
from minia_spark.codebook.stage import STAGE as VOCABULARY
from minia_spark.codebook.stage import is_newest
from minia_spark.config import Settings
from minia_spark.drift.stage import STAGE as DRIFT
from minia_spark.errors import InputError, MiniaError
from minia_spark.events import log_event
from minia_spark.features.stage import STAGE as FEATURES
from minia_spark.ingest.stage import STAGE as INGEST
from minia_spark.ingest.stage import source_digest
from minia_spark.mining.stage import MINE, SKETCH, TUNE
from minia_spark.progress import Progress
from minia_spark.stage import Source, Stage, StageContext, fingerprint
from minia_spark.structures.stage import LINEAGE
from minia_spark.structures.stage import STAGE as STRUCTURES
from minia_spark.warehouse import (
    Arrival,
    Catalogue,
    Entry,
    RunRecord,
    StepRecord,
    Warehouse,
    now,
)
from minia_spark.words.stage import STAGE as WORDS

__all__ = [
    "PAGE",
    "STAGES",
    "Plan",
    "Request",
    "Step",
    "execute",
    "execute_locked",
    "make_plan",
    "publish_page",
]

STAGES: tuple[Stage, ...] = (
    INGEST,
    FEATURES,
    VOCABULARY,
    WORDS,
    DRIFT,
    TUNE,
    SKETCH,
    MINE,
    STRUCTURES,
    LINEAGE,
    REPORT,
)

PAGE = "report/index.html"
_UNKNOWN = "?"
_COMMANDS = {DRIFT.name: "words", TUNE.name: "mine", SKETCH.name: "mine"}
_COMMANDS |= {LINEAGE.name: "structures"}  # others as the stage
_PAST = {"skip": "skipped", "reuse": "reused", "run": "done"}

Unpublished = dict[tuple[str, str | None, str], tuple[Entry, ...]]


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    command : str
        For the ledger.
    stages : tuple of str
        Names of the stages to bring up to date.
    batch : str or None
        The only batch that single stages are to bring up to date; None: all that are there.
    sources : mapping
        Batches to add or replace, with the places of their images; needed when ingest is asked for.
    removed : str or None
        A batch to take out of the collection. What was made from all batches is made anew; nothing
        of the other batches is, and the vocabulary stays.
    refit : bool
        Fit the vocabulary anew, to the batches that are there now.
    arrivals : tuple of Arrival
        For the ledger: what the sources were when they were looked at.
    """

    command: str
    stages: tuple[str, ...]
    batch: str | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    removed: str | None = None
    refit: bool = False
    arrivals: tuple[Arrival, ...] = ()


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes
    ----------
    stage : Stage
    batch : str or None
    action : str
        ``skip``, ``reuse`` or ``run``.
    why : str
        For people.
    fingerprint : str
        ``?`` when it depends on a step that has to run first.
    """

    stage: Stage
    batch: str | None
    action: str
    why: str
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """What a run would do, from which state.

    Attributes
    ----------
    base : Catalogue
        The current state.
    start : Catalogue
        The same without what is to be removed.
    steps : tuple of Step
    """

    base: Catalogue
    start: Catalogue
    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing would change."""
        return self.start is self.base and all(step.action == "skip" for step in self.steps)


def make_plan(request: Request, settings: Settings, warehouse: Warehouse) -> Plan:
    """Decide, without Spark, what a run would do.

    Raises
    ------
    InputError
        The input folder cannot be read, a stage is asked for whose input was never made, or there
        is no batch of the name that is to be removed.
    """
    base = warehouse.catalogue()
    if request.batch is None and not request.sources and not base.batches:
        raise InputError(
            f"{warehouse.storage} holds no batch of images yet; "
            "'minia run --images DIR --batch NAME --warehouse DIR' adds one"
        )
    start = base if request.removed is None else _without(request.removed, base)
    unpublished = warehouse.unpublished()
    redone: dict[str, set[str | None]] = {}
    view = start  # with what earlier runs left over
    steps = []
    for stage, batch in _steps_of(request, start):
        pending = _redone_before(_as_asked(stage, request), batch, redone)
        if pending:
            step = Step(stage, batch, "run", f"after {', '.join(pending)}", _UNKNOWN)
        else:
            wanted = _fingerprint_of(stage, batch, settings, view, request)
            is_wanted = _is_wanted(stage, request, settings, warehouse)
            step = _decide(stage, batch, wanted, view, unpublished, is_wanted=is_wanted)
        if step.action == "run" and stage.check is not None:
            stage.check(settings, warehouse)
        if step.action == "reuse":
            view = _with(view, unpublished[stage.name, batch, step.fingerprint])
        elif step.action == "run":
            redone.setdefault(stage.name, set()).add(batch)
        steps.append(step)
    _require_inputs(steps, start)
    _refuse_mixture(steps, view)
    return Plan(base, start, tuple(steps))


def _without(batch: str, base: Catalogue) -> Catalogue:
    """Return the state without a batch; when it was the last one, only the vocabulary is left."""
    if batch not in base.batches:
        there = ", ".join(base.batches)
        raise InputError(f"there is no batch {batch!r}; batches: {there}")
    kept = [e for e in base.entries if e.batch != batch]
    if base.batches == [batch]:
        frozen = {stage.name for stage in STAGES if stage.frozen}
        kept = [e for e in kept if e.stage in frozen]
    return base.model_copy(update={"entries": tuple(kept)})


def _redone_before(
    stage: Stage, batch: str | None, redone: Mapping[str, set[str | None]]
) -> list[str]:
    """Return the names of the stages that this step reads and that have to run first."""
    wanted = _outdating(stage, batch)
    return [
        name
        for name in stage.after
        if name in redone and (wanted is None or not redone[name].isdisjoint(wanted))
    ]


def _outdating(stage: Stage, batch: str | None) -> tuple[str | None, ...] | None:
    """Return of which batches outputs make a step outdated (None among them: the collection).

    None is all of them.
    """
    if stage.frozen:
        return (None,)
    return _read_by(stage, batch)


def _read_by(stage: Stage, batch: str | None) -> tuple[str | None, ...] | None:
    """Return of which batches a step reads outputs; None: of all."""
    return (None, batch) if stage.per_batch else None


def _with(view: Catalogue, entries: Sequence[Entry]) -> Catalogue:
    return view.model_copy(update={"entries": view.with_entries(entries)})


def _steps_of(request: Request, base: Catalogue) -> Iterator[tuple[Stage, str | None]]:
    named = [request.batch] if request.batch else []
    batches = sorted({*base.batches, *named, *request.sources})
    only_one = request.batch is not None and len(request.stages) < len(STAGES)
    for stage in STAGES:
        if stage.name not in request.stages:
            continue
        if request.removed is not None:
            if not stage.per_batch and not stage.frozen and base.of_step(stage.name, None):
                yield stage, None
        elif stage is INGEST:
            yield from ((stage, batch) for batch in sorted(request.sources))
        elif stage.per_batch:
            yield from ((stage, batch) for batch in ([request.batch] if only_one else batches))
        else:
            yield stage, None


def _decide(
    stage: Stage,
    batch: str | None,
    wanted: str,
    base: Catalogue,
    unpublished: Unpublished,
    *,
    is_wanted: Callable[[Catalogue], bool],
) -> Step:
    existing = base.of_step(stage.name, batch)
    unchanged = bool(existing) and all(e.fingerprint == wanted for e in existing)
    if unchanged and is_wanted(base):
        return Step(stage, batch, "skip", "up to date", wanted)
    made = unpublished.get((stage.name, batch, wanted))
    if made is not None and is_wanted(_with(base, made)):
        return Step(stage, batch, "reuse", "made by a run that broke off", wanted)
    changed = "to be fitted anew" if unchanged else "settings, code or input changed"
    return Step(stage, batch, "run", changed if existing else "not made yet", wanted)


def _as_asked(stage: Stage, request: Request) -> Stage:
    """Return the stage; the vocabulary is not frozen when it is to be fitted anew."""
    return replace(stage, frozen=False) if request.refit and stage is VOCABULARY else stage


def _is_wanted(
    stage: Stage, request: Request, settings: Settings, warehouse: Warehouse
) -> Callable[[Catalogue], bool]:
    """Return what an output has to fulfil besides its fingerprint, which knows no re-fitting."""
    if request.refit and stage is VOCABULARY:
        return lambda view: is_newest(settings, warehouse, view)
    return lambda _: True


def _require_inputs(steps: Sequence[Step], base: Catalogue) -> None:
    planned = {(step.stage.name, step.batch) for step in steps}
    stage_names = {name for name, _ in planned}
    for step in steps:
        for name in step.stage.after:
            made = base.made_by(name, _read_by(step.stage, step.batch))
            if not made and name not in stage_names:
                where = f" of batch {step.batch}" if step.batch else ""
                raise InputError(
                    f"{step.stage.name} needs the output of {name}{where}, which was never made; "
                    f"run 'minia {name}' first, or 'minia run' for everything"
                )


def _fingerprint_of(
    stage: Stage, batch: str | None, settings: Settings, view: Catalogue, request: Request
) -> str:
    if stage is INGEST:
        assert batch is not None
        with _blamed_on(batch):
            inputs: object = source_digest(request.sources[batch], settings.ingest)
    else:
        inputs = _inputs_of(stage, batch, view)
    return fingerprint(stage.name, stage.revision, stage.settings(settings), inputs)


def _inputs_of(stage: Stage, batch: str | None, view: Catalogue) -> str:
    """Return a hash of what a step reads and what makes it outdated."""
    inputs = sorted(
        (e.table, e.batch or "", e.fingerprint if stage.exact else e.digest)
        for name in stage.after
        for e in view.made_by(name, _outdating(stage, batch))
        if e.table != "rejects" or stage.exact
    )
    return fingerprint(inputs) if inputs else ""


def _refuse_mixture(steps: Sequence[Step], view: Catalogue) -> None:
    """Raise InputError where a stage alone would read what is outdated itself.

    A single stage brings itself up to date, not those before it: words of an older vocabulary, say,
    must not be mined as if they were of the newer one.
    """
    stages = {stage.name: stage for stage in STAGES}
    planned = {(step.stage.name, step.batch) for step in steps}
    for step in steps:
        read = [
            entry
            for name in step.stage.after
            for entry in view.made_by(name, _read_by(step.stage, step.batch))
            if (entry.stage, entry.batch) not in planned
        ]
        for entry in read:
            if entry.inputs != _inputs_of(stages[entry.stage], entry.batch, view):
                command = _COMMANDS.get(entry.stage, entry.stage)
                where = f" of batch {entry.batch}" if entry.batch else ""
                raise InputError(
                    f"{step.stage.name} would read {entry.table}{where}, which was made from what "
                    f"has changed since; run 'minia {command}' first, or 'minia run' for everything"
                )


def execute(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    progress: Progress,
    open_session: Callable[[], SparkSession],
) -> RunRecord:
    """Run what has to run and publish it.

    Parameters
    ----------
    request, settings, warehouse, progress
    open_session : callable
        Starts Spark; not called when there is nothing to do.

    Returns
    -------
    RunRecord
        As it stands in the ledger. ``state`` is ``nothing to do`` when every step was skipped.

    Raises
    ------
    MiniaError
        Anything that ends the run; the ledger keeps the message and what was finished, readers
        keep the old state, and the next run goes on from there.
    """
    with warehouse.lock(request.command, say=progress.say):
        return execute_locked(request, settings, warehouse, progress, open_session)


def execute_locked(
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
    progress: Progress,
    open_session: Callable[[], SparkSession],
) -> RunRecord:
    """Do the same for a caller that holds the warehouse's lock."""
    plan = make_plan(request, settings, warehouse)
    warehouse.settle_newest_run()
    record = warehouse.new_run(
        request.command, __version__, settings.model_dump(mode="json"), request.arrivals
    )
    try:
        if plan.is_empty:
            return _nothing_to_do(record, plan, warehouse)
        log_event("run started", request.command, run=record.run)
        running = _Execution(
            request, settings, warehouse, progress, open_session, record, plan.start
        )
        with progress.about(run=record.run):
            return running.run(plan)
    except BaseException as error:
        text = str(error).encode(errors="replace").decode().strip() or type(error).__name__
        log_event("run failed", text[:4000], level=logging.ERROR, run=record.run)
        failed = {"state": "failed", "ended_at": now(), "error": text[:4000]}
        with contextlib.suppress(OSError):  # a full disk: what happened is more than the note
            warehouse.save_run(warehouse.run(record.run).model_copy(update=failed))
        raise


@contextlib.contextmanager
def _blamed_on(batch: str | None) -> Iterator[None]:
    """Say of which batch an input cannot be used: a caller may go on with the others."""
    try:
        yield
    except InputError as error:
        error.batch = batch
        raise


def _nothing_to_do(record: RunRecord, plan: Plan, warehouse: Warehouse) -> RunRecord:
    publish_page(plan.base, warehouse)  # a run may have died between its last two steps
    ended = {
        "state": "nothing to do",
        "ended_at": now(),
        "catalogue": plan.base.version,
        "steps": tuple(
            StepRecord(stage=s.stage.name, batch=s.batch, action="skipped", why=s.why)
            for s in plan.steps
        ),
    }
    record = record.model_copy(update=ended)
    warehouse.save_run(record)
    log_event("nothing to do", record.command, run=record.run)
    return record


@dataclass
class _Execution:
    """A run that is under way."""

    request: Request
    settings: Settings
    warehouse: Warehouse
    progress: Progress
    open_session: Callable[[], SparkSession]
    record: RunRecord
    view: Catalogue
    spark: SparkSession | None = None

    def run(self, plan: Plan) -> RunRecord:
        """Do the steps, publish their outputs and return the ledger's page."""
        unpublished = self.warehouse.unpublished()
        fixed = {(s.stage.name, s.batch): s.fingerprint for s in plan.steps if s.stage is INGEST}
        skipped = sum(step.action == "skip" for step in plan.steps)
        if skipped:
            self.progress.tell(
                "steps skipped", f"{skipped:,} steps are up to date", counts={"steps": skipped}
            )
        for stage, batch in _steps_of(self.request, plan.start):
            wanted = fixed.get((stage.name, batch)) or _fingerprint_of(
                stage, batch, self.settings, self.view, self.request
            )
            is_wanted = _is_wanted(stage, self.request, self.settings, self.warehouse)
            step = _decide(stage, batch, wanted, self.view, unpublished, is_wanted=is_wanted)
            with self.progress.about(stage=stage.name, batch=batch):
                self._note(self._do(step, unpublished))
        _check_complete(self.view, self.warehouse)
        state = self.warehouse.commit(
            plan.base, self.record.run, self.view.entries, self.request.command
        )
        ended = {"state": "done", "ended_at": now(), "catalogue": state.version}
        self.record = self.record.model_copy(update=ended)
        self.warehouse.save_run(self.record)
        publish_page(state, self.warehouse)  # when it fails, the next run does it
        log_event(
            "run done",
            f"state {state.version} published",
            run=self.record.run,
            seconds=round(sum(step.seconds for step in self.record.steps), 3),
            counts=state.rows(),
        )
        return self.record

    def _do(self, step: Step, unpublished: Unpublished) -> StepRecord:
        name = step.stage.name + (f" {step.batch}" if step.batch else "")
        done = StepRecord(
            stage=step.stage.name, batch=step.batch, action=_PAST[step.action], why=step.why
        )
        if step.action == "skip":
            return done
        event = "step started" if step.action == "run" else "step reused"
        self.progress.tell(event, f"{name}: {step.why}")
        if step.action == "reuse":
            entries = unpublished[step.stage.name, step.batch, step.fingerprint]
            return done.model_copy(update={"entries": entries})
        started = time.monotonic()
        context = self._context(step)
        with _blamed_on(step.batch):
            step.stage.run(context)
        seconds = round(time.monotonic() - started, 3)
        told = ", ".join(f"{k} {v:,.10g}" for k, v in context.counts.items())
        self.progress.tell(
            "step done",
            f"{name}: done in {seconds:.1f} s; {told}",
            seconds=seconds,
            counts=context.counts,
        )
        found = {"seconds": seconds, "counts": context.counts, "entries": tuple(context.entries)}
        return done.model_copy(update=found)

    def _context(self, step: Step) -> StageContext:
        if self.spark is None:
            self.spark = self.open_session()
        return StageContext(
            spark=self.spark,
            settings=self.settings,
            warehouse=self.warehouse,
            progress=self.progress,
            stage=step.stage.name,
            batch=step.batch,
            fingerprint=step.fingerprint,
            run=self.record.run,
            view=self.view,
            inputs=_inputs_of(step.stage, step.batch, self.view),
            source=self.request.sources.get(step.batch or ""),
            steps=self.record.steps,
        )

    def _note(self, step: StepRecord) -> None:
        """Write a finished step into the ledger: from now on a crash does not lose it."""
        self.record = self.record.model_copy(update={"steps": (*self.record.steps, step)})
        if step.action == "done":
            self.warehouse.save_run(self.record)
        if step.entries:
            self.view = _with(self.view, step.entries)


def _check_complete(view: Catalogue, warehouse: Warehouse) -> None:
    """Look once more, before anybody can see it, that everything the new state names is there."""
    for entry in view.entries:
        if not warehouse.storage.names(entry.path):
            raise MiniaError(
                f"{warehouse.storage}/{entry.path} ({entry.table}) is missing or empty although "
                f"{entry.stage} wrote it; nothing was published; start the run again"
            )


def publish_page(state: Catalogue, warehouse: Warehouse) -> None:
    """Make ``report/index.html`` the page of the given state; does nothing when it already is.

    A state without a page has none there either: the page of another state would show what is gone.
    """
    entries = state.of_table("report")
    if not entries:
        warehouse.storage.remove_file(PAGE)
    for entry in entries:
        page = warehouse.storage.read(f"{entry.path}/{ABOVE}")
        if not warehouse.storage.exists(PAGE) or warehouse.storage.read(PAGE) != page:
            warehouse.storage.replace(PAGE, page)
