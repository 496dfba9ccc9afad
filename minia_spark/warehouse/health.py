"""What is damaged in a warehouse, and how it goes on without it; no Spark."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from minia_spark.warehouse.ledger import DamagedError
from minia_spark.warehouse.manifest import at_once, full_damage
from minia_spark.warehouse.records import Catalogue, Entry
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["Damage", "find_damage", "repair"]

_ASIDE = "damaged"


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was written.

    Attributes
    ----------
    path : str
        A file, or an entry's folder, relative to the warehouse.
    text : str
        What is wrong, in a few words.
    entry : Entry or None
        The entry whose files are damaged; None: a state or a page of the ledger.
    """

    path: str
    text: str
    entry: Entry | None = None

    def __str__(self) -> str:
        table = f" ({self.entry.table})" if self.entry else ""
        return f"{self.path}{table}: {self.text}"


def find_damage(warehouse: Warehouse, state: Catalogue, *, full: bool = False) -> Iterator[Damage]:
    """Yield what is damaged: states, pages of the ledger, and the files that a state names.

    Parameters
    ----------
    warehouse : Warehouse
    state : Catalogue
        Whose files are looked at.
    full : bool
        Whether every byte is read; else names, sizes and rows are compared, and of states that
        came before, what stands before their entries.
    """
    yield from _damaged_records(warehouse, 0 if full else state.version)
    broken = dict(warehouse.damaged(state.entries, again=True))

    def looked(entry: Entry) -> list[str]:
        if entry in broken:
            return [broken[entry]]
        return list(full_damage(warehouse.storage, entry, hashes=full))

    for entry, texts in zip(state.entries, at_once(looked, state.entries), strict=True):
        for text in texts:
            yield Damage(entry.path, text, entry)


def _damaged_records(warehouse: Warehouse, wholly_from: int) -> Iterator[Damage]:
    for version in warehouse.versions():
        try:
            if version < wholly_from:
                warehouse.head(version)
            else:
                warehouse.catalogue(version)
        except DamagedError as error:
            yield Damage(warehouse.state_file(version), error.what)
    for run in warehouse.run_names():
        try:
            warehouse.run(run)
        except DamagedError as error:
            yield Damage(warehouse.page_file(run), error.what)


def repair(
    warehouse: Warehouse,
    sources: Collection[str],
    *,
    said: Collection[str] = (),
    full: bool = False,
    dry_run: bool = False,
) -> list[str]:
    """Let the warehouse go on without what is damaged; for the lock's holder.

    The newest state that can be understood is published anew, without the entries whose files are
    damaged and what the same steps made with them: the next run makes those anew. Damaged states
    and pages are set aside.

    Parameters
    ----------
    warehouse : Warehouse
    sources : collection of str
        Stages whose output is what came in: a batch whose own is damaged leaves the state.
    said : collection of str
        Stages whose output people wrote, so that no run can make it anew: what an earlier state has
        of it, and is whole, takes the place of what is damaged.
    full, dry_run : bool
        As for :func:`find_damage`; only say what would be done.

    Returns
    -------
    list of str
        What was done, a sentence each; empty: nothing is damaged.

    Raises
    ------
    InputError
        No state can be understood.
    """
    state = warehouse.newest_understood()
    found = list(find_damage(warehouse, state, full=full))
    broken = [d.entry for d in found if d.entry is not None]
    batches = {e.batch for e in broken if e.stage in sources and e.batch is not None}
    lost = {(e.stage, e.batch, e.variant) for e in broken}  # a step's outputs are made together
    earlier = {e.path: _earlier(warehouse, e) for e in broken if e.stage in said}
    kept = [
        e
        for e in state.entries
        if e.batch not in batches and (e.stage, e.batch, e.variant) not in lost
    ]
    kept += [entry for entry in earlier.values() if entry is not None]
    records = [d for d in found if d.entry is None]
    done = [f"{damage}; it is set aside in {_ASIDE}/" for damage in records]
    done += [
        f"{damage}; {_instead(damage.entry, earlier)}"
        for damage in found
        if damage.entry is not None and damage.entry.batch not in batches
    ]
    done += [
        f"{damage}; batch {damage.entry.batch} leaves the state: bring it in again"
        for damage in found
        if damage.entry is not None and damage.entry.batch in batches
    ]
    newest = max(warehouse.versions())
    if broken or state.version != newest:
        done.append(f"state {newest + 1} is what is whole of state {state.version}")
        if not dry_run:
            warehouse.commit(warehouse.base_past_damage(), state.run, kept, "repair")
    if not dry_run:
        for damage in records:
            warehouse.set_aside(damage.path, _ASIDE)
    return done


def _earlier(warehouse: Warehouse, lost: Entry) -> Entry | None:
    """Return the newest entry of the same kind that an earlier state has, and that is whole."""
    for state in warehouse.states():
        for entry in state.of_table(lost.table, lost.batch, lost.variant):
            if entry.path != lost.path and _is_whole(warehouse, entry):
                return entry
    return None


def _is_whole(warehouse: Warehouse, entry: Entry) -> bool:
    return warehouse.are_whole([entry]) and not any(
        full_damage(warehouse.storage, entry, hashes=True)
    )


def _instead(lost: Entry, earlier: Mapping[str, Entry | None]) -> str:
    if lost.path not in earlier:
        return "it leaves the state, and the next run makes it anew"
    entry = earlier[lost.path]
    if entry is None:
        return "people wrote it, and no earlier state has it whole: it must be said again"
    return f"people wrote it: what they had said before, in {entry.path}, takes its place"
