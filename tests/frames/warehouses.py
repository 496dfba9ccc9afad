"""A small warehouse with a map, written by hand: no Spark."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from minia_spark.engine.table import arrow_type
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.records import Entry
from minia_spark.warehouse.warehouse import Warehouse

NAMES = [("b1", "a.png"), ("b1", "deep/b.png"), ("b1", "=c.png"), ("b2", "a.png")]
PLACES = np.array([[0.0, 0], [1, 0], [0, 2], [5, 5]])
LABELS = ["spiral", "spiral", "merger", None]


def thumbnail(value: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 0)).save(out, "JPEG")
    return out.getvalue()


def write(location: Path, *, deep: bool = False, note: str | None = None) -> Path:
    """Write two batches of four images, their map by words and what belongs to it."""
    rows = {
        "images": [
            {
                "image_id": image,
                "batch": batch,
                "uri": f"file:///survey/{batch}/{image}",
                "width": 8,
                "height": 6,
                "channels": 3,
                "label": label,
            }
            for (batch, image), label in zip(NAMES, LABELS, strict=True)
        ],
        "embeddings": [
            {"batch": batch, "image_id": image, "vector": [k + 0.1, 1e-9]}
            for k, (batch, image) in enumerate(NAMES)
        ],
        "map": [
            {
                "batch": batch,
                "image_id": image,
                "x": x,
                "y": y,
                "z": 7.0 if deep else None,
                "fitted": batch == "b1",
            }
            for (batch, image), (x, y) in zip(NAMES, PLACES, strict=True)
        ],
        "neighbours": [
            {
                "batch": batch,
                "image_id": image,
                "neighbours": [other[1] for other in NAMES if other != (batch, image)],
                "batches": [other[0] for other in NAMES if other != (batch, image)],
                "distances": [1.0, 2.0, 3.0],
            }
            for batch, image in NAMES
        ],
        "map_frames": [
            {
                "version": "v1",
                "method": "t-sne",
                "images": 3,
                "of_images": 3,
                "dimensions": 3 if deep else 2,
                "perplexity": 1.0,
                "parameters": "{}",
                "low": [-1.0] * (3 if deep else 2),
                "high": [6.0] * (3 if deep else 2),
                "note": note,
            }
        ],
        "map_quality": [
            {"batch": None, "images": 4, "asked": 4, "placed": 1, "neighbours": 1, "recall": 0.5}
        ],
        "thumbnails": [
            {
                "batch": batch,
                "image_id": image,
                "width": 8,
                "height": 6,
                "format": "jpeg",
                "data": thumbnail(60 * k),
            }
            for k, (batch, image) in enumerate(NAMES)
        ],
        "structure_images": [
            {"structure_id": 1, "rank": 1, "batch": "b1", "image_id": "a.png", "overlap": 1.0}
        ],
    }
    house = Warehouse(str(location))
    state = house.catalogue()
    entries = []
    for name, own in rows.items():
        table = HOUSE.outputs[name]
        variant = {"structure_images": "sift"}.get(name, "words") if table.variants else None
        schema = pa.schema([(c.name, arrow_type(c.type)) for c in table.all_columns])
        by_batch = name in ("images", "embeddings", "map", "thumbnails")
        for batch in ("b1", "b2") if by_batch else (None,):
            part = [row | {"variant": variant} for row in own if batch in (None, row.get("batch"))]
            path = f"{name}/run=r1/{batch}"
            (location / path).mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(part, schema), location / path / "part.parquet")
            stage = HOUSE.producers(table)[0].name
            entries.append(
                Entry(
                    table=name,
                    batch=batch,
                    variant=variant,
                    stage=stage,
                    run="r1",
                    path=path,
                    rows=len(part),
                    fingerprint="f",
                    digest="d",
                )
            )
    house.commit(state, "r1", entries, "by hand")
    return location
