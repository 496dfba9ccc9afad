"""Thumbnails in the pass over the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pyarrow as pa

from minia_spark.base.errors import Rejected
from minia_spark.engine.context import Context
from minia_spark.engine.pixels import Image, Kernel
from minia_spark.ingest.tables import IMAGES
from minia_spark.thumbnails.settings import ThumbnailsSettings
from minia_spark.thumbnails.tables import THUMBNAILS

__all__ = ["kernel", "run"]


def kernel(context: Context) -> Kernel:
    """Return what the pass does with every image: a small copy; none of one that failed."""
    settings = context.settings(ThumbnailsSettings)
    columns = tuple(c for c in THUMBNAILS.columns if c.name not in ("batch", "image_id"))
    return Kernel(columns, partial(_small_copies, settings.side_px, settings.quality))


def _small_copies(
    side_px: int, quality: int
) -> Callable[[Sequence[Image]], Mapping[str, pa.Array]]:
    from minia_spark.thumbnails.thumbnail import FORMAT, thumbnail  # noqa: PLC0415

    def copies(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        rows = [
            (None, None, None, None)
            if isinstance(image, Rejected)
            else (image.width, image.height, FORMAT, thumbnail(image.pixels, side_px, quality))
            for image in images
        ]
        columns = zip(*rows, strict=True)
        return {
            name: pa.array(column, kind)
            for name, column, kind in zip(
                ("width", "height", "format", "data"),
                columns,
                (pa.int32(), pa.int32(), pa.string(), pa.binary()),
                strict=True,
            )
        }

    return copies


def run(context: Context) -> None:
    """Write the thumbnails of a batch."""
    made = context.passed().where("data is not null")
    context.write(THUMBNAILS, made)
    found = context.entries[-1].rows or 0
    context.counts |= {"thumbnails": found, "missing": context.rows(IMAGES) - found}
