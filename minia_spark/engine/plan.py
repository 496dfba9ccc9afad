"""The plan of a run: which steps it does, and why; without Spark.

A step (a stage for a batch or for the collection, in one variant) is skipped when its fingerprint -
settings, revision of the code, digests of what it reads - is that of the current state. It is taken
over when an earlier run made it and broke off before it could publish. Otherwise it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from minia_spark.base.errors import InputError, SettingsError, blamed_on
from minia_spark.engine.room import House
from minia_spark.engine.settings import Settings, changes
from minia_spark.engine.sources import refuse_own_warehouse
from minia_spark.engine.stage import Output, Source, Stage, fingerprint, load
from minia_spark.warehouse.records import Arrival, Catalogue, Entry
from minia_spark.warehouse.warehouse import Unpublished, Warehouse

__all__ = ["Plan", "Planner", "Request", "Step", "make_plan"]

_UNKNOWN = "?"

StepKey = tuple[str, str | None, str | None]


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
        The only batch that stages of batches are to bring up to date; None: all that are there.
    sources : mapping
        Batches to add or replace, with their places.
    removed : str or None
        A batch to take out of the collection. What was made from all batches is made anew; nothing
        of the other batches is, and the codebook stays.
    refit : bool
        Make what is frozen anew, from the batches that are there now.
    replace : bool
        What other settings would throw away (features of old batches, the codebook) may be.
    arrivals : tuple of Arrival
        For the ledger: what the sources were when they were looked at.
    """

    command: str
    stages: tuple[str, ...]
    batch: str | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    removed: str | None = None
    refit: bool = False
    replace: bool = False
    arrivals: tuple[Arrival, ...] = ()


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Attributes
    ----------
    stage : Stage
    batch, variant : str or None
    action : str
        ``skip``, ``reuse`` or ``run``.
    why : str
        For people.
    fingerprint : str
        ``?`` when it depends on a step that has to run first.
    replaces : str
        What it throws away because of other settings; empty where nothing is.
    """

    stage: Stage
    batch: str | None
    variant: str | None
    action: str
    why: str
    fingerprint: str
    replaces: str = ""

    @property
    def key(self) -> StepKey:
        """What tells it from other steps."""
        return (self.stage.name, self.batch, self.variant)

    @property
    def title(self) -> str:
        """The step as people call it."""
        return " ".join(filter(None, self.key))


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


class Planner:
    """Decides on steps, one at a time, against a state that may change in between.

    Parameters
    ----------
    house, request, settings, warehouse
    base : Catalogue
        The state that the run builds on.
    """

    def __init__(
        self,
        house: House,
        request: Request,
        settings: Settings,
        warehouse: Warehouse,
        base: Catalogue,
    ) -> None:
        self.house = house
        self.request = request
        self.settings = settings
        self.warehouse = warehouse
        self.unpublished: Unpublished = warehouse.unpublished(base)
        self._digests: dict[str, str] = {}

    # -- which steps ----------------------------------------------------------------------------

    def start(self, base: Catalogue) -> Catalogue:
        """Return the state without what is to be removed, and without variants that are gone."""
        kept = base.entries
        if self.request.removed is not None:
            kept = self._without(self.request.removed, base)
        wanted = [
            e
            for e in kept
            if e.variant is None
            or e.stage not in self.request.stages
            or e.stage not in self.house.by_name
            or self.house.by_name[e.stage].source  # it cannot be made anew from what is here
            or e.variant in self.house.variants(self.house.by_name[e.stage], self.settings)
        ]
        if len(wanted) == len(base.entries):
            return base
        return base.model_copy(update={"entries": tuple(wanted)})

    def _without(self, batch: str, base: Catalogue) -> tuple[Entry, ...]:
        """Return the entries without a batch; when it was the last one, only what is frozen."""
        if batch not in base.batches:
            there = ", ".join(base.batches)
            raise InputError(f"there is no batch {batch!r}; batches: {there}")
        kept = [e for e in base.entries if e.batch != batch]
        if base.batches == [batch]:
            frozen = {stage.name for stage in self.house.stages if stage.frozen}
            kept = [e for e in kept if e.stage in frozen]
        for stage in self.house.stages:
            if not stage.per_batch and not stage.frozen and self._lacks_batches(stage, kept):
                kept = [e for e in kept if e.stage != stage.name]
        return tuple(kept)

    def _lacks_batches(self, stage: Stage, entries: Sequence[Entry]) -> bool:
        """Tell whether no batch is left that a stage of the collection could be made from.

        Of images, say, when the last batch of images goes and batches of exposures stay.
        """
        there = {entry.table for entry in entries}
        return any(output.name not in there for output in stage.reads)

    def steps(self, base: Catalogue) -> Iterator[StepKey]:
        """Yield the steps that the request is about, in the order in which they have to run."""
        request = self.request
        batches = sorted({*base.batches, *request.sources})
        if request.batch is not None:
            batches = [request.batch]
        for stage in self.house.stages:
            if stage.name not in request.stages:
                continue
            for variant in self.house.variants(stage, self.settings):
                if request.removed is not None:
                    made = base.of_step(stage.name, None, variant)
                    if not stage.per_batch and not stage.frozen and made:
                        yield stage.name, None, variant
                elif stage.source:
                    for batch, source in sorted(request.sources.items()):
                        if source.kind == stage.source:
                            yield stage.name, batch, variant
                elif stage.per_batch:
                    due = (b for b in batches if self._is_due(stage, b, base))
                    yield from ((stage.name, batch, variant) for batch in due)
                else:
                    yield stage.name, None, variant

    def _is_due(self, stage: Stage, batch: str, base: Catalogue) -> bool:
        """Tell whether a stage works on a batch: neither of another kind, nor brought with it.

        A batch that is asked for by name is due whatever it is: :meth:`require_inputs` says why
        nothing can be made of it.
        """
        if self._is_brought(stage, batch, base):
            return False
        maker = self._source_stage(batch, base)
        if maker is None or self.request.batch is not None:
            return True
        return stage.name in self.house.stages_after(maker)

    def _is_brought(self, stage: Stage, batch: str, base: Catalogue) -> bool:
        """Tell whether a batch came with what a stage would make of it.

        Features that were extracted elsewhere, say: there is nothing to extract them from.
        """
        maker = self._source_stage(batch, base)
        if maker is None or maker is stage:
            return False
        return any(output in maker.writes for output in stage.writes if output.name != "rejects")

    def _source_stage(self, batch: str, base: Catalogue) -> Stage | None:
        """Return the stage that takes a batch in, or took it in; None: there is no such batch."""
        if batch in self.request.sources:
            return self.house.source_stage(self.request.sources[batch].kind)
        return self._brought_by(batch, base)

    def _brought_by(self, batch: str, base: Catalogue) -> Stage | None:
        made = (s for s in self.house.stages if s.source and base.made_by(s.name, [batch]))
        return next(made, None)

    # -- one step -------------------------------------------------------------------------------

    def decide(self, key: StepKey, view: Catalogue) -> Step:
        """Say whether a step has to run on what `view` holds.

        Raises
        ------
        InputError
            The batch's source cannot be read; the error names the batch.
        """
        name, batch, variant = key
        stage = self.house.by_name[name]
        wanted = self.fingerprint(stage, batch, variant, view)
        existing = view.of_step(name, batch, variant)
        same = bool(existing) and all(e.fingerprint == wanted for e in existing)
        if same and not self._wants_anew(stage, view, variant):
            return Step(stage, batch, variant, "skip", "up to date", wanted)
        made = self.unpublished.get((name, batch, variant, wanted))
        if made is not None and not self._wants_anew(
            stage, view.with_entries(made.entries), variant
        ):
            why = "made by a run that broke off"
            return Step(stage, batch, variant, "reuse", why, wanted)
        if same:
            return Step(stage, batch, variant, "run", "to be fitted anew", wanted)
        if not existing:
            return Step(stage, batch, variant, "run", "not made yet", wanted)
        why, by_settings = self._difference(stage, existing[0], view)
        replaces = stage.replaces if by_settings and not self.request.refit else ""
        return Step(stage, batch, variant, "run", why, wanted, replaces)

    def _difference(self, stage: Stage, entry: Entry, view: Catalogue) -> tuple[str, bool]:
        """Return why what is there is outdated, and whether settings or code are the reason."""
        before = view.uses.get(entry.uses, {})
        now = self.house.uses(stage, self.settings, entry.variant)
        changed = changes(before, now)
        if changed:
            return ", ".join(changed), True
        if before and set(before) != set(now):
            names = ", ".join(sorted(set(before) ^ set(now)))
            return f"other settings count: {names}", True
        if entry.revision != stage.revision:
            return f"its code changed (revision {entry.revision} -> {stage.revision})", True
        return ("the source changed" if stage.source else "what it reads changed"), False

    def fingerprint(
        self, stage: Stage, batch: str | None, variant: str | None, view: Catalogue
    ) -> str:
        """Return a hash of all that a step's output depends on."""
        if stage.source:
            assert batch is not None
            inputs: object = self.source_digest(stage, batch)
        else:
            inputs = self.inputs(stage, batch, variant, view)
        uses = self.house.uses(stage, self.settings, variant)
        return fingerprint(stage.name, stage.revision, variant, uses, inputs)

    def source_digest(self, stage: Stage, batch: str) -> str:
        """Return what tells whether a source changed; files are looked at once."""
        if batch not in self._digests:
            with blamed_on(batch):
                source = self.request.sources[batch]
                self._digests[batch] = load(stage.digest)(source, self.settings)
        return self._digests[batch]

    def uses_key(self, stage: Stage, variant: str | None) -> str:
        """Return the key under which a state keeps the settings of a step."""
        return fingerprint(self.house.uses(stage, self.settings, variant))[:12]

    def inputs(self, stage: Stage, batch: str | None, variant: str | None, view: Catalogue) -> str:
        """Return a hash of what a step reads and what makes it outdated."""
        found = sorted(
            (e.table, e.batch or "", e.variant or "", e.fingerprint if stage.exact else e.digest)
            for e in self._read(stage, batch, variant, view)
            if not (stage.frozen and e.batch is not None)
        )
        return fingerprint(found) if found else ""

    def reads(self, key: StepKey, view: Catalogue) -> list[Entry]:
        """Return the entries that a step reads of what `view` holds."""
        name, batch, variant = key
        return list(self._read(self.house.by_name[name], batch, variant, view))

    def _read(
        self, stage: Stage, batch: str | None, variant: str | None, view: Catalogue
    ) -> Iterator[Entry]:
        """Yield the entries that a step reads."""
        for output in stage.inputs:
            own = stage.variant_of(output, variant, self.settings)
            for entry in view.of_table(output.name, None, own):
                if not stage.per_batch or entry.batch in (None, batch):
                    yield entry

    def _wants_anew(self, stage: Stage, view: Catalogue, variant: str | None) -> bool:
        """Tell whether a refit has work to do here, whatever the fingerprint says."""
        if not (self.request.refit and stage.frozen and stage.wants_anew):
            return False
        return bool(load(stage.wants_anew)(self.settings, self.warehouse, view, variant))

    def pending(
        self, key: StepKey, redone: Mapping[str, set[tuple[str | None, str | None]]]
    ) -> list[str]:
        """Return the names of the stages that this step reads and that have to run first."""
        name, batch, variant = key
        stage = self.house.by_name[name]
        fixed = stage.frozen and not (self.request.refit and stage.wants_anew)
        found = []
        for output in stage.inputs:
            own = stage.variant_of(output, variant, self.settings) or variant
            for maker in self.house.producers(output):
                for its_batch, its_variant in redone.get(maker.name, ()):
                    here = not stage.per_batch or its_batch in (None, batch)
                    here = here and not (fixed and its_batch is not None)
                    same = stage.all_variants or its_variant in (None, own)
                    if here and (same or variant is None) and maker.name not in found:
                        found.append(maker.name)
        return found

    # -- what must not be ------------------------------------------------------------------------

    def require_inputs(self, steps: Sequence[Step], base: Catalogue) -> None:
        """Raise InputError where a stage is asked for whose input was never made."""
        planned = {(step.stage.name, b) for step in steps for b in (step.batch, None)}
        for step in steps:
            here = step.batch if step.stage.per_batch else None
            for output in step.stage.reads:
                makers = self.house.producers(output)
                made = {(maker.name, here if maker.per_batch else None) for maker in makers}
                if planned & made or self._is_made(output, step, base):
                    continue
                where = f" of batch {step.batch}" if step.batch else ""
                source = self._source_stage(step.batch, base) if step.batch else None
                if source is not None and output in source.writes:
                    raise InputError(
                        f"{step.stage.name} needs table {output.name}{where} for "
                        f"{step.variant}, and that batch came without: 'minia "
                        f"{source.command_name}' brought what is there of it, which "
                        "'minia status' and 'minia path' show; go on with the setting that it was "
                        "brought with, or take it out with 'minia batch remove'"
                    )
                command = makers[0].command_name
                line = makers[0].line
                raise InputError(
                    f"{step.stage.name} needs table {output.name}{where}, which was never made; "
                    f"run 'minia {command}' first, or 'minia run --lines {line}' for everything"
                )

    def _is_made(self, output: Output, step: Step, base: Catalogue) -> bool:
        any_variant = step.variant is None or step.stage.all_variants or output.name == "rejects"
        own = step.stage.variant_of(output, step.variant, self.settings)
        return any(
            not step.stage.per_batch or e.batch in (None, step.batch)
            for e in base.of_table(output.name)
            if any_variant or e.variant in (None, own)
        )

    def refuse_other_source(self, base: Catalogue) -> None:
        """Raise InputError where a batch of this name came in another way: it would be mixed."""
        for batch, source in self.request.sources.items():
            before, now = self._brought_by(batch, base), self.house.source_stage(source.kind)
            if before is not None and before is not now:
                with blamed_on(batch):
                    raise InputError(
                        f"a batch {batch} is there already, which 'minia {before.command_name}' "
                        f"took in: give this one another name, or 'minia batch remove {batch}' "
                        "first"
                    )

    def refuse_mixture(self, steps: Sequence[Step], view: Catalogue) -> None:
        """Raise InputError where a stage alone would read what is outdated itself.

        A single stage brings itself up to date, not those before it: words of an older codebook,
        say, must not be mined as if they were of the newer one. What a page only shows where it is
        there may be older, as the map of before the last batch (:meth:`outdated`).
        """
        planned = {step.key for step in steps}
        for step in steps:
            only_shown = self._only_shown(step.stage)
            for entry in self._read(step.stage, step.batch, step.variant, view):
                if entry.table in only_shown:
                    continue
                if (entry.stage, entry.batch, entry.variant) in planned:
                    continue
                maker = self._maker_of_outdated(entry, view)
                if maker is not None:
                    where = f" of batch {entry.batch}" if entry.batch else ""
                    raise InputError(
                        f"{step.stage.name} would read {entry.table}{where}, which was made from "
                        f"what has changed since; run 'minia {maker.command_name}' first, or "
                        "'minia run' for everything"
                    )

    def outdated(self, key: StepKey, view: Catalogue) -> list[Stage]:
        """Return the stages whose output a page shows as it was, as they are not asked for."""
        stage = self.house.by_name[key[0]]
        only_shown = self._only_shown(stage)
        found: dict[str, Stage] = {}
        for entry in self._read(stage, key[1], key[2], view):
            if entry.table not in only_shown or entry.stage in self.request.stages:
                continue
            maker = self._maker_of_outdated(entry, view)
            if maker is not None:
                found[maker.name] = maker
        return list(found.values())

    def _only_shown(self, stage: Stage) -> set[str]:
        """Return the tables that a stage puts on a page where they are there; it computes none."""
        if not any(output.name in self.house.pages for output in stage.writes):
            return set()
        return {o.name for o in stage.optional} - {o.name for o in stage.reads}

    def _maker_of_outdated(self, entry: Entry, view: Catalogue) -> Stage | None:
        """Return the stage that made an entry from what has changed since; None: it is as new."""
        maker = self.house.by_name.get(entry.stage)
        if maker is None or maker.source:
            return None
        current = self.inputs(maker, entry.batch, entry.variant, view)
        return maker if entry.inputs != current else None

    def refuse_replacing(self, steps: Sequence[Step], base: Catalogue) -> None:
        """Raise SettingsError where other settings would throw away costly work unasked."""
        if self.request.replace or self.request.refit:
            return
        losses: dict[tuple[str, str], list[Step]] = {}
        for step in self._dropped(steps, base):
            losses.setdefault((step.replaces, step.why), []).append(step)
        for step in steps:
            if step.replaces:
                losses.setdefault((step.replaces, step.why), []).append(step)
        if not losses:
            return
        images = sum(e.rows or 0 for e in base.of_table("images"))
        told = [
            f"{why}: would replace {what}"
            + (f" of {len(those):,} batches" if those[0].batch and len(those) > 1 else "")
            for (what, why), those in losses.items()
        ]
        behind = [s.stage.name for s in steps if s.action == "run" and not s.replaces]
        after = f", and with that {', '.join(dict.fromkeys(behind))}" if behind else ""
        raise SettingsError(
            "; ".join(told) + f"{after}, for {images:,} images. Nothing was changed. Add --replace "
            "if that is what you want; leave the setting out to go on with what this warehouse "
            "was made with ('minia status' shows it; 'minia plan --replace' shows the cost)"
        )

    def _dropped(self, steps: Sequence[Step], base: Catalogue) -> Iterator[Step]:
        """Yield what goes because its variant is not asked for any more."""
        for stage in {step.stage.name: step.stage for step in steps}.values():
            gone = {e.variant for e in base.made_by(stage.name) if e.variant}
            gone -= set(self.house.variants(stage, self.settings))
            source = self.house.variants_of(stage)
            if stage.replaces and source is not None:
                where = f"{self.settings.section_of(source.model)}.{source.field}"
                for variant in sorted(gone):
                    why = f"{where} without {variant}"
                    yield Step(stage, None, variant, "run", why, _UNKNOWN, stage.replaces)


def make_plan(
    house: House, request: Request, settings: Settings, warehouse: Warehouse
) -> tuple[Plan, Planner]:
    """Decide, without Spark, what a run would do.

    Returns
    -------
    Plan
    Planner
        Decides again while the run goes on.

    Raises
    ------
    InputError
        A source cannot be read, or holds the warehouse, a stage is asked for whose input was never
        made, or there is no batch of the name that is to be removed.
    SettingsError
        Other settings would throw away costly work, and the request does not say that they may.
    """
    base = warehouse.catalogue()
    if request.batch is None and not request.sources and not base.batches:
        raise InputError(
            f"{warehouse.storage} holds no batch of images yet; "
            "'minia run --images DIR --batch NAME --warehouse DIR' adds one"
        )
    for taken_in, source in request.sources.items():
        with blamed_on(taken_in):
            refuse_own_warehouse(source, warehouse.storage.local)
    planner = Planner(house, request, settings, warehouse, base)
    planner.refuse_other_source(base)
    start = planner.start(base)
    redone: dict[str, set[tuple[str | None, str | None]]] = {}
    view = start  # with what earlier runs left over
    steps: list[Step] = []
    for key in planner.steps(start):
        name, batch, variant = key
        stage = house.by_name[name]
        pending = planner.pending(key, redone)
        step = _behind(planner, key, pending, view) if pending else planner.decide(key, view)
        if step.action == "run" and stage.check:
            load(stage.check)(settings, warehouse, variant)
        if step.action == "reuse":
            made = planner.unpublished[name, batch, variant, step.fingerprint]
            view = view.with_entries(made.entries)
        elif step.action == "run":
            redone.setdefault(name, set()).add((batch, variant))
        steps.append(step)
    planner.refuse_replacing(steps, base)
    planner.require_inputs(steps, start)
    planner.refuse_mixture(steps, view)
    return Plan(base, start, tuple(steps)), planner


def _behind(planner: Planner, key: StepKey, pending: Sequence[str], view: Catalogue) -> Step:
    """Return a step that waits for others; other settings of its own count all the same."""
    name, batch, variant = key
    stage = planner.house.by_name[name]
    step = Step(stage, batch, variant, "run", f"after {', '.join(pending)}", _UNKNOWN)
    existing = view.of_step(name, batch, variant)
    if not existing or not stage.replaces or planner.request.refit:
        return step
    before = view.uses.get(existing[0].uses, {})
    changed = changes(before, planner.house.uses(stage, planner.settings, variant))
    if not changed:
        return step
    return replace(step, why=", ".join(changed), replaces=stage.replaces)
