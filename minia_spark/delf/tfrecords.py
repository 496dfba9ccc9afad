"""The command ``minia delf tfrecords``."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark import __version__
from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import whole_folder
from minia_spark.delf.draw import seed
from minia_spark.delf.files import names_in, write_table
from minia_spark.engine.commands import add_run_settings, settings_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from minia_spark.delf.split import Shard
    from minia_spark.delf.training_set import TrainingSet
    from minia_spark.engine.progress import Progress

__all__ = ["MANIFEST", "REJECTS", "arguments", "tfrecords"]

MANIFEST = "manifest.json"
REJECTS = "rejects.csv"

_OURS = re.compile(r"(train|validation)-\d{5}-of-\d{5}|manifest\.json|rejects\.csv")
_MOST_SHARDS = 99_999


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument("training_set", type=Path, metavar="CSV", help="names of images by class")
    parser.add_argument(
        "--images",
        dest="folders",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="folder of the images; may be repeated, the first that has an image counts",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to make for the records"
    )
    parser.add_argument(
        "--shards",
        type=_shards,
        default=64,
        metavar="N",
        help="files of each split (default: 64)",
    )
    parser.add_argument(
        "--validation",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="share of every class that validates (default: 0.2)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the split and the order")
    parser.add_argument(
        "--replace", action="store_true", help="replace the records that are in --out"
    )
    add_run_settings(parser)


def _shards(text: str) -> int:
    value = int(text)
    if not 1 <= value <= _MOST_SHARDS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {_MOST_SHARDS}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be greater than 0 and less than 1")
    return value


def tfrecords(options: argparse.Namespace) -> int:
    """Make records for training; see the command's own help.

    Raises
    ------
    SettingsError
        Something else than records is in the folder that would be written.
    InputError
        The training set, or a folder, cannot be used.
    MiniaError
        TensorFlow is not there, or the records cannot be written.
    """
    from minia_spark.base.events import logging_to  # noqa: PLC0415
    from minia_spark.base.networks import require_tensorflow  # noqa: PLC0415
    from minia_spark.delf.training_set import read_training_set  # noqa: PLC0415
    from minia_spark.engine.progress import Progress  # noqa: PLC0415

    settings = settings_of(options)
    require_tensorflow("minia delf tfrecords")
    training_set = read_training_set(options.training_set)
    _check_out(options.out, replace=options.replace)
    places = _places(training_set, options.folders)
    progress = Progress(quiet=options.quiet)
    progress.say(
        f"{len(training_set.labels):,} images of {len(training_set.classes):,} classes, "
        f"{len(places):,} of them found"
    )
    with logging_to(settings.log.file):
        from minia_spark.engine import session  # noqa: PLC0415

        try:
            spark = session.open_session(settings.spark, "minia delf tfrecords", say=progress.say)
            _make(
                options, training_set, places, spark, progress, partitions=settings.spark.partitions
            )
        except OSError as error:
            place = error.filename or options.out
            raise MiniaError(f"{place} cannot be written: {error.strerror}") from None
    return 0


def _check_out(out: Path, *, replace: bool) -> None:
    """Refuse, before the work, a folder that holds something."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise SettingsError(f"--out {out} is there, and is no folder")
    names = sorted(names_in(out))
    strange = [name for name in names if not _OURS.fullmatch(name)]
    if strange:
        raise SettingsError(
            f"--out {out} holds what is no record, {strange[0]!r}: give a folder of its own"
        )
    if names and not replace:
        raise SettingsError(f"--out {out} holds records: give another folder, or --replace")


def _places(training_set: TrainingSet, folders: Sequence[Path]) -> dict[str, str]:
    """Return the file of every image that is there, by name."""
    from minia_spark.delf.training_set import file_of  # noqa: PLC0415

    places: dict[str, str] = {}
    for folder in folders:
        files = names_in(folder)
        for name in training_set.labels:
            file = None if name in places else file_of(name, files)
            if file is not None:
                places[name] = str((folder / file).absolute())
    if not places:
        name = next(iter(training_set.labels))
        raise InputError(
            f"none of the {len(training_set.labels):,} images is in "
            f"{', '.join(map(str, folders))}: looked for was {name}.jpg, .JPG, .jpeg and .JPEG"
        )
    return places


def _make(
    options: argparse.Namespace,
    training_set: TrainingSet,
    places: dict[str, str],
    spark: SparkSession,
    progress: Progress,
    *,
    partitions: int | None,
) -> None:
    from minia_spark.delf.reasons import Reason  # noqa: PLC0415
    from minia_spark.delf.spark import checked_images, written_shards  # noqa: PLC0415
    from minia_spark.delf.split import shards_of, split_of  # noqa: PLC0415

    labels, classes = training_set.labels, training_set.classes
    with progress.spark_jobs(spark.sparkContext, "check images"):
        checked = checked_images(spark, places, partitions=partitions)
    rejects = []
    for name in sorted(labels):
        row = checked.get(name)
        if row is None:
            detail = f"There is no {name}.jpg in the folders given."
            rejects.append((name, classes[labels[name]], Reason.NO_IMAGE.value, detail))
        elif row["reason"] is not None:
            rejects.append((name, classes[labels[name]], row["reason"], row["detail"]))
    usable = [name for name, row in checked.items() if row["reason"] is None]
    if not usable:
        name, _, reason, detail = next(r for r in rejects if r[0] in places)
        raise InputError(f"none of the images can be used; of {name}: {reason}: {detail}")
    split = split_of(usable, labels, classes, validation=options.validation, seed=options.seed)
    shards = shards_of(split, options.shards, options.seed)
    progress.say(f"writing {len(split):,} records to {len(shards)} files; {len(rejects):,} rejects")
    with whole_folder(options.out, replace=options.replace) as folder:
        with progress.spark_jobs(spark.sparkContext, "records"):
            written = written_shards(
                spark, shards, folder, places=places, checked=checked, labels=dict(labels)
            )
        expected = {shard.file: len(shard.names) for shard in shards}
        if written != expected:
            raise MiniaError(f"{sum(written.values())} records written of {sum(expected.values())}")
        write_table(folder / REJECTS, ("image", "class", "reason", "detail"), rejects)
        told = _manifest(options, training_set, split, shards, len(rejects))
        (folder / MANIFEST).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    _tell(options.out, told, Counter(row[2] for row in rejects))


def _manifest(
    options: argparse.Namespace,
    training_set: TrainingSet,
    split: Mapping[str, str],
    shards: Sequence[Shard],
    rejects: int,
) -> dict[str, Any]:
    from minia_spark.delf.split import SPLITS  # noqa: PLC0415

    counts = Counter((which, training_set.labels[name]) for name, which in split.items())
    numbers = range(len(training_set.classes))
    return {
        "format": "minia-delf-tfrecords",
        "software": f"minia-spark {__version__}",
        "training_set": options.training_set.name,
        "training_set_sha256": training_set.digest,
        "classes": list(training_set.classes),
        "seed": options.seed,
        "validation": options.validation,
        "shards": options.shards,
        "images": {w: sum(counts[w, n] for n in numbers) for w in SPLITS},
        "images_by_class": {w: [counts[w, n] for n in numbers] for w in SPLITS},
        "rejects": rejects,
        "files": {shard.file: len(shard.names) for shard in shards},
    }


def _tell(out: Path, told: Mapping[str, Any], reasons: Mapping[str, int]) -> None:
    by_class = told["images_by_class"]
    print("class                 train validation")
    for label, name in enumerate(told["classes"]):
        if by_class["train"][label]:  # numbers that the training set leaves out are no classes
            print(f"{name:<20} {by_class['train'][label]:6,} {by_class['validation'][label]:10,}")
    text = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    print(f"rejected: {text or 'none'}")
    print(out / MANIFEST)
