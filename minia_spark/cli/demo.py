"""``minia demo``: real pixels and a survey with known truth, through every stage, in minutes."""

from __future__ import annotations

import csv
import functools
import shutil
from collections import defaultdict
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from minia_spark.base.errors import SettingsError
from minia_spark.engine.plan import STAGES, Request
from minia_spark.engine.progress import Progress
from minia_spark.engine.run import PAGE, execute
from minia_spark.engine.session import open_session
from minia_spark.engine.settings import Settings, load_settings
from minia_spark.engine.stage import Source
from minia_spark.sky.deepfield import write_cutouts
from minia_spark.sky.survey import Survey, write_survey
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["planted_matches", "run_demo"]

# Small enough for two cores and three minutes; what the user gives comes after and wins.
_DEMO_SETTINGS = (
    "codebook.size=300",
    "codebook.sample_size=6000",
    "structures.structure_counts=ones",
)
_SURVEY_IMAGES = 400
_DEEP_FIELD_IMAGES = 200


def run_demo(location: str, config: str | None, overrides: list[str], *, quiet: bool) -> int:
    """Make the images, run everything, and compare with the truth.

    Parameters
    ----------
    location : str
        Local folder of the warehouse; the images are written beside it, into ``<location>-images``.
    config, overrides
        As for ``minia run``; they win over the demo's own settings.
    quiet : bool

    Raises
    ------
    SettingsError
        The location is not local, or the folder for the images is somebody else's.
    """
    settings = load_settings(config, [*_DEMO_SETTINGS, *overrides])
    warehouse = Warehouse(location)
    if warehouse.storage.local is None:
        raise SettingsError("the demo writes its images beside the warehouse: give a local folder")
    images = warehouse.storage.local.with_name(warehouse.storage.local.name + "-images")
    progress = Progress(quiet=quiet)
    deep_field, survey, truth = _make_images(images, progress)

    session = functools.cache(lambda: open_session(settings.spark))
    for batch, folder in (("deepfield", deep_field), ("survey", survey)):
        last = batch == "survey"
        stages = tuple(s.name for s in STAGES) if last else ("ingest",)
        request = Request(f"minia demo ({batch})", stages, batch, {batch: Source(folder)})
        execute(request, settings, warehouse, progress, session)
    _print_result(session(), warehouse, settings, truth)
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


def _print_result(
    spark: SparkSession, warehouse: Warehouse, settings: Settings, truth_file: Path
) -> None:
    truth: dict[str, set[str]] = defaultdict(set)
    with truth_file.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            truth[row["pattern"]].add(row["image_id"])
    folders = [warehouse.storage.pattern(e.path) for e in warehouse.entries("structure_images")]
    rows = (
        spark.read.parquet(*folders)
        .where("batch = 'survey'")
        .groupBy("structure_id")
        .agg(F.collect_set("image_id").alias("images"))
        .collect()
    )
    found = {row["structure_id"]: set(row["images"]) for row in rows}
    print(f"\n{len(found)} structures in the generated survey; those most like what was planted:")
    print("pattern              images  structure  precision  recall")
    for pattern, (structure, precision, recall) in sorted(planted_matches(truth, found).items()):
        name = "none" if structure is None else f"s{structure:04d}"
        print(
            f"{pattern:<20} {len(truth[pattern]):>6}  {name:<9}  {precision:>9.2f}  {recall:>6.2f}"
        )
