"""Small maps: a few images with everything that a page can show."""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa

from minia_spark.explorer.site import Batch, Field, Map, Site, at_hand

HOSTILE = [
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran=1">',
    "=1+2",
    "@SUM(A1)",
    "-2+3",
    "\uff1d1",
    "a,b",
    'quote"d',
    "line\nfeed",
    "nul\x00and\x07bell",
    "\u202eright to left",
    "__proto__",
    "constructor",
    "\U0001d50a\u0130\u00e9",
    "minia_map.site({})",
    "</script>",
    " ",
    "''",
]

FIELDS = (
    Field(name="class", kind="category", about="What people saw."),
    Field(name="structure", kind="tags", links={"s1": "../report/structure-0001.html"}),
    Field(name="brightness", kind="number"),
)


def picture(level: int, width: int = 40, height: int = 40) -> bytes:
    """Return a PNG of one grey level."""
    done, data = cv2.imencode(".png", np.full((height, width, 3), level, np.uint8))
    assert done
    return data.tobytes()


def colour_picture(red: int, green: int, blue: int) -> bytes:
    """Return a PNG of one colour."""
    done, data = cv2.imencode(".png", np.full((40, 40, 3), (blue, green, red), np.uint8))
    assert done
    return data.tobytes()


def batch(name, ids, *, seed=0, fields=FIELDS, pictures=None, links=None, maps=("words", "pca")):
    """Return a batch whose columns are drawn from the names, so that order does not matter."""
    rng = [np.random.default_rng([seed, *one.encode()]) for one in ids]
    columns = {
        "class": pa.array([["spiral", "edge", None][r.integers(3)] for r in rng], pa.string()),
        "structure": pa.array(
            [[t for t in ("s1", "s2", "s3") if r.random() < 0.5] for r in rng],
            pa.list_(pa.string()),
        ),
        "brightness": pa.array([float(r.random()) for r in rng], pa.float64()),
    }
    return Batch(
        name=name,
        image_ids=pa.array(ids, pa.string()),
        positions={m: np.array([r.normal(size=2) for r in rng]).reshape(-1, 2) for m in maps},
        values={field.name: columns[field.name] for field in fields},
        links=links,
        pictures=None if pictures is None else at_hand(pictures),
        pictures_digest="" if pictures is None else f"{name} {sorted(pictures)}",
    )


def site(batches, *, maps=("words", "pca"), fields=FIELDS, **options):
    return Site(
        title=options.pop("title", "A map"),
        maps=[Map(name=name) for name in maps],
        fields=fields,
        batches=batches,
        made="minia-spark, run 1",
        **options,
    )
