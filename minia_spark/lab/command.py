"""The commands ``minia lab ...``."""
# ruff: noqa: PLC0415 - what computes is imported where it is needed

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.engine.commands import positive

if TYPE_CHECKING:
    from minia_spark.galaxies.lists import Drawn

__all__ = ["dataset", "dataset_arguments"]

_LISTS = {"train": "log_data_train.csv", "test": "log_data_test.csv"}
_CLASSES, _MISSING = "classes.csv", "missing.csv"
_HEADER = ("dr7objid", "asset_id", "gz2_class")


def dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia lab dataset``."""
    parser.add_argument(
        "--catalogue",
        required=True,
        metavar="CSV",
        help="gz2_hart16.csv: columns dr7objid and gz2_class (.gz is read too)",
    )
    parser.add_argument(
        "--mapping",
        required=True,
        metavar="CSV",
        help="gz2_filename_mapping.csv: columns objid and asset_id",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images, ASSET_ID.jpg, searched "
        "recursively; without it, nobody looks whether they are there"
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the lists")
    parser.add_argument(
        "--train", type=positive, default=10_000, metavar="N", help="training galaxies (10000)"
    )
    parser.add_argument(
        "--test", type=positive, default=10_000, metavar="N", help="test galaxies (10000)"
    )
    parser.add_argument("--seed", type=int, default=31, metavar="N", help="of the shuffle (31)")
    parser.add_argument("--replace", action="store_true", help="write over lists that are there")


def dataset(options: argparse.Namespace) -> int:
    """Draw the study's training and test galaxies, and say what is missing."""
    from minia_spark.ingest.labels import label_batches
    from minia_spark.galaxies.lists import draw, unique_rows

    def column(path: str, key: str, value: str) -> list[tuple[str, str | None]]:
        batches = label_batches(path, key=key, label=value)
        return [(r["key"], r["label"]) for batch in batches for r in batch.to_pylist()]

    names = (*_LISTS.values(), _CLASSES, _MISSING)
    there_already = [name for name in names if (options.out / name).exists()]
    if there_already and not options.replace:
        raise SettingsError(
            f"{options.out / there_already[0]} is there already: give another --out, or --replace"
        )
    if options.images is not None and not options.images.is_dir():
        raise InputError(f"--images {options.images} is no folder that can be read")
    classes = unique_rows(column(options.catalogue, "dr7objid", "gz2_class"), "catalogue")
    assets = unique_rows(column(options.mapping, "objid", "asset_id"), "mapping")
    drawn = draw(
        classes,
        assets,
        there=None if options.images is None else _stems(options.images),
        train=options.train,
        test=options.test,
        seed=options.seed,
    )
    if not any(drawn.lists.values()):
        raise InputError(
            f"no galaxy can be drawn: of {len(classes):,} rows of {options.catalogue} "
            f"{drawn.without_class:,} have no class, {drawn.without_image_name:,} have no image "
            f"in {options.mapping}, and the images of {len(drawn.missing):,} are missing"
        )
    try:
        _write(options.out, drawn)
    except OSError as error:
        raise MiniaError(
            f"{error.filename or options.out} cannot be written: {error.strerror}"
        ) from None
    _tell(options, drawn)
    return 0


def _stems(folder: Path) -> frozenset[str]:
    """Return the names, without what follows the first dot, of all files below a folder."""
    return frozenset(
        name.partition(".")[0] for _, _, names in os.walk(folder) for name in names
    )  # fmt: skip


def _write(out: Path, drawn: Drawn) -> None:
    from minia_spark.delf.files import write_table

    out.mkdir(parents=True, exist_ok=True)
    for which, name in _LISTS.items():
        rows = [(g.object_id, g.asset_id, g.galaxy_class) for g in drawn.lists[which]]
        write_table(out / name, _HEADER, rows)
    rows = [
        (g.asset_id, g.object_id, g.gz2_class, which)
        for which, members in drawn.lists.items()
        for g in members
    ]
    write_table(out / _CLASSES, ("image", "dr7objid", "gz2_class", "split"), sorted(rows))
    missing = [(g.object_id, g.asset_id, g.galaxy_class) for g in drawn.missing]
    write_table(out / _MISSING, _HEADER, missing)


def _tell(options: argparse.Namespace, drawn: Drawn) -> None:
    from collections import Counter

    from minia_spark.galaxies.morphology import CLASSES

    counts = {w: Counter(g.galaxy_class for g in drawn.lists[w]) for w in _LISTS}
    others = sorted({*drawn.classes} - {*CLASSES})
    print(f"{'class':<8} {'catalogue':>10} {'train':>8} {'test':>8}")
    for name in (*CLASSES, *others):
        print(
            f"{name:<8} {drawn.classes[name]:10,} {counts['train'][name]:8,} "
            f"{counts['test'][name]:8,}"
        )
    print(
        f"{'all':<8} {drawn.classes.total():10,} {counts['train'].total():8,} "
        f"{counts['test'].total():8,}"
    )
    for which, wanted in (("train", options.train), ("test", options.test)):
        if len(drawn.lists[which]) < wanted:
            print(f"{which}: only {len(drawn.lists[which]):,} of the {wanted:,} that were wanted")
    print(
        f"left out: {drawn.without_class:,} without a class, {drawn.without_image_name:,} without "
        f"a name of an image, {len(drawn.missing):,} whose image is missing"
    )
    for name in (*_LISTS.values(), _CLASSES, _MISSING):
        print(options.out / name)
