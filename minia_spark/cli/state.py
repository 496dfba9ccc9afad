"""Commands that look at a warehouse or put it in order; none of them starts Spark."""
# ruff: noqa: PLC0415 - heavy imports where they are needed

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import sys
from itertools import zip_longest
from typing import Any

from minia_spark.base.errors import InputError, SettingsError, leaving_readers
from minia_spark.engine.commands import add_warehouse, positive
from minia_spark.engine.settings import changes, remembered
from minia_spark.warehouse.records import Catalogue, RunRecord
from minia_spark.warehouse.warehouse import AGE_SECONDS, Warehouse

__all__ = [
    "batches",
    "history",
    "path",
    "repair",
    "rollback",
    "status",
    "tables",
    "vacuum",
    "verify",
]


_DAY = 86_400.0
_WEEK = AGE_SECONDS / _DAY
_OF_STEPS: Any = {"steps": {"__all__": {"entries", "uses"}}}


def json_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--warehouse`` and ``--json``."""
    add_warehouse(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def rollback_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia rollback``."""
    add_warehouse(parser)
    parser.add_argument("--to", type=int, metavar="STATE", help="default: the one before")


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia verify``."""
    add_warehouse(parser)
    parser.add_argument("--full", action="store_true", help="read every byte, for the hashes")
    parser.add_argument("--state", type=positive, metavar="N", help="default: the newest")


def repair_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia repair``."""
    add_warehouse(parser)
    parser.add_argument("--full", action="store_true", help="look for damage as verify --full")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def vacuum_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia vacuum``."""
    add_warehouse(parser)
    parser.add_argument("--keep", type=positive, default=2, metavar="N", help="states to keep (2)")
    parser.add_argument(
        "--older-than",
        type=_days,
        metavar="DAYS",
        help=f"what readers could still hold, or a run still make, stays so long ({_WEEK:g})",
    )
    parser.add_argument(
        "--force", action="store_true", help=f"less than {_WEEK:g} days: nobody reads or runs"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")


def _days(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of days, 0 or more")
    return value


def tables_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia tables``."""
    parser.add_argument("table", nargs="?", metavar="TABLE", help="only this one")
    parser.add_argument("--json", action="store_true", help="for programs")


def path_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia path``."""
    parser.add_argument("table", metavar="TABLE")
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="NAME", help="only this batch")
    parser.add_argument("--variant", metavar="NAME", help="only this extractor or method")
    parser.add_argument(
        "--state", type=positive, metavar="N", help="of an earlier state; default: the newest"
    )


def status(options: argparse.Namespace) -> int:
    """Print what is in the warehouse now."""
    warehouse = Warehouse(options.warehouse)
    catalogue = warehouse.require()
    last = next(map(warehouse.as_it_ended, warehouse.runs()), None)
    facts = _status_facts(options, warehouse, catalogue, last)
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
    if facts["settings"]:
        print("\nsettings that are not the defaults")
        for change in facts["settings"]:
            name, _, value = change.partition(" ")
            print(f"  {name:<30} {value}")
    _print_drift(facts)
    if facts["map_advice"]:
        print("\nmaps")
        for row in facts["map_advice"]:
            print(f"{row['variant']}: {row['advice']}")
    if facts["page"]:
        print(f"\npage: {facts['page']}")
    return 0


def _print_drift(facts: dict[str, Any]) -> None:
    if not facts["drift"]:
        return
    print("\ndrift from the codebook    error  divergence  by chance  missing  too frequent")
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


def _map_advice(warehouse: Warehouse, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return what to do about batches that are placed badly on maps, if there are any."""
    entries = catalogue.of_table("map_quality")
    wanted = ["variant", "batch", "advice"]
    rows = warehouse.rows_of(entries, wanted).to_pylist() if entries else []
    return [row for row in rows if row["advice"] is not None]


def _status_facts(
    options: argparse.Namespace,
    warehouse: Warehouse,
    catalogue: Catalogue,
    last: RunRecord | None,
) -> dict[str, Any]:
    from minia_spark.drift.facts import drift_facts
    from minia_spark.drift.measure import advice

    tables = catalogue.rows()
    page = warehouse.storage.full("report/index.html")
    drift = drift_facts(warehouse, catalogue)
    defaults = remembered(options.house.load_settings())
    return {
        "settings": changes(defaults, catalogue.settings),
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
        "map_advice": _map_advice(warehouse, catalogue),
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


def _reason(record: RunRecord) -> str:
    return f" ({record.error.splitlines()[0]})" if record.error else ""


def history(options: argparse.Namespace) -> int:
    """Print the states and the runs, newest first."""
    warehouse = Warehouse(options.warehouse)
    states = list(warehouse.heads())
    if not (states or warehouse.run_names()):
        warehouse.require()
    runs = list(map(warehouse.as_it_ended, warehouse.runs()))
    if options.json:
        facts = {
            "states": [s.model_dump(exclude={"uses"}) for s in states],
            "runs": [r.model_dump(exclude=_OF_STEPS) for r in runs],
        }
        print(json.dumps(facts, indent=1))
        return 0
    print(f"state  {'published':<25}  {'run':<29}  what")
    for state, before in zip_longest(states, states[1:]):
        print(f"{state.version:>5}  {state.committed_at:<25}  {state.run:<29}  {state.note}")
        for change in changes(before.settings, state.settings) if before else ():
            print(f"{'':>7}{change}")
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
    from minia_spark.engine.run import publish_page

    warehouse = Warehouse(options.warehouse)
    warehouse.newest_understood()
    with warehouse.lock("minia rollback", say=_say):
        state = warehouse.rollback(options.to)
        with leaving_readers(state.version):
            publish_page(state, warehouse, options.house.pages)
    print(f"state {state.version} is a copy of what was published by run {state.run}")
    return 0


def vacuum(options: argparse.Namespace) -> int:
    """Remove what no kept state needs."""
    warehouse = Warehouse(options.warehouse)
    if not warehouse.run_names():  # of failed first runs, there is something to remove
        warehouse.require()
    days = _WEEK if options.older_than is None else options.older_than
    if days < _WEEK and not (options.force or options.dry_run):
        raise SettingsError(
            f"--older-than {days:g} is less than {_WEEK:g} days: who still reads a state that goes "
            "fails, and what a run that seems dead had finished is lost; add --force if that is "
            "what you want, or --dry-run to see what would go"
        )
    with warehouse.lock("minia vacuum", say=_say):
        removed, size_bytes = warehouse.vacuum(
            options.keep, age_seconds=days * _DAY, dry_run=options.dry_run
        )
    for item in removed:
        print(item)
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {len(removed)} folders and states, {size_bytes / 2**20:,.1f} MiB")
    return 0


def path(options: argparse.Namespace) -> int:
    """Print the Parquet folders of a table's current state, or of an earlier one."""
    warehouse = Warehouse(options.warehouse)
    state = warehouse.kept_state(options.state) if options.state is not None else None
    for folder in warehouse.folders(options.table, options.batch, options.variant, state=state):
        print(folder)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Compare the files of a state with what was written; exit code 1 when something differs."""
    from minia_spark.warehouse.health import find_damage

    warehouse = Warehouse(options.warehouse)
    state = warehouse.newest_understood()
    if options.state is not None:
        state = warehouse.kept_state(options.state)
    found = 0
    for damage in find_damage(warehouse, state, full=options.full):
        found += 1
        print(damage)
    what = "every byte" if options.full else "names, sizes and rows"
    if found:
        print(
            f"state {state.version} of {warehouse.storage}: {found:,} damaged; 'minia repair "
            f"--warehouse {warehouse.storage} --dry-run' says how it goes on"
        )
        return 1
    print(f"state {state.version} is whole: {what} of {len(state.entries):,} entries compared")
    return 0


def repair(options: argparse.Namespace) -> int:
    """Let the warehouse go on without what is damaged."""
    from minia_spark.engine.run import publish_page
    from minia_spark.warehouse.health import repair as repaired

    warehouse = Warehouse(options.warehouse)
    warehouse.newest_understood()
    house = options.house
    sources = {stage.name for stage in house.stages if stage.source}
    made = {output.name for stage in house.stages for output in stage.writes}
    said = {table.name for table in house.tables()} - made  # by people; the step has its name
    with warehouse.lock("minia repair", say=_say):
        told = repaired(warehouse, sources, said=said, full=options.full, dry_run=options.dry_run)
        if not options.dry_run and told:
            publish_page(warehouse.require(), warehouse, house.pages)
    for line in told or ["nothing is damaged"]:
        print(line)
    if options.dry_run and told:
        print("nothing was changed")
    return 0


def tables(options: argparse.Namespace) -> int:
    """Print the columns of every table, what they mean and their units."""
    found = options.house.tables()
    if options.table is not None:
        names = [table.name for table in found]
        found = [table for table in found if table.name == options.table]
        if not found:
            close = difflib.get_close_matches(options.table, names, n=1)
            raise SettingsError(
                f"there is no table {options.table!r}"
                + (f"; did you mean {close[0]!r}?" if close else "")
                + f"; tables: {', '.join(names)}"
            )
    if options.json:
        facts = [
            {
                "table": table.name,
                "row": table.row,
                "variants": table.variants,
                "columns": [vars(column) for column in table.all_columns],
            }
            for table in found
        ]
        print(json.dumps(facts, indent=1))
        return 0
    for table in found:
        print(f"{table.name}: a row is {table.row}")
        for column in table.all_columns:
            kind = column.type + (", may be null" if column.null else "")
            unit = f" [{column.unit}]" if column.unit else ""
            print(f"  {column.name:<22} {kind:<26} {column.about}{unit}")
        print()
    return 0
