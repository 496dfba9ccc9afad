"""Tables in the text formats of minIA and of the reference miner.

Files are written beside their final name and renamed at the end: an export is whole or not there.
Rows come partition by partition, so memory is bounded by the largest one.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from minia_spark.base.errors import InputError, MiniaError, SettingsError
from minia_spark.base.files import require_replaceable, whole_file
from minia_spark.base.spreadsheet import inert, inert_path
from minia_spark.engine.commands import (
    add_settings,
    add_warehouse,
    inputs_of,
    refuse_in_warehouse,
    refuse_overwriting,
    settings_of_warehouse,
)
from minia_spark.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    from minia_spark.engine.settings import Settings
    from minia_spark.words.settings import WordsSettings

__all__ = ["export"]


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``minia export``."""
    parser.add_argument(
        "what", choices=("words", "ifs", "features", "structures", "map", "catalog", "names")
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        nargs="?",
        help="file to write; for map a folder, or nothing, gives a name that ends in the time",
    )
    add_warehouse(parser)
    parser.add_argument("--batch", metavar="NAME", help="only this batch (default: all)")
    parser.add_argument(
        "--variant", metavar="NAME", help="extractor or method, where there are several"
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="map: paths of images are relative to this folder; default: to the --images of their "
        "batch",
    )
    add_settings(parser)


def export(options: argparse.Namespace) -> int:
    """Write one of the exports and print the files that were written.

    The side file of ``words`` and ``ifs`` is OUT.images, that of ``features`` OUT.descriptors.

    The map is written without Spark.

    Raises
    ------
    InputError
        The table, or the batch or variant in it, is not there.
    SettingsError
        OUT is missing, or --root is given where it has no meaning; structures were asked for of
        one batch: they belong to none; or there are several variants and none was chosen; or OUT
        or its side file is an input.
    MiniaError
        A file cannot be written.
    """
    from minia_spark.engine.progress import Progress  # noqa: PLC0415
    from minia_spark.engine.session import open_session  # noqa: PLC0415
    from minia_spark.words.settings import WordsSettings  # noqa: PLC0415

    if options.what == "map":
        return _export_map(options)
    if options.out is None:
        raise SettingsError(f"minia export {options.what} needs OUT, the file to write")
    if options.root is not None:
        raise SettingsError("--root belongs to 'minia export map'")
    if options.what == "catalog":
        return _export_catalogue(options)
    if options.what == "names":
        return _export_names(options)
    if options.what == "structures" and options.batch is not None:
        raise SettingsError("structures belong to the whole collection; leave out --batch")
    warehouse = Warehouse(options.warehouse)
    state = warehouse.require()
    settings = settings_of_warehouse(options, warehouse, state)
    out: Path = options.out
    _check_places(out, options, settings, warehouse)
    table = {"ifs": "words"}.get(options.what, options.what)
    variant = _variant(warehouse, table, options)
    progress = Progress(quiet=options.quiet)
    spark = open_session(settings.spark, say=progress.say)
    source = _Tables(warehouse, spark, options.batch, variant)
    words = settings.of(WordsSettings)
    writers: dict[str, Callable[[], list[Path]]] = {
        "words": lambda: _words(_documents(source, words), out),
        "ifs": lambda: _inverted(_documents(source, words), out, source.rows("codebooks")),
        "features": lambda: _features(source, out),
        "structures": lambda: _structures(source.read("structures"), out),
    }
    try:
        with progress.spark_jobs(spark.sparkContext, f"export {options.what}"):
            written = writers[options.what]()
    except OSError as error:
        raise MiniaError(f"{out} cannot be written: {error}") from None
    for path in written:
        print(path)
    return 0


_SIDE_FILES = {"words": ".images", "ifs": ".images", "features": ".descriptors"}


def _check_places(
    out: Path, options: argparse.Namespace, settings: Settings, warehouse: Warehouse
) -> None:
    """Refuse, before the work, files that could not or must not be written."""
    side = _SIDE_FILES.get(options.what)
    places = [out, *([_beside(out, side)] if side else [])]
    refuse_overwriting({str(p): str(p) for p in places}, inputs_of(options, settings))
    for place in places:
        refuse_in_warehouse(place, warehouse)
        try:
            require_replaceable(place)
        except OSError as error:
            raise MiniaError(f"{place} cannot be written: {error.strerror}") from None


def _variant(warehouse: Warehouse, table: str, options: argparse.Namespace) -> str | None:
    """Return the variant to export: the one asked for, else the only one."""
    entries = warehouse.entries(table, options.batch, options.variant)
    found = sorted({e.variant for e in entries if e.variant is not None})
    if len(found) > 1:
        raise SettingsError(f"there are {table} of {', '.join(found)}: choose one with --variant")
    return found[0] if found else None


@dataclass(frozen=True)
class _Tables:
    """The tables of one batch (or all) and one variant."""

    warehouse: Warehouse
    spark: SparkSession
    batch: str | None
    variant: str | None

    def read(self, table: str, *, all_batches: bool = False) -> DataFrame:
        batch = None if all_batches else self.batch
        entries = self.warehouse.entries(table, batch, self.variant)
        storage = self.warehouse.storage
        return self.spark.read.parquet(*[storage.pattern(e.path) for e in entries])

    def rows(self, table: str) -> int:
        entries = self.warehouse.require().of_table(table, None, self.variant)
        return sum(e.rows or 0 for e in entries)


def _documents(source: _Tables, words: WordsSettings) -> DataFrame:
    """Return the images' words and weights, without outliers where these are to be dropped."""
    from pyspark.sql import functions as F  # noqa: PLC0415

    column = "sizes" if words.weight == "size" else "counts"
    documents = source.read("words").select(
        "batch", "image_id", "words", F.col(column).alias("weights")
    )
    kept = _kept_words(source, words)
    if kept is not None:
        pairs = F.filter(F.arrays_zip("words", "weights"), lambda p: p["words"].isin(kept))
        documents = documents.withColumn("pairs", pairs).select(
            "batch",
            "image_id",
            F.col("pairs.words").alias("words"),
            F.col("pairs.weights").alias("weights"),
        )
    return documents.orderBy("image_id", "batch")


def _kept_words(source: _Tables, words: WordsSettings) -> list[int] | None:
    """Return the words that are no outliers in the whole collection; None: all are kept."""
    import numpy as np  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: PLC0415

    from minia_spark.words.bag import outlier_bounds  # noqa: PLC0415

    if not words.drop_outliers:
        return None
    counts = np.zeros(source.rows("codebooks"), dtype=np.int64)
    totals = source.read("word_counts", all_batches=True).groupBy("word")
    table = totals.agg(F.sum("occurrences").alias("n")).toArrow()
    counts[table["word"].to_numpy()] = table["n"].to_numpy()
    low, high = outlier_bounds(counts, words.outlier_deviations)
    return [int(word) for word in np.flatnonzero((counts >= low) & (counts <= high))]


def _words(documents: DataFrame, out: Path) -> list[Path]:
    images = _beside(out, _SIDE_FILES["words"])
    with whole_file(out) as file, whole_file(images) as names:
        for row in documents.toLocalIterator(prefetchPartitions=True):
            file.write(_line(zip(row.words, row.weights, strict=True)))
            names.write(f"{row.image_id}\n".encode())
    return [out, images]


def _inverted(documents: DataFrame, out: Path, words: int) -> list[Path]:
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: PLC0415

    order = Window.orderBy("image_id", "batch")
    numbered = documents.withColumn("number", F.row_number().over(order) - 1).persist()
    images = _beside(out, _SIDE_FILES["ifs"])
    with whole_file(images) as names:
        for row in numbered.orderBy("number").select("image_id").toLocalIterator():
            names.write(f"{row.image_id}\n".encode())
    each = numbered.select("number", F.explode(F.arrays_zip("words", "weights")).alias("w"))
    postings = (
        each.groupBy(F.col("w.words").alias("word"))
        .agg(F.sort_array(F.collect_list(F.struct("number", "w.weights"))).alias("postings"))
        .orderBy("word")
    )
    written = 0
    with whole_file(out) as file:
        for row in postings.toLocalIterator():
            file.write(b"0\n" * (row.word - written))  # words that no image has
            file.write(_line(iter(row.postings)))
            written = row.word + 1
        file.write(b"0\n" * (words - written))
    numbered.unpersist()
    return [out, images]


def _line(pairs: Iterator[tuple[int, int] | Row]) -> bytes:
    fields = [f"{entry}:{count}" for entry, count in pairs]
    return (" ".join([str(len(fields)), *fields]) + "\n").encode()


def _features(source: _Tables, out: Path) -> list[Path]:
    """Write the features; with their words where there are words of the same codebook."""
    import numpy as np  # noqa: PLC0415

    features = source.read("features").where("reason is null")
    _require_names_of_their_own(features)
    layout = features.schema["descriptors"].metadata
    named = bool(source.warehouse.require().of_table("words", source.batch, source.variant))
    if named:
        words = source.read("words").select("batch", "image_id", "feature_words")
        features = features.join(words, ["batch", "image_id"])
    located = features.orderBy("image_id", "batch")
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    number_format = "%d" if dtype.kind in "iu" else "%.9g"
    scored = bool(layout.get("scored"))
    descriptors = _beside(out, _SIDE_FILES["features"])
    header = ["location_x", "location_y", "size", *(["score"] if scored else []), "image_name"]
    with whole_file(out) as file, whole_file(descriptors) as matrix:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([*header, *(["visual_word_id"] if named else [])])
        for row in located.toLocalIterator():
            block = np.frombuffer(row.descriptors, dtype=dtype).reshape(-1, dim)
            np.savetxt(matrix, block, fmt=number_format)
            name = inert_path(row.image_id)
            for i in range(len(block)):
                # minIA truncates; the table keeps the fractions
                place = [int(row.x[i]), int(row.y[i]), int(row.size[i])]
                score = [row.response[i]] if scored else []
                word = [row.feature_words[i]] if named else []
                writer.writerow([*place, *score, name, *word])
        table.detach()
    return [out, descriptors]


def _require_names_of_their_own(images: DataFrame) -> None:
    """Raise InputError where a name means an image of several batches: rows tell no batch."""
    from pyspark.sql import functions as F  # noqa: PLC0415

    batches = images.groupBy("image_id").agg(F.min("batch").alias("one"), F.max("batch").alias("b"))
    twice = batches.where("one < b").orderBy("image_id").first()
    if twice is not None:
        raise InputError(
            f"image {twice.image_id} is in batch {twice.one} and in batch {twice.b}, and the file "
            "would not tell them apart: export a batch at a time with --batch"
        )


def _structures(structures: DataFrame, out: Path) -> list[Path]:
    with whole_file(out) as file:
        for row in structures.orderBy("structure_id").toLocalIterator():
            file.write(_line(zip(row.words, row.frequencies, strict=True)))
    return [out]


def _export_map(options: argparse.Namespace) -> int:
    from minia_spark.layout.csv_file import default_name, write_map  # noqa: PLC0415

    warehouse = Warehouse(options.warehouse)
    state = warehouse.require()
    settings = settings_of_warehouse(options, warehouse, state)
    out: Path = options.out or Path()
    if out.is_dir():
        out = out / default_name("map", datetime.now())
    _check_places(out, options, settings, warehouse)
    variant = _variant(warehouse, "map", options)
    try:
        note = write_map(
            out, warehouse, state, variant=variant, batch=options.batch, root=options.root
        )
    except OSError as error:
        raise MiniaError(f"{out} cannot be written: {error}") from None
    if note is not None:
        print(f"warning: {note}", file=sys.stderr)
    print(out)
    return 0


def _export_catalogue(options: argparse.Namespace) -> int:
    import minia_spark  # noqa: PLC0415
    from minia_spark.frames.catalogue import ENDINGS, catalogue, write_catalogue  # noqa: PLC0415

    out: Path = options.out
    if out.suffix not in ENDINGS:
        raise SettingsError(f"{out} ends in none of {', '.join(ENDINGS)}, which say its format")
    if options.variant is not None:
        raise SettingsError("a catalogue has all variants, in columns of their own: no --variant")
    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse, warehouse.require())
    _check_places(out, options, settings, warehouse)
    table, fields = catalogue(minia_spark.open(options.warehouse), batch=options.batch)
    try:
        with whole_file(out) as file:
            note = write_catalogue(file, out.suffix, table, fields)
    except OSError as error:
        raise MiniaError(f"{out} cannot be written: {error}") from None
    if note is not None:
        print(f"warning: {note}", file=sys.stderr)
    print(out)
    return 0


def _export_names(options: argparse.Namespace) -> int:
    import minia_spark  # noqa: PLC0415

    if options.batch is not None:
        raise SettingsError("structures belong to the whole collection; leave out --batch")
    warehouse = Warehouse(options.warehouse)
    settings = settings_of_warehouse(options, warehouse, warehouse.require())
    _check_places(options.out, options, settings, warehouse)
    collection = minia_spark.open(options.warehouse)
    if options.variant is not None:
        collection.structure_variant(options.variant)  # says which there are
    names = collection.structure_names(options.variant)
    rows: list[dict[str, str | None]] = [
        {str(k): v for k, v in row.items()} for row in names.to_dict(orient="records")
    ]
    try:
        with whole_file(options.out) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            writer = csv.writer(text, lineterminator="\n")
            header = ["variant", "lineage_id", "name", "kind", "note", "named_at"]
            writer.writerow(header)
            for row in rows:
                writer.writerow([inert(row.get(name) or "") for name in header])
            text.detach()
    except OSError as error:
        raise MiniaError(f"{options.out} cannot be written: {error}") from None
    print(options.out)
    return 0


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)
