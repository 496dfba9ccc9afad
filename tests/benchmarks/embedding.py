"""ResNet50 through Spark against the bare network, at the same batch size on the same cores."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from minia_spark.embedding.network import make
from minia_spark.engine.pixels import PixelPass
from minia_spark.rooms import HOUSE
from tests.benchmarks.figures import Figure, carry_out, session, timed

BATCH = 16
PLACE = "minia_spark.embedding.network:ResnetNetwork"


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    images = max(2 * BATCH, int(1000 * scale) // (2 * BATCH) * 2 * BATCH)
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "images").mkdir()
        random = np.random.default_rng(1)
        for number in range(images):
            noise = random.integers(0, 256, (14, 14, 3)).astype(np.uint8)
            picture = cv2.resize(noise, (224, 224), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(where / "images" / f"{number:05d}.jpg"), picture)
        settings = HOUSE.load_settings(
            None,
            [
                "embedding.methods=[resnet50]",
                "embedding.resnet50.weights=random",
                f"embedding.resnet50.batch_images={BATCH}",
                "run.lines=[discovery,map]",
                "spark.partitions=2",
            ],
        )
        spark = session()
        bare = spark.range(0, 2, 1, 2).mapInArrow(
            functools.partial(_bare, images // 2), "seconds double, images long"
        )
        bare.collect()  # the networks are loaded, and stay in their workers
        rows = bare.collect()
        of_bare = sum(row.images / row.seconds for row in rows)
        yield Figure("  the bare network in two processes, images a second", of_bare)
        carry_out(where / "W", where / "images", settings, lambda mllib: spark, stages=("ingest",))
        seconds = []
        original = PixelPass.run

        def timed_pass(self: PixelPass, context: object) -> None:
            seconds.append(timed(lambda: original(self, context))[0])

        PixelPass.run = timed_pass
        try:
            for stretch in ("asinh", "sqrt"):  # another stretch: everything is embedded anew
                ingest = settings.ingest.model_copy(update={"fits_stretch": stretch})
                changed = settings.model_copy(update={"ingest": ingest})
                carry_out(where / "W", None, changed, lambda mllib: spark, stages=("embed",))
        finally:
            PixelPass.run = original
        ours = images / min(seconds)
        yield Figure("  through Spark, from files to vectors, images a second", ours)
        yield Figure("throughput / the bare network", ours / of_bare, at_least=0.9)
        spark.stop()


def _bare(images, batches):
    import time

    import pyarrow as pa

    network = make(PLACE, 1, weights="random", sha256="random", batch_images=BATCH)
    pixels = np.zeros((BATCH, 224, 224, 3), np.uint8)
    network(pixels)
    for batch in batches:
        start = time.perf_counter()
        for _ in range(images // BATCH):
            network(pixels)
        taken = time.perf_counter() - start
        yield pa.RecordBatch.from_pydict(
            {
                "seconds": pa.array([taken] * batch.num_rows),
                "images": pa.array([images] * batch.num_rows, pa.int64()),
            }
        )
