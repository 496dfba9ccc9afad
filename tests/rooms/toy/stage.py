"""What the stages of the toy do."""

import argparse
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup
from pyspark.sql import functions as F

from minia_spark.base.errors import Rejected
from minia_spark.engine.commands import add_warehouse
from minia_spark.engine.context import Context
from minia_spark.engine.cost import Cost, Sizes
from minia_spark.engine.pixels import Image, Kernel
from minia_spark.warehouse.warehouse import Warehouse

from . import BRIGHTEST, BRIGHTNESS, LEVELS, ToySettings


def kernel(_context: Context) -> Kernel:
    return Kernel(tuple(c for c in LEVELS.columns if c.name != "image_id"), measure)


def measure() -> Callable[[Sequence[Image]], Mapping[str, pa.Array]]:
    def levels(images: Sequence[Image]) -> Mapping[str, pa.Array]:
        grey = [None if isinstance(image, Rejected) else image.pixels for image in images]
        return {
            "mean": pa.array([None if g is None else float(g.mean()) for g in grey]),
            "largest": pa.array([None if g is None else float(g.max()) for g in grey]),
        }

    return levels


def levels(context: Context) -> None:
    context.write(LEVELS, context.passed())


def brightness(context: Context) -> None:
    factor = context.settings(ToySettings).factor
    assert context.variant is not None
    frame = context.read(LEVELS).select(
        "image_id", (F.col(context.variant) * F.lit(float(factor))).alias("brightness")
    )
    context.write(BRIGHTNESS, frame)


def brightest(context: Context) -> None:
    rows = context.small(BRIGHTNESS).sort_by(
        [("brightness", "descending"), ("image_id", "ascending")]
    )
    found = {"image_id": rows["image_id"][:1], "images": [rows.num_rows]}
    context.write_rows(BRIGHTEST, pa.table(found))


def cost(sizes: Sizes) -> Cost:
    return Cost(tasks=sizes.tasks, written_bytes=8.0 * sizes.images)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_warehouse(parser)


def command(options: argparse.Namespace) -> int:
    warehouse = Warehouse(options.warehouse)
    for entry in warehouse.entries("toy_brightest"):
        (row,) = pq.read_table(warehouse.path_of(entry)).to_pylist()
        print(f"{row['variant']}: {row['image_id']} of {row['images']}")
    return 0


def panel(context: Context) -> Markup:
    rows = context.small(BRIGHTEST).sort_by("variant").to_pylist()
    items = [Markup("<li>{}: {}</li>").format(row["variant"], row["image_id"]) for row in rows]
    return Markup("<ul>{}</ul>").format(Markup("").join(items))
