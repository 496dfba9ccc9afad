"""The command ``minia delf dataset``."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import require_replaceable
from minia_spark.delf.choose import Drawn, LeftOut
from minia_spark.delf.copies import MASKED, MOVED
from minia_spark.delf.dataset_config import KEYS, DatasetConfig, dataset_config
from minia_spark.delf.draw import seed
from minia_spark.delf.files import names_in, write_table
from minia_spark.delf.galaxy_zoo import CLASSES
from minia_spark.delf.training_set import ENDINGS, write_training_set
from minia_spark.engine.commands import (
    add_run_settings,
    positive,
    refuse_overwriting,
    settings_of,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from minia_spark.delf.choose import Choice
    from minia_spark.engine.progress import Progress

__all__ = ["arguments", "dataset"]

_TIES_SHOWN = 5
_TABLES = ("with_filter", "original", "votes", "left_out")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument("file", nargs="?", type=Path, metavar="CONFIG", help="YAML or JSON")
    for key, about in KEYS.items():
        parser.add_argument(
            f"--{key.replace('_', '-')}",
            dest=f"key_{key}",
            type=positive if key == "class_size" else str,
            metavar="N" if key == "class_size" else "PATH",
            help=about,
        )
    parser.add_argument(
        "--seed", type=seed, default=0, help="which galaxies are drawn, and how images are moved"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write over tables and copies of these names; others stay",
    )
    add_run_settings(parser)


def dataset(options: argparse.Namespace) -> int:
    """Make a training set; see the command's own help.

    Raises
    ------
    SettingsError
        The configuration cannot be used, or results are there already.
    InputError
        Tables or folder cannot be used, or no galaxy with an image has a class.
    MiniaError
        Results cannot be written.
    """
    from minia_spark.base.events import logging_to  # noqa: PLC0415
    from minia_spark.engine.progress import Progress  # noqa: PLC0415

    settings = settings_of(options)
    config = _config(options)
    _check_places(config, replace=options.replace)
    progress = Progress(quiet=options.quiet)
    with logging_to(settings.log.file):
        from minia_spark.engine import session  # noqa: PLC0415

        try:
            spark = session.open_session(settings.spark, "minia delf dataset", say=progress.say)
            _make(options, config, spark, progress, settings.spark.partitions)
        except OSError as error:
            place = error.filename or config.copies
            raise MiniaError(f"{place} cannot be written: {error.strerror}") from None
    return 0


def _config(options: argparse.Namespace) -> DatasetConfig:
    from minia_spark.engine.settings import read_yaml  # noqa: PLC0415

    given = {key: getattr(options, f"key_{key}") for key in KEYS}
    if options.file is None:
        return dataset_config({}, given)
    holds = f"the keys {', '.join(KEYS)}"
    values = read_yaml(options.file, what="configuration", holds=holds)
    try:
        return dataset_config(values, given)
    except SettingsError as error:
        raise SettingsError(f"configuration {options.file}: {error}") from None


def _check_places(config: DatasetConfig, *, replace: bool) -> None:
    """Refuse, before the work, what could not or must not be written."""
    inputs = {"galaxyZoo2_path": str(config.votes), "map_images_path": str(config.mapping)}
    tables = [config.table(which) for which in _TABLES]
    refuse_overwriting({str(path): str(path) for path in tables}, inputs)
    for path in tables:
        try:
            require_replaceable(path)
        except OSError as error:
            raise MiniaError(f"{path} cannot be written: {error.strerror}") from None
        if path.exists() and not replace:
            raise SettingsError(f"{path} is there already: give another name, or --replace")
    if not config.images.is_dir():
        raise InputError(f"images_dir_path {config.images} is no folder that can be read")
    if config.copies.exists() and not config.copies.is_dir():
        raise SettingsError(f"images_out_dir_path {config.copies} is no folder")


def _make(
    options: argparse.Namespace,
    config: DatasetConfig,
    spark: SparkSession,
    progress: Progress,
    partitions: int | None,
) -> None:
    from minia_spark.delf.choose import choose  # noqa: PLC0415
    from minia_spark.delf.spark import galaxies, written_copies  # noqa: PLC0415

    files = names_in(config.images)
    with progress.spark_jobs(spark.sparkContext, "join votes and images"):
        candidates, counts = galaxies(spark, config.votes, config.mapping)
    chosen = choose(candidates, files, class_size=config.class_size, seed=options.seed)
    _tell_join(progress, counts, chosen)
    if not any(chosen.drawn):
        _write_left_out(config, chosen.left_out)
        raise InputError(
            f"no galaxy has a class and an image in {config.images}: of {counts['votes_rows']:,} "
            f"rows of votes {counts['classified']:,} have a class; {config.table('left_out')} says "
            "what became of them"
        )
    galaxies_drawn = [one for members in chosen.drawn for one in members]
    _prepare(config, [one.name for one in galaxies_drawn], replace=options.replace)
    progress.say(f"writing two copies of {len(galaxies_drawn):,} images each to {config.copies}")
    places = {one.name: str((config.images / one.file).absolute()) for one in galaxies_drawn}
    with progress.spark_jobs(spark.sparkContext, "copies"):
        faults = written_copies(
            spark, places, config.copies, seed=options.seed, partitions=partitions
        )
    used = [[one for one in members if one.name not in faults] for members in chosen.drawn]
    for one in galaxies_drawn:
        if one.name in faults:
            chosen.left_out.append(
                LeftOut(one.name, one.objid, CLASSES[one.label], *faults[one.name])
            )
    _write_left_out(config, chosen.left_out)
    if not any(used):
        raise InputError(
            f"none of the {len(faults):,} images can be used: {config.table('left_out')} says why"
        )
    _write_sets(config, used)
    _tell_result(config, chosen, used, progress)


def _prepare(config: DatasetConfig, names: Sequence[str], *, replace: bool) -> None:
    """Make the folder of copies, and refuse copies that are there.

    With `replace` the tables go first: where they are, their copies are whole.
    """
    config.copies.mkdir(parents=True, exist_ok=True)
    there = names_in(config.copies)
    clash = [
        copy for n in names for p in (MASKED, MOVED) if (copy := f"{p}{n}{ENDINGS[0]}") in there
    ]
    if clash and not replace:
        raise SettingsError(
            f"{len(clash):,} of the copies are in {config.copies} already, such as {clash[0]}: "
            "give another folder, or --replace"
        )
    for which in _TABLES:
        config.table(which).unlink(missing_ok=True)


def _write_sets(config: DatasetConfig, used: Sequence[Sequence[Drawn]]) -> None:
    rows = [
        (name, *(f"{share:.6f}" for share in one.shares))
        for members in used
        for one in members
        for name in (one.name, MASKED + one.name, MOVED + one.name)
    ]
    write_table(config.table("votes"), ("name", *CLASSES), rows)
    for which, prefix in (("original", MOVED), ("with_filter", MASKED)):
        members = {
            str(label): [*(prefix + one.name for one in drawn), *(one.name for one in drawn)]
            for label, drawn in enumerate(used)
        }
        write_training_set(config.table(which), members)


def _write_left_out(config: DatasetConfig, rows: Iterable[LeftOut]) -> None:
    header = ("image", "dr7objid", "class", "reason", "detail")
    write_table(config.table("left_out"), header, sorted(rows))


def _tell_join(progress: Progress, counts: Mapping[str, int], chosen: Choice) -> None:
    progress.say(
        f"{counts['votes_rows']:,} rows of votes, {counts['mapping_rows']:,} of the mapping; "
        f"{counts['without_votes']:,} objects of the mapping have no votes; "
        f"{counts['classified']:,} galaxies have a class, {sum(chosen.found.values()):,} of them "
        "an image"
    )
    if counts["repeated"]:
        progress.say(f"{counts['repeated']:,} rows of votes repeat an object id")
    if chosen.several:
        progress.say(f"{chosen.several:,} galaxies have several images; the first is taken")
    if chosen.ties:
        common = sorted(chosen.ties.items(), key=lambda tie: (-tie[1], tie[0]))
        told = [f"{CLASSES[a]} and {CLASSES[b]} {n:,}" for (a, b), n in common[:_TIES_SHOWN]]
        told += ["..."] if len(common) > _TIES_SHOWN else []
        progress.say(
            f"{sum(chosen.ties.values()):,} galaxies satisfy two classes and are taken for the "
            f"first: {', '.join(told)}"
        )


def _tell_result(
    config: DatasetConfig, chosen: Choice, used: Sequence[Sequence[Drawn]], progress: Progress
) -> None:
    print("class                 found   used")
    for label, name in enumerate(CLASSES):
        print(f"{label} {name:<18} {chosen.found[label]:6,} {len(used[label]):6,}")
    empty = [name for name, members in zip(CLASSES, used, strict=True) if not members]
    if empty:
        progress.warn(f"no image of {', '.join(empty)}: the training set leaves them out")
    reasons = Counter(one.reason for one in chosen.left_out)
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    print(f"left out: {told or 'none'}")
    for which in _TABLES:
        print(config.table(which))
