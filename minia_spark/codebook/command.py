"""The command ``minia codebook``."""

from __future__ import annotations

import argparse

from minia_spark.engine.commands import refit, run_stages, stage_arguments

__all__ = ["arguments", "codebook"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.set_defaults(stage_command="codebook")
    parser.add_argument(
        "refit",
        nargs="?",
        choices=("refit",),
        help="fit a new codebook to all batches, give every image its new words and mine anew, all "
        "published at once; table word_map says where the old words went",
    )
    stage_arguments(parser)


def codebook(options: argparse.Namespace) -> int:
    """Fit the codebook, or fit it anew and give everything its new words."""
    return run_stages(options) if options.refit is None else refit(options)
