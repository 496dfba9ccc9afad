"""What the warehouse writes down: states, runs and their steps, batches that arrived."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from minia_spark.base.errors import SettingsError

__all__ = [
    "FORMAT",
    "OLDEST_FORMAT",
    "Arrival",
    "Catalogue",
    "Entry",
    "RunHead",
    "RunRecord",
    "StateHead",
    "StepRecord",
    "check_batch_name",
    "clock",
    "is_batch_name",
    "now",
]

FORMAT = 3
"""Of the warehouse's layout: raised when older software would misread what newer software wrote.

Fields that older software may pass over need no new number: it keeps what it does not know.
"""
OLDEST_FORMAT = 2
"""The oldest layout that is still read."""

_BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Entry(_Model):
    """One published piece of a table: the rows of a batch that one stage wrote."""

    table: str
    batch: str | None = Field(description="None for tables of the whole collection")
    stage: str = Field(description="the stage that wrote it")
    run: str
    path: str = Field(description="folder of Parquet files, relative to the warehouse")
    rows: int | None = Field(description="None for what is no table, e.g. the page")
    fingerprint: str = Field(description="of the stage's settings, revision and inputs")
    digest: str = Field(description="what later stages' fingerprints are made from")
    inputs: str = Field("", description="hash of the digests that it was made from")
    uses: str = Field("", description="key of the settings that it was made with, see Catalogue")
    revision: int = Field(0, description="of the stage's code")
    variant: str | None = Field(None, description="extractor or method; None where there is none")
    files: str = Field(
        "", description="digest of its files' names and sizes, see minia_spark.warehouse.manifest"
    )

    @property
    def key(self) -> tuple[str, str | None, str, str | None]:
        """What a newer entry replaces."""
        return (self.table, self.batch, self.stage, self.variant)

    @property
    def order(self) -> tuple[str, str, str, str]:
        """By table, batch, variant and stage."""
        return (self.table, self.batch or "", self.variant or "", self.stage)


class StateHead(_Model):
    """What a state says besides its entries, of which a thousand batches have many."""

    format: int = Field(FORMAT, description="of the warehouse's layout")
    version: int = 0
    parent: int = 0
    run: str = ""
    committed_at: str = ""
    note: str = ""
    settings: dict[str, Any] = Field(
        default_factory=dict, description="what the next run works with unless it is told otherwise"
    )
    floor: int = Field(0, description="states below it are gone, or going")
    forgotten: str = Field(
        "", description="of runs up to this one, what no state names is gone, or going"
    )


class Catalogue(StateHead):
    """A state of the warehouse."""

    uses: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings that entries were made with, by their key"
    )
    entries: tuple[Entry, ...] = ()  # the last field: heads are read up to it

    def of_table(
        self, table: str, batch: str | None = None, variant: str | None = None
    ) -> list[Entry]:
        """Return a table's entries in batch order; of one batch or variant when it is given."""
        of = self._of.get(table, {})
        those = chain.from_iterable(of.values()) if batch is None else of.get(batch, ())
        found = [e for e in those if variant in (None, e.variant)]
        return sorted(found, key=lambda e: e.order)

    def of_step(self, stage: str, batch: str | None, variant: str | None = None) -> list[Entry]:
        """Return what a stage wrote for a batch (None: for the collection), of one variant."""
        return [e for e in self.made_by(stage, [batch]) if e.variant == variant]

    def made_by(self, stage: str, batches: Iterable[str | None] | None = None) -> list[Entry]:
        """Return what a stage wrote for some batches (None among them: the collection), or all."""
        made = self._made_by.get(stage, {})
        wanted = made if batches is None else batches
        return [entry for batch in wanted for entry in made.get(batch, ())]

    @cached_property
    def _of(self) -> dict[str, dict[str | None, list[Entry]]]:
        """The entries by table and batch."""
        found: dict[str, dict[str | None, list[Entry]]] = {}
        for entry in self.entries:
            found.setdefault(entry.table, {}).setdefault(entry.batch, []).append(entry)
        return found

    @cached_property
    def _made_by(self) -> dict[str, dict[str | None, list[Entry]]]:
        """The entries by stage and batch: plans look up every step, also of a thousand batches."""
        found: dict[str, dict[str | None, list[Entry]]] = {}
        for entry in self.entries:
            found.setdefault(entry.stage, {}).setdefault(entry.batch, []).append(entry)
        return found

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which looks up its own entries."""
        copied = super().model_copy(update=update, deep=deep)
        for known in ("_of", "_made_by"):
            copied.__dict__.pop(known, None)
        return copied

    @property
    def batches(self) -> list[str]:
        """Names of the batches, sorted."""
        return sorted({e.batch for e in self.entries if e.batch is not None})

    def rows(self) -> dict[str, int]:
        """Return how many rows every table has, all variants together."""
        tables: dict[str, int] = {}
        for entry in self.entries:
            if entry.rows is not None:
                tables[entry.table] = tables.get(entry.table, 0) + entry.rows
        return dict(sorted(tables.items()))

    def with_entries(self, added: Iterable[Entry]) -> Catalogue:
        """Return the state in which `added` replace those of the same key."""
        merged = {e.key: e for e in self.entries}
        merged.update({e.key: e for e in added})
        entries = sorted(merged.values(), key=lambda e: e.order)
        return self.model_copy(update={"entries": tuple(entries)})


class StepRecord(_Model):
    """What a run did for one stage of one batch."""

    stage: str
    batch: str | None
    variant: str | None = None
    action: str = Field(description="done, skipped or reused")
    why: str
    seconds: float = 0.0
    counts: dict[str, float] = Field(default_factory=dict)
    entries: tuple[Entry, ...] = Field(
        default=(), description="complete outputs, also of a run that failed later"
    )
    uses: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings that they were made with, by their key"
    )


class Arrival(_Model):
    """A folder or list of files that came as a batch, as it was when a run took it."""

    place: str = Field(description="its URI")
    batch: str
    listing: str = Field(description="digest of the files' names, sizes and times")
    named: str = Field(description="digest of their names and bytes")
    unnamed: str = Field(description="digest of their bytes alone")
    same_as: str | None = Field(None, description="the batch that has its content already")


class RunHead(BaseModel):
    """What is looked up in every page of the ledger; a page's many steps are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(OLDEST_FORMAT, description="of the warehouse's layout")
    state: str = Field(description="running, done, nothing to do, or failed")
    catalogue: int = Field(0, description="the state this run published; 0: none")
    arrivals: tuple[Arrival, ...] = Field((), description="what 'minia reprocess' took")

    @property
    def succeeded(self) -> bool:
        """It ended, and what it was asked for is in the warehouse."""
        return self.state in ("done", "nothing to do")


class RunRecord(RunHead):
    """The ledger's page of one run."""

    model_config = ConfigDict(extra="allow")

    run: str
    command: str
    started_at: str
    ended_at: str = ""
    user: str = ""
    host: str = ""
    pid: int = 0
    version: str = Field(description="of minia-spark")
    error: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()


def is_batch_name(name: str) -> bool:
    """Tell whether a batch may have this name: it becomes a folder name and a column value."""
    return _BATCH_NAME.fullmatch(name) is not None


def check_batch_name(name: str) -> str:
    """Return the name, or raise SettingsError when no batch may have it."""
    if not is_batch_name(name):
        raise SettingsError(
            f"batch name {name!r}: use letters, digits, '.', '_' and '-', at most 100, "
            "beginning with a letter or digit"
        )
    return name


def now() -> str:
    """Return the time as the catalogue and the ledger write it (UTC, ISO 8601)."""
    return clock().isoformat(timespec="seconds")


def clock() -> datetime:
    """Return the time (UTC)."""
    return datetime.now(UTC)
