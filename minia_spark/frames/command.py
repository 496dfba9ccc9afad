"""The command ``minia search``: the images of a structure, or the kin of any image."""
# ruff: noqa: PLC0415 - NumPy, Arrow and OpenCV where they are needed

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minia_spark.base.errors import SettingsError
from minia_spark.engine.commands import (
    add_settings,
    add_warehouse,
    positive,
    settings_of_warehouse,
)

if TYPE_CHECKING:
    import pandas as pd

    from minia_spark.frames.search import ImageFound

__all__ = ["arguments", "search"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument(
        "--structure", metavar="ID", help="its images: a number (3, s0003) or a lineage (2.5)"
    )
    wanted.add_argument(
        "--image", type=Path, metavar="FILE", help="its structures and the images like it"
    )
    add_warehouse(parser)
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="--structure: least overlap of its images, 0 to 1 (0)",
    )
    parser.add_argument("--variant", metavar="NAME", help="only this extractor")
    parser.add_argument(
        "--count", type=positive, metavar="N", help="most images to print (structure: all; 12)"
    )
    parser.add_argument(
        "--geometry",
        action="store_true",
        help="--image: count the features that lie alike in the nearest images",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--on-spark",
        action="store_true",
        help="--image: go through the images on Spark; worth it beyond millions of images",
    )
    add_settings(parser)


def search(options: argparse.Namespace) -> int:
    """Print what was found."""
    import minia_spark

    if options.image is None:
        for name in ("geometry", "on_spark"):
            if getattr(options, name):
                raise SettingsError(f"--{name.replace('_', '-')} belongs to --image")
    if not options.on_spark and (options.set or options.config):
        raise SettingsError(
            "--set and --config belong to --on-spark: images are searched with the settings that "
            "the state was made with"
        )
    if options.image is not None and options.threshold is not None:
        raise SettingsError("--threshold belongs to --structure")
    collection = minia_spark.open(options.warehouse)
    if options.image is None:
        found = collection.search_structure(
            options.structure, threshold=options.threshold or 0.0, variant=options.variant
        )
        _print_structure(found, options.count or len(found), options.json)
        if options.threshold and not len(found):
            every = collection.search_structure(options.structure, variant=options.variant)
            most = f"the largest overlap is {every['overlap'].max():.3f}"
            print(f"minia search: {most if len(every) else 'no image holds it'}", file=sys.stderr)
        return 0
    spark = _session(options) if options.on_spark else None
    told = collection.search_image(
        options.image,
        variant=options.variant,
        count=options.count or 12,
        geometry=options.geometry,
        spark=spark,
    )
    if options.json:
        print(json.dumps(told.as_dict(), indent=1, allow_nan=False))
    else:
        _print_image(told)
    return 0


def _session(options: argparse.Namespace) -> Any:
    from minia_spark.engine import session
    from minia_spark.engine.progress import Progress
    from minia_spark.warehouse.warehouse import Warehouse

    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse, warehouse.require())
    return session.open_session(settings.spark, say=Progress(quiet=options.quiet).say)


def _print_structure(every: pd.DataFrame, count: int, as_json: bool) -> None:
    found = every.head(count)
    if as_json:
        from minia_spark.frames.search import records

        print(json.dumps(records(found), indent=1, allow_nan=False))
        return
    print("rank  overlap  words  image")
    for row in found.itertuples():
        label = f"  ({_plain(row.label)})" if isinstance(row.label, str) else ""
        place = f"{row.batch}: {row.image_id}"
        print(f"{row.rank:>4,}  {row.overlap:7.3f}  {row.words_held:>5,}  {place}{label}")
    of = f"{len(found):,} of " if len(found) < len(every) else ""
    print(f"{of}{len(every):,} image{'s' * (len(every) != 1)}")


def _print_image(told: ImageFound) -> None:
    print(f"{told.image}: {told.width:,} x {told.height:,} pixels")
    for batch, name in told.same:
        print(f"the same bytes as {batch}: {name}")
    for extractor, one in told.by_words.items():
        print(f"\n{extractor}: {one.features:,} features, {len(one.words):,} different words")
        for row in one.structures.itertuples():
            held = f"{row.words_held:,} of {row.words:,} words"
            called = [_plain(text) for text in (row.name, row.kind) if isinstance(text, str)]
            title = " ".join([f"s{row.structure_id:04d}", *called])
            print(f"  structure {title}  overlap {row.overlap:.3f}  {held}")
        if not len(one.structures):
            print("  no structure: it holds more than half of the words of none")
        _print_images(one.images)
    for method, images in told.by_embedding.items():
        print(f"\nembedding {method}:")
        _print_images(images)
    for name, why in told.without.items():
        print(f"\n{name}: {why}")


def _print_images(images: pd.DataFrame) -> None:
    if len(images):
        print("  distance  nearest images")
    for row in images.itertuples():
        label = f"  ({_plain(row.label)})" if isinstance(row.label, str) else ""
        alike = f"  {row.alike:,} features alike" if hasattr(row, "alike") else ""
        print(f"  {row.distance:8.4f}  {row.batch}: {row.image_id}{label}{alike}")


def _plain(text: str) -> str:
    """Return a text of the data as a terminal may have it."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
