"""The commands ``minia exposures ...`` and ``minia cutouts``."""
# ruff: noqa: PLC0415 - Spark and NumPy are imported by those who need them

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import InputError, MiniaError, SettingsError, leaving_readers
from minia_spark.base.events import logging_to
from minia_spark.engine.commands import (
    add_replace,
    add_run_settings,
    add_warehouse,
    free_exit_code,
    refuse_in_warehouse,
    refuse_overwriting,
    runner_of,
    settings_of_warehouse,
    share,
)

if TYPE_CHECKING:
    from minia_spark.engine.plan import Request
    from minia_spark.engine.settings import Settings
    from minia_spark.warehouse.records import Catalogue
    from minia_spark.warehouse.warehouse import Warehouse

__all__ = [
    "cut_arguments",
    "cut_out",
    "demo",
    "demo_arguments",
    "flags",
    "flags_arguments",
    "label",
    "label_arguments",
    "mine",
    "mine_arguments",
    "report",
    "report_arguments",
    "run",
    "run_arguments",
    "train",
    "train_arguments",
]

_LINE = ("exposures",)
_MAKER = "minia exposures run --exposures DIR --batch NAME --warehouse DIR"
_NO_LABEL = "no label"


def _add_source(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--exposures",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder of FITS exposures, plain or packed by fpack, gzip or bzip2, searched "
        "recursively; or one file",
    )
    parser.add_argument(
        "--batch", required=required, metavar="NAME", help="name of the batch of these exposures"
    )


def _request(options: argparse.Namespace, command: str, stages: tuple[str, ...]) -> Request:
    """Return what the arguments ask for.

    Raises
    ------
    SettingsError, InputError
        Arguments do not fit together, or the folder is not there.
    """
    from minia_spark.engine.plan import Request
    from minia_spark.engine.stage import Source
    from minia_spark.warehouse.records import check_batch_name

    folder, batch = options.exposures, options.batch
    if batch is not None:
        check_batch_name(batch)
    if (folder is None) != (batch is None):
        raise SettingsError("--exposures DIR and --batch NAME belong together")
    if folder is not None and not (folder.is_dir() or folder.is_file()):
        raise InputError(f"--exposures {folder} is neither a folder nor a file")
    sources = {} if folder is None else {batch: Source(folder, kind="exposures")}
    words = [command, *(["--batch", batch] if batch else [])]
    return Request(" ".join(words), stages, None, sources, replace=options.replace)


def _carry_out(options: argparse.Namespace, request: Request, settings: Settings) -> None:
    """Carry out a request, and say how it ended."""
    from minia_spark.engine.cost import check_disk
    from minia_spark.engine.metrics import write_metrics
    from minia_spark.engine.progress import Progress
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    check_disk(options.house, settings, warehouse.storage.local)
    progress = Progress(quiet=options.quiet)
    with logging_to(settings.log.file):
        try:
            record = runner_of(options, settings, warehouse, progress).execute(request)
        finally:
            write_metrics(settings.log.metrics, warehouse, progress.warn)
    with leaving_readers(record.catalogue):
        state = warehouse.catalogue(record.catalogue)
        if record.state == "nothing to do":
            print("nothing to do: everything is up to date", flush=True)
            _tell_page(warehouse, state)
            return
        seconds = sum(step.seconds for step in record.steps)
        rows = state.rows()
        told = [f"{rows.get(table, 0):,} {table}" for table in ("exposures", "rejects")]
        print(
            f"done in {seconds:.1f} s: run {record.run}, state {state.version}: {', '.join(told)}",
            flush=True,
        )
        _tell_page(warehouse, state)


def _tell_page(warehouse: Warehouse, state: Catalogue) -> None:
    if state.of_table("exposure_page"):
        print(f"page: {warehouse.storage.full('exposure_page/index.html')}", flush=True)


# -- run, train -----------------------------------------------------------------------------------


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures run``."""
    _add_source(parser, required=False)
    add_warehouse(parser)
    add_run_settings(parser)
    add_replace(parser)


def run(options: argparse.Namespace) -> int:
    """Bring the line of exposures up to date."""
    from minia_spark.warehouse.warehouse import Warehouse

    settings = settings_of_warehouse(options, Warehouse(options.warehouse))
    request = _request(options, "minia exposures run", options.house.stages_of(_LINE))
    _carry_out(options, request, settings)
    return 0


def cut_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia cutouts``."""
    _add_source(parser, required=True)
    add_warehouse(parser)
    add_run_settings(parser)
    add_replace(parser)


def cut_out(options: argparse.Namespace) -> int:
    """Take a batch of exposures in, and do no more."""
    from minia_spark.warehouse.warehouse import Warehouse

    settings = settings_of_warehouse(options, Warehouse(options.warehouse))
    _carry_out(options, _request(options, "minia cutouts", ("cutouts",)), settings)
    return 0


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures train``."""
    add_warehouse(parser)
    add_run_settings(parser)


def train(options: argparse.Namespace) -> int:
    """Train both maps from the batches that are there now, and place all exposures anew."""
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    warehouse.require(maker=_MAKER)
    settings = settings_of_warehouse(options, warehouse)
    stages = options.house.stages_of(_LINE)
    request = Request("minia exposures train", stages, refit=True, replace=True)
    _carry_out(options, request, settings)
    return 0


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures report``."""
    add_warehouse(parser)
    add_run_settings(parser)


def report(options: argparse.Namespace) -> int:
    """Build the page of exposures where it is outdated, and print where it is."""
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse, warehouse.require(maker=_MAKER))
    _carry_out(options, Request("minia exposures report", ("exposure_page",)), settings)
    return 0


# -- label, flags ---------------------------------------------------------------------------------


def label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures label``."""
    parser.add_argument(
        "label_file", type=Path, metavar="CSV", help="columns cell or exposure_id, quality"
    )
    add_warehouse(parser)
    add_run_settings(parser)


def label(options: argparse.Namespace) -> int:
    """Label cells of the map of exposures, and flag all exposures by it."""
    from minia_spark.desom.files import read_manifest
    from minia_spark.engine.plan import Request
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    state = warehouse.require(maker=_MAKER)
    maps = state.of_table("exposure_map")
    if not maps:
        raise InputError(
            f"{warehouse.storage} holds no map of exposures yet: 'minia exposures run' makes one"
        )
    labels = _labels(options.label_file, warehouse, state)
    local = warehouse.storage.local
    if local is not None:  # else the stage tells
        design, _ = read_manifest(local / maps[0].path)
        if max(labels) >= design.cells:
            raise InputError(
                f"labels {options.label_file}: there is no cell {max(labels)}: the map has "
                f"{design.cells}, from 0"
            )
    cells: dict[str, list[int]] = {}
    for cell, quality in sorted(labels.items()):
        cells.setdefault(quality, []).append(cell)
    options.set += [
        f"exposures.labels={json.dumps(cells)}",
        f"exposures.labelled_map={json.dumps(maps[0].digest)}",
    ]
    settings = settings_of_warehouse(options, warehouse, state)
    for quality, those in cells.items():
        print(f"{quality}: {len(those):,} cell{'s' * (len(those) != 1)}")
    print("these take the place of all labels that were told before")
    request = Request("minia exposures label", ("flags", "exposure_page"))
    _carry_out(options, request, settings)
    return 0


def _labels(path: Path, warehouse: Warehouse, state: Catalogue) -> dict[int, str]:
    """Return the label of every cell that a file labels, by itself or by its exposures."""
    from minia_spark.exposures.label_file import read_labels
    from minia_spark.exposures.labels import majority, outvoted

    found = read_labels(path)
    if found.cells:
        return found.cells
    cells: dict[str, set[int]] = {}
    for row in _rows(warehouse, state, "places", ["exposure_id", "hdu", "cell"]):
        if row["hdu"] is None and row["cell"] is not None:
            cells.setdefault(row["exposure_id"], set()).add(row["cell"])
    there = {name: label for name, label in found.exposures.items() if name in cells}
    unknown = sorted(set(found.exposures) - set(there))
    if not there:
        raise InputError(
            f"labels {path} name no exposure that is on the map, e.g. {unknown[0]}; an exposure_id "
            "is a path below the input folder"
        )
    if unknown:
        said = f"{len(unknown):,} labelled exposures are not on the map, e.g. {unknown[0]}"
        print(f"warning: {said}", file=sys.stderr)
    chosen = majority((cell, label) for name, label in there.items() for cell in cells[name])
    lost = outvoted({name: (cells[name], label) for name, label in there.items()}, chosen)
    if lost:
        print(f"warning: {lost}", file=sys.stderr)
    return chosen


def _rows(
    warehouse: Warehouse,
    state: Catalogue,
    table: str,
    columns: list[str],
    batch: str | None = None,
) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    storage = warehouse.storage
    found: list[dict[str, Any]] = []
    for entry in state.of_table(table, batch):
        place = storage.full(entry.path)
        found += pq.read_table(place, columns=columns, filesystem=storage.filesystem).to_pylist()
    return found


def flags_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures flags``."""
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="NAME", help="only this batch (default: all)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the flags as a table")
    parser.add_argument(
        "--keywords",
        type=Path,
        metavar="FILE",
        help="write the flags as FITS keywords, a block an exposure and a CCD",
    )
    parser.add_argument(
        "--good", default="good", metavar="LABEL", help="the label of what is in order (good)"
    )
    parser.add_argument(
        "--sure",
        type=share,
        default=0.5,
        metavar="C",
        help="least confidence of a flag that counts for --bad-exit-code (0.5)",
    )
    parser.add_argument(
        "--bad-exit-code",
        type=free_exit_code,
        default=0,
        metavar="CODE",
        help="exit code when an exposure as a whole is not good: 0, or 4 to 125 (0)",
    )


def _order(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["batch"], row["exposure_id"], -1 if row["hdu"] is None else row["hdu"]


def flags(options: argparse.Namespace) -> int:
    """Tell the quality of exposures, and write it to files."""
    from minia_spark.base.files import whole_file
    from minia_spark.exposures.flag_files import as_csv, as_keywords
    from minia_spark.warehouse.warehouse import Warehouse

    outputs = {"--csv": options.csv, "--keywords": options.keywords}
    refuse_overwriting({n: str(p) for n, p in outputs.items() if p is not None}, {})
    warehouse = Warehouse(options.warehouse)
    for path in outputs.values():
        if path is not None:
            refuse_in_warehouse(path, warehouse)
    state = warehouse.require(maker=_MAKER)
    if options.batch is not None and options.batch not in state.batches:
        raise InputError(
            f"there is no batch {options.batch!r}; batches: {', '.join(state.batches)}"
        )
    columns = ["batch", "exposure_id", "hdu", "ccd", "cell", "quality", "confidence"]
    rows = _rows(warehouse, state, "flags", columns, options.batch)
    if not rows:
        of = "" if options.batch is None else f" of batch {options.batch}"
        raise InputError(f"there are no flags{of} yet: 'minia exposures run' makes them")
    rows.sort(
        key=lambda row: (row["batch"], row["exposure_id"], -1 if row["hdu"] is None else row["hdu"])
    )
    for path, text in ((options.csv, as_csv), (options.keywords, as_keywords)):
        if path is not None:
            try:
                with whole_file(path) as file:
                    file.write(text(rows).encode())
            except OSError as error:
                raise MiniaError(f"{path} cannot be written: {error.strerror}") from None
    whole = [row for row in rows if row["hdu"] is None]
    counts = Counter(row["quality"] or _NO_LABEL for row in whole)
    for quality, number in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        print(f"{number:>7,}  {quality}")
    for warning in _doubts(counts, options.good):
        print(f"warning: {warning}", file=sys.stderr)
    bad = [
        row
        for row in whole
        if row["quality"] not in (None, options.good) and row["confidence"] >= options.sure
    ]
    return options.bad_exit_code if bad else 0


def _doubts(counts: Mapping[str, int], good: str) -> Iterator[str]:
    """Yield why that no exposure is bad, or that all are, may mean nothing."""
    unknown = counts.get(_NO_LABEL, 0)
    if unknown:
        yield (
            f"{unknown:,} of {sum(counts.values()):,} exposures have no quality, and count as "
            "neither good nor bad: 'minia exposures label' says what more cells mean"
        )
    labels = sorted(set(counts) - {_NO_LABEL})
    if labels and good not in labels:
        yield f"no exposure is {good!r} (--good); they are {', '.join(labels)}"


# -- mine -----------------------------------------------------------------------------------------


def mine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures mine``."""
    add_warehouse(parser)
    parser.add_argument(
        "--model", type=Path, required=True, metavar="OUT", help="where the structures go"
    )
    parser.add_argument(
        "--assessment", type=Path, metavar="CSV", help="where what is known of each goes"
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help="keep the corpus: a line an exposure, by batch and exposure_id",
    )
    add_run_settings(parser)


def mine(options: argparse.Namespace) -> int:
    """Mine the cells of exposures.

    Raises
    ------
    InputError
        No exposure has cells yet.
    MiniaError
        A file cannot be written.
    """
    import tempfile

    from minia_spark.base.bags import write_bags
    from minia_spark.base.files import whole_file
    from minia_spark.exposures.corpus import bags_of_cells
    from minia_spark.mining.corpus_file import mine_file
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    state = warehouse.require(maker=_MAKER)
    settings = settings_of_warehouse(options, warehouse, state)
    rows = _rows(warehouse, state, "cells", ["batch", "exposure_id", "words", "counts"])
    if not any(row["words"] for row in rows):
        raise InputError("no exposure has cells yet: 'minia exposures run' makes them")
    rows.sort(key=lambda row: (row["batch"], row["exposure_id"]))
    with tempfile.TemporaryDirectory() as scratch:
        corpus = options.corpus or Path(scratch) / "cells.words"
        try:
            with whole_file(corpus) as file:
                write_bags(file, bags_of_cells([(row["words"], row["counts"]) for row in rows]))
        except OSError as error:
            raise MiniaError(f"{corpus} cannot be written: {error.strerror}") from None
        return mine_file(
            corpus,
            options.model,
            settings,
            assessment=options.assessment,
            vocabulary=None,
            quiet=options.quiet,
        )


# -- demo -----------------------------------------------------------------------------------------

_NIGHTS = {"night1": (0, 150), "night2": (150, 30)}
_LABELLED = 5
"""Of the first night, every so-many-th exposure is labelled."""
# Small enough for two cores and some minutes; what the user gives comes after and wins.
_DEMO_SETTINGS = (
    *("exposures.per_ccd=60", "exposures.usual_ccds=2", "exposures.threshold=5"),
    *("exposures.least_px=9", "desom.cutouts.side=10", "desom.cutouts.steps=700"),
    *("desom.cutouts.batch=64", "desom.exposures.side=8", "desom.exposures.steps=3000"),
    "desom.exposures.batch=64",
)


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia exposures demo``."""
    add_warehouse(parser)
    add_run_settings(parser)
    add_replace(parser)


def demo(options: argparse.Namespace) -> int:
    """Generate two nights, run everything, and compare with the truth.

    Raises
    ------
    SettingsError
        The warehouse is not local, or the folder for the exposures is somebody else's.
    """
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    local = warehouse.storage.local
    if local is None:
        raise SettingsError(
            "the demo writes its exposures beside the warehouse: give a local folder"
        )
    folder = local.with_name(local.name + "-exposures")
    _make_nights(folder)
    options.set = [*_DEMO_SETTINGS, *options.set]
    first, second = _NIGHTS
    for night in (first, second):
        options.exposures, options.batch = folder / night, night
        run(options)
        if night == first:
            options.label_file = folder / "labels.csv"
            label(options)
    _tell_truth(warehouse, {night: folder / f"{night}-truth.csv" for night in _NIGHTS})
    return 0


def _make_nights(folder: Path) -> None:
    """Write the exposures once."""
    import shutil

    from minia_spark.sky.exposures import Exposures, write_exposures

    done, ours = folder / "complete", folder / "made-by-minia-exposures-demo"
    if done.exists():
        return
    if folder.exists() and not ours.exists():
        raise SettingsError(
            f"the demo would write its exposures to {folder}, but somebody else made that; give "
            "another --warehouse"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ours.touch()
    made = Exposures(ccds=2, side_px=256, sources=80, night=_NIGHTS["night1"][1])
    labels = ["exposure_id,quality"]
    for night, (start, number) in _NIGHTS.items():
        truths = list(write_exposures(folder / night, made, number, first=start))
        if night == "night1":
            # exposures take the qualities in turns: five and six have no common divisor
            labels += [f"{one.name},{one.quality}" for one in truths[::_LABELLED]]
    (folder / "labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    done.touch()


def _tell_truth(warehouse: Warehouse, files: Mapping[str, Path]) -> None:
    """Print how far cells and flags agree with what was generated."""
    import csv

    from minia_spark.exposures.measure import balanced_accuracy, purity

    state = warehouse.catalogue()
    for night, path in files.items():
        with path.open(encoding="utf-8", newline="") as file:
            truth = {row["exposure_id"]: row["quality"] for row in csv.DictReader(file)}
        columns = ["exposure_id", "hdu", "cell", "quality"]
        rows = [r for r in _rows(warehouse, state, "flags", columns, night) if r["hdu"] is None]
        placed = [(r["cell"], truth[r["exposure_id"]]) for r in rows if r["cell"] is not None]
        pairs = [(truth[r["exposure_id"]], r["quality"]) for r in rows]
        print(
            f"{night}: {len(rows)} exposures of {len(set(truth.values()))} qualities in "
            f"{len({cell for cell, _ in placed})} cells, purity {purity(placed):.2f}, balanced "
            f"accuracy of the flags {balanced_accuracy(pairs):.2f}"
        )
