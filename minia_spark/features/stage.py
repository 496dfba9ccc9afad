"""Features in the pass over the pixels: one row an image; the extractors are in this folder.

An image that cannot be extracted, although ingest could read it, keeps its row with a reason and
no features, and is a row of ``rejects`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import TaskContext
from pyspark.sql import functions as F

from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Image, Kernel
from minia_spark.features.columns import feature_columns
from minia_spark.features.extractor import Features
from minia_spark.features.extractors import extractor_of
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.ingest.tables import IMAGES, REJECTS

__all__ = ["kernel", "run"]


def kernel(context: Context) -> Kernel:
    """Return what the pass does with every image: its features, or why there are none."""
    assert context.variant is not None
    made = extractor_of(context.variant)
    settings = context.settings(FeaturesSettings)
    options = made.options(settings)
    columns = tuple(c for c in FEATURES.columns if c.name not in ("batch", "image_id"))
    gpu = settings.delf.gpu if made.on_device else None
    return Kernel(columns, partial(_extract_all, made.module, options, gpu))


def _extract_all(
    module: str, options: dict[str, Any], gpu: str | None
) -> Callable[[Sequence[Image]], Mapping[str, pa.Array]]:
    from minia_spark.features.extractors import make  # noqa: PLC0415

    extractor = make(module, **options, **(_device(gpu) if gpu else {}))
    many = getattr(extractor, "extract_many", None)

    def one(pixels: NDArray[np.uint8]) -> Features | Rejected:
        try:
            return extractor.extract(pixels)
        except Rejected as rejected:
            return rejected

    def columns(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        readable = [image.pixels for image in images if not isinstance(image, Rejected)]
        found = iter([one(pixels) for pixels in readable] if many is None else many(readable))
        results = [image if isinstance(image, Rejected) else next(found) for image in images]
        return feature_columns(results)

    return columns


def _device(gpu: str) -> dict[str, Any]:
    """Return the cores of this task, and the GPU that it is to use."""
    task = TaskContext.get()
    assert task is not None
    number = 0 if gpu == "always" else None
    if gpu == "offered" and "gpu" in task.resources():
        number = int(task.resources()["gpu"].addresses[0])
    return {"threads": task.cpus(), "gpu": number}


def run(context: Context) -> None:
    """Write the features of a batch, and who has none."""
    assert context.variant is not None
    settings = context.settings(FeaturesSettings)
    layout = extractor_of(context.variant).layout(settings)
    written = context.write(
        FEATURES,
        context.passed(),
        metadata={"descriptors": layout},
        measures={
            "images": F.count("*"),
            "features": F.sum("n_features"),
            "left_out": F.sum("n_found") - F.sum("n_features"),
            "rejects": F.count("reason"),
        },
    )
    count = context.rows(IMAGES)
    context.check_counts("images", count, context.entries[-1].rows or 0)
    bad = written.where("reason is not null").select("batch", "image_id", "reason", "detail")
    if context.counts["rejects"] == count:
        row = bad.orderBy("image_id").first()
        assert row is not None
        raise InputError(
            f"no image of batch {context.batch} could be extracted, e.g. {row['image_id']}: "
            f"{row['detail']} Nothing was published."
        )
    if context.counts["rejects"]:
        places = context.read(IMAGES).select("image_id", "uri")
        named = bad.join(places, "image_id").withColumn("stage", F.lit("features"))
        context.write(REJECTS, named.coalesce(1))
    else:
        context.write_rows(REJECTS, REJECTS.arrow_schema().empty_table())
    context.check_counts("rejects", int(context.counts["rejects"]), context.entries[-1].rows or 0)
    if not context.counts["features"]:
        why = (
            "; no attention score reaches features.delf.threshold, which is best chosen by the "
            "scores of the training"
        )
        context.progress.warn(
            f"{context.title}: no image has a feature{why if context.variant == 'delf' else ''}"
        )
    if context.counts["left_out"]:
        context.progress.warn(
            f"{context.title}: {context.counts['left_out']:,} features beyond "
            f"features.max_features ({settings.max_features:,}) an image were left out"
        )
