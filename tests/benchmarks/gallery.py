"""The gallery of 100,000 images and 5,000 structures: to write, to open, and with a batch more.

Ten batches; images of 96 pixels with 60 features each. Files lie on the local disk, and pages are
opened from there, each in a tab of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from minia_spark.gallery.site import Batch, Features, Gallery, Variant, Written, write
from tests.benchmarks.figures import Figure
from tests.explorer.browser import CHROMIUM, chromium

SIDE_PX, FEATURES, WORDS, AT_ONCE = 96, 60, 10_000, 256
PAGES = {
    "all structures": ("#/structures/sift", "li.tile"),
    "what is new": ("#/new", "tbody tr"),
    "a structure": ("#/s/sift/1.7", "ul.images li"),
    "an image": ("#/i/night0/object-0000007.jpeg", "h1"),
    "a word": ("#/w/sift/7", "h1"),
}


def pictures() -> list[bytes]:
    """Return a hundred different JPEG files: a spot in noise."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    found = []
    for _ in range(100):
        place, width = rng.uniform(30, 66, 2), rng.uniform(2, 12)
        spot = 200 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * width**2))
        noisy = np.clip(spot + rng.normal(12, 6, spot.shape), 0, 255).astype(np.uint8)
        found.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return found


def batch(number: int, images: int) -> Batch:
    """Return a night of images."""
    names = [f"object-{k:07d}.jpeg" for k in range(images)]
    copies = pictures()

    def shown(image_ids):
        for start in range(0, len(image_ids), AT_ONCE):
            yield [copies[k % 100] for k in range(start, min(start + AT_ONCE, len(image_ids)))]

    def features(image_ids):
        rng = np.random.default_rng(number)
        for start in range(0, len(image_ids), AT_ONCE):
            many = len(image_ids[start : start + AT_ONCE])
            x, y, size, turn = rng.random((4, many * FEATURES), np.float32)
            words = rng.integers(0, WORDS, many * FEATURES).astype(np.int32)
            yield Features(
                FEATURES * np.arange(many + 1), x, y, size * np.float32(0.2), turn, words
            )

    return Batch(
        name=f"night{number}",
        image_ids=pa.array(names),
        labels=pa.array(["spiral" if k % 2 else "elliptical" for k in range(images)]),
        ra=pa.array(np.linspace(0, 359, images)),
        dec=pa.array(np.linspace(-80, 80, images)),
        width=pa.array([SIDE_PX] * images, pa.int32()),
        height=pa.array([SIDE_PX] * images, pa.int32()),
        rejected=0,
        pictures=shown,
        features={"sift": features},
        digest=str(number),
    )


def gallery(sizes: list[int], structures: int) -> Gallery:
    """Return the gallery of nights of some sizes; 20 to 200 images a structure."""
    rng = np.random.default_rng(5)
    rows, images = [], []
    for number in range(structures):
        many = int(rng.integers(20, 200))
        owners = np.sort(rng.integers(0, len(sizes), many))
        places = rng.integers(0, np.array(sizes)[owners])
        images.append((owners, places, np.sort(rng.random(many))[::-1]))
        words = np.sort(rng.choice(WORDS, 12, replace=False)).tolist()
        rows.append(
            {
                **{"id": number, "lineage": f"1.{number}", "event": "same", "images": many},
                **{"gained": 0, "lost": 0, "name": None, "kind": None, "note": None},
                **{"words": words, "frequencies": [many] * 12, "support": many, "verified": None},
                **{"expected_support": 1.0, "lift": float(many), "q": 0.004, "stability": 1.0},
                **{"established": True, "coverage": many / sum(sizes), "related": [[0, 0.5]]},
                **{"labels": [["spiral", many // 2, 0.5]], "labelled": many, "typical": None},
                **{"place": number, "strength": "strong", "same_images_as": None, "turn": ""},
                "pattern": number - number % 2,
            }
        )
    batches = [batch(number, size) for number, size in enumerate(sizes)]
    variants = [Variant(name="sift", structures=rows, images=images)]
    return Gallery(title="Benchmark", batches=batches, variants=variants)


def size_of(folder: Path, without: Path | None = None) -> float:
    """Return the MiB of a folder, but for files that another one has too."""
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    known = set() if without is None else {str(p.relative_to(without)) for p in without.rglob("*")}
    return sum(place.stat().st_size for name, place in found.items() if name not in known) / 2**20


def worked(shown: Gallery, *places: Path | None) -> tuple[float, float, Written]:
    """Write a gallery; return seconds, those of the processor, and what was done."""
    start, busy = time.perf_counter(), time.process_time()
    done = write(shown, *places, threads=os.cpu_count() or 1)
    return time.perf_counter() - start, time.process_time() - busy, done


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    size, structures = max(10, int(10_000 * scale)), max(8, int(5_000 * scale))
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch) / "first", Path(scratch) / "second"
        seconds, busy, _ = worked(gallery([size] * 10, structures), first)
        yield Figure(f"{10 * size:,} images: to write", seconds, "s")
        yield Figure(f"{10 * size:,} images: processor time of it", busy, "s")
        yield Figure(f"{10 * size:,} images: the folder", size_of(first), "MiB")
        grown = gallery([size] * 10 + [max(1, size // 10)], structures)
        seconds, busy, done = worked(grown, second, first)
        yield Figure(f"{size // 10:,} more: to write", seconds, "s")
        yield Figure(f"{size // 10:,} more: processor time of it", busy, "s")
        yield Figure(f"{size // 10:,} more: files that are new", size_of(second, first), "MiB")
        share = done.kept / (done.kept + done.new)
        yield Figure(f"{size // 10:,} more: share of the parts that stay", share)
        if CHROMIUM is None:
            return
        with chromium() as browser:
            for name, (address, shown) in PAGES.items():
                took = min(_opens(browser, second, address, shown) for _ in range(3))
                yield Figure(f"opens: {name}", took, "s", at_most=3)


def _opens(browser, folder: Path, address: str, shown: str) -> float:
    """Return the seconds until a page shows what it is opened for, with its first pictures."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    start = time.perf_counter()
    page.goto(f"{(folder / 'gallery.html').as_uri()}{address}")
    page.locator(shown).first.wait_for()
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    took = time.perf_counter() - start
    page.close()
    return took
