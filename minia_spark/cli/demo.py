"""``minia demo``: real pixels and a survey with known truth, through every stage, in minutes."""

from __future__ import annotations

import argparse
import csv
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import SettingsError
from minia_spark.base.events import logging_to
from minia_spark.engine.commands import add_run_settings, add_warehouse, runner_of, settings_of
from minia_spark.engine.plan import Request
from minia_spark.engine.run import PAGE
from minia_spark.engine.stage import Source
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from minia_spark.engine.progress import Progress
    from minia_spark.engine.settings import Settings

__all__ = ["demo", "planted_matches"]

# Small enough for two cores and three minutes; what the user gives comes after and wins.
_DEMO_SETTINGS = (
    "codebook.size=300",
    "codebook.sample_size=6000",
    "structures.structure_counts=ones",
)
_SURVEY_IMAGES = 400
_DEEP_FIELD_IMAGES = 200


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia demo``."""
    add_warehouse(parser)
    add_run_settings(parser)


def demo(options: argparse.Namespace) -> int:
    """Make the images, run everything, and compare with the truth.

    The images are written beside the warehouse, into ``<warehouse>-images``. What the user sets
    wins over the demo's own settings.

    Raises
    ------
    SettingsError
        The warehouse is not local, or the folder for the images is somebody else's.
    """
    options.set = [*_DEMO_SETTINGS, *options.set]
    settings = settings_of(options)
    with logging_to(settings.log.file):
        return _demo(options, settings)


def _demo(options: argparse.Namespace, settings: Settings) -> int:
    from minia_spark.engine.progress import Progress  # noqa: PLC0415

    warehouse = Warehouse(options.warehouse)
    if warehouse.storage.local is None:
        raise SettingsError("the demo writes its images beside the warehouse: give a local folder")
    images = warehouse.storage.local.with_name(warehouse.storage.local.name + "-images")
    progress = Progress(quiet=options.quiet)
    deep_field, survey, truth = _make_images(images, progress)
    runner = runner_of(options, settings, warehouse, progress)
    stages = options.house.stages_of(settings.run.lines)
    sources = {"deepfield": Source(deep_field), "survey": Source(survey)}
    runner.execute(Request("minia demo", stages, sources=sources, replace=True))
    _print_result(warehouse, truth)
    print(f"page: {warehouse.storage.full(PAGE)}")
    return 0


def _make_images(folder: Path, progress: Progress) -> tuple[Path, Path, Path]:
    """Write the images once; return the folders of both batches and the file with the truth."""
    done, ours = folder / "complete", folder / "made-by-minia-demo"
    survey = folder / "survey"
    if not done.exists():
        if folder.exists() and not ours.exists():
            raise SettingsError(
                f"the demo would write its images to {folder}, but somebody else made that; "
                "give another --warehouse"
            )
        progress.say(f"making images in {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        ours.touch()
        from minia_spark.sky.deepfield import write_cutouts  # noqa: PLC0415
        from minia_spark.sky.survey import Survey, write_survey  # noqa: PLC0415

        cutouts = write_cutouts(folder / "deepfield", limit=_DEEP_FIELD_IMAGES)
        progress.say(f"{cutouts.count} sources cut out of the Hubble deep field")
        written = write_survey(survey, Survey(), _SURVEY_IMAGES)
        progress.say(f"{written.count} images of a survey with planted patterns")
        done.touch()
    return folder / "deepfield" / "images", survey / "images", survey / "truth.csv"


def planted_matches(
    truth: dict[str, set[str]], found: dict[int, set[str]]
) -> dict[str, tuple[int | None, float, float]]:
    """Find for every planted pattern the structure whose images are most like its images.

    Parameters
    ----------
    truth : dict
        Pattern to the images that hold it.
    found : dict
        Structure to its images.

    Returns
    -------
    dict
        Pattern to (structure or None, precision, recall); the structure with the best F1 score, of
        equal ones the first.
    """
    best: dict[str, tuple[int | None, float, float]] = {}
    for pattern, images in truth.items():
        best[pattern] = (None, 0.0, 0.0)
        score = 0.0
        for structure, members in sorted(found.items()):
            both = len(images & members)
            f1 = 2 * both / (len(images) + len(members))
            if f1 > score:
                score = f1
                best[pattern] = (structure, both / len(members), both / len(images))
    return best


def _print_result(warehouse: Warehouse, truth_file: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    truth: dict[str, set[str]] = defaultdict(set)
    with truth_file.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            truth[row["pattern"]].add(row["image_id"])
    found: dict[int, set[str]] = defaultdict(set)
    for folder in warehouse.folders("structure_images"):
        columns = ["structure_id", "image_id", "batch"]
        for row in pq.read_table(folder, columns=columns).to_pylist():
            if row["batch"] == "survey":
                found[row["structure_id"]].add(row["image_id"])
    print(f"\n{len(found)} structures in the generated survey; those most like what was planted:")
    print("pattern              images  structure  precision  recall")
    for pattern, (structure, precision, recall) in sorted(planted_matches(truth, found).items()):
        name = "none" if structure is None else f"s{structure:04d}"
        print(
            f"{pattern:<20} {len(truth[pattern]):>6}  {name:<9}  {precision:>9.2f}  {recall:>6.2f}"
        )
