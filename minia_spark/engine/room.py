"""What a room declares, and the house that follows from all rooms; no Spark, nothing runs here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from minia_spark.base.errors import SettingsError
from minia_spark.base.settings import StageSettings
from minia_spark.engine.settings import LINES, Settings, load_settings, settings_model
from minia_spark.engine.stage import Output, Stage, Variants
from minia_spark.engine.table import Artefact, Table

__all__ = ["Command", "Facet", "House", "Panel", "Room"]


@dataclass(frozen=True)
class Command:
    """A command of ``minia``.

    Attributes
    ----------
    name : str
        One word, or two (``batch list``) for a command of a group.
    about : str
        One line for the list of commands.
    handler : str
        ``module:function`` from the parsed arguments to the exit code.
    arguments : str
        ``module:function`` that adds its arguments to a parser; empty for none.
    description, examples : str
        For its own help.
    group : str
        Heading under which the list of commands shows it.
    aliases : tuple of str
    """

    name: str
    about: str
    handler: str
    arguments: str = ""
    description: str = ""
    examples: str = ""
    group: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """What a room shows on the page.

    Attributes
    ----------
    title : str
        Its heading.
    reads : tuple of Table or Artefact
        The panel is left out where one of them is not there.
    show : str
        ``module:function`` from the page's context to :class:`markupsafe.Markup`, its HTML. Links
        to other artefacts begin with :data:`minia_spark.base.pages.WAREHOUSE`.
    page : Artefact or None
        A page of its own, to which the overview's head leads where it is there.
    attention : str
        ``module:function`` from the same context to a list of HTML: what somebody has to look at.
        It is called where the panel is shown, and told above everything else.
    """

    title: str
    reads: tuple[Output, ...]
    show: str
    page: Artefact | None = None
    attention: str = ""


@dataclass(frozen=True)
class Facet:
    """A column by which images are coloured and chosen on the map.

    Attributes
    ----------
    name : str
        As people see it. A table of several variants gives a facet for each, with its name.
    table : Table
        It has the columns batch and image_id; several rows an image where it has several values.
    column : str
        Of texts, numbers or truth values; missing values are none.
    about : str
        One sentence.
    several : bool
        Whether an image may have several values.
    text : str
        Makes a text of a number that is a name, e.g. ``s{:04d}``; of a truth value, the texts for
        no and yes around a vertical bar.
    link : str
        Address in the warehouse that tells more about a value, with ``{text}``, as `text` makes it,
        and ``{variant}``, the table's.
    """

    name: str
    table: Table
    column: str
    about: str = ""
    several: bool = False
    text: str = ""
    link: str = ""


@dataclass(frozen=True)
class Room:
    """A part of the house: a folder whose ``__init__.py`` holds this declaration.

    Attributes
    ----------
    name : str
        The folder's.
    about : str
        One sentence.
    settings : mapping
        Section to its model.
    outputs : tuple of Table or Artefact
        What its stages write, and nobody else declares.
    stages : tuple of Stage
    commands : tuple of Command
        Beside those that every stage has.
    reasons : type of StrEnum or None
        Why its stages reject records.
    panel : Panel or None
        What it shows on the page.
    facets : tuple of Facet
        What the map can be coloured by.
    """

    name: str
    about: str
    settings: Mapping[str, type[StageSettings]] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    stages: tuple[Stage, ...] = ()
    commands: tuple[Command, ...] = ()
    reasons: type[StrEnum] | None = None
    panel: Panel | None = None
    facets: tuple[Facet, ...] = ()


class House:
    """All rooms together: order of stages, who makes a table, settings, commands.

    Parameters
    ----------
    rooms : iterable of Room

    Raises
    ------
    ValueError
        Two rooms declare the same name, a stage reads what nobody writes, stages read each other
        in a circle, or a stage reads tables of two kinds of variants.
    """

    def __init__(self, rooms: Iterable[Room]) -> None:
        self.rooms = tuple(rooms)
        self.sections: dict[str, type[StageSettings]] = {}
        self.outputs: dict[str, Output] = {}
        for room in self.rooms:
            for section, model in room.settings.items():
                _put(self.sections, section, model, "settings section")
            for output in room.outputs:
                _put(self.outputs, output.name, output, "table")
        self.panels = tuple(room.panel for room in self.rooms if room.panel is not None)
        self.facets = tuple(facet for room in self.rooms for facet in room.facets)
        gathered: dict[str, tuple[Output, ...]] = {
            "": (),
            "panels": tuple(
                output
                for panel in self.panels
                for output in (*panel.reads, panel.page)
                if output is not None
            ),
            "facets": tuple(dict.fromkeys(facet.table for facet in self.facets)),
        }
        declared = [
            replace(stage, optional=(*stage.optional, *gathered[stage.gathers]))
            for room in self.rooms
            for stage in room.stages
        ]
        self._producers: dict[str, list[Stage]] = {}
        for stage in declared:
            for output in stage.writes:
                self._producers.setdefault(output.name, []).append(stage)
        self.stages = tuple(_ordered(declared, self._producers))
        self.by_name = {stage.name: stage for stage in self.stages}
        if len(self.by_name) < len(declared):
            raise ValueError("two stages have the same name")
        self._after: dict[str, frozenset[str]] = {}
        self._variants: dict[str, Variants | None] = {}
        for stage in self.stages:
            self._variants[stage.name] = self._find_variants(stage)

    def _find_variants(self, stage: Stage) -> Variants | None:
        if stage.variants is not None or stage.all_variants:
            return stage.variants
        found = {
            self._variants[maker.name]
            for output in stage.inputs
            if output.variants and output.name != "rejects"  # of all kinds
            for maker in self.producers(output)
            if maker.name != stage.name and maker.name in self._variants
        } - {None}
        if len(found) > 1:
            raise ValueError(f"stage {stage.name} reads tables of different variants")
        return found.pop() if found else None

    def producers(self, output: Output) -> list[Stage]:
        """Return the stages that write a table; several for table ``rejects``."""
        return self._producers.get(output.name, [])

    def variants_of(self, stage: Stage) -> Variants | None:
        """Return where a stage's variants are from: its own, or those of a table that it reads."""
        return self._variants[stage.name]

    def variants(self, stage: Stage, settings: Settings) -> tuple[str | None, ...]:
        """Return the variants that a stage runs for; (None,) where it has none."""
        found = self._variants[stage.name]
        return (None,) if found is None else found.chosen(settings)

    def uses(self, stage: Stage, settings: Settings, variant: str | None) -> dict[str, Any]:
        """Return the settings that a step's output depends on."""
        return stage.used(settings, variant, self._variants[stage.name])

    def stages_of(self, lines: Iterable[str]) -> tuple[str, ...]:
        """Return the names of the stages of some lines, in order.

        Raises
        ------
        SettingsError
            There is no such line, or nothing in it yet.
        """
        wanted = list(lines)
        there = {stage.line for stage in self.stages}
        for line in wanted:
            if line not in there:
                known = ", ".join(sorted(there, key=LINES.index))
                raise SettingsError(f"there is no line {line!r}; lines: {known}")
        return tuple(stage.name for stage in self.stages if stage.line in wanted)

    def stages_of_command(self, command: str) -> tuple[str, ...]:
        """Return the names of the stages that a command brings up to date, in order."""
        return tuple(s.name for s in self.stages if s.command_name == command)

    @cached_property
    def stage_commands(self) -> dict[str, str]:
        """Every command that brings stages up to date, with its line of help, in order."""
        return {s.command_name: self.by_name[s.command_name].about for s in self.stages}

    def commands(self) -> Iterator[Command]:
        """Yield the commands that rooms declare."""
        for room in self.rooms:
            yield from room.commands

    def tables(self) -> list[Table]:
        """Return all tables, in the order of their rooms."""
        return [output for output in self.outputs.values() if isinstance(output, Table)]

    def artefacts(self) -> list[Artefact]:
        """Return all that is published and is no table."""
        return [output for output in self.outputs.values() if isinstance(output, Artefact)]

    @property
    def pages(self) -> tuple[str, ...]:
        """Names of the artefacts that are pages."""
        return tuple(artefact.name for artefact in self.artefacts() if artefact.page)

    def source_stage(self, kind: str) -> Stage:
        """Return the stage that takes in sources of a kind."""
        return next(stage for stage in self.stages if stage.source == kind)

    def stages_after(self, source: Stage) -> frozenset[str]:
        """Return the names of the stages of batches that work on what a stage takes in.

        Those whose tables of a batch all follow from the tables that `source` writes: what is made
        of images is not made of exposures.
        """
        known = self._after.get(source.name)
        if known is not None:  # asked for every batch
            return known
        made = {output.name for output in source.writes}
        found = {source.name}
        for stage in self.stages:
            if not stage.per_batch or stage.source:
                continue
            needed = {
                output.name
                for output in stage.reads
                if any(maker.per_batch for maker in self.producers(output))
            }
            if needed <= made:
                made |= {output.name for output in stage.writes}
                found.add(stage.name)
        return self._after.setdefault(source.name, frozenset(found))

    @cached_property
    def settings_model(self) -> type[Settings]:
        """The model of all settings."""
        return settings_model(self.sections)

    def load_settings(
        self,
        file: str | Path | None = None,
        overrides: Iterable[str] = (),
        *,
        defaults: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read and check settings; see :func:`minia_spark.engine.settings.load_settings`."""
        return load_settings(self.settings_model, file, overrides, defaults=defaults)


def _put(known: dict[str, Any], name: str, value: object, what: str) -> None:
    if known.get(name, value) != value:
        raise ValueError(f"two rooms declare the {what} {name!r}")
    known[name] = value


def _ordered(declared: list[Stage], producers: Mapping[str, list[Stage]]) -> Iterator[Stage]:
    """Yield every stage after those that write what it reads; else in the order of the rooms."""
    done: set[str] = set()
    waiting = list(declared)
    while waiting:
        for stage in waiting:
            needed = {
                maker.name
                for output in stage.inputs
                for maker in producers.get(output.name, ())
                if maker.name != stage.name
            }
            missing = [o.name for o in stage.reads if not producers.get(o.name)]
            if missing:
                raise ValueError(f"stage {stage.name} reads {missing[0]}, which no stage writes")
            if needed <= done:
                break
        else:
            names = ", ".join(stage.name for stage in waiting)
            raise ValueError(f"stages read each other in a circle: {names}")
        waiting.remove(stage)
        done.add(stage.name)
        yield stage
