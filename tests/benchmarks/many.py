"""100,000 small images in one batch: seconds of every stage, and a driver that does not grow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.figures import Figure

COUNT = 100_000
SIDE_PX = 48

_CHILD = """
import json, sys, threading
from pathlib import Path
from minia_spark.rooms import HOUSE
from minia_spark.engine.progress import Progress
from minia_spark.engine.session import open_session
from tests.benchmarks.figures import carry_out

images, warehouse = sys.argv[1:]
settings = HOUSE.load_settings(None, ["spark.master=local-cluster[2,1,2048]", "codebook.size=100",
    "codebook.sample_size=4000", "features.max_features=40", "spark.driver_memory=1g"])
session, memory = [], []
def start(mllib):
    session.append(open_session(settings.spark, mllib=mllib))
    return session[0]
def heap():
    jvm = session[0].sparkContext._jvm
    for _ in range(2):
        jvm.java.lang.System.gc()
    beans = jvm.java.lang.management.ManagementFactory
    return beans.getMemoryMXBean().getHeapMemoryUsage().getUsed() / 2**20
def python():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

class Told(Progress):
    def tell(self, event, text, **facts):
        super().tell(event, text, **facts)
        if event == "step done":
            memory.append((text.partition(":")[0], heap(), python()))

record = carry_out(warehouse, Path(images), settings, start, progress=Told())
steps = [(s.stage, s.seconds, s.counts) for s in record.steps]
print(json.dumps({"steps": steps, "memory": memory}))
"""


def write_images(folder: Path, count: int) -> None:
    """Write grey PNGs with three blobs each, ten thousand a folder."""
    draw = np.random.default_rng(1)
    y, x = np.mgrid[-9:10, -9:10]
    blobs = [
        255 * np.exp(-(x * x + (y * stretch) ** 2) / (2 * sigma * sigma))
        for stretch in (1.0, 1.6)
        for sigma in (1.5, 2.5, 3.5)
    ]
    for number in range(count):
        image = draw.normal(30, 5, (SIDE_PX, SIDE_PX))
        for _ in range(3):
            top, left = draw.integers(0, SIDE_PX - 19, 2)
            image[top : top + 19, left : left + 19] += blobs[draw.integers(len(blobs))]
        place = folder / f"{number // 10_000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        (place / f"{number:07d}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures; executors are processes of their own, so that the driver is alone."""
    count = int(COUNT * scale)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", count)
        arguments = [sys.executable, "-c", _CHILD, str(folder / "images"), str(folder / "W")]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
    for stage, seconds, _ in found["steps"]:
        yield Figure(f"{stage}", seconds, "s")
    counts = {stage: told for stage, _, told in found["steps"]}
    seconds = sum(step[1] for step in found["steps"])
    yield Figure("all stages", seconds, "s")
    yield Figure("images a second, all stages", count / seconds)
    yield Figure("features", counts["features"]["features"])
    for step, heap, python in found["memory"]:
        yield Figure(f"after {step}: JVM heap in use", heap, "MiB")
        yield Figure(f"after {step}: Python driver", python, "MiB")
    _, heaps, pythons = zip(*found["memory"], strict=True)
    yield Figure("JVM heap, most - first", max(heaps) - heaps[0], "MiB", at_most=64)
    yield Figure("Python driver, most / first", max(pythons) / pythons[0], at_most=1.3)
