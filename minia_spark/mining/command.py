"""The command ``minia mine``: a warehouse's structures, or those of a corpus file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from minia_spark.base.errors import SettingsError
from minia_spark.engine.commands import (
    add_replace,
    add_run_settings,
    add_warehouse,
    run_stages,
    settings_of,
)

__all__ = ["arguments", "mine"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.set_defaults(stage_command="mine")
    add_warehouse(parser, required=False)
    corpus = parser.add_argument_group("to mine a corpus file, without a warehouse")
    corpus.add_argument("--words", type=Path, metavar="FILE", help="corpus: a document a line")
    corpus.add_argument("--model", type=Path, metavar="OUT", help="where the structures go")
    corpus.add_argument(
        "--assessment", type=Path, metavar="CSV", help="where what is known of each goes"
    )
    corpus.add_argument(
        "--vocab", type=Path, metavar="FILE", help="names of the words, one a line, to print"
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
    add_run_settings(parser)
    add_replace(parser)


def mine(options: argparse.Namespace) -> int:
    """Mine a warehouse, or a corpus file without one."""
    if options.engine is not None:
        options.set.append(f"mining.engine={options.engine}")
    if options.link is not None:
        options.set.append(f"mining.link={options.link}")
    if options.auto:
        options.set[:0] = ["mining.tuple_size=null", "mining.tables=null"]
    of_corpus = (options.words, options.model, options.assessment, options.vocab)
    if of_corpus == (None, None, None, None):
        if options.warehouse is None:
            raise SettingsError("give --warehouse DIR, or --words FILE with --model OUT")
        return run_stages(options)
    if options.words is None or options.model is None or options.warehouse is not None:
        raise SettingsError("--words FILE and --model OUT belong together, without --warehouse")
    # every core works on a collection of its own, and threads of a BLAS would be in their way
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from minia_spark.mining.corpus_file import mine_file  # noqa: PLC0415 - loads NumPy

    return mine_file(
        options.words,
        options.model,
        settings_of(options),
        assessment=options.assessment,
        vocabulary=options.vocab,
        quiet=options.quiet,
    )
