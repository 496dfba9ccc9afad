"""A small gallery, written by hand."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from minia_spark.explorer.site import at_hand
from minia_spark.gallery.site import Batch, Features, Gallery, Map, Nearest, Variant

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "</script><script>alert(2)</script>.png",
    "\u202egnp.exe",
    "%2e%2e/a b&c#d?e.png",
]


def picture(number: int) -> bytes:
    out = io.BytesIO()
    pixels = np.full((60, 80, 3), (40 * number % 200, 90, 30), np.uint8)
    pixels[20:30, 30:40] = 255
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


BOX = (-2.0, -2.0, 2.0, 2.0)


def batch(
    name: str,
    images: list[str],
    *,
    rejected: int = 0,
    digest: str = "d",
    known: bool = False,
    extractors: tuple[str, ...] = ("sift",),
) -> Batch:
    """With `known`, images lie on a circle on a map, and the next three are nearest to each."""
    n = len(images)
    rng = np.random.default_rng(n)

    def features(image_ids):
        for start in range(0, len(image_ids), 256):
            many = len(image_ids[start : start + 256])
            # four features an image, of words 0 to 3, on the square that is drawn
            words = np.tile(np.arange(4), many)
            x, y = (30 + rng.uniform(0, 10, 4 * many), 20 + rng.uniform(0, 10, 4 * many))
            size = np.full(4 * many, 8.0)
            shares = (np.float32(v / 80) for v in (x, y, size))
            turn = np.full(4 * many, 0.25, np.float32)
            yield Features(4 * np.arange(many + 1), *shares, turn, words)

    return Batch(
        name=name,
        image_ids=pa.array(images),
        labels=pa.array(["spiral" if k % 2 else None for k in range(n)], pa.string()),
        ra=pa.array([10.0 * k for k in range(n)], pa.float64(), mask=np.arange(n) == 0),
        dec=pa.array(np.linspace(-80, 80, n), mask=np.arange(n) == 0),
        width=pa.array([80] * n, pa.int32()),
        height=pa.array([60] * n, pa.int32()),
        rejected=rejected,
        pictures=at_hand({image: picture(k) for k, image in enumerate(images)}),
        features=dict.fromkeys(extractors, features),
        digest=digest,
        **(_known(n) if known else {}),
    )


def _known(n: int):
    angle = 2 * np.pi * np.arange(n) / n
    places = np.column_stack([np.cos(angle), np.sin(angle)])
    places[-1] = np.nan
    near = (np.arange(n)[:, None] + [1, 2, 3]) % n
    return {
        "places": {"words": places},
        "nearest": {
            "words": Nearest(
                counts=np.full(n, 3),
                batches=np.zeros(3 * n, np.int64),
                images=near.ravel(),
                distances=np.tile([0.25, 0.5, 0.75], n),
            )
        },
        "values": {
            "cluster (kmeans)": pa.array([f"c{k % 3}" for k in range(n)]),
            "edge on": pa.array(["<i>yes</i>"] + [None] * (n - 1)),
            "redshift": pa.array([0.5 + k for k in range(n)]),
        },
    }


def row(number: int, **more):
    return {
        "id": number,
        "lineage": f"1.{number}",
        "event": "same",
        "gained": 0,
        "lost": 0,
        "name": None,
        "kind": None,
        "note": None,
        "words": [0, 1, 2],
        "frequencies": [9, 5, 2],
        "support": 100 - number,
        "expected_support": 1.0,
        "lift": float(number),
        "surprise": float(number),
        "q": 0.01,
        "stability": 1 - number / 100,
        "established": number < 3,
        "verified": None,
        "images": 0,
        "coverage": 0.5,
        "labels": [],
        "related": [],
        "typical": None,
        "labelled": 0,
        "place": number,
        "strength": ("strong", "moderate", "weak")[number] if number < 3 else None,
        "pattern": number,
        "same_images_as": None,
        "turn": None,
    } | more


def gallery(batches: list[Batch], structures: int = 5, **more) -> Gallery:
    """Structure k holds the images k, k + 1, ... of the first batch, the first one of the last."""
    rows, images = [], []
    for k in range(structures):
        n = max(0, len(batches[0].image_ids) - k)
        owners = np.concatenate([np.zeros(n, np.int64), [len(batches) - 1]])
        places = np.concatenate([np.arange(k, k + n), [0]])
        overlaps = np.linspace(0.9, 0.1, n + 1)
        images.append((owners, places, overlaps))
        told = {"images": n + 1, "labels": [["spiral", n, 0.5]], "labelled": n}
        told |= {"typical": ["spiral", n, 0.5]}
        if k == 1:
            told |= {"name": "<b>ring</b>", "kind": "artefact", "note": "\u202enote =1+1"}
        if k == 2:
            told |= {"event": "born", "related": [[0, 0.5], [1, 0.2]]}
        if k in (4, 5):
            told |= {"pattern": 3, "turn": "mirrored"}
        rows.append(row(k, **told))
    beside = {"surf": {"beside": {"sift": [[0, 0.5, 3]]}}, "sift": {"beside": {"surf": []}}}
    beside["sift"]["beside"]["surf"] = [[1, 0.75, 12], [0, 0.1, 2]]
    several = len(batches[0].features) > 1
    variants = [
        Variant(
            name=name,
            structures=[one | beside[name] for one in rows] if several else rows,
            images=images,
        )
        for name in batches[0].features
    ]
    last = batches[-1]
    odd = [
        {"name": name, "alert": k == 0, "reasons": "its features <i>fit</i> badly"}
        for k, name in enumerate(last.image_ids.to_pylist()[:2])
    ]
    found = [{"id": 0, "images": 1, "of": 0.25}] if structures else []
    news = {"batch": last.name, "known": 50, "rate": 0.01, "structures": found, "images": odd}
    blank = {"images": 2, "expected": 0.5, "p": 0.2, "alert": False}
    news |= {"odd": 1, "featureless": blank, "copies": 1}
    news |= {"blank": last.image_ids.to_pylist()[:2]}
    ended = [
        {"lineage": "1.9", "name": None, "merged": True},
        {"lineage": "2.1", "name": "<i>trail</i>", "merged": False},
    ]
    facts = {
        "max_q": 0.05,
        "min_stability": 0.5,
        "ended": {"sift": ended},
        "news": [news],
        "older": dict.fromkeys(batches[0].features, 4),
    }
    known = any(one.places for one in batches)
    return Gallery(
        title="Test",
        batches=batches,
        variants=variants,
        home="report/index.html",
        maps=[Map("words", BOX)] if known else [],
        map_page="explorer/index.html" if known else "",
        facts=facts,
        **more,
    )
