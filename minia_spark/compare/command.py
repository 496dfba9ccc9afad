"""The command ``minia compare``."""
# ruff: noqa: PLC0415 - NumPy and Arrow where they are needed

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from minia_spark.base.errors import InputError
from minia_spark.engine.commands import add_warehouse

__all__ = ["arguments", "compare"]

_COLUMNS = [
    *("words", "structures", "significant", "established", "coverage", "agreeing"),
    *("same_label", "neighbours", "seconds"),
]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    add_warehouse(parser)
    parser.add_argument(
        "--with",
        dest="others",
        action="append",
        default=[],
        metavar="DIR",
        help="another warehouse to set beside it; several may be given",
    )
    parser.add_argument("--variant", metavar="NAME", help="only this extractor")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page too")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the bootstrap (1)")
    parser.add_argument("--json", action="store_true", help="for programs")


def compare(options: argparse.Namespace) -> int:
    """Print what each variant found, and what of it the others found too."""
    from minia_spark.compare.facts import compared, found_in, overlaps
    from minia_spark.warehouse.warehouse import Warehouse

    found = []
    for place in (options.warehouse, *options.others):
        warehouse = Warehouse(place)
        catalogue = warehouse.require()
        variants = sorted({e.variant for e in catalogue.of_table("structure_images") if e.variant})
        if options.variant is not None:
            variants = [name for name in variants if name == options.variant]
        if not variants:
            which = f" of {options.variant}" if options.variant else ""
            raise InputError(
                f"there are no structures{which} in {warehouse.storage}: 'minia run --warehouse "
                f"{place}' makes them, with --set features.extractors=[...] for several extractors"
            )
        found += [found_in(warehouse, catalogue, name) for name in variants]
    rows = [compared(one, options.seed) for one in found]
    shared = overlaps(found)
    if options.html is not None:
        from minia_spark.compare.page import write_page

        write_page(options.html, rows, shared)
    if options.json:
        print(json.dumps({"variants": rows, "overlaps": shared}, indent=1))
        return 0
    _print(rows, shared)
    if options.html is not None:
        print(f"\npage: {options.html}")
    return 0


def _print(rows: list[dict[str, Any]], shared: list[list[float | None]]) -> None:
    from minia_spark.compare.page import shown, titles

    names = titles(rows)
    width = max(10, *map(len, names))
    print(" " * width + "".join(f"{name.replace('_', ' '):>14}" for name in _COLUMNS))
    for name, row in zip(names, rows, strict=True):
        print(f"{name:<{width}}" + "".join(f"{shown(row[column]):>14}" for column in _COLUMNS))
    if len(rows) > 1:
        print("\nof what the row found, the column found too (1: the same images)")
        print(" " * width + "".join(f"  {name:>{width}}" for name in names))
        for name, shares in zip(names, shared, strict=True):
            print(f"{name:<{width}}" + "".join(f"  {shown(v):>{width}}" for v in shares))
    if all(row["agreeing"] is None for row in rows):
        print(
            "\nno image has a label, so that nothing is known of agreement: "
            "--set ingest.labels.file=CSV with the next run gives them",
            file=sys.stderr,
        )
