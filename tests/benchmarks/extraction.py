"""Features through Spark on two cores against a two-process OpenCV loop over the same files."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from minia_spark.rooms import HOUSE
from minia_spark.sky.survey import Survey, write_survey
from tests.benchmarks.figures import Figure, carry_out, session, timed

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
        spark = session()
        ratios: dict[str, list[float]] = {"ingest and features": [], "features of known images": []}
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            pool.map(plain_loop, [paths[:2], paths[:2]])  # warm
            for repeat in range(3):
                place = f"{folder}/warehouse{repeat}"
                plain, _ = timed(lambda: pool.map(plain_loop, [paths[::2], paths[1::2]]))
                yield Figure("  plain loop, seconds", plain)
                # another cap that changes nothing makes the features outdated: they run again
                again = HOUSE.load_settings(
                    None, ["spark.master=local[2]", f"features.max_features={90_000 + repeat}"]
                )
                for name, stages, given, own in (
                    ("ingest and features", ("ingest", "features"), images, settings),
                    ("features of known images", ("features",), None, again),
                ):
                    ours, record = timed(
                        lambda place=place, stages=stages, given=given, own=own: carry_out(
                            place, given, own, lambda mllib: spark, stages=stages
                        )
                    )
                    assert record.state == "done"
                    ratios[name].append(plain / ours)
                    yield Figure(f"  {name} through Spark, seconds", ours)
        for name, found in ratios.items():
            yield Figure(
                f"throughput / plain loop (median of 3 pairs): {name}",
                sorted(found)[1],
                at_least=0.85,
            )
        spark.stop()
