"""What commands have in common: their arguments, their settings, and carrying out a request.

Spark and the stages are imported when a command needs them, so that ``--help`` and a wrong argument
answer at once, and so does a run that has nothing to do.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, MiniaError, SettingsError, leaving_readers
from minia_spark.base.events import logging_to
from minia_spark.base.files import expanded

if TYPE_CHECKING:
    from minia_spark.engine.plan import Request
    from minia_spark.engine.progress import Progress
    from minia_spark.engine.room import House
    from minia_spark.engine.run import Runner
    from minia_spark.engine.settings import Settings
    from minia_spark.warehouse.records import Catalogue, RunRecord
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "add_replace",
    "add_run_settings",
    "add_settings",
    "add_source",
    "add_warehouse",
    "carry_out",
    "free_exit_code",
    "inputs_of",
    "positive",
    "refuse_in_warehouse",
    "refuse_overwriting",
    "request_of",
    "run_stages",
    "runner_of",
    "settings_of",
    "settings_of_warehouse",
    "share",
    "stage_arguments",
]

_MOST = 2**31 - 1
_FIRST_FREE, _LAST_FREE = 4, 125


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def positive(text: str) -> int:
    """Return a whole number of at least 1, for argparse."""
    value = _whole(text)
    if not 1 <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"must be at least 1 and at most {_MOST:,}")
    return value


def share(text: str) -> float:
    """Return a number from 0 to 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def free_exit_code(text: str) -> int:
    """Return 0 or an exit code that has no meaning yet, for argparse."""
    value = _whole(text)
    if value and not _FIRST_FREE <= value <= _LAST_FREE:
        raise argparse.ArgumentTypeError(
            f"must be 0, or {_FIRST_FREE} to {_LAST_FREE}: the others have their meaning"
        )
    return value


def add_warehouse(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--warehouse``."""
    parser.add_argument(
        "--warehouse", required=required, metavar="DIR", help="local path, or hdfs:// or s3:// URI"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, ``--set`` and ``--quiet``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings in YAML, in place of those that the warehouse remembers; see 'minia "
        "settings'",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, e.g. codebook.size=500 or spark.master='local[2]'; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="print warnings and errors only")


def add_run_settings(parser: argparse.ArgumentParser) -> None:
    """Add those, and ``--log-json``."""
    add_settings(parser)
    parser.add_argument(
        "--log-json", metavar="FILE", help="append events as JSON, one a line; sets log.file"
    )


def add_replace(parser: argparse.ArgumentParser) -> None:
    """Add ``--replace``."""
    parser.add_argument(
        "--replace",
        action="store_true",
        help="other settings may throw away features or the codebook that are there",
    )


def add_source(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add ``--images``, ``--batch`` and ``--labels``."""
    parser.add_argument(
        "--images",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder of JPEG, PNG, TIFF, FITS, Parquet or HDF5 files and of .tar, .tar.gz and .zip "
        "archives of them, searched recursively; or one archive",
    )
    parser.add_argument(
        "--batch", required=required, metavar="NAME", help="name of the batch of these images"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels and sky positions of the images"
    )


def stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command for one stage."""
    add_warehouse(parser)
    add_run_settings(parser)
    add_replace(parser)


# -- settings -------------------------------------------------------------------------------------


def _overrides(options: argparse.Namespace) -> list[str]:
    found = list(options.set)
    if getattr(options, "labels", None) is not None:
        place = str(expanded(options.labels).absolute())  # a later call may stand elsewhere
        found.append(f"ingest.labels.file={json.dumps(place)}")
    if getattr(options, "lines", None):
        found.append(f"run.lines={json.dumps(options.lines.split(','))}")
    if getattr(options, "log_json", None) is not None:
        found.append(f"log.file={json.dumps(options.log_json)}")
    return found


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of a command that has no warehouse."""
    house: House = options.house
    settings = house.load_settings(getattr(options, "config", None), _overrides(options))
    _refuse_logs_over_inputs(options, settings)
    return settings


_INPUTS = {
    "config": "--config",
    "images": "--images",
    "words": "--words",
    "vocab": "--vocab",
    "table": "the table of features",
    "matrix": "the descriptors",
}
"""Options that name files to read."""


def inputs_of(options: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """Return the files that a command reads: what they are called, and their paths."""
    found = {what: getattr(options, name, None) for name, what in _INPUTS.items()}
    found["ingest.labels.file"] = settings.get("ingest.labels.file")
    return {what: str(path) for what, path in found.items() if path is not None}


def refuse_overwriting(outputs: Mapping[str, str], inputs: Mapping[str, str]) -> None:
    """Raise SettingsError where an output would be written over an input or another output."""
    taken = {os.path.realpath(expanded(path)): what for what, path in inputs.items()}
    for what, path in outputs.items():
        place = os.path.realpath(expanded(path))
        if place in taken:
            raise SettingsError(
                f"{what} would be written over {taken[place]}, {path}: give another name"
            )
        taken[place] = what


def refuse_in_warehouse(path: Path, warehouse: Warehouse) -> None:
    """Raise SettingsError where a file that is to be written would lie in the warehouse."""
    local = warehouse.storage.local
    if local is not None and Path(os.path.realpath(path)).is_relative_to(local.resolve()):
        raise SettingsError(f"{path} lies in the warehouse {local}: give another name")


def _refuse_logs_over_inputs(options: argparse.Namespace, settings: Settings) -> None:
    logs = {"log.file": settings.log.file, "log.metrics": settings.log.metrics}
    outputs = {what: path for what, path in logs.items() if path is not None}
    refuse_overwriting(outputs, inputs_of(options, settings))


def settings_of_warehouse(
    options: argparse.Namespace, warehouse: Warehouse, state: Catalogue | None = None
) -> Settings:
    """Return what the warehouse remembers, with what the command sets.

    Raises
    ------
    SettingsError
        A value is wrong; where it is the warehouse's, the message says so.
    """
    house: House = options.house
    if options.config is not None:
        return _with_labels_file(options, settings_of(options))
    state = state or warehouse.catalogue()
    defaults = _known_to(house, state.settings)
    overrides = [*_overrides(options), *_labels_of_batch(options, warehouse, state)]
    try:
        settings = house.load_settings(None, overrides, defaults=defaults)
    except MiniaError as error:
        if not defaults:
            raise
        raise type(error)(
            f"{error}; these settings are what {warehouse.storage} remembers, with --set; "
            "--config FILE takes others in their place"
        ) from None
    _refuse_logs_over_inputs(options, settings)
    return _with_labels_file(options, settings)


def _labels_of_batch(
    options: argparse.Namespace, warehouse: Warehouse, state: Catalogue
) -> list[str]:
    """Return the setting of the labels file that a batch was read with, if the call names none.

    Raises
    ------
    InputError
        The file is not there any more.
    """
    batch = getattr(options, "batch", None)
    named = {override.partition("=")[0].strip() for override in options.set}
    if getattr(options, "images", None) is None or getattr(options, "labels", None) is not None:
        return []
    if batch is None or named & {"ingest.labels.file", "ingest.labels.from_folders"}:
        return []
    file = None
    for run in {entry.run for entry in state.of_table("images", batch)}:
        with contextlib.suppress(InputError):  # its page is gone
            file = warehouse.run(run).settings.get("ingest", {}).get("labels", {}).get("file")
    if file is None:
        return []
    if not expanded(file).exists():
        raise InputError(
            f"batch {batch} was read with the labels {file}, which are not there any more: give "
            "--labels CSV, or --set ingest.labels.file=null to do without"
        )
    return [f"ingest.labels.file={json.dumps(file)}"]


def _with_labels_file(options: argparse.Namespace, settings: Settings) -> Settings:
    """Return the settings, unless they name columns of a labels file that was not given.

    Only what this call sets counts: a warehouse remembers the columns, not the file, and a settings
    file may serve calls that take in no images.
    """
    if settings.get("ingest.labels.file") is not None:
        return settings
    columns = [f"ingest.labels.{name}_column" for name in ("key", "label", "ra", "dec")]
    named = {override.partition("=")[0].strip() for override in options.set}
    takes_in = any(getattr(options, name, None) is not None for name in ("images", "inbox"))
    if options.config is not None and takes_in:
        named |= set(columns)
    idle = [c for c in columns if c in named and settings.get(c) is not None]
    if idle:
        how = "ingest.labels.file=CSV" if hasattr(options, "inbox") else "--labels CSV"
        raise SettingsError(
            f"{', '.join(idle)} {'names a column' if len(idle) == 1 else 'name columns'} of a "
            f"labels file, and there is none: give {how}, or leave the setting out"
        )
    return settings


def _known_to(house: House, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out settings that this version does not have: they mean nothing to it."""

    def kept(model: Any, found: Mapping[str, Any]) -> dict[str, Any]:
        there = {}
        for name, value in found.items():
            field = model.model_fields.get(name)
            if field is None:
                continue
            nested = getattr(field.annotation, "model_fields", None) is not None
            there[name] = kept(field.annotation, value) if nested else value
        return there

    return kept(house.settings_model, values)


# -- requests -------------------------------------------------------------------------------------


def request_of(options: argparse.Namespace, stages: tuple[str, ...]) -> Request:
    """Return what the arguments ask for, of these stages.

    Raises
    ------
    SettingsError, InputError
        Arguments do not fit together, or the images cannot be read.
    """
    from minia_spark.engine.plan import Request
    from minia_spark.engine.stage import Source
    from minia_spark.warehouse.records import check_batch_name

    images = getattr(options, "images", None)
    batch = getattr(options, "batch", None)
    if batch is not None:
        check_batch_name(batch)
    if images is not None and batch is None:
        raise SettingsError("--images needs --batch NAME: what shall the batch be called?")
    if batch is not None and images is None and options.command == "run":
        raise SettingsError(
            "--batch names the batch of --images DIR; 'minia STAGE --batch NAME' brings one stage "
            "of a batch that is there up to date"
        )
    if getattr(options, "labels", None) is not None and images is None:
        raise SettingsError("--labels needs --images DIR: labels are read with their images")
    if images is not None and not (images.is_dir() or images.is_file()):
        raise InputError(f"--images {images} is neither a folder nor an archive that can be read")
    sources = {} if images is None or batch is None else {batch: Source(images)}
    words = [options.command, *(["--batch", batch] if batch else [])]
    only = batch if not sources and options.command != "run" else None
    return Request(
        "minia " + " ".join(words),
        stages,
        only,
        sources,
        replace=getattr(options, "replace", False),
    )


def runner_of(
    options: argparse.Namespace, settings: Settings, warehouse: Warehouse, progress: Progress
) -> Runner:
    """Return what carries out requests."""
    from minia_spark.engine.run import Runner

    def open_session(mllib: bool) -> Any:
        from minia_spark.engine import session

        return session.open_session(settings.spark, mllib=mllib, say=progress.say)

    return Runner(options.house, settings, warehouse, progress, open_session)


def run_stages(options: argparse.Namespace) -> int:
    """Bring the stages of a command up to date."""
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse)
    command = options.stage_command
    request = request_of(options, options.house.stages_of_command(command))
    return carry_out(options, request, settings, warehouse)


def carry_out(
    options: argparse.Namespace, request: Request, settings: Settings, warehouse: Warehouse
) -> int:
    """Carry out a request, and say how it ended."""
    from minia_spark.engine.cost import check_disk, check_memory
    from minia_spark.engine.metrics import write_metrics
    from minia_spark.engine.progress import Progress

    check_memory(options.house, settings)
    check_disk(options.house, settings, warehouse.storage.local)
    progress = Progress(quiet=options.quiet)
    runner = runner_of(options, settings, warehouse, progress)
    with logging_to(settings.log.file):
        try:
            record = runner.execute(request)
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn)
    with leaving_readers(record.catalogue):
        tell_end(record, warehouse)
    return 0


def tell_end(record: RunRecord, warehouse: Warehouse) -> None:
    """Print how a run ended, and where the page lies."""
    from minia_spark.engine.run import PAGE

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
    if warehouse.storage.exists(PAGE):
        print(f"page: {warehouse.storage.full(PAGE)}")
    sys.stdout.flush()


def refit(options: argparse.Namespace) -> int:
    """Make what is frozen anew, from all batches, and everything that hangs on it."""
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    warehouse.require()
    settings = settings_of_warehouse(options, warehouse)
    stages = options.house.stages_of(settings.run.lines)
    request = Request(f"minia {options.command} refit", stages, refit=True)
    return carry_out(options, replace(request, replace=True), settings, warehouse)
