"""The facets of the galaxies on Spark; the kernels are :mod:`.morphology` and :mod:`.catalogue`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa
from pyspark.sql import functions as F

from minia_spark.base.errors import InputError
from minia_spark.engine.context import Context
from minia_spark.galaxies.catalogue import ClassCatalogue, catalogue_of
from minia_spark.galaxies.morphology import Facets, facets_of, reduced_class
from minia_spark.galaxies.settings import ClassesSettings, GalaxiesSettings, VotesSettings
from minia_spark.galaxies.split import TEST, TRAIN, split_of
from minia_spark.galaxies.tables import FACETS, VOTES
from minia_spark.ingest.labels import label_batches
from minia_spark.ingest.tables import IMAGES

__all__ = ["facets", "votes"]

_FEW = 0.1


def facets(context: Context) -> None:
    """Write class, facets and split of every image of a batch."""
    settings = context.settings(GalaxiesSettings)
    known = _catalogue(settings.classes, settings.classes.class_column)
    splits = _splits(settings.classes)
    shared = context.spark.sparkContext.broadcast((known, splits))
    seed, share = settings.seed, settings.test_share
    schema = FACETS.arrow_schema()

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        catalogue, listed = shared.value
        for batch in batches:
            rows = []
            for row in batch.to_pylist():
                name = row["image_id"]
                found, unclear = (None, False) if catalogue is None else catalogue.find(name)
                text, kind = _class_of(found, row["label"] if catalogue is None else None)
                told = asdict(facets_of(text) or Facets())
                given = None if listed is None else listed.find(name)[0]
                split = given or split_of(name, seed, share)
                rows.append(
                    {"batch": row["batch"], "image_id": name, "split": split, "gz2_class": text}
                    | {"galaxy_class": kind, "unclear": unclear}
                    | told
                )
            yield pa.RecordBatch.from_pylist(rows, schema.append(pa.field("unclear", pa.bool_())))

    images = context.read(IMAGES).select("batch", "image_id", "label")
    stored = FACETS.schema().add("unclear", "boolean")
    made = images.mapInArrow(work, stored)
    marks = {
        "classes": F.count("galaxy_class"),
        "training": F.count_if(F.col("split") == "train"),
    }
    if known is not None:
        unclear = made.where("unclear").count()
        if unclear:
            context.counts["unclear"] = unclear
            context.progress.warn(
                f"{context.title}: {unclear:,} images could be rows of different classes in "
                f"{settings.classes.file} and are left without one; name them by their paths"
            )
    context.write(FACETS, made, measures=marks)
    shared.destroy()
    found = context.entries[-1].rows or 0
    context.check_counts("images", context.rows(IMAGES), found)
    if known is not None and context.counts["classes"] < _FEW * found:
        context.progress.warn(
            f"{context.title}: only {int(context.counts['classes']):,} of {found:,} images have a "
            f"class in {settings.classes.file}, which has {known.rows:,} rows; is "
            "galaxies.classes.key_column the column with the images' names?"
        )


def _class_of(found: str | None, label: str | None) -> tuple[str | None, str | None]:
    """Return (class string, class of twelve) from a table's class, or else a label.

    Labels may be of another kind, in which ``Sc`` means nothing: they are reduced where they are
    class strings of Galaxy Zoo 2.
    """
    if found is not None:
        return found, reduced_class(found)
    if label is None or facets_of(label) is None:
        return None, label
    return label, reduced_class(label)


def votes(context: Context) -> None:
    """Write the votes of every image of a batch that got some.

    Raises
    ------
    InputError
        The table has a vote that is no number of at least 0.
    """
    settings = context.settings(GalaxiesSettings).votes
    if settings.file is None:
        context.write_rows(VOTES, VOTES.arrow_schema().empty_table())
        return
    answers = list(settings.columns)
    known = [_votes_of(settings, column) for column in answers]
    shared = context.spark.sparkContext.broadcast(known)
    schema = VOTES.arrow_schema()

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            for row in batch.to_pylist():
                texts = (one.find(row["image_id"])[0] for one in shared.value)
                numbers = [float(text) for text in texts if text is not None]
                if len(numbers) == len(answers):
                    rows.append(row | {"answers": answers, "votes": numbers})
            yield pa.RecordBatch.from_pylist(rows, schema)

    images = context.read(IMAGES).select("batch", "image_id")
    context.write(VOTES, images.mapInArrow(work, VOTES.schema()))
    shared.destroy()
    found, total = context.entries[-1].rows or 0, context.rows(IMAGES)
    context.counts |= {"images": total, "with_votes": found}
    if found < _FEW * total:
        context.progress.warn(
            f"{context.title}: only {found:,} of {total:,} images have votes in "
            f"{settings.file}; is galaxies.votes.key_column the column with the images' names?"
        )


def _votes_of(settings: VotesSettings, column: str) -> ClassCatalogue:
    found = _catalogue(settings, column)
    assert found is not None  # a file is set
    for key, text in found.by["path"].items():
        try:
            is_vote = text is None or 0 <= float(text) < float("inf")
        except ValueError:
            is_vote = False
        if not is_vote:
            raise InputError(
                f"column {column!r} of {settings.file} holds {text!r} for {key}: votes are "
                "fractions or numbers of at least 0"
            )
    return found


def _catalogue(settings: ClassesSettings | VotesSettings, column: str) -> ClassCatalogue | None:
    if settings.file is None:
        return None
    rows = label_batches(settings.file, key=settings.key_column, label=column)
    names = ("key", "key_path", "key_name", "key_stem", "label")
    return catalogue_of(
        tuple(row[name] for name in names) for batch in rows for row in batch.to_pylist()
    )


def _splits(settings: ClassesSettings) -> ClassCatalogue | None:
    if settings.split_column is None:
        return None
    found = _catalogue(settings, settings.split_column)
    assert found is not None  # the settings refuse a column without a file
    others = {value for value in found.by["path"].values() if value not in (TRAIN, TEST)}
    if others:
        raise InputError(
            f"column {settings.split_column!r} of {settings.file} holds "
            f"{min(others, key=str)!r}; it may say {TRAIN} or {TEST}, or nothing"
        )
    return found
