"""``minia structures``: their images, two states compared, what is new, what people call them."""
# ruff: noqa: PLC0415 - NumPy and Arrow where they are needed

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.engine.commands import (
    free_exit_code,
    positive,
    refuse_in_warehouse,
    run_stages,
    share,
    stage_arguments,
)

if TYPE_CHECKING:
    from minia_spark.frames.news import News

__all__ = ["arguments", "structures"]

_OF_ACTION = {
    "batch": ("new",),
    "count": ("new",),
    "rate": ("new",),
    "metrics": ("new",),
    "alert_exit_code": ("new",),
    "name": ("name",),
    "kind": ("name",),
    "note": ("name",),
    "remove": ("name",),
    "json": ("new", "names"),
    "set": ("",),
    "config": ("",),
    "replace": ("",),
    "log_json": ("",),
    "variant": ("new", "name", "names", "diff"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.set_defaults(stage_command="structures")
    parser.add_argument(
        "action",
        nargs="*",
        metavar="ACTION",
        help="instead: diff RUN RUN (or states): what became of every structure; new: what a batch "
        "brought; name ID: say what a structure is; names: what was said",
    )
    parser.add_argument("--variant", metavar="NAME", help="extractor whose structures are meant")
    new = parser.add_argument_group("new")
    new.add_argument("--batch", metavar="NAME", help="default: the one that was read last")
    new.add_argument("--count", type=positive, metavar="N", help="odd images to list (10)")
    new.add_argument(
        "--rate",
        type=_rate,
        metavar="R",
        help="false alerts that a batch without anything new may have on average, of structures "
        "and of images each (0.01)",
    )
    new.add_argument("--metrics", type=Path, metavar="FILE", help="also write for Prometheus")
    new.add_argument(
        "--alert-exit-code",
        type=free_exit_code,
        metavar="N",
        help="exit code when there is an alert: 0, or 4 to 125 (0)",
    )
    name = parser.add_argument_group("name")
    name.add_argument("--name", metavar="TEXT", help="what people call it, up to 80 characters")
    name.add_argument("--kind", metavar="KIND", help="e.g. artefact; see structures.exclude_kinds")
    name.add_argument("--note", metavar="TEXT", help="what else is to be known")
    name.add_argument("--remove", action="store_true", help="what was said is forgotten")
    parser.add_argument("--json", action="store_true", help="new, names: for programs")
    stage_arguments(parser)


def _rate(text: str) -> float:
    value = share(text)
    if not value:
        raise argparse.ArgumentTypeError("must be above 0 and at most 1")
    return value


def structures(options: argparse.Namespace) -> int:
    """Find the images of the structures, or do what the first word says."""
    action, *rest = options.action or [""]
    for option, actions in _OF_ACTION.items():
        if getattr(options, option) not in (None, False, []) and action not in actions:
            places = " or ".join(f"'minia structures {one}".rstrip() + "'" for one in actions)
            alone = " alone" if actions == ("",) else ""
            raise SettingsError(f"--{option.replace('_', '-')} belongs to {places}{alone}")
    if not action:
        return run_stages(options)
    ways: dict[str, tuple[int, str, Callable[..., int]]] = {
        "diff": (2, "diff RUN RUN', the older run first", _diff),
        "new": (0, "new'", _new),
        "name": (1, "name ID' with --name, --kind, --note or --remove", _name),
        "names": (0, "names'", _names),
    }
    known = ways.get(action)
    if known is None:
        raise SettingsError(f"there is no 'minia structures {action}': {', '.join(ways)}")
    count, usage, way = known
    if len(rest) != count:
        raise SettingsError(f"expected 'minia structures {usage}")
    return way(options, *rest)


def _diff(options: argparse.Namespace, older: str, newer: str) -> int:
    from minia_spark.structures.fates import print_fates
    from minia_spark.warehouse.warehouse import Warehouse

    return print_fates(Warehouse(options.warehouse), older, newer, variant=options.variant)


# -- new ------------------------------------------------------------------------------------------


def _new(options: argparse.Namespace) -> int:
    import minia_spark
    from minia_spark.base.files import whole_file
    from minia_spark.warehouse.warehouse import Warehouse

    if options.metrics is not None:
        refuse_in_warehouse(options.metrics, Warehouse(options.warehouse))
    found = minia_spark.open(options.warehouse).news(
        options.batch, variant=options.variant, rate=options.rate or 0.01
    )
    if options.metrics is not None:
        try:
            with whole_file(options.metrics) as file:
                file.write(found.metrics().encode())
        except OSError as error:
            raise MiniaError(f"--metrics {options.metrics}: {error.strerror}") from None
    if options.json:
        print(json.dumps(found.as_dict(options.count or 10), indent=1))
    else:
        _print_news(found, options.count or 10)
    return int(options.alert_exit_code or 0) if found.alerts else 0


def _print_news(found: News, count: int) -> None:
    print(f"batch {found.batch}, {found.variant}: {found.alerts:,} alerts")
    since = (
        ""
        if found.compared_with is None
        else f"new or changed since state {found.compared_with}, or "
    )
    print(f"\nstructures {since}more frequent in this batch than chance explains (!)")
    structures: Any = found.structures
    for row in structures.itertuples():
        mark = "!" if row.alert else " "
        known = " ".join(_plain(text) for text in (row.name, row.kind) if isinstance(text, str))
        expected = "" if row.expected != row.expected else f", expected {row.expected:,.1f}"
        here = f"{row.images:,} images of the batch{expected}"
        here += "" if row.q != row.q else f", q {row.q:.2g}"
        sure = "" if row.established else ", not established"
        title = f"s{row.structure_id:04d} ({row.lineage_id})"
        print(f"{mark} {title}  {row.event:<8} {here}{sure}  {known}".rstrip())
    if not len(found.structures):
        print("  none")
    blank = found.featureless
    if blank.images:
        mark = "!" if blank.alert else " "
        usual = "" if blank.expected is None else f", expected {blank.expected:,.1f}"
        print(f"\nimages without features\n{mark} {blank.images:,} of the batch{usual}")
    if found.copies:
        print(f"\nimages of other batches, byte for byte\n  {found.copies:,} of the batch")
    print(f"\nimages unlike anything ({found.known:,} images are known)")
    images: Any = found.images.head(count)
    if len(images):
        print("  rank  by chance  image")
    for row in images.itertuples():
        mark = "!" if row.alert else " "
        chance = " " * 9 if row.p != row.p else f"{row.p:9.1e}"
        print(f"{mark} {row.rank:>4,}  {chance}  {row.image_id}: {row.reasons}")


# -- names ----------------------------------------------------------------------------------------


def _name(options: argparse.Namespace, wanted: str) -> int:
    import minia_spark
    from minia_spark.engine.progress import Progress
    from minia_spark.structures.names import checked, publish_names
    from minia_spark.structures.rows import find_structure
    from minia_spark.warehouse.warehouse import Warehouse

    said = {what: getattr(options, what) for what in ("name", "kind", "note")}
    told = {what: checked(what, text) for what, text in said.items() if text is not None}
    if bool(told) == options.remove:
        raise SettingsError("give --name, --kind or --note, or --remove alone")
    collection = minia_spark.open(options.warehouse)
    variant = collection.structure_variant(options.variant)
    number: int | None = None
    try:
        number, lineage_id = find_structure(wanted, collection.arrow("lineage", variant=variant))
    except InputError:
        lineage_id = wanted.strip()  # what was said of one that ended can be changed still
        if lineage_id not in set(collection.structure_names(variant)["lineage_id"]):
            raise
    state = publish_names(
        Warehouse(options.warehouse),
        variant,
        lineage_id,
        None if options.remove else told,
        command=f"minia structures name {lineage_id}",
        say=Progress(quiet=options.quiet).say,
    )
    of = "ended" if number is None else f"s{number:04d}"
    print(f"{of} ({lineage_id}): said in state {state.version}; 'minia run' shows it")
    if "kind" in told:
        unwanted = collection.settings.get("structures", {}).get("exclude_kinds", ())
        names = collection.structure_names(variant)
        others = names[names["lineage_id"] != lineage_id]["kind"].dropna()
        alike = _nearly(told["kind"], {*others, *unwanted})
        if alike is not None:
            said_now, known = (_plain(str(kind)) for kind in (told["kind"], alike))
            print(f"note: there is a kind {known!r} too; {said_now!r} is another")
    return 0


def _nearly(kind: str | None, kinds: set[str]) -> str | None:
    """Return the kind that was likely meant, if one is spelt nearly alike."""
    from difflib import get_close_matches

    known = {one.casefold(): one for one in kinds}
    if not kind or kind.casefold() in known:
        return None
    found = get_close_matches(kind.casefold(), sorted(known), n=1, cutoff=0.8)
    return known[found[0]] if found else None


def _names(options: argparse.Namespace) -> int:
    import minia_spark

    collection = minia_spark.open(options.warehouse)
    variant = collection.structure_variant(options.variant)
    lineage = collection.arrow("lineage", variant=variant)
    numbers = dict(
        zip(lineage["lineage_id"].to_pylist(), lineage["structure_id"].to_pylist(), strict=True)
    )
    rows: Any = collection.structure_names(variant).drop(columns="variant", errors="ignore")
    told: list[dict[str, Any]] = [
        {"structure_id": numbers.get(row["lineage_id"])} | row
        for row in rows.to_dict(orient="records")
    ]
    if options.json:
        print(json.dumps(told, indent=1))
        return 0
    for row in told:
        number = row["structure_id"]
        where = "ended" if number is None else f"s{number:04d}"
        texts = [_plain(row[what]) for what in ("name", "kind", "note") if row[what] is not None]
        print(f"{where}  {row['lineage_id']:<8}  {'; '.join(texts)}")
    if not told:
        print("nobody named a structure: 'minia structures name ID --name TEXT --kind KIND'")
    return 0


def _plain(text: str) -> str:
    """Return a text of people as a terminal may have it."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
