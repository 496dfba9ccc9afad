"""Commands that say what a run would do, and with which settings."""
# ruff: noqa: PLC0415 - imported by those who need it

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from minia_spark.base.errors import SettingsError
from minia_spark.engine.commands import (
    add_replace,
    add_settings,
    add_source,
    add_warehouse,
    positive,
    request_of,
    settings_of,
    settings_of_warehouse,
)
from minia_spark.engine.settings import Settings, commented_yaml

if TYPE_CHECKING:
    from minia_spark.engine.cost import Needs

__all__ = ["plan", "print_settings"]


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia plan``."""
    add_warehouse(parser)
    add_source(parser, required=False)
    parser.add_argument("--lines", metavar="LINE,...", help="as for 'minia run'")
    scale = parser.add_argument_group("what a collection of any size would cost")
    scale.add_argument(
        "--for-images", type=positive, metavar="N", help="tasks, bytes, memory and time for N"
    )
    scale.add_argument("--cores", type=positive, metavar="N", help="default: those of spark.master")
    scale.add_argument(
        "--pixels", type=positive, metavar="N", help="of an image; default: as in the warehouse"
    )
    scale.add_argument(
        "--features", type=positive, metavar="N", help="of an image; default: as in the warehouse"
    )
    parser.add_argument(
        "--refit", action="store_true", help="plan 'minia codebook refit' instead of 'minia run'"
    )
    add_settings(parser)
    add_replace(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def plan(options: argparse.Namespace) -> int:
    """Print what a run would do, or what a collection of any size would cost."""
    from minia_spark.engine.cost import (
        check_disk,
        check_memory,
        estimate,
        plan_for,
        print_plan,
    )
    from minia_spark.engine.plan import make_plan
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse)
    request = request_of(options, options.house.stages_of(settings.run.lines))
    if options.for_images is not None:
        plan_for(
            options.house,
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
    check_memory(options.house, settings)
    check_disk(options.house, settings, warehouse.storage.local)
    made, planner = make_plan(options.house, request, settings, warehouse)
    needs = estimate(made, planner)
    print_plan(made, needs, as_json=options.json)
    if not options.json and any(
        step.stage.name == "codebook" and step.action == "run" for step in made.steps
    ):
        _print_expectation(needs, settings)
    return 0


def _print_expectation(needs: Needs, settings: Settings) -> None:
    """Say how many visual words there would be, and what so few images can give."""
    from minia_spark.codebook.settings import CodebookSettings
    from minia_spark.codebook.size import choose_size, expectation

    features = round(needs.images * needs.features_per_image)
    chosen, reason = choose_size(needs.images, features)
    size = settings.of(CodebookSettings).size
    if size == "auto":
        size = chosen
        print(f"visual words      {reason}")
    told = expectation(needs.images, features, size)
    if told is not None:
        print(f"to expect         {told}")


def settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia settings``."""
    parser.add_argument("--config", metavar="FILE", help="fill in the values of this file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--warehouse", metavar="DIR", help="print what this warehouse remembers instead of defaults"
    )


def print_settings(options: argparse.Namespace) -> int:
    """Print every setting as YAML."""
    from minia_spark.warehouse.warehouse import Warehouse

    if options.warehouse is None:
        settings = settings_of(options)
    else:
        warehouse = Warehouse(options.warehouse)
        settings = settings_of_warehouse(options, warehouse, warehouse.require())
    sys.stdout.write(commented_yaml(settings))
    return 0
