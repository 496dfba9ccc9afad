"""The map's page in headless Chromium: a million dots, and a hundred thousand with thumbnails.

Frames are those of a view that moves and zooms in every one of them. All files lie on the local
disk, and are opened from there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from minia_spark.explorer.site import Batch, Field, Map, Site, at_hand, write
from tests.benchmarks.figures import Figure, timed
from tests.explorer.browser import CHROMIUM, chromium

SIZE = {"width": 1280, "height": 849}  # 1280 x 800 for the map itself, without the panel
FRAMES = 150
MOVE = """async (frames) => {
  const pane = minia_map.page.app.panes[0];
  const [u, v, size] = pane.view();
  const took = [];
  let last = await new Promise(requestAnimationFrame);
  for (let i = 0; i < frames; i++) {
    pane.look([u + i * 0.4, v, size * (1 + Math.abs(Math.sin(i / 20)))]);
    const now = await new Promise(requestAnimationFrame);
    took.push(now - last);
    last = now;
  }
  return took;
}"""


def layout(n: int, pictures: bool) -> Site:
    """Return a map of twelve clouds."""
    rng = np.random.default_rng(1)
    cloud = rng.integers(0, 12, n)
    places = rng.normal(0, 30, (12, 2))[cloud] + rng.normal(0, 6, (n, 2))
    names = [f"survey/night{i % 30:02d}/object-{i:09d}.jpeg" for i in range(n)]
    own = Batch(
        name="night",
        image_ids=pa.array(names),
        positions={"words": places},
        values={
            "class": pa.array([f"class {i}" for i in cloud]),
            "structure": pa.array(
                [[f"s{i:04d}"] if i % 3 else [] for i in cloud], pa.list_(pa.string())
            ),
        },
        pictures=at_hand(dict(zip(names, copies(n), strict=True))) if pictures else None,
    )
    fields = (Field(name="class", kind="category"), Field(name="structure", kind="tags"))
    return Site(title="Map", maps=[Map(name="words")], fields=fields, batches=[own])


def copies(n: int) -> list[bytes]:
    """Return JPEG files of 256 x 256 pixels, a spot each; a hundred different ones."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:256, :256]
    some = []
    for _ in range(100):
        place, width = rng.uniform(80, 176, 2), rng.uniform(5, 30)
        spot = 200 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * width**2))
        noisy = np.clip(spot + rng.normal(12, 6, spot.shape), 0, 255).astype(np.uint8)
        some.append(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return [some[i % 100] for i in range(n)]


def renderer_mib() -> float:
    """Return the memory (PSS) of the largest tab that this process started."""
    parents, tabs = {}, []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "status").read_text()
            command = (place / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(place.name)] = int(status.partition("\nPPid:")[2].split()[0])
        if b"--type=renderer" in command:
            tabs.append(int(place.name))

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    found = []
    for tab in filter(ours, tabs):
        lines = Path(f"/proc/{tab}/smaps_rollup").read_text().splitlines()
        found.append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")))
    return max(found, default=0) / 1024


def opened(browser, folder: Path):
    """Open a page anew; return it and when it first showed dots, and all, in seconds."""
    page = browser.new_page(viewport=SIZE)
    page.goto((folder / "map.html").as_uri())
    page.evaluate("minia_map.page.whole()")
    times = page.evaluate("minia_map.page.app.times")
    first = times["first"] / 1000
    return page, first, max(first, times["complete"] / 1000)


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures; nothing without a browser."""
    if CHROMIUM is None:
        return
    million, many = int(1_000_000 * scale), int(100_000 * scale)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        dots, pictures = Path(folder) / "dots", Path(folder) / "pictures"
        seconds, _ = timed(lambda: write(layout(million, pictures=False), dots))
        yield Figure(f"{million:,} images: writing the page", seconds, "s")
        size = sum(path.stat().st_size for path in dots.rglob("*") if path.is_file())
        yield Figure(f"{million:,} images: the page", size / 2**20, "MiB")
        first, whole = zip(*(_times(browser, dots) for _ in range(3)), strict=True)
        yield Figure(f"{million:,} images: first picture", min(first), "s", at_most=2)
        yield Figure(f"{million:,} images: all dots in their colours", min(whole), "s")
        page, *_ = opened(browser, dots)
        page.click("#aside")
        work = page.context.new_cdp_session(page)
        work.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _busy(work)
        medians = [np.median(page.evaluate(MOVE, FRAMES)) for _ in range(3)]
        spent = 1000 * (_busy(work) - before) / (3 * FRAMES)
        yield Figure(f"{million:,} images: frame, median", min(medians), "ms", at_most=25)
        yield Figure(f"{million:,} images: processor time of it", spent, "ms")
        yield Figure(f"{million:,} images: memory of the tab", renderer_mib(), "MiB")
        page.fill("#query", "object-000000")
        took, _ = timed(page.locator("#hits .hit").first.wait_for)
        yield Figure(f"{million:,} images: first search by name", took, "s")
        yield Figure(f"{million:,} images: memory with all names", renderer_mib(), "MiB")
        page.close()
        seconds, _ = timed(lambda: write(layout(many, pictures=True), pictures))
        yield Figure(f"{many:,} with thumbnails: writing the page", seconds, "s")
        first, whole = zip(*(_times(browser, pictures) for _ in range(3)), strict=True)
        yield Figure(f"{many:,} with thumbnails: first picture", min(first), "s")
        yield Figure(f"{many:,} with thumbnails: the page opens", min(whole), "s", at_most=3)
        page, *_ = opened(browser, pictures)
        page.evaluate("minia_map.page.app.panes[0].flyTo(0)")
        shown = "minia_map.page.app.panes[0].drawn.length > 20"
        took, _ = timed(partial(_until, page, shown))
        yield Figure(f"{many:,} with thumbnails: flown to an image, shown", took, "s")
        yield Figure(f"{many:,} with thumbnails: memory of the tab", renderer_mib(), "MiB")
        page.close()


def _busy(work) -> float:
    """Return the seconds of processor time that a page's own thread took so far."""
    metrics = work.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def _until(page, expression: str) -> None:
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)


def _times(browser, folder: Path) -> tuple[float, float]:
    page, first, whole = opened(browser, folder)
    page.close()
    return first, whole
