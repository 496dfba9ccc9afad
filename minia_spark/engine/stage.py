"""What a stage declares: what it reads, writes and uses; no Spark, nothing runs here.

Order, missing inputs, fingerprints and what a run has to do follow from the declarations.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from minia_spark.base.errors import SettingsError
from minia_spark.base.settings import StageSettings, flat, is_of_the_call
from minia_spark.engine.settings import Settings
from minia_spark.engine.table import Artefact, Table

__all__ = [
    "Foreign",
    "Output",
    "Source",
    "Stage",
    "Use",
    "Variants",
    "fingerprint",
    "load",
    "pair_of",
    "reachable",
]

Output: TypeAlias = Table | Artefact

_PAIR = "-"
"""Between the names of a variant that is a pair."""


@dataclass(frozen=True)
class Source:
    """Where a batch comes from.

    Attributes
    ----------
    place : Path
        A folder, searched recursively, or one archive.
    files : Path or None
        A list of files, one path a line, relative to the folder `place`; None: all files in it.
    kind : str
        What is read there; the stage that takes it in names it too.
    companion : Path or None
        A second file, for kinds that come in two.
    images : Path or None
        Where the images are, for kinds that only name them; None: nowhere.
    """

    place: Path
    files: Path | None = None
    kind: str = "images"
    companion: Path | None = None
    images: Path | None = None


@dataclass(frozen=True)
class Use:
    """Settings that a stage's output depends on.

    Attributes
    ----------
    model : type
        A room's settings.
    fields : tuple of str
        Which of its fields; none: all.
    without : tuple of str
        Fields left out where all are used.
    when : str or callable
        Dotted name of a yes-or-no setting, or a condition on all settings: used where it holds.
    """

    model: type[StageSettings]
    fields: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    when: str | Callable[[Settings], bool] = ""

    def names(self, settings: Settings) -> set[str]:
        """Return the fields that are used with these settings."""
        if self.when:
            holds = settings.get(self.when) if isinstance(self.when, str) else self.when(settings)
            if not holds:
                return set()
        return set(self.fields or self.model.model_fields) - set(self.without)


@dataclass(frozen=True)
class Variants:
    """A list of names in the settings: a stage runs once for each.

    Attributes
    ----------
    model : type
        A room's settings. Its field of the name of a variant, if there is one, holds what concerns
        that variant alone: other variants do not depend on it.
    field : str
        The field with the list.
    among : tuple of str
        Only these of the list are this stage's, as others are made by another stage; none: all.
    by : str
        Another field with a list of names, each of which is joined to each of those: a stage runs
        for every pair, such as ``kmeans-words``.
    """

    model: type[StageSettings]
    field: str
    among: tuple[str, ...] = ()
    by: str = ""

    @property
    def choices(self) -> set[str]:
        """All names that may stand in the list."""
        return self._choices(self.field)

    @property
    def names(self) -> list[str]:
        """All variants that there may be."""
        firsts = sorted(self.among or self.choices)
        if not self.by:
            return firsts
        return [
            f"{one}{_PAIR}{other}" for other in sorted(self._choices(self.by)) for one in firsts
        ]

    def _choices(self, field: str) -> set[str]:
        (element,) = get_args(self.model.model_fields[field].annotation)[:1]
        return set(get_args(element))

    def chosen(self, settings: Settings) -> tuple[str, ...]:
        """Return the variants that the lists ask for."""
        section = settings.of(self.model)
        names = [n for n in getattr(section, self.field) if not self.among or n in self.among]
        if not self.by:
            return tuple(names)
        others = getattr(section, self.by)
        return tuple(f"{one}{_PAIR}{other}" for other in others for one in names)


@dataclass(frozen=True)
class Foreign:
    """Tables that come in variants of another kind than the stage's own, and which it reads.

    Attributes
    ----------
    tables : tuple of Table or Artefact
    setting : str
        Dotted name of the setting that says in which variant; empty: the second name of the stage's
        own variant says it, which is a pair.
    """

    tables: tuple[Output, ...]
    setting: str = ""


@dataclass(frozen=True)
class Stage:
    """One step of a line, as a declaration.

    Attributes
    ----------
    name : str
    about : str
        What it does, in one line of help.
    line : str
        ``discovery``, ``map``, ``lab`` or ``exposures``.
    scope : str
        ``batch``: runs once a batch and reads only that batch and what belongs to the collection;
        ``collection``: once, over everything.
    run : str
        ``module:function``, which gets a :class:`minia_spark.engine.context.Context`; imported when
        the stage runs.
    reads, writes : tuple of Table or Artefact
    optional : tuple of Table or Artefact
        What it reads too where it is there.
    gathers : str
        ``panels`` or ``facets`` of all rooms, which it shows: the house adds what they read to
        `optional`.
    uses : tuple of Use or settings model
        It can reach no other settings.
    consults : tuple of settings models
        Settings that only its messages depend on, not its output.
    revision : int
        Increased whenever the same input and settings give another output: results of an older
        revision are made anew.
    source : str
        It takes in sources of this kind; empty for stages that read tables.
    digest : str
        ``module:function`` from (Source, Settings) to the text that tells whether a source changed.
    gives : str
        What a stage with `source` opens up for others, e.g. ``pixels``.
    rows : str
        ``module:name`` of the :class:`minia_spark.engine.pixels.Reader` of such a stage.
    over : str
        ``pixels``: works on decoded images, in the one pass over them.
    kernel : str
        ``module:function`` of a stage with `over`, from its context to the
        :class:`minia_spark.engine.pixels.Kernel` that the pass applies to every image.
    variants : Variants or None
        Runs once for each of them, as does every stage that reads what it wrote.
    all_variants : bool
        Reads tables of all variants at once instead.
    foreign : Foreign or None
        What it reads of another kind of variants than its own; it then says its own `variants`.
    frozen : bool
        Once made, new batches do not make it outdated (the codebook, the tables of the mining).
    exact : bool
        Also outdated by what is no content: labels, positions, places of files (the page).
    previous : bool
        Also reads the published state that comes before.
    replaces : str
        What is thrown away when it is made anew because of other settings, e.g. ``the codebook``:
        a run does so only when it is told to.
    check : str
        ``module:function`` from (Settings, Warehouse, variant), which raises SettingsError before a
        run begins that would run this stage in vain.
    mllib : bool
        Its time is in the loops of Spark's MLlib: Java has to compile them well.
    wants_anew : str
        ``module:function`` from (Settings, Warehouse, Catalogue, variant): whether a refit has
        work to do.
    cost : str
        ``module:function`` from :class:`minia_spark.engine.cost.Sizes` to its cost.
    command : str
        The command that brings it up to date; by default its own name.
    """

    name: str
    about: str
    line: str
    scope: Literal["batch", "collection"]
    run: str
    reads: tuple[Output, ...] = ()
    writes: tuple[Output, ...] = ()
    optional: tuple[Output, ...] = ()
    gathers: Literal["", "panels", "facets"] = ""
    uses: tuple[Use | type[StageSettings], ...] = ()
    consults: tuple[type[StageSettings], ...] = ()
    revision: int = 1
    source: str = ""
    digest: str = ""
    gives: str = ""
    rows: str = ""
    over: str = ""
    kernel: str = ""
    variants: Variants | None = None
    all_variants: bool = False
    foreign: Foreign | None = None
    frozen: bool = False
    exact: bool = False
    previous: bool = False
    replaces: str = ""
    check: str = ""
    mllib: bool = False
    wants_anew: str = ""
    cost: str = ""
    command: str = ""

    @property
    def per_batch(self) -> bool:
        """Whether it runs once a batch."""
        return self.scope == "batch"

    @property
    def inputs(self) -> tuple[Output, ...]:
        """All that it reads."""
        return (*self.reads, *(o for o in self.optional if o not in self.reads))

    @property
    def command_name(self) -> str:
        """The command that brings it up to date."""
        return self.command or self.name

    def variant_of(self, output: Output, variant: str | None, settings: Settings) -> str | None:
        """Return the variant in which a step reads or writes an output; None: any there is."""
        if not output.variants or self.all_variants:
            return None
        if self.foreign is not None and output in self.foreign.tables:
            if not self.foreign.setting:
                return pair_of(variant or "")[1]
            name: str = settings.get(self.foreign.setting)
            return name
        return variant

    def allowed(self, settings: Settings) -> dict[type[StageSettings], set[str]]:
        """Return which fields of which settings the stage may reach."""
        found: dict[type[StageSettings], set[str]] = {}
        for use in self.uses:
            one = use if isinstance(use, Use) else Use(use)
            found.setdefault(one.model, set()).update(one.names(settings))
        return found

    def used(
        self, settings: Settings, variant: str | None, variants: Variants | None
    ) -> dict[str, Any]:
        """Return what the output depends on: dotted name of a setting to its JSON value.

        Parameters
        ----------
        settings : Settings
        variant : str or None
        variants : Variants or None
            Where the variants are from.
        """
        found: dict[str, Any] = {}
        for model, names in self.allowed(settings).items():
            section = settings.section_of(model)
            skipped: set[str] = set()
            if variants is not None and model is variants.model:
                skipped = {variants.field, variants.by, *variants.choices}
                skipped.discard(pair_of(variant or "")[0])
            for name, value in flat(settings.of(model), section):
                first = name.split(".")[1]
                if first in names and first not in skipped:
                    found[name] = value
        return found


def pair_of(variant: str) -> tuple[str, str]:
    """Return the two names of a variant; the second is empty where it is no pair."""
    first, _, second = variant.partition(_PAIR)
    return first, second


def reachable(stage: Stage, settings: Settings, model: type[StageSettings]) -> set[str]:
    """Return the fields of a settings model that a stage may read.

    Raises
    ------
    SettingsError
        It declared none of them.
    """
    names = stage.allowed(settings).get(model)
    if model in stage.consults:
        names = set(model.model_fields)
    if names is None:
        raise SettingsError(f"stage {stage.name} did not declare that it uses {model.__name__}")
    machine = {n for n, f in model.model_fields.items() if is_of_the_call(f)}
    return names | machine


def load(place: str) -> Any:
    """Import what ``module:name`` says."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def fingerprint(*parts: object) -> str:
    """Return a short hash of JSON-able parts; equal parts give equal fingerprints."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
