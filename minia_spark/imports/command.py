"""The command ``minia import``."""

from __future__ import annotations

import argparse
from pathlib import Path

from minia_spark.base.errors import InputError, SettingsError
from minia_spark.engine.commands import (
    add_run_settings,
    add_warehouse,
    carry_out,
    settings_of_warehouse,
)
from minia_spark.features.extractors import EXTRACTORS
from minia_spark.features.settings import FeaturesSettings

__all__ = ["arguments", "take_in"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument("what", choices=("features",))
    parser.add_argument("table", type=Path, metavar="CSV", help="positions and names of images")
    parser.add_argument("matrix", type=Path, metavar="TXT", help="descriptors, one a line")
    parser.add_argument("--batch", required=True, metavar="NAME", help="name of the new batch")
    parser.add_argument(
        "--images",
        dest="pictures",
        type=Path,
        metavar="DIR",
        help="folder or archive where the images are looked for, for the page",
    )
    parser.add_argument(
        "--extractor",
        choices=EXTRACTORS,
        help="whose features they are (default: as in the warehouse, else what they look like)",
    )
    add_warehouse(parser)
    add_run_settings(parser)


def take_in(options: argparse.Namespace) -> int:
    """Take features in as a batch."""
    from minia_spark.engine.plan import Request  # noqa: PLC0415
    from minia_spark.engine.stage import Source  # noqa: PLC0415
    from minia_spark.imports import sources  # noqa: PLC0415 - loads NumPy
    from minia_spark.warehouse.records import check_batch_name  # noqa: PLC0415
    from minia_spark.warehouse.warehouse import Warehouse  # noqa: PLC0415

    check_batch_name(options.batch)
    pictures = options.pictures
    if pictures is not None and not (pictures.is_dir() or pictures.is_file()):
        raise InputError(f"--images {pictures} is neither a folder nor an archive")
    source = Source(options.table, None, "features", options.matrix, pictures)
    beginning = sources.beginning_of(source)
    warehouse = Warehouse(options.warehouse)
    state = warehouse.catalogue()
    known = sorted({e.variant for e in state.of_table("features") if e.variant})
    extractor = options.extractor or (known[0] if known else sources.natural_extractor(beginning))
    if known and known != [extractor]:
        raise SettingsError(
            f"the features in {warehouse.storage} are of {' and '.join(known)}, and these would be "
            f"of {extractor}: give them a warehouse of their own"
        )
    if any(one.partition("=")[0].strip() == "features.extractors" for one in options.set):
        raise SettingsError("--extractor NAME says whose features these are, not --set")
    options.set.append(f"features.extractors=[{extractor}]")
    settings = settings_of_warehouse(options, warehouse, state)
    there = sources.stored_layout(warehouse, state, extractor)
    own = settings.of(FeaturesSettings)
    sources.layout_of(beginning, extractor, own, there, sources.title_of(options.matrix))
    request = Request(
        f"minia import features --batch {options.batch}",
        ("import",),
        sources={options.batch: source},
    )
    return carry_out(options, request, settings, warehouse)
