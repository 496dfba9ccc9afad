"""Features through Spark on two cores against a two-process OpenCV loop over the same files."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from minia_spark.engine.plan import Request
from minia_spark.engine.progress import Progress
from minia_spark.engine.run import execute
from minia_spark.engine.stage import Source
from minia_spark.rooms import HOUSE
from minia_spark.sky.survey import Survey, write_survey
from minia_spark.warehouse.warehouse import Warehouse
from tests.benchmarks.figures import Figure, session, timed

GALAXIES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "images"


def plain_loop(paths: list[str]) -> int:
    """Extract SIFT of every file with nothing around it."""
    cv2.setNumThreads(1)
    sift = cv2.SIFT_create()
    found = 0
    for path in paths:
        grey = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        keypoints, _ = sift.detectAndCompute(grey, None)
        found += len(keypoints)
    return found


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures; the 921 real galaxies where they are, else generated images."""
    with tempfile.TemporaryDirectory() as folder:
        images = GALAXIES
        if not GALAXIES.is_dir():
            survey = Survey(side_px=424)
            images = write_survey(Path(folder) / "survey", survey, int(900 * scale)).images
        paths = sorted(str(p) for p in images.iterdir())
        settings = HOUSE.load_settings(None, ["spark.master=local[2]"])
        warehouse = Warehouse(f"{folder}/warehouse")
        spark = session()
        quiet = Progress(quiet=True)
        source = Source(images)
        ingest = Request("bench", ("ingest",), "b1", {"b1": source})
        seconds, _ = timed(lambda: execute(ingest, settings, warehouse, quiet, lambda: spark))
        yield Figure("ingest (read, decode, hash, check), images a second", len(paths) / seconds)
        ratios = []
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            pool.map(plain_loop, [paths[:2], paths[:2]])  # warm
            for repeat in range(3):
                plain, _ = timed(lambda: pool.map(plain_loop, [paths[::2], paths[1::2]]))
                # another cap that changes nothing makes the stage outdated, so that it runs again
                again = HOUSE.load_settings(
                    None, ["spark.master=local[2]", f"features.max_features={90_000 + repeat}"]
                )
                request = Request("bench", ("features",), "b1")
                ours, record = timed(
                    lambda again=again, request=request: execute(
                        request, again, warehouse, quiet, lambda: spark
                    )
                )
                assert record.state == "done"
                ratios.append(plain / ours)
                yield Figure("  plain loop, seconds", plain)
                yield Figure("  through Spark, seconds", ours)
        yield Figure(
            "throughput / plain loop (median of 3 pairs)", sorted(ratios)[1], at_least=0.85
        )
        spark.stop()
