"""The arguments of ``minia``, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from minia_spark import __version__
from minia_spark.cli import commands, inspection

__all__ = ["Handler", "parser"]

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


def parser() -> argparse.ArgumentParser:
    """Return the parser; the parsed arguments name their handler."""
    top = argparse.ArgumentParser(
        prog="minia",
        description="Find recurring visual patterns in large collections of astronomical images.",
        epilog="The usual start:\n"
        "  minia run --images DIR --batch NAME --warehouse DIR\n"
        "Then open DIR/report/index.html.\n\n" + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"minia {__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = _command(
        subparsers,
        "run",
        commands.run,
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
        subparsers,
        "plan",
        commands.plan,
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

    _add_reprocess(subparsers)
    for name, (summary, _) in commands.STAGE_COMMANDS.items():
        stage = _command(
            subparsers,
            name,
            commands.mine if name == "mine" else commands.stage,
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
            stage.set_defaults(handler=commands.vocabulary)
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
            stage.set_defaults(handler=commands.structures)
            stage.add_argument(
                "diff",
                nargs="*",
                metavar="diff RUN RUN",
                help="instead: what became of every structure between two runs (or states)",
            )
        _add_run_settings(stage)

    _add_warehouse_commands(subparsers)
    return top


def _command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    handler: Handler,
    summary: str,
    description: str = "",
    *,
    examples: str = "",
    warehouse: bool = True,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
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
    corpus.add_argument(
        "--vocab", type=Path, metavar="FILE", help="the words' names, one a line, word 0 first"
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
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    _add_batch_commands(subparsers)
    status = _command(subparsers, "status", inspection.status, "what is in the warehouse now")
    status.add_argument("--json", action="store_true", help="for programs")
    history = _command(
        subparsers, "history", inspection.history, "the states and the runs, newest first"
    )
    history.add_argument("--json", action="store_true", help="for programs")
    rollback = _command(
        subparsers,
        "rollback",
        inspection.rollback,
        "publish an earlier state again",
        "The earlier state becomes a new one: history stays, and rollback can be rolled back.",
        examples="  minia rollback --warehouse W\n  minia rollback --warehouse W --to 3",
    )
    rollback.add_argument("--to", type=int, metavar="STATE", help="default: the one before")
    vacuum = _command(
        subparsers,
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
        subparsers,
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
        subparsers,
        "export",
        commands.export_table,
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
        subparsers,
        "settings",
        commands.print_settings,
        "print every setting, commented, as YAML",
        examples="  minia settings > minia.yaml\n  minia settings --config minia.yaml",
        warehouse=False,
    )
    settings.add_argument("--config", metavar="FILE", help="fill in the values of this file")
    settings.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    demo = _command(
        subparsers,
        "demo",
        commands.demo,
        "make a small survey with known truth and run everything on it",
        "Cuts sources out of the Hubble deep field image that scikit-image carries, generates a "
        "survey with planted structures, runs every stage, and says how many planted structures "
        "were found.",
        examples="  minia demo --warehouse demo/warehouse",
    )
    _add_run_settings(demo)


def _add_batch_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    batch = subparsers.add_parser(
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
        commands.remove_batch,
        "take a batch out of the collection",
        "Publishes a state without the batch: structures, their images and the page are made anew "
        "from the others, none of which is read or extracted again; the vocabulary stays. The "
        "settings are those of the run that published the current state, unless --config is given. "
        "Earlier states keep the batch until 'minia vacuum'.",
        examples="  minia batch remove night7 --warehouse W",
    )
    remove.add_argument("batch", metavar="NAME")
    _add_run_settings(remove)


def _add_reprocess(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reprocess = _command(
        subparsers,
        "reprocess",
        commands.reprocess,
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
