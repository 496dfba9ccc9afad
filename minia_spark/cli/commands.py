"""What the commands that may start Spark do with their arguments.

They turn arguments into settings and a request, open the warehouse, and call. Spark and the stages
are imported when a command needs them, so that ``--help`` and a wrong argument answer at once.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.events import log_event, logging_to
from minia_spark.engine.settings import Settings, commented_yaml, load_settings

if TYPE_CHECKING:
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "STAGE_COMMANDS",
    "demo",
    "export_table",
    "mine",
    "plan",
    "print_settings",
    "remove_batch",
    "reprocess",
    "run",
    "stage",
    "structures",
    "vocabulary",
]

STAGE_COMMANDS = {
    "ingest": ("read a folder of images into a batch", ("ingest",)),
    "features": ("extract local descriptors of every image", ("features",)),
    "vocabulary": ("fit the visual words (distributed k-means)", ("vocabulary",)),
    "words": ("give every descriptor its word, every image its bag of words", ("words", "drift")),
    "mine": ("mine the structures: words that keep occurring together", ("tune", "sketch", "mine")),
    "structures": (
        "find the images of every structure, and what became of those before",
        ("structures", "lineage"),
    ),
    "report": ("build the page", ("report",)),
}
"""Of every command for one stage: its summary, and the stages that it brings up to date."""
_ALL_STAGES = tuple(name for _, names in STAGE_COMMANDS.values() for name in names)


def _settings_of(options: argparse.Namespace) -> Settings:
    if getattr(options, "labels", None) is not None:
        options.set.append(f"ingest.labels.file={json.dumps(str(options.labels))}")
    return load_settings(options.config, options.set)


def run(options: argparse.Namespace) -> int:
    """Bring everything up to date."""
    return _execute(options, _ALL_STAGES)


def reprocess(options: argparse.Namespace) -> int:
    """Bring in what is new in an inbox; its exit code tells of failed batches."""
    from minia_spark.engine import update as inbox
    from minia_spark.engine.estimates import check_disk, check_memory
    from minia_spark.engine.metrics import write_metrics
    from minia_spark.engine.progress import Progress
    from minia_spark.engine.session import open_session
    from minia_spark.warehouse.warehouse import Warehouse

    settings = _settings_of(options)
    check_memory(settings)
    progress = Progress(quiet=options.quiet)
    warehouse = Warehouse(options.warehouse)
    check_disk(settings, warehouse.storage.local)

    def tell(outcome: inbox.Outcome) -> None:
        if outcome.verdict == "failed":
            progress.warn(f"{outcome.title}: {outcome.text}")
        elif outcome.verdict != "known":
            print(f"{outcome.title}: {outcome.verdict}: {outcome.text}", flush=True)

    counts = None
    with logging_to(settings.log.file):
        try:
            outcomes = inbox.reprocess(
                options.inbox,
                settings,
                warehouse,
                progress,
                lambda: open_session(settings.spark),
                tell=tell,
                settle_seconds=options.settle,
                batches_per_run=options.batches_per_run,
            )
            counts = inbox.counts_of(outcomes)
            log_event("inbox done", inbox.summary(outcomes), counts=counts)
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn, inbox=counts)
    print(inbox.summary(outcomes))
    return inbox.exit_code(outcomes, empty=options.empty_exit_code)


def stage(options: argparse.Namespace) -> int:
    """Bring one stage up to date."""
    return _execute(options, STAGE_COMMANDS[options.command][1])


def vocabulary(options: argparse.Namespace) -> int:
    """Fit the vocabulary, or fit it anew and give everything its new words."""
    if options.refit is None:
        return stage(options)
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = _settings_of_state(options, warehouse)
    request = Request("minia vocabulary refit", _ALL_STAGES, refit=True)
    return _carry_out(request, settings, warehouse, quiet=options.quiet)


def structures(options: argparse.Namespace) -> int:
    """Find the images of the structures, or compare two runs."""
    if not options.diff:
        return stage(options)
    if len(options.diff) != 3 or options.diff[0] != "diff":
        raise SettingsError("expected 'minia structures diff RUN RUN', the older run first")
    from minia_spark.cli.inspection import print_fates
    from minia_spark.warehouse.warehouse import Warehouse

    return print_fates(Warehouse(options.warehouse), *options.diff[1:])


def mine(options: argparse.Namespace) -> int:
    """Mine a warehouse, or a corpus file without one."""
    if options.engine is not None:
        options.set.append(f"mining.engine={options.engine}")
    if options.link is not None:
        options.set.append(f"mining.link={options.link}")
    if options.auto:
        options.set[:0] = ["mining.tuple_size=null", "mining.tables=null"]
    corpus = (options.words, options.model, options.assessment, options.vocab)
    if all(value is None for value in corpus):
        if options.warehouse is None:
            raise SettingsError("give --warehouse DIR, or --words FILE with --model OUT")
        return stage(options)
    if options.words is None or options.model is None or options.warehouse is not None:
        raise SettingsError("--words FILE and --model OUT belong together, without --warehouse")
    from minia_spark.mining.corpus_file import mine_file

    return mine_file(
        options.words,
        options.model,
        _settings_of(options),
        assessment=options.assessment,
        vocabulary=options.vocab,
        quiet=options.quiet,
    )


def _execute(options: argparse.Namespace, stages: tuple[str, ...]) -> int:
    from minia_spark.warehouse.warehouse import Warehouse

    request = _request(options, stages)
    settings = _settings_of(options)
    return _carry_out(request, settings, Warehouse(options.warehouse), quiet=options.quiet)


def _carry_out(request: Request, settings: Settings, warehouse: Warehouse, *, quiet: bool) -> int:
    from minia_spark.engine.estimates import check_disk, check_memory
    from minia_spark.engine.metrics import write_metrics
    from minia_spark.engine.progress import Progress
    from minia_spark.engine.run import execute
    from minia_spark.engine.session import open_session

    check_memory(settings)
    check_disk(settings, warehouse.storage.local)
    progress = Progress(quiet=quiet)
    with logging_to(settings.log.file):
        try:
            record = execute(
                request, settings, warehouse, progress, lambda: open_session(settings.spark)
            )
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn)
    if record.state == "nothing to do":
        print("nothing to do: everything is up to date")
    else:
        state = warehouse.catalogue(record.catalogue)
        seconds = sum(step.seconds for step in record.steps)
        rows = state.rows()
        told = [f"{len(state.batches):,} batches"]
        told += [f"{rows.get(table, 0):,} {table}" for table in ("images", "rejects", "structures")]
        print(
            f"done in {seconds:.1f} s: run {record.run}, state {state.version}: {', '.join(told)}"
        )
    page = warehouse.storage.full("report/index.html")
    if warehouse.storage.exists("report/index.html"):
        print(f"page: {page}")
    return 0


def _request(options: argparse.Namespace, stages: tuple[str, ...]) -> Request:
    from minia_spark.engine.plan import Request
    from minia_spark.engine.stage import Source
    from minia_spark.warehouse.records import check_batch_name

    images = getattr(options, "images", None)
    labels = getattr(options, "labels", None)
    batch = getattr(options, "batch", None)
    if batch is not None:
        check_batch_name(batch)
    if images is not None and batch is None:
        raise SettingsError("--images needs --batch NAME: what shall the batch be called?")
    if labels is not None and images is None:
        raise SettingsError("--labels needs --images DIR: labels are read with their images")
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images} is not a folder that can be read")
    sources = {} if images is None or batch is None else {batch: Source(images)}
    words = [options.command, *(["--batch", batch] if batch else [])]
    return Request("minia " + " ".join(words), stages, batch, sources)


def remove_batch(options: argparse.Namespace) -> int:
    """Publish a state without a batch."""
    from minia_spark.engine.plan import STAGES, Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = _settings_of_state(options, warehouse)
    request = Request(
        f"minia batch remove {options.batch}",
        tuple(stage.name for stage in STAGES),
        removed=options.batch,
    )
    return _carry_out(request, settings, warehouse, quiet=options.quiet)


def _settings_of_state(options: argparse.Namespace, warehouse: Warehouse) -> Settings:
    """Return the settings that the current state was made with, unless a file is given."""
    state = warehouse.require()
    if options.config is not None:
        return _settings_of(options)
    try:
        return load_settings(None, options.set, defaults=warehouse.run(state.run).settings)
    except MiniaError as error:
        raise type(error)(
            f"{error}; or give --config FILE instead of what the ledger has"
        ) from None


def plan(options: argparse.Namespace) -> int:
    """Print what a run would do, or what a collection of any size would cost."""
    from minia_spark.engine.estimates import (
        check_disk,
        check_memory,
        estimate,
        plan_for,
        print_plan,
    )
    from minia_spark.engine.plan import make_plan
    from minia_spark.warehouse.warehouse import Warehouse

    request = _request(options, _ALL_STAGES)
    warehouse = Warehouse(options.warehouse)
    settings = _settings_of(options)
    if options.for_images is not None:
        plan_for(
            options.for_images,
            pixels=options.pixels,
            features=options.features,
            cores=options.cores,
            settings=settings,
            warehouse=warehouse,
            as_json=options.json,
        )
        return 0
    if options.cores or options.pixels or options.features:
        raise SettingsError("--cores, --pixels and --features belong to --for-images")
    if options.refit:
        if request.sources:
            raise SettingsError("--refit plans for the batches that are there, without --images")
        request = replace(request, refit=True)
        settings = _settings_of_state(options, warehouse)
    check_memory(settings)
    check_disk(settings, warehouse.storage.local)
    plan = make_plan(request, settings, warehouse)
    needs = estimate(plan, request, settings, warehouse)
    print_plan(plan, needs, as_json=options.json)
    return 0


def export_table(options: argparse.Namespace) -> int:
    """Write a table in the formats of minIA and smhcmd."""
    from minia_spark.cli.export import export
    from minia_spark.engine.progress import Progress
    from minia_spark.engine.session import open_session
    from minia_spark.warehouse.warehouse import Warehouse

    settings = _settings_of(options)
    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    written = export(
        options.what,
        options.out,
        warehouse=warehouse,
        batch=options.batch,
        settings=settings,
        spark=open_session(settings.spark),
        progress=Progress(quiet=options.quiet),
    )
    for path in written:
        print(path)
    return 0


def print_settings(options: argparse.Namespace) -> int:
    """Print every setting as YAML."""
    sys.stdout.write(commented_yaml(_settings_of(options)))
    return 0


def demo(options: argparse.Namespace) -> int:
    """Run everything on a small survey with known truth."""
    from minia_spark.cli.demo import run_demo

    with logging_to(_settings_of(options).log.file):
        return run_demo(options.warehouse, options.config, options.set, quiet=options.quiet)
