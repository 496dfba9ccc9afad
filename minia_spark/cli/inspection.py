"""Commands that look at a warehouse or put it in order; none of them starts Spark."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from minia_spark.base.bags import Bags
from minia_spark.base.errors import InputError
from minia_spark.drift.measure import Drift, advice, beyond
from minia_spark.structures.lineage import compose, maps_of, trace
from minia_spark.warehouse.records import Catalogue, RunRecord
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["batches", "history", "path", "print_fates", "rollback", "status", "vacuum"]


def status(options: argparse.Namespace) -> int:
    """Print what is in the warehouse now."""
    warehouse = Warehouse(options.warehouse)
    catalogue = warehouse.require()
    last = next(map(warehouse.as_it_ended, warehouse.runs()), None)
    facts = _status_facts(warehouse, catalogue, last)
    if options.json:
        print(json.dumps(facts, indent=1))
        return 0
    print(f"warehouse {facts['warehouse']}")
    print(f"state     {catalogue.version}, published {catalogue.committed_at} by {catalogue.run}")
    if last is not None:
        print(f"last run  {last.run}: {last.command}: {last.state}{_reason(last)}")
    print("\nbatch                    images  rejects")
    for batch in facts["batches"]:
        print(f"{batch['batch']:<22} {batch['images']:>8,} {batch['rejects']:>8,}")
    print("\ntable                      rows")
    for table, rows in facts["tables"].items():
        print(f"{table:<22} {rows:>8,}")
    _print_drift(facts)
    if facts["page"]:
        print(f"\npage: {facts['page']}")
    return 0


def _print_drift(facts: dict[str, Any]) -> None:
    if not facts["drift"]:
        return
    print("\ndrift from the vocabulary  error  divergence  by chance  missing  too frequent")
    for row in facts["drift"]:
        numbers = "no features"
        if row["divergence"] is not None:
            ratio = "" if row["error_ratio"] is None else f"{row['error_ratio']:.2f}"
            numbers = (
                f"{ratio:>5}  {row['divergence']:>10.3f}  {row['expected_divergence']:>9.3f}  "
                f"{row['dead_words']:>7,}  {row['overfull_words']:>12,}"
            )
        note = "  trained on" if row["trained_on"] else "  unlike it" if row["beyond"] else ""
        print(f"{row['batch']:<25}  {numbers}{note}")
    if facts["advice"]:
        print(facts["advice"])


def _status_facts(
    warehouse: Warehouse, catalogue: Catalogue, last: RunRecord | None
) -> dict[str, Any]:
    tables = catalogue.rows()
    page = warehouse.storage.full("report/index.html")
    drift = _drift_facts(warehouse, catalogue)
    return {
        "warehouse": str(warehouse.storage),
        "state": catalogue.version,
        "published_at": catalogue.committed_at,
        "run": catalogue.run,
        "images": tables.get("images", 0),
        "rejects": tables.get("rejects", 0),
        "structures": tables.get("structures", 0),
        "batches": [_batch_facts(catalogue, batch) for batch in catalogue.batches],
        "tables": tables,
        "drift": drift,
        "advice": advice({d["batch"]: d["beyond"] for d in drift}, str(warehouse.storage)),
        "page": page if warehouse.storage.exists("report/index.html") else None,
        "last_run": None
        if last is None
        else {
            "run": last.run,
            "command": last.command,
            "state": last.state,
            "started_at": last.started_at,
            "ended_at": last.ended_at,
            "error": last.error,
            "steps": [
                {
                    "stage": s.stage,
                    "batch": s.batch,
                    "action": s.action,
                    "why": s.why,
                    "seconds": s.seconds,
                    "counts": s.counts,
                }
                for s in last.steps
            ],
        },
    }


def _batch_facts(catalogue: Catalogue, batch: str) -> dict[str, Any]:
    return {
        "batch": batch,
        "images": sum(e.rows for e in catalogue.of_table("images", batch)),
        "rejects": sum(e.rows for e in catalogue.of_table("rejects", batch)),
    }


def batches(options: argparse.Namespace) -> int:
    """Print the batches of the current state: what is in them, when and by which run they came."""
    warehouse = Warehouse(options.warehouse)
    catalogue = warehouse.require()
    facts = []
    for batch in catalogue.batches:
        run = next((e.run for e in catalogue.of_table("images", batch)), None)
        read_at = None
        with contextlib.suppress(InputError):  # a ledger that lost a page still has its batches
            read_at = warehouse.run(run).started_at if run is not None else None
        facts.append(_batch_facts(catalogue, batch) | {"read_at": read_at, "run": run})
    if options.json:
        print(json.dumps(facts, indent=1))
        return 0
    print(f"{'batch':<22}    images  rejects  {'read':<25}  run")
    for fact in facts:
        print(
            f"{fact['batch']:<22}  {fact['images']:>8,} {fact['rejects']:>8,}  "
            f"{fact['read_at'] or '':<25}  {fact['run'] or ''}"
        )
    return 0


def _drift_facts(warehouse: Warehouse, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return a row a batch; the limits are those of the run that published the state."""
    limits = {}
    with contextlib.suppress(InputError, FileNotFoundError):
        limits = warehouse.run(catalogue.run).settings.get("drift", {})
    facts = []
    storage = warehouse.storage
    for entry in catalogue.of_table("drift"):
        table = pq.read_table(storage.full(entry.path), filesystem=storage.filesystem)
        for row in table.to_pylist():
            drift = Drift(**{field.name: row[field.name] for field in fields(Drift)})
            judged = bool(limits) and not row["in_training"]
            facts.append(
                {
                    "batch": row["batch"],
                    "vocabulary": row["vocabulary"],
                    "trained_on": row["in_training"],
                    "error": drift.error,
                    "expected_error": drift.expected_error,
                    "error_ratio": drift.error_ratio,
                    "divergence": drift.divergence,
                    "expected_divergence": drift.expected_divergence,
                    "dead_words": len(drift.dead_words),
                    "overfull_words": len(drift.overfull_words),
                    "beyond": beyond(drift, **limits) if judged else [],
                }
            )
    return facts


def _reason(record: RunRecord) -> str:
    return f" ({record.error.splitlines()[0]})" if record.error else ""


def history(options: argparse.Namespace) -> int:
    """Print the states and the runs, newest first."""
    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    states = [warehouse.catalogue(v) for v in reversed(warehouse.versions())]
    runs = list(map(warehouse.as_it_ended, warehouse.runs()))
    if options.json:
        facts = {
            "states": [s.model_dump(exclude={"entries"}) for s in states],
            "runs": [r.model_dump(exclude={"steps": {"__all__": {"entries"}}}) for r in runs],
        }
        print(json.dumps(facts, indent=1))
        return 0
    print(f"state  {'published':<25}  {'run':<29}  what")
    for state in states:
        print(f"{state.version:>5}  {state.committed_at:<25}  {state.run:<29}  {state.note}")
    print(f"\n{'run':<29}  {'started':<25}  seconds  command: outcome")
    for record in runs:
        seconds = sum(step.seconds for step in record.steps)
        print(
            f"{record.run:<29}  {record.started_at:<25}  {seconds:>7.1f}  "
            f"{record.command}: {record.state}{_reason(record)}"
        )
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def rollback(options: argparse.Namespace) -> int:
    """Publish an earlier state again."""
    from minia_spark.engine.run import publish_page  # noqa: PLC0415 - only this one needs it

    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    with warehouse.lock("minia rollback", say=_say):
        state = warehouse.rollback(options.to)
        publish_page(state, warehouse)
    print(f"state {state.version} is a copy of what was published by run {state.run}")
    return 0


def vacuum(options: argparse.Namespace) -> int:
    """Remove what no kept state needs."""
    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    with warehouse.lock("minia vacuum", say=_say):
        removed, size_bytes = warehouse.vacuum(options.keep, dry_run=options.dry_run)
    for item in removed:
        print(item)
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {len(removed)} folders and states, {size_bytes / 2**20:,.1f} MiB")
    return 0


def path(options: argparse.Namespace) -> int:
    """Print the Parquet folders of a table's current state."""
    for folder in Warehouse(options.warehouse).folders(options.table, options.batch):
        print(folder)
    return 0


def print_fates(warehouse: Warehouse, older: str, newer: str) -> int:
    """Print what became of every structure from one run, or state, to another.

    Raises
    ------
    InputError
        A run is unknown or published no structures, or the two have different vocabularies and no
        word map leads from the older to the newer: then their words cannot be compared.
    """
    states = [_state_of(warehouse, name) for name in (older, newer)]
    word_map = _map_between(warehouse, *states)
    before, after = (_structures_of(warehouse, state) for state in states)
    fates = trace(before, after, word_map)
    if word_map is not None:
        print("the vocabularies differ: words of the older run are those they went to")
    print("event      older   newer   words gained  lost")
    for fate in fates:
        old = "-" if fate.older is None else f"s{fate.older:04d}"
        new = "-" if fate.newer is None else f"s{fate.newer:04d}"
        print(f"{fate.event:<9}  {old:<6}  {new:<6}  {fate.gained:>12,}  {fate.lost:>4,}")
    counts = Counter(str(fate.event) for fate in fates)
    print(", ".join(f"{count:,} {event}" for event, count in counts.most_common()) or "nothing")
    return 0


def _map_between(
    warehouse: Warehouse, older: Catalogue, newer: Catalogue
) -> NDArray[np.integer] | None:
    """Return where the words of the older state's vocabulary went; None: they are the same."""
    before, after = (
        next((e.digest for e in state.of_table("codebooks")), "") for state in (older, newer)
    )
    if before == after:
        return None
    maps: dict[tuple[str, str], NDArray[np.integer]] = {}
    storage = warehouse.storage
    for entry in newer.of_table("word_map"):
        maps |= maps_of(pq.read_table(storage.full(entry.path), filesystem=storage.filesystem))
    found = compose(maps, before, after)
    if found is None:
        raise InputError(
            f"states {older.version} and {newer.version} have different vocabularies, and no word "
            "map leads from the first to the second: a word of one means nothing in the other"
        )
    return found


def _state_of(warehouse: Warehouse, name: str) -> Catalogue:
    states = [warehouse.catalogue(version) for version in warehouse.versions()]
    found = [state for state in states if name in (state.run, str(state.version))]
    if not found:
        known = ", ".join(f"{state.version} ({state.run})" for state in states[-5:])
        raise InputError(f"no state {name!r} in {warehouse.storage}; the last ones: {known}")
    return found[-1]


def _structures_of(warehouse: Warehouse, state: Catalogue) -> Bags:
    entries = state.of_table("structures")
    if not entries:
        raise InputError(f"state {state.version} (run {state.run}) has no structures")
    storage = warehouse.storage
    tables = [pq.read_table(storage.full(e.path), filesystem=storage.filesystem) for e in entries]
    rows = pa.concat_tables(tables).sort_by("structure_id")
    words = rows["words"].combine_chunks()
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    items = pc.list_flatten(words).to_numpy(zero_copy_only=False).astype(np.uint32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Bags(offsets, items, np.ones(len(items), dtype=np.uint32))
