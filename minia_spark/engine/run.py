"""The run: what the plan says is done, step by step, and published at once.

All outputs of a run become visible together, by one new state of the catalogue. What was finished
before a run broke off stands in the ledger, and the next run takes it over.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from minia_spark import __version__
from minia_spark.base.errors import blamed_on, in_step, leaving_readers, state_left
from minia_spark.base.events import log_event
from minia_spark.engine.plan import Plan, Planner, Request, Step, make_plan
from minia_spark.engine.room import House
from minia_spark.engine.settings import Settings, changes, remembered
from minia_spark.engine.stage import load
from minia_spark.warehouse.records import Catalogue, RunRecord, StepRecord, now
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from minia_spark.engine.context import Context
    from minia_spark.engine.pixels import PixelPass
    from minia_spark.engine.progress import Progress

__all__ = ["PAGE", "Runner", "publish_page"]

PAGE = "report/index.html"
ABOVE = "index-above.html"
"""In a folder of the page: the same page as it reads one folder above."""
_PAST = {"skip": "skipped", "reuse": "reused", "run": "done"}


@dataclass(frozen=True)
class Runner:
    """Carries out requests on a warehouse.

    Attributes
    ----------
    house : House
    settings : Settings
    warehouse : Warehouse
    progress : Progress
    open_session : callable
        Starts Spark; not called when there is nothing to do. Is told whether MLlib has work.
    """

    house: House
    settings: Settings
    warehouse: Warehouse
    progress: Progress
    open_session: Callable[[bool], SparkSession]

    def execute(self, request: Request) -> RunRecord:
        """Run what has to run and publish it.

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
        with self.warehouse.lock(request.command, say=self.progress.say):
            return self.execute_locked(request)

    def execute_locked(self, request: Request) -> RunRecord:
        """Do the same for a caller that holds the warehouse's lock."""
        plan, planner = make_plan(self.house, request, self.settings, self.warehouse)
        self.warehouse.settle_newest_run()
        record = self.warehouse.new_run(
            request.command, __version__, self.settings.model_dump(mode="json"), request.arrivals
        )
        try:
            with leaving_readers(None):
                if plan.is_empty:
                    return self._nothing_to_do(record, plan, request)
                log_event("run started", request.command, run=record.run)
                running = _Execution(self, planner, plan, record, plan.start)
                with self.progress.about(run=record.run):
                    return running.carry_out()
        except BaseException as error:
            self._note_failure(record, error)
            raise

    def _note_failure(self, record: RunRecord, error: BaseException) -> None:
        text = str(error).encode(errors="replace").decode().strip() or type(error).__name__
        log_event("run failed", text[:4000], level=logging.ERROR, run=record.run)
        _, published = state_left(error)
        failed: dict[str, Any] = {"state": "failed", "ended_at": now(), "error": text[:4000]}
        if published is not None:  # what it was asked for is there, whatever went wrong then
            failed |= {"state": "done", "catalogue": published}
        with contextlib.suppress(OSError):  # a full disk: what happened is more than the note
            self.warehouse.save_run(self.warehouse.run(record.run).model_copy(update=failed))

    def _nothing_to_do(self, record: RunRecord, plan: Plan, request: Request) -> RunRecord:
        state = self._remember(record, plan, request)
        with leaving_readers(state.version):
            publish_page(
                state, self.warehouse, self.house.pages
            )  # a run may have died between its last two steps
            return self._noted_as_empty(record, plan, state)

    def _noted_as_empty(self, record: RunRecord, plan: Plan, state: Catalogue) -> RunRecord:
        ended = {
            "state": "nothing to do",
            "ended_at": now(),
            "catalogue": state.version,
            "steps": tuple(
                StepRecord(
                    stage=s.stage.name,
                    batch=s.batch,
                    variant=s.variant,
                    action="skipped",
                    why=s.why,
                )
                for s in plan.steps
            ),
        }
        record = record.model_copy(update=ended)
        self.warehouse.save_run(record)
        log_event("nothing to do", record.command, run=record.run)
        return record

    def _remember(self, record: RunRecord, plan: Plan, request: Request) -> Catalogue:
        """Publish settings that make no step outdated but are others than the state's."""
        changed = changes(plan.base.settings, remembered(self.settings))
        if not changed or not plan.base.version:
            return plan.base
        self.progress.say(f"settings: {', '.join(changed)}")
        return self.warehouse.commit(
            plan.base,
            record.run,
            plan.base.entries,
            request.command,
            settings=remembered(self.settings),
        )


@dataclass
class _Execution:
    """A run that is under way."""

    runner: Runner
    planner: Planner
    plan: Plan
    record: RunRecord
    view: Catalogue
    spark: SparkSession | None = None
    passes: dict[str, PixelPass] = field(default_factory=dict)
    uses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def carry_out(self) -> RunRecord:
        """Do the steps, publish their outputs and return the ledger's page."""
        runner, request = self.runner, self.planner.request
        skipped = sum(step.action == "skip" for step in self.plan.steps)
        if skipped:
            runner.progress.tell(
                "steps skipped", f"{skipped:,} steps are up to date", counts={"steps": skipped}
            )
        try:
            keys = list(self.planner.steps(self.plan.start))
            for place, key in enumerate(keys):
                step = self.planner.decide(key, self.view)
                with runner.progress.about(stage=step.stage.name, batch=step.batch):
                    self._note(self._do(step, keys[place:]))
        finally:
            with contextlib.suppress(OSError):
                self._remove_scratch()
        runner.warehouse.require_whole(self.view.entries, again=True)
        new = {e.path for e in self.view.entries} - {e.path for e in self.plan.base.entries}
        runs = {"/".join(path.split("/")[:2]) for path in new}  # with what lies beside the rows
        runner.warehouse.storage.make_durable(sorted(runs))
        state = runner.warehouse.commit(
            self.plan.base,
            self.record.run,
            self.view.entries,
            request.command,
            settings=remembered(runner.settings),
            uses=self.uses,
        )
        with leaving_readers(state.version):
            ended = {"state": "done", "ended_at": now(), "catalogue": state.version}
            self.record = self.record.model_copy(update=ended)
            runner.warehouse.save_run(self.record)
            publish_page(
                state, runner.warehouse, runner.house.pages
            )  # if it fails, the next run does it
            log_event(
                "run done",
                f"state {state.version} published",
                run=self.record.run,
                seconds=round(sum(step.seconds for step in self.record.steps), 3),
                counts=state.rows(),
            )
            return self.record

    def _do(self, step: Step, following: list[tuple[str, str | None, str | None]]) -> StepRecord:
        done = StepRecord(
            stage=step.stage.name,
            batch=step.batch,
            variant=step.variant,
            action=_PAST[step.action],
            why=step.why,
        )
        if step.action == "skip":
            return done
        event = "step started" if step.action == "run" else "step reused"
        self.runner.progress.tell(event, f"{step.title}: {step.why}")
        if step.action == "reuse":
            made = self.planner.unpublished[*step.key, step.fingerprint]
            return done.model_copy(update={"entries": made.entries, "uses": made.uses})
        self.runner.warehouse.require_whole(self.planner.reads(step.key, self.view))
        for maker in self.planner.outdated(step.key, self.view):
            self.runner.progress.say(
                f"{step.title}: {maker.name} is shown as it was made before the last changes; "
                f"'minia run --lines discovery,{maker.line}' renews it"
            )
        started = time.monotonic()
        context = self._context(step)
        try:
            with blamed_on(step.batch), in_step(step.title):
                if step.stage.over or step.stage.gives:
                    self._pass_over_pixels(context, following)
                load(step.stage.run)(context)
        except BaseException:
            with contextlib.suppress(OSError):
                context.remove_unfinished()
            raise
        seconds = round(time.monotonic() - started, 3)
        told = ", ".join(f"{k} {v:,.10g}" for k, v in context.counts.items())
        self.runner.progress.tell(
            "step done",
            f"{step.title}: done in {seconds:.1f} s" + (f"; {told}" if told else ""),
            seconds=seconds,
            counts=context.counts,
        )
        uses = self.planner.house.uses(step.stage, self.runner.settings, step.variant)
        found = {
            "seconds": seconds,
            "counts": context.counts,
            "entries": tuple(context.entries),
            "uses": {context.uses: uses},
        }
        return done.model_copy(update=found)

    def _pass_over_pixels(
        self, context: Context, following: list[tuple[str, str | None, str | None]]
    ) -> None:
        """Make the pass over a batch's pixels, for all steps that want them, unless it is made."""
        from minia_spark.engine.pixels import PixelPass  # noqa: PLC0415

        assert context.batch is not None
        found = self.passes.get(context.batch)
        if found is None:
            found = PixelPass.plan(self.planner, context, following)
            found.run(context)
            self.passes[context.batch] = found
        context.rows_of_pass = partial(found.rows, context)

    def _context(self, step: Step) -> Context:
        from minia_spark.engine.context import Context  # noqa: PLC0415

        runner = self.runner
        if self.spark is None:
            runner.progress.say("starting Spark")
            due = (one.stage for one in self.plan.steps if one.action != "skip")
            self.spark = runner.open_session(any(stage.mllib for stage in due))
            from minia_spark.engine.session import require_connector  # noqa: PLC0415

            require_connector(self.spark, runner.warehouse.storage.location)
        return Context(
            spark=self.spark,
            stage=step.stage,
            batch=step.batch,
            variant=step.variant,
            all_settings=runner.settings,
            warehouse=runner.warehouse,
            progress=runner.progress,
            fingerprint=step.fingerprint,
            run=self.record.run,
            view=self.view,
            published=self.plan.base,
            panels=runner.house.panels,
            facets=runner.house.facets,
            inputs=self.planner.inputs(step.stage, step.batch, step.variant, self.view),
            uses=self.planner.uses_key(step.stage, step.variant),
            source=self.planner.request.sources.get(step.batch or ""),
            steps=self.record.steps,
        )

    def _note(self, step: StepRecord) -> None:
        """Write a finished step into the ledger: from now on a crash does not lose it."""
        self.record = self.record.model_copy(update={"steps": (*self.record.steps, step)})
        if step.action == "done":
            self.runner.warehouse.save_run(self.record)
        self.uses |= step.uses
        if step.entries:
            self.view = self.view.with_entries(step.entries)

    def _remove_scratch(self) -> None:
        for made in self.passes.values():
            made.remove()


def publish_page(state: Catalogue, warehouse: Warehouse, pages: Iterable[str]) -> None:
    """Make ``report/index.html``, and those of other pages, the ones of the newest state.

    Nothing is done where they already are. A state without a page has none there either: the page
    of another state would show what is gone.

    Parameters
    ----------
    state : Catalogue
        The newest, as far as the caller knows: another may have been published since.
    warehouse : Warehouse
    pages : iterable of str
        Names of the artefacts that are pages.
    """
    names = tuple(pages)
    while True:
        for name in names:
            _put_page(state, warehouse, name)
        newest = warehouse.catalogue()
        if newest.version == state.version:
            return
        state = newest


def _put_page(state: Catalogue, warehouse: Warehouse, name: str) -> None:
    storage = warehouse.storage
    shown = f"{name}/index.html"
    entries = state.of_table(name)
    if not entries:
        storage.remove_file(shown)
    for entry in entries:
        page = storage.read(f"{entry.path}/{ABOVE}")
        if not storage.exists(shown) or storage.read(shown) != page:
            storage.replace(shown, page)
