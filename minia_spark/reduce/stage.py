"""Crops in the pass over the pixels, principal components of them, and vectors, on Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.base.arrow import from_lists
from minia_spark.base.errors import InputError, Rejected
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Image, Kernel
from minia_spark.engine.settings import Settings
from minia_spark.galaxies.spark import (
    is_outdated,
    load_model,
    save_model,
    training_digest,
    training_rows,
)
from minia_spark.galaxies.tables import FACETS
from minia_spark.ingest.tables import IMAGES
from minia_spark.reduce.pca import Components, components_of
from minia_spark.reduce.settings import ReduceSettings
from minia_spark.reduce.spark import fitted_part, pixels_of
from minia_spark.reduce.tables import COMPONENTS, CROPS, REDUCTIONS
from minia_spark.warehouse.records import Catalogue
from minia_spark.warehouse.warehouse import Warehouse

__all__ = ["components", "crops", "kernel", "loaded_components", "reductions", "wants_anew"]

_SPARE = 2
"""Components that parts keep, in multiples of those wanted: what a merge cuts off stays small."""


def kernel(context: Context) -> Kernel:
    """Return what the pass does with every image: a square crop; none of one that failed."""
    settings = context.settings(ReduceSettings)
    cut = (settings.side_px, settings.crop, settings.object_threshold)
    return Kernel(tuple(c for c in CROPS.columns if c.name == "pixels"), partial(_crops, *cut))


def _crops(
    side_px: int, kind: str, threshold: float
) -> Callable[[Sequence[Image]], Mapping[str, pa.Array]]:
    from minia_spark.reduce.crop import crop  # noqa: PLC0415

    def cut(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        cells = [
            None
            if isinstance(image, Rejected)
            else crop(image.pixels, side_px, kind, threshold).tobytes()  # type: ignore[arg-type]
            for image in images
        ]
        return {"pixels": pa.array(cells, pa.binary())}

    return cut


def crops(context: Context) -> None:
    """Write the crops of a batch."""
    context.write(CROPS, context.passed().where("pixels is not null"))
    found = context.entries[-1].rows or 0
    context.counts |= {"crops": found, "missing": context.rows(IMAGES) - found}


def wants_anew(
    _settings: Settings, _warehouse: Warehouse, view: Catalogue, variant: str | None
) -> bool:
    """Tell whether other images would be learned from than those that were."""
    return is_outdated(view, COMPONENTS, training_digest(view, CROPS, FACETS), variant)


def components(context: Context) -> None:
    """Fit principal components and scaler to the training images.

    Raises
    ------
    InputError
        There are fewer than two training images, or they are all equal.
    """
    settings = context.settings(ReduceSettings)
    rows = training_rows(context, CROPS)
    with context.watched("training images"):
        total = rows.count()
    if total < 2:
        raise InputError(
            f"principal components need at least two training images, there are {total}: add "
            "images, or lower galaxies.test_share"
        )
    dims = 3 * settings.side_px**2
    kept = _SPARE * settings.components
    part = fitted_part(
        rows, total, dims=dims, kept=kept, watched=context.watched("principal components")
    )
    context.check_counts("training images", total, part.count)
    try:
        found = components_of(part, settings.components, scale=settings.scale)
    except ValueError as error:
        raise InputError(f"{error}; the reduction needs images that differ") from None
    number = len(found.scales)
    if number < settings.components:
        context.progress.warn(
            f"{context.title}: {total:,} training images have {number:,} principal components, "
            f"not {settings.components:,}"
        )
    share = float(found.variances.sum() / found.total_variance)
    arrays: dict[str, NDArray[Any]] = {
        "mean": found.mean,
        "directions": found.directions,
        "variances": found.variances,
        "scales": found.scales,
        "total_variance": np.array(found.total_variance),
        "count": np.array(found.count),
    }
    told = {"images": total, "side_px": settings.side_px, "explained_share": round(share, 6)}
    training = training_digest(context.view, CROPS, FACETS)
    save_model(context, COMPONENTS, kind="components", arrays=arrays, told=told, training=training)
    context.counts |= {"images": total, "components": number, "explained": round(share, 4)}


def loaded_components(context: Context) -> Components:
    """Return the components that the stage reads."""
    arrays = load_model(context, COMPONENTS).arrays
    return Components(
        mean=arrays["mean"],
        directions=arrays["directions"],
        variances=arrays["variances"],
        scales=arrays["scales"],
        total_variance=float(arrays["total_variance"]),
        count=int(arrays["count"]),
    )


def reductions(context: Context) -> None:
    """Write the vector of every image of a batch."""
    found = loaded_components(context)
    shared = context.spark.sparkContext.broadcast(found)
    dims = len(found.mean)

    def project(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = shared.value
        for batch in batches:
            scores = model.transform(pixels_of(batch, dims))
            offsets = np.arange(len(scores) + 1, dtype=np.int64) * scores.shape[1]
            names = {name: batch[name] for name in ("batch", "image_id")}
            yield pa.RecordBatch.from_pydict(
                names | {"vector": from_lists(scores.ravel(), offsets)}
            )

    made = context.read(CROPS).mapInArrow(project, REDUCTIONS.schema())
    context.write(REDUCTIONS, made)
    shared.destroy()
    vectors = context.entries[-1].rows or 0
    context.check_counts("crops", context.rows(CROPS), vectors)
    context.counts |= {"vectors": vectors, "components": len(found.scales)}
