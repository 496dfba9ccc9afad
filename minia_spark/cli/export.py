"""Tables in the text formats of minIA and of the reference miner.

Files are written beside their final name and renamed at the end: an export is whole or not there.
Rows come partition by partition, so memory is bounded by the largest one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.base.files import whole_file
from minia_spark.engine.progress import Progress
from minia_spark.engine.settings import Settings
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["export"]

_FORMULA = frozenset("=+-@")


def export(
    what: str,
    out: Path,
    *,
    warehouse: Warehouse,
    batch: str | None,
    settings: Settings,
    spark: SparkSession,
    progress: Progress,
) -> list[Path]:
    """Write one of the four exports and return the files that were written.

    Parameters
    ----------
    what : str
        ``words``, ``ifs``, ``features`` or ``structures``.
    out : Path
        The main file; the side file of ``words`` and ``ifs`` is OUT.images, that of ``features``
        OUT.descriptors.
    warehouse : Warehouse
    batch : str or None
        Only this batch; None for all.
    settings : Settings
        ``words.weight`` chooses counts or sizes.
    spark : SparkSession
    progress : Progress

    Raises
    ------
    InputError
        The table, or the batch in it, is not there.
    SettingsError
        Structures were asked for of one batch: they belong to none.
    MiniaError
        A file cannot be written.
    """

    if what == "structures" and batch is not None:
        raise SettingsError("structures belong to the whole collection; leave out --batch")

    def read(table: str) -> DataFrame:
        entries = warehouse.entries(table, batch)
        return spark.read.parquet(*[warehouse.storage.pattern(e.path) for e in entries])

    writers: dict[str, Callable[[], list[Path]]] = {
        "words": lambda: _words(_documents(read, settings), out),
        "ifs": lambda: _inverted(_documents(read, settings), out, _vocabulary_size(warehouse)),
        "features": lambda: _features(_located(read), out),
        "structures": lambda: _structures(read("structures"), out),
    }
    try:
        with progress.spark_jobs(spark.sparkContext, f"export {what}"):
            return writers[what]()
    except OSError as error:
        raise MiniaError(f"{out} cannot be written: {error}") from None


def _documents(read: Callable[[str], DataFrame], settings: Settings) -> DataFrame:
    column = "sizes" if settings.words.weight == "size" else "counts"
    return (
        read("words")
        .select("batch", "image_id", "words", F.col(column).alias("weights"))
        .orderBy("image_id", "batch")
    )


def _vocabulary_size(warehouse: Warehouse) -> int:
    return sum(e.rows for e in warehouse.require().of_table("codebooks"))


def _words(documents: DataFrame, out: Path) -> list[Path]:
    images = _beside(out, ".images")
    with whole_file(out) as file, whole_file(images) as names:
        for row in documents.toLocalIterator(prefetchPartitions=True):
            file.write(_line(zip(row.words, row.weights, strict=True)))
            names.write(f"{row.image_id}\n".encode())
    return [out, images]


def _inverted(documents: DataFrame, out: Path, vocabulary: int) -> list[Path]:
    order = Window.orderBy("image_id", "batch")
    numbered = documents.withColumn("number", F.row_number().over(order) - 1).persist()
    images = _beside(out, ".images")
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
        file.write(b"0\n" * (vocabulary - written))
    numbered.unpersist()
    return [out, images]


def _line(pairs: Iterator[tuple[int, int] | Row]) -> bytes:
    fields = [f"{entry}:{count}" for entry, count in pairs]
    return (" ".join([str(len(fields)), *fields]) + "\n").encode()


def _located(read: Callable[[str], DataFrame]) -> DataFrame:
    features = read("features").where("reason is null")
    words = read("words").select("batch", "image_id", "feature_words")
    return features.join(words, ["batch", "image_id"]).orderBy("image_id", "batch")


def _features(located: DataFrame, out: Path) -> list[Path]:
    layout = located.schema["descriptors"].metadata
    dtype, dim = np.dtype(layout["dtype"]), int(layout["dimension"])
    number_format = "%d" if dtype.kind in "iu" else "%.9g"
    scored = layout["extractor"] == "delf"
    descriptors = _beside(out, ".descriptors")
    header = ["location_x", "location_y", "size", *(["score"] if scored else [])]
    with whole_file(out) as file, whole_file(descriptors) as matrix:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([*header, "image_name", "visual_word_id"])
        for row in located.toLocalIterator():
            block = np.frombuffer(row.descriptors, dtype=dtype).reshape(-1, dim)
            np.savetxt(matrix, block, fmt=number_format)
            name = _no_formula(row.image_id)
            for i, word in enumerate(row.feature_words):
                # minIA truncates; the table keeps the fractions
                place = [int(row.x[i]), int(row.y[i]), int(row.size[i])]
                score = [row.response[i]] if scored else []
                writer.writerow([*place, *score, name, word])
        table.detach()
    return [out, descriptors]


def _no_formula(image_id: str) -> str:
    """Percent-encode a first sign by which spreadsheets know a formula: it names the same path."""
    first = image_id[:1]
    return f"%{ord(first):02X}{image_id[1:]}" if first in _FORMULA else image_id


def _structures(structures: DataFrame, out: Path) -> list[Path]:
    with whole_file(out) as file:
        for row in structures.orderBy("structure_id").toLocalIterator():
            file.write(_line(zip(row.words, row.frequencies, strict=True)))
    return [out]


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(out.name + ending)
