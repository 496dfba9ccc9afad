"""The command ``minia``; ``jobs/*.py`` take the same arguments under spark-submit.

Only arguments, messages and exit codes are here: what a command does is in
:mod:`minia_spark.pipeline`, :mod:`minia_spark.warehouse` and the stages.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark import __version__
from minia_spark.config import Settings, commented_yaml, load_settings
from minia_spark.errors import InputError, MiniaError, SettingsError, root_cause
from minia_spark.events import log_event, logging_to

if TYPE_CHECKING:
    from minia_spark.pipeline import Request
    from minia_spark.warehouse import Warehouse

__all__ = ["main"]

Handler = Callable[[argparse.Namespace], int]

_EXIT_CODES = """\
exit codes: 0 done, or nothing to do; 2 wrong settings or usage; 3 the input cannot be used;
1 anything else. Progress goes to stderr, results to stdout."""

_STAGE_EXAMPLES = {
    "ingest": "  minia ingest --images survey/night1 --batch night1 --warehouse W",
    "vocabulary": "  minia vocabulary --warehouse W\n  minia vocabulary refit --warehouse W",
    "mine": "  minia mine --warehouse W --set mining.decoys=20\n"
    "  minia mine --words corpus.words --model OUT --assessment OUT.csv\n"
    "  minia mine --words corpus.words --model OUT --link single  # as the reference program",
    "structures": "  minia structures --warehouse W\n  minia structures diff 3 4 --warehouse W",
}
"""Where the command's name and a warehouse do not say it all."""

_STAGES = {
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
_ALL_STAGES = tuple(name for _, names in _STAGES.values() for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Without the program's name; None takes those of the process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if getattr(options, "log_json", None) is not None:
        options.set.append(f"log.file={json.dumps(options.log_json)}")
    logging.getLogger("py4j").setLevel(logging.ERROR)
    handler: Handler = options.handler
    try:
        with _termination_interrupts():
            code = handler(options)
        _flush()
        return code
    except MiniaError as error:
        print(f"minia {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"minia {options.command}: interrupted; the next run goes on", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away
        _discard_output()
        return 1
    except Exception as error:
        if os.environ.get("MINIA_TRACEBACK"):
            traceback.print_exc()
        print(
            f"minia {options.command}: {root_cause(error)}\n{_advice(error, options)}"
            "Readers still see the state before this run, and what it finished is kept: start it "
            "again. MINIA_TRACEBACK=1 shows where it happened.",
            file=sys.stderr,
        )
        return 1


def _advice(error: Exception, options: argparse.Namespace) -> str:
    if "No space left on device" not in str(error):
        return ""
    where = getattr(options, "warehouse", None) or "the warehouse"
    return f"Make room in {where} and in Spark's scratch folder (SPARK_LOCAL_DIRS, else TMPDIR).\n"


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Take SIGTERM, by which schedulers stop a job, for Ctrl-C: what is held is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _flush() -> None:
    """Write what is left of the output; MiniaError when that fails, as on a full disk."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_output()
        raise MiniaError(f"the output cannot be written: {error.strerror}") from None


def _discard_output() -> None:
    """Keep Python from failing once more, over the same output, while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- arguments --------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minia",
        description="Find recurring visual patterns in large collections of astronomical images.",
        epilog="The usual start:\n"
        "  minia run --images DIR --batch NAME --warehouse DIR\n"
        "Then open DIR/report/index.html.\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minia {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(
        commands,
        "run",
        _run,
        "bring everything up to date: from images to structures and the page",
        "Adds --images as batch NAME (or replaces it when its files changed), then runs every "
        "stage whose settings, code or input changed, and publishes all results at once. A second "
        "call does nothing. A run that broke off is continued.",
        examples="  minia run --images survey/night1 --batch night1 --warehouse W\n"
        "  minia run --images survey/night1 --batch night1 --warehouse W --set codebook.size=500\n"
        "  minia run --warehouse W --set mining.tables=2000     # other settings, same batches",
    )
    _add_source(run, required=False)
    _add_run_settings(run)

    plan = _command(
        commands,
        "plan",
        _plan,
        "print what a run would do, and why; nothing is started",
        "Takes the arguments of 'minia run'. Refuses settings that cannot work.",
        examples="  minia plan --images survey/night2 --batch night2 --warehouse W\n"
        "  minia plan --warehouse W --for-images 100000000 --cores 500",
    )
    _add_source(plan, required=False)
    scale = plan.add_argument_group("what a collection of any size would cost")
    scale.add_argument(
        "--for-images", type=_positive, metavar="N", help="tasks, bytes, memory and time for N"
    )
    scale.add_argument(
        "--cores", type=_positive, metavar="N", help="default: those of spark.master"
    )
    scale.add_argument(
        "--pixels", type=_positive, metavar="N", help="of an image; default: as in the warehouse"
    )
    scale.add_argument(
        "--features", type=_positive, metavar="N", help="of an image; default: as in the warehouse"
    )
    plan.add_argument(
        "--refit", action="store_true", help="plan 'minia vocabulary refit' instead of 'minia run'"
    )
    _add_settings(plan)
    plan.add_argument("--json", action="store_true", help="for programs")

    _add_reprocess(commands)
    for name, (summary, _) in _STAGES.items():
        stage = _command(
            commands,
            name,
            _mine if name == "mine" else _stage,
            summary,
            f"Runs the stage '{name}' when its settings, code or input changed, and publishes it.",
            examples=_STAGE_EXAMPLES.get(name, f"  minia {name} --warehouse W"),
            warehouse=name != "mine",
        )
        if name == "ingest":
            _add_source(stage, required=True)
        elif name in ("features", "words"):
            stage.add_argument("--batch", metavar="NAME", help="only this batch (default: all)")
        if name == "mine":
            _add_corpus(stage)
        if name == "vocabulary":
            stage.set_defaults(handler=_vocabulary)
            stage.add_argument(
                "refit",
                nargs="?",
                choices=("refit",),
                help="fit a new vocabulary to all batches, give every image its new words and mine "
                "anew, all published at once; table word_map says where the old words went. With "
                "the settings of the run that published the current state, unless --config is "
                "given",
            )
        if name == "structures":
            stage.set_defaults(handler=_structures)
            stage.add_argument(
                "diff",
                nargs="*",
                metavar="diff RUN RUN",
                help="instead: what became of every structure between two runs (or states)",
            )
        _add_run_settings(stage)

    _add_warehouse_commands(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    handler: Handler,
    summary: str,
    description: str = "",
    *,
    examples: str = "",
    warehouse: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=("examples:\n" + examples + "\n\n" if examples else "") + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler)
    if warehouse:
        parser.add_argument(
            "--warehouse", required=True, metavar="DIR", help="local path, or hdfs:// or s3:// URI"
        )
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings in YAML; see 'minia settings'")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, e.g. codebook.size=500 or spark.master='local[2]'; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")


def _add_run_settings(parser: argparse.ArgumentParser) -> None:
    _add_settings(parser)
    parser.add_argument(
        "--log-json", metavar="FILE", help="append events as JSON, one a line; sets log.file"
    )


def _add_source(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--images",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder of JPEG, PNG, TIFF, FITS or Parquet files, searched recursively",
    )
    parser.add_argument(
        "--batch", required=required, metavar="NAME", help="name of the batch of these images"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels and sky positions of the images"
    )


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--warehouse", metavar="DIR", help="local path, or hdfs:// or s3:// URI")
    corpus = parser.add_argument_group("to mine a corpus file, without a warehouse")
    corpus.add_argument("--words", type=Path, metavar="FILE", help="corpus: a document a line")
    corpus.add_argument("--model", type=Path, metavar="OUT", help="where the structures go")
    corpus.add_argument(
        "--assessment", type=Path, metavar="CSV", help="where what is known of each goes"
    )
    parser.add_argument(
        "--engine", choices=("auto", "native", "datasketch"), help="sets mining.engine"
    )
    parser.add_argument("--link", choices=("consensus", "single"), help="sets mining.link")
    parser.add_argument(
        "--auto",
        action="store_true",
        help="choose mining.tuple_size and mining.tables from what chance does, also where the "
        "configuration sets them; --set still wins",
    )


def _add_warehouse_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    from minia_spark import inspection  # noqa: PLC0415 - these commands need no Spark

    _add_batch_commands(commands)
    status = _command(commands, "status", inspection.status, "what is in the warehouse now")
    status.add_argument("--json", action="store_true", help="for programs")
    history = _command(
        commands, "history", inspection.history, "the states and the runs, newest first"
    )
    history.add_argument("--json", action="store_true", help="for programs")
    rollback = _command(
        commands,
        "rollback",
        inspection.rollback,
        "publish an earlier state again",
        "The earlier state becomes a new one: history stays, and rollback can be rolled back.",
        examples="  minia rollback --warehouse W\n  minia rollback --warehouse W --to 3",
    )
    rollback.add_argument("--to", type=int, metavar="STATE", help="default: the one before")
    vacuum = _command(
        commands,
        "vacuum",
        inspection.vacuum,
        "remove what no kept state needs",
        "Removes old states and the folders of runs that no kept state names. Readers of a removed "
        "state fail; make sure that nobody reads it.",
        examples="  minia vacuum --warehouse W --dry-run\n  minia vacuum --warehouse W --keep 5",
    )
    vacuum.add_argument("--keep", type=_positive, default=2, metavar="N", help="states to keep (2)")
    vacuum.add_argument("--dry-run", action="store_true", help="only say what would go")
    path = _command(
        commands,
        "path",
        inspection.path,
        "print the Parquet folders of a table's current state",
        "One folder a line; read them together.",
        examples="  minia path words --warehouse W\n"
        "  python -c 'import pandas, sys; print(pandas.read_parquet(sys.argv[1]))' \"$(minia path "
        'structures --warehouse W)"',
    )
    path.add_argument("table", metavar="TABLE")
    path.add_argument("--batch", metavar="NAME", help="only this batch")
    export = _command(
        commands,
        "export",
        _export,
        "write words, inverted file, features or structures in minIA's and smhcmd's formats",
        "words:      OUT (.words: a document a line), with OUT.images naming each line's image\n"
        "ifs:        OUT (.ifs: a word a line), with OUT.images naming each document number\n"
        "features:   OUT (CSV location_x,location_y,size[,score],image_name,visual_word_id) and\n"
        "            OUT.descriptors (one a line)\n"
        "structures: OUT (.model: a structure a line)",
        examples="  minia export words night1.words --warehouse W\n"
        "  minia export features all.csv --warehouse W --batch night1",
    )
    export.add_argument("what", choices=("words", "ifs", "features", "structures"))
    export.add_argument("out", type=Path, metavar="OUT")
    export.add_argument("--batch", metavar="NAME", help="only this batch (default: all)")
    _add_settings(export)
    settings = _command(
        commands,
        "settings",
        _settings,
        "print every setting, commented, as YAML",
        examples="  minia settings > minia.yaml\n  minia settings --config minia.yaml",
        warehouse=False,
    )
    settings.add_argument("--config", metavar="FILE", help="fill in the values of this file")
    settings.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    demo = _command(
        commands,
        "demo",
        _demo,
        "make a small survey with known truth and run everything on it",
        "Cuts sources out of the Hubble deep field image that scikit-image carries, generates a "
        "survey with planted structures, runs every stage, and says how many planted structures "
        "were found.",
        examples="  minia demo --warehouse demo/warehouse",
    )
    _add_run_settings(demo)


def _add_batch_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from minia_spark import inspection  # noqa: PLC0415

    batch = commands.add_parser(
        "batch",
        help="list the batches of images, remove one",
        description="'minia run' and 'minia reprocess' add batches and replace changed ones.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = batch.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _command(
        actions,
        "list",
        inspection.batches,
        "the batches: images, rejects, when they were read and by which run",
        examples="  minia batch list --warehouse W",
    )
    listing.add_argument("--json", action="store_true", help="for programs")
    remove = _command(
        actions,
        "remove",
        _remove_batch,
        "take a batch out of the collection",
        "Publishes a state without the batch: structures, their images and the page are made anew "
        "from the others, none of which is read or extracted again; the vocabulary stays. The "
        "settings are those of the run that published the current state, unless --config is given. "
        "Earlier states keep the batch until 'minia vacuum'.",
        examples="  minia batch remove night7 --warehouse W",
    )
    remove.add_argument("batch", metavar="NAME")
    _add_run_settings(remove)


def _add_reprocess(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reprocess = _command(
        commands,
        "reprocess",
        _reprocess,
        "bring in every batch of an inbox that is new or changed; what a scheduler calls",
        "Every folder in the inbox is a batch of its name; so is every list of files (*.txt, "
        "*.list: one path a line, relative to the inbox). Those that no run took yet are brought "
        "in, in natural order of their names; changed ones replace their batch; those with the "
        "content of another batch are left out. Names that begin with a dot or end in .part or "
        ".tmp are still being written. A batch that cannot be used does not keep the next ones "
        "waiting: the exit code tells at the end, and the next call tries it again. What was "
        "removed ('minia batch remove', 'minia rollback') stays out until its files change.",
        examples="  minia reprocess --inbox survey --warehouse W\n"
        "  minia reprocess --inbox survey --warehouse W --settle 600 --empty-exit-code 99\n"
        "  minia reprocess --inbox survey --warehouse W --batches-per-run 30   # a backlog",
    )
    reprocess.add_argument(
        "--inbox", type=Path, required=True, metavar="DIR", help="folder where batches arrive"
    )
    reprocess.add_argument(
        "--settle",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="leave out what changed less than so long ago (0)",
    )
    reprocess.add_argument(
        "--batches-per-run",
        type=_positive,
        default=1,
        metavar="N",
        help="publish so many new batches together, mining once for them (1: each as it is done)",
    )
    reprocess.add_argument(
        "--empty-exit-code",
        type=_free_exit_code,
        default=0,
        metavar="CODE",
        help="exit code when nothing was new: 0, or 4 to 125 (0)",
    )
    _add_run_settings(reprocess)


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


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


# -- commands that may start Spark ----------------------------------------------------------------


def _settings_of(options: argparse.Namespace) -> Settings:
    if getattr(options, "labels", None) is not None:
        options.set.append(f"ingest.labels.file={json.dumps(str(options.labels))}")
    return load_settings(options.config, options.set)


def _run(options: argparse.Namespace) -> int:
    return _execute(options, _ALL_STAGES)


def _reprocess(options: argparse.Namespace) -> int:
    from minia_spark.estimates import check_disk, check_memory  # noqa: PLC0415
    from minia_spark.metrics import write_metrics  # noqa: PLC0415
    from minia_spark.progress import Progress  # noqa: PLC0415
    from minia_spark.reprocess import (  # noqa: PLC0415
        Outcome,
        counts_of,
        exit_code,
        reprocess,
        summary,
    )
    from minia_spark.session import open_session  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

    settings = _settings_of(options)
    check_memory(settings)
    progress = Progress(quiet=options.quiet)
    warehouse = Warehouse(options.warehouse)
    check_disk(settings, warehouse.storage.local)

    def tell(outcome: Outcome) -> None:
        if outcome.verdict == "failed":
            progress.warn(f"{outcome.title}: {outcome.text}")
        elif outcome.verdict != "known":
            print(f"{outcome.title}: {outcome.verdict}: {outcome.text}", flush=True)

    counts = None
    with logging_to(settings.log.file):
        try:
            outcomes = reprocess(
                options.inbox,
                settings,
                warehouse,
                progress,
                lambda: open_session(settings.spark),
                tell=tell,
                settle_seconds=options.settle,
                batches_per_run=options.batches_per_run,
            )
            counts = counts_of(outcomes)
            log_event("inbox done", summary(outcomes), counts=counts)
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn, inbox=counts)
    print(summary(outcomes))
    return exit_code(outcomes, empty=options.empty_exit_code)


def _stage(options: argparse.Namespace) -> int:
    return _execute(options, _STAGES[options.command][1])


def _vocabulary(options: argparse.Namespace) -> int:
    if options.refit is None:
        return _stage(options)
    from minia_spark.pipeline import Request  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

    warehouse = Warehouse(options.warehouse)
    settings = _settings_of_state(options, warehouse)
    request = Request("minia vocabulary refit", _ALL_STAGES, refit=True)
    return _carry_out(request, settings, warehouse, quiet=options.quiet)


def _structures(options: argparse.Namespace) -> int:
    if not options.diff:
        return _stage(options)
    if len(options.diff) != 3 or options.diff[0] != "diff":
        raise SettingsError("expected 'minia structures diff RUN RUN', the older run first")
    from minia_spark.inspection import print_fates  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

    return print_fates(Warehouse(options.warehouse), *options.diff[1:])


def _mine(options: argparse.Namespace) -> int:
    if options.engine is not None:
        options.set.append(f"mining.engine={options.engine}")
    if options.link is not None:
        options.set.append(f"mining.link={options.link}")
    if options.auto:
        options.set[:0] = ["mining.tuple_size=null", "mining.tables=null"]
    if options.words is None and options.model is None and options.assessment is None:
        if options.warehouse is None:
            raise SettingsError("give --warehouse DIR, or --words FILE with --model OUT")
        return _stage(options)
    if options.words is None or options.model is None or options.warehouse is not None:
        raise SettingsError("--words FILE and --model OUT belong together, without --warehouse")
    from minia_spark.corpus import mine_file  # noqa: PLC0415

    return mine_file(
        options.words,
        options.model,
        _settings_of(options),
        assessment=options.assessment,
        quiet=options.quiet,
    )


def _execute(options: argparse.Namespace, stages: tuple[str, ...]) -> int:
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

    request = _request(options, stages)
    settings = _settings_of(options)
    return _carry_out(request, settings, Warehouse(options.warehouse), quiet=options.quiet)


def _carry_out(request: Request, settings: Settings, warehouse: Warehouse, *, quiet: bool) -> int:
    from minia_spark.estimates import check_disk, check_memory  # noqa: PLC0415
    from minia_spark.metrics import write_metrics  # noqa: PLC0415
    from minia_spark.pipeline import execute  # noqa: PLC0415 - Spark is imported when needed
    from minia_spark.progress import Progress  # noqa: PLC0415
    from minia_spark.session import open_session  # noqa: PLC0415

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
    from minia_spark.pipeline import Request  # noqa: PLC0415
    from minia_spark.stage import Source  # noqa: PLC0415
    from minia_spark.warehouse import check_batch_name  # noqa: PLC0415

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


def _remove_batch(options: argparse.Namespace) -> int:
    from minia_spark.pipeline import STAGES, Request  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

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


def _plan(options: argparse.Namespace) -> int:
    from minia_spark.estimates import (  # noqa: PLC0415
        check_disk,
        check_memory,
        estimate,
        plan_for,
        print_plan,
    )
    from minia_spark.pipeline import make_plan  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

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


def _export(options: argparse.Namespace) -> int:
    from minia_spark.export import export  # noqa: PLC0415
    from minia_spark.progress import Progress  # noqa: PLC0415
    from minia_spark.session import open_session  # noqa: PLC0415
    from minia_spark.warehouse import Warehouse  # noqa: PLC0415

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


def _settings(options: argparse.Namespace) -> int:
    sys.stdout.write(commented_yaml(_settings_of(options)))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from minia_spark.demo import run_demo  # noqa: PLC0415

    with logging_to(_settings_of(options).log.file):
        return run_demo(options.warehouse, options.config, options.set, quiet=options.quiet)


if __name__ == "__main__":
    sys.exit(main())
