"""The run: what the plan says is done, step by step, and published at once.

All outputs of a run become visible together, by one new state of the catalogue. What was finished
before a run broke off stands in the ledger, and the next run takes it over.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import SparkSession

from minia_spark import __version__
from minia_spark.base.errors import MiniaError, blamed_on
from minia_spark.base.events import log_event
from minia_spark.engine.plan import (
    Plan,
    Request,
    Step,
    Unpublished,
    decide,
    inputs_of,
    make_plan,
    steps_of,
)
from minia_spark.engine.progress import Progress
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import StageContext
from minia_spark.ingest.stage import STAGE as INGEST
from minia_spark.report.site import ABOVE
from minia_spark.warehouse.records import Catalogue, RunRecord, StepRecord, now
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["PAGE", "execute", "execute_locked", "publish_page"]

PAGE = "report/index.html"
_LOOKS_AT_ONCE = 16
_PAST = {"skip": "skipped", "reuse": "reused", "run": "done"}


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
        listed = {step.batch: step for step in plan.steps if step.stage is INGEST}
        skipped = sum(step.action == "skip" for step in plan.steps)
        if skipped:
            self.progress.tell(
                "steps skipped", f"{skipped:,} steps are up to date", counts={"steps": skipped}
            )
        for stage, batch in steps_of(self.request, plan.start):
            if stage is INGEST and batch in listed:  # files are looked at once
                step = listed[batch]
            else:
                step = decide(
                    stage,
                    batch,
                    self.view,
                    unpublished,
                    request=self.request,
                    settings=self.settings,
                    warehouse=self.warehouse,
                )
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
        with blamed_on(step.batch):
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
            inputs=inputs_of(step.stage, step.batch, self.view),
            source=self.request.sources.get(step.batch or ""),
            steps=self.record.steps,
        )

    def _note(self, step: StepRecord) -> None:
        """Write a finished step into the ledger: from now on a crash does not lose it."""
        self.record = self.record.model_copy(update={"steps": (*self.record.steps, step)})
        if step.action == "done":
            self.warehouse.save_run(self.record)
        if step.entries:
            self.view = self.view.with_entries(step.entries)


def _check_complete(view: Catalogue, warehouse: Warehouse) -> None:
    """Look once more, before anybody can see it, that everything the new state names is there."""
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:  # a listing of an object store takes its time
        found = pool.map(lambda entry: warehouse.storage.names(entry.path), view.entries)
        for entry, names in zip(view.entries, found, strict=True):
            if not names:
                raise MiniaError(
                    f"{warehouse.storage}/{entry.path} ({entry.table}) is missing or empty "
                    f"although {entry.stage} wrote it; nothing was published; start the run again"
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
