"""What people call structures: a name, a kind and a note, kept under the structure's lineage."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from minia_spark import __version__
from minia_spark.base.errors import SettingsError
from minia_spark.engine.stage import fingerprint
from minia_spark.engine.table import VARIANT
from minia_spark.structures.rows import of_kinds
from minia_spark.structures.tables import STRUCTURE_NAMES
from minia_spark.warehouse.manifest import write_manifest
from minia_spark.warehouse.records import Catalogue, Entry, now
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STEP", "checked", "ended", "excluded", "merged", "publish_names", "read_names"]

STEP = "structure_names"
"""The stage that entries of the table name, which no line has: only people write it."""

_LONGEST = {"name": 80, "kind": 40, "note": 2000}


def checked(what: str, text: str) -> str:
    """Return a name, kind or note as it is kept: NFC, single spaces at the ends removed.

    Raises
    ------
    SettingsError
        It is empty or too long, or has control characters or half a character.
    """
    found = unicodedata.normalize("NFC", text).strip()
    most = _LONGEST[what]
    if not found or len(found) > most:
        raise SettingsError(f"a {what} has 1 to {most:,} characters, not {len(found):,}")
    allowed = "\n\t" if what == "note" else ""
    bad = [c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    bad = [c for c in bad if c not in allowed]
    if bad:
        raise SettingsError(f"a {what} cannot hold the character U+{ord(bad[0]):04X}")
    return found


def merged(
    rows: Iterable[Mapping[str, Any]],
    lineage_id: str,
    told: Mapping[str, str | None] | None,
    when: str,
) -> list[dict[str, Any]]:
    """Return the rows of the table after something was said of a structure.

    Parameters
    ----------
    rows : iterable of mappings
        As they are.
    lineage_id : str
    told : mapping or None
        What is said of ``name``, ``kind`` and ``note``; what is not among it stays. None: nothing
        is said of it any more.
    when : str
        ISO 8601.
    """
    known = {row["lineage_id"]: dict(row) for row in rows}
    if told is None:
        known.pop(lineage_id, None)
    else:
        before = known.get(lineage_id, dict.fromkeys(_LONGEST))
        said = {what: told.get(what, before[what]) for what in _LONGEST}
        known[lineage_id] = {"lineage_id": lineage_id, **said, "named_at": when}
    return [known[name] for name in sorted(known, key=_by_number)]


def _by_number(lineage_id: str) -> tuple[int, ...]:
    return tuple(map(int, lineage_id.split(".")))


def excluded(names: pa.Table, lineage: pa.Table, kinds: Iterable[str]) -> list[int]:
    """Return the numbers of the structures that are of one of these kinds, ascending."""
    unwanted = list(kinds)
    gone = {
        row["lineage_id"]
        for row in names.select(["lineage_id", "kind"]).to_pylist()
        if of_kinds(row["kind"], unwanted)
    }
    return sorted(
        row["structure_id"]
        for row in lineage.select(["lineage_id", "structure_id"]).to_pylist()
        if row["structure_id"] is not None and row["lineage_id"] in gone
    )


def ended(names: pa.Table, lineage: pa.Table, kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Return lineage and event of the structures of these kinds that ended in this state."""
    wanted = list(kinds)
    rows = names.select(["lineage_id", "kind"]).to_pylist()
    said = {row["lineage_id"] for row in rows if of_kinds(row["kind"], wanted)}
    return [
        (row["lineage_id"], row["event"])
        for row in lineage.select(["lineage_id", "structure_id", "event"]).to_pylist()
        if row["structure_id"] is None and row["lineage_id"] in said
    ]


# -- in a warehouse -------------------------------------------------------------------------------


def read_names(warehouse: Warehouse, state: Catalogue, variant: str | None) -> list[dict[str, Any]]:
    """Return what people said, a row a structure, also of those that ended."""
    columns = [column.name for column in STRUCTURE_NAMES.columns]
    entries = state.of_table(STRUCTURE_NAMES.name, None, variant)
    rows: list[dict[str, Any]] = warehouse.rows_of(entries, columns).to_pylist()
    return rows


def publish_names(
    warehouse: Warehouse,
    variant: str,
    lineage_id: str,
    told: Mapping[str, str | None] | None,
    *,
    command: str,
    say: Callable[[str], None],
) -> Catalogue:
    """Publish a state in which something is said of a structure; all else stays as it is.

    Parameters
    ----------
    warehouse : Warehouse
    variant : str
        Extractor of the structure.
    lineage_id, told
        As for :func:`merged`.
    command : str
        For the ledger.
    say : callable
        Is told while the warehouse is waited for.

    Raises
    ------
    MiniaError
        Somebody else works on the warehouse, or it cannot be written.
    SettingsError
        What is to be removed was never said.
    """
    with warehouse.lock(command, say=say):
        state = warehouse.require()
        before = read_names(warehouse, state, variant)
        if told is None and lineage_id not in {row["lineage_id"] for row in before}:
            raise SettingsError(f"nobody said anything of {lineage_id}: there is nothing to remove")
        rows = merged(before, lineage_id, told, now())
        warehouse.settle_newest_run()
        record = warehouse.new_run(command, __version__, dict(state.settings))
        path = f"{STRUCTURE_NAMES.name}/run={record.run}/variant={variant}"
        storage = warehouse.storage
        schema = STRUCTURE_NAMES.arrow_schema()
        table = pa.Table.from_pylist(rows, schema).append_column(
            VARIANT.name, pa.array([variant] * len(rows), pa.string())
        )
        storage.make_folder(path)
        target = storage.full(f"{path}/part-00000.zstd.parquet")
        pq.write_table(table, target, filesystem=storage.filesystem, compression="zstd")
        files, count = write_manifest(storage, path)
        storage.make_durable([f"{STRUCTURE_NAMES.name}/run={record.run}"])
        digest = fingerprint(
            [[row[n] for n in ("lineage_id", "name", "kind", "note")] for row in rows]
        )
        entry = Entry(
            table=STRUCTURE_NAMES.name,
            batch=None,
            variant=variant,
            stage=STEP,
            run=record.run,
            path=path,
            rows=count,
            fingerprint=digest,
            digest=digest,
            files=files,
        )
        published = warehouse.commit(
            state, record.run, state.with_entries([entry]).entries, command
        )
        ended = {"state": "done", "ended_at": now(), "catalogue": published.version}
        warehouse.save_run(record.model_copy(update=ended))
        return published
