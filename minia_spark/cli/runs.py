"""Commands that run stages."""
# ruff: noqa: PLC0415 - Spark is imported by those who need it

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.events import log_event, logging_to
from minia_spark.base.files import lose_output
from minia_spark.engine.commands import (
    add_replace,
    add_run_settings,
    add_source,
    add_warehouse,
    carry_out,
    positive,
    request_of,
    run_stages,
    runner_of,
    settings_of_warehouse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["remove_batch", "reprocess", "run", "stage"]


def _add_lines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lines",
        metavar="LINE,...",
        help="lines to bring up to date, e.g. discovery,map; sets run.lines",
    )


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia run``."""
    parser.add_argument(
        "stage_command", nargs="?", metavar="STAGE", help="only this stage (default: all)"
    )
    add_warehouse(parser)
    add_source(parser, required=False)
    _add_lines(parser)
    add_run_settings(parser)
    add_replace(parser)


def run(options: argparse.Namespace) -> int:
    """Bring everything up to date, or one stage."""
    from minia_spark.warehouse.warehouse import Warehouse

    if options.stage_command is not None:
        known = options.house.stage_commands
        if options.stage_command not in known:
            raise SettingsError(
                f"there is no stage {options.stage_command!r}; stages: {', '.join(known)}"
            )
        options.command = options.stage_command
        return run_stages(options)
    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse)
    request = request_of(options, options.house.stages_of(settings.run.lines))
    return carry_out(options, request, settings, warehouse)


def stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command for one stage."""
    name = parser.prog.rpartition(" ")[2]
    parser.set_defaults(stage_command=name)
    add_warehouse(parser)
    if name == "ingest":
        add_source(parser, required=True)
    elif parser.get_default("house").by_name[name].per_batch:
        parser.add_argument("--batch", metavar="NAME", help="only this batch (default: all)")
    add_run_settings(parser)
    add_replace(parser)


def stage(options: argparse.Namespace) -> int:
    """Bring one stage up to date."""
    return run_stages(options)


def remove_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia batch remove``."""
    parser.add_argument("batch", metavar="NAME")
    add_warehouse(parser)
    add_run_settings(parser)


def remove_batch(options: argparse.Namespace) -> int:
    """Publish a state without a batch."""
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    settings = settings_of_warehouse(options, warehouse)
    stages = tuple(stage.name for stage in options.house.stages)
    request = Request(f"minia batch remove {options.batch}", stages, removed=options.batch)
    return carry_out(options, request, settings, warehouse)


def reprocess_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia reprocess``."""
    add_warehouse(parser)
    parser.add_argument(
        "--inbox", type=Path, required=True, metavar="DIR", help="folder where batches arrive"
    )
    _add_lines(parser)
    parser.add_argument(
        "--settle",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="leave out what changed less than so long ago (0)",
    )
    parser.add_argument(
        "--batches-per-run",
        type=positive,
        default=1,
        metavar="N",
        help="publish so many new batches together, mining once for them (1: each as it is done)",
    )
    parser.add_argument(
        "--empty-exit-code",
        type=_free_exit_code,
        default=0,
        metavar="CODE",
        help="exit code when nothing was new: 0, or 4 to 125 (0)",
    )
    add_run_settings(parser)
    add_replace(parser)


def reprocess(options: argparse.Namespace) -> int:
    """Bring in what is new in an inbox; its exit code tells of failed batches."""
    from minia_spark.engine import update
    from minia_spark.engine.cost import check_disk, check_memory
    from minia_spark.engine.metrics import write_metrics
    from minia_spark.engine.progress import Progress
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse)
    check_memory(options.house, settings)
    check_disk(options.house, settings, warehouse.storage.local)
    progress = Progress(quiet=options.quiet)

    lost: list[OSError] = []
    news: dict[str, str] = {}  # by place, so that each is told once

    def put(line: str) -> None:
        try:
            print(line, flush=True)
        except OSError as error:  # a full disk, a reader that has gone: batches matter more
            lost.append(error)
            lose_output(sys.stdout)

    def tell(outcome: update.Outcome) -> None:
        if outcome.verdict == "done":
            news.update(_news(warehouse))
        if outcome.verdict == "failed":
            progress.warn(f"{outcome.title}: {outcome.text}")
        elif outcome.verdict != "known":
            put(f"{outcome.title}: {outcome.verdict}: {outcome.text}")

    counts = None
    with logging_to(settings.log.file):
        try:
            outcomes = update.reprocess(
                options.inbox,
                runner_of(options, settings, warehouse, progress),
                tell=tell,
                settle_seconds=options.settle,
                batches_per_run=options.batches_per_run,
                replace=options.replace,
                follow_links_outside=settings.get("ingest.follow_links_outside"),
            )
            for line in news.values():
                put(f"news: {line}")
                log_event("news", line)
            counts = update.counts_of(outcomes)
            log_event("inbox done", update.summary(outcomes), counts=counts)
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn, inbox=counts)
    put(update.summary(outcomes))
    if lost:
        raise MiniaError(f"the output cannot be written: {lost[0].strerror}; all else was done")
    return update.exit_code(outcomes, empty=options.empty_exit_code)


def _news(warehouse: Warehouse) -> Iterator[tuple[str, str]]:
    """Yield what the newest state's newest batch brought, after the place where that is written."""
    from minia_spark.gallery.news import line
    from minia_spark.gallery.tables import GALLERY, NEWS

    for entry in warehouse.catalogue().of_table(GALLERY.name):
        place = f"{entry.path}/{NEWS}"
        if warehouse.storage.exists(place):  # none where an older version made the page
            for number, one in enumerate(json.loads(warehouse.storage.read(place))):
                yield f"{place} {number}", line(one)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 or more")
    return value


def _free_exit_code(text: str) -> int:
    value = int(text)
    if value != 0 and not 4 <= value <= 125:
        raise argparse.ArgumentTypeError("must be 0 or 4 to 125: the others have their meaning")
    return value
