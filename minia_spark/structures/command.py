"""The command ``minia structures``: the images of the structures, or a comparison of two states."""

from __future__ import annotations

import argparse

from minia_spark.base.errors import SettingsError
from minia_spark.engine.commands import run_stages, stage_arguments

__all__ = ["arguments", "structures"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.set_defaults(stage_command="structures")
    parser.add_argument(
        "diff",
        nargs="*",
        metavar="diff RUN RUN",
        help="instead: what became of every structure between two runs (or states)",
    )
    parser.add_argument("--variant", metavar="NAME", help="extractor whose structures to compare")
    stage_arguments(parser)


def structures(options: argparse.Namespace) -> int:
    """Find the images of the structures, or compare two states."""
    if not options.diff:
        return run_stages(options)
    if len(options.diff) != 3 or options.diff[0] != "diff":
        raise SettingsError("expected 'minia structures diff RUN RUN', the older run first")
    from minia_spark.structures.fates import print_fates  # noqa: PLC0415 - loads NumPy
    from minia_spark.warehouse.warehouse import Warehouse  # noqa: PLC0415

    return print_fates(Warehouse(options.warehouse), *options.diff[1:], variant=options.variant)
