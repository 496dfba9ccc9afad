"""The order of the stages, and the plan of a run: which steps it does, and why.

A step (a stage for a batch, or for the collection) is skipped when its fingerprint - settings,
revision of the code, digests of what it reads - is that of the current state. It is taken over
when an earlier run made it and broke off before it could publish. Otherwise it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from minia_spark.base.errors import InputError, blamed_on
from minia_spark.codebook.stage import STAGE as VOCABULARY
from minia_spark.codebook.stage import is_newest
from minia_spark.drift.stage import STAGE as DRIFT
from minia_spark.engine.settings import Settings
from minia_spark.engine.stage import Source, Stage, fingerprint
from minia_spark.features.stage import STAGE as FEATURES
from minia_spark.ingest.stage import STAGE as INGEST
from minia_spark.ingest.stage import source_digest
from minia_spark.mining.stage import MINE, SKETCH, TUNE
from minia_spark.report.stage import STAGE as REPORT
from minia_spark.structures.stage import LINEAGE
from minia_spark.structures.stage import STAGE as STRUCTURES
from minia_spark.warehouse.records import Arrival, Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse
from minia_spark.words.stage import STAGE as WORDS

__all__ = [
    "STAGES",
    "Plan",
    "Request",
    "Step",
    "Unpublished",
    "decide",
    "inputs_of",
    "make_plan",
    "steps_of",
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

_UNKNOWN = "?"
_COMMANDS = {DRIFT.name: "words", TUNE.name: "mine", SKETCH.name: "mine"}
_COMMANDS |= {LINEAGE.name: "structures"}  # others as the stage

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
    for stage, batch in steps_of(request, start):
        pending = _redone_before(_as_asked(stage, request), batch, redone)
        if pending:
            step = Step(stage, batch, "run", f"after {', '.join(pending)}", _UNKNOWN)
        else:
            step = decide(
                stage,
                batch,
                view,
                unpublished,
                request=request,
                settings=settings,
                warehouse=warehouse,
            )
        if step.action == "run" and stage.check is not None:
            stage.check(settings, warehouse)
        if step.action == "reuse":
            view = view.with_entries(unpublished[stage.name, batch, step.fingerprint])
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


def steps_of(request: Request, base: Catalogue) -> Iterator[tuple[Stage, str | None]]:
    """Yield the stages and batches that a request is about, in the order they have to run."""
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


def decide(
    stage: Stage,
    batch: str | None,
    view: Catalogue,
    unpublished: Unpublished,
    *,
    request: Request,
    settings: Settings,
    warehouse: Warehouse,
) -> Step:
    """Return a step: to be skipped, to be taken over from an earlier run, or to be run.

    Parameters
    ----------
    stage, batch
        What is to be decided; None: the collection.
    view : Catalogue
        The state that the step would see.
    unpublished : dict
        What earlier runs left (:meth:`Warehouse.unpublished`).
    request, settings, warehouse

    Raises
    ------
    InputError
        The batch's input folder cannot be read; the error names the batch.
    """
    wanted = _fingerprint_of(stage, batch, settings, view, request)
    is_wanted = _is_wanted(stage, request, settings, warehouse)
    existing = view.of_step(stage.name, batch)
    unchanged = bool(existing) and all(e.fingerprint == wanted for e in existing)
    if unchanged and is_wanted(view):
        return Step(stage, batch, "skip", "up to date", wanted)
    made = unpublished.get((stage.name, batch, wanted))
    if made is not None and is_wanted(view.with_entries(made)):
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
        with blamed_on(batch):
            inputs: object = source_digest(request.sources[batch], settings.ingest)
    else:
        inputs = inputs_of(stage, batch, view)
    return fingerprint(stage.name, stage.revision, stage.settings(settings), inputs)


def inputs_of(stage: Stage, batch: str | None, view: Catalogue) -> str:
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
            if entry.inputs != inputs_of(stages[entry.stage], entry.batch, view):
                command = _COMMANDS.get(entry.stage, entry.stage)
                where = f" of batch {entry.batch}" if entry.batch else ""
                raise InputError(
                    f"{step.stage.name} would read {entry.table}{where}, which was made from what "
                    f"has changed since; run 'minia {command}' first, or 'minia run' for everything"
                )
