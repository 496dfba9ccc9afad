"""k-means of 1,000,000 x 128 descriptors, K = 1,000, against FAISS and MLlib alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.clustering import KMeans
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from minia_spark.engine.context import Context
from minia_spark.engine.session import default_partitions
from minia_spark.features.extractors import extractor_of
from minia_spark.features.settings import FeaturesSettings
from minia_spark.features.tables import FEATURES
from minia_spark.rooms import HOUSE
from tests.benchmarks.figures import (
    Figure,
    carry_out_alone,
    session,
    sift_like,
    timed,
    written,
)

WORDS, PASSES = 1000, 10
ROWS_AN_IMAGE = 100


def write_features(spark, settings, vectors, folder: Path) -> None:
    """Write descriptors as the features step does, 100 an image, in as many files."""
    images = len(vectors) // ROWS_AN_IMAGE
    blocks = vectors.reshape(images, -1)
    names = [f"image-{i:07d}" for i in range(images)]
    layout = extractor_of("sift").layout(settings.of(FeaturesSettings))
    schema = FEATURES.stored_schema(metadata={"descriptors": layout})
    parts, sizes = 16, [4.0] * ROWS_AN_IMAGE
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        rows = range(part, images, parts)
        table = pa.table(
            {
                "image_id": [names[i] for i in rows],
                "n_features": pa.array([ROWS_AN_IMAGE] * len(rows), pa.int32()),
                "descriptors": [blocks[i].tobytes() for i in rows],
                "size": pa.array([sizes] * len(rows), pa.list_(pa.float32())),
                "batch": ["b1"] * len(rows),
                "variant": ["sift"] * len(rows),
            }
        )
        pq.write_table(table, folder / f"part-{part}.parquet", compression="zstd")
    # the column's metadata travels in Spark's own key of the file
    frame = spark.read.schema(schema).parquet(str(folder))
    files = default_partitions(images, spark.sparkContext.defaultParallelism, None)
    frame.repartition(files).write.parquet(str(folder.with_name("features")))


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    count = int(1_000_000 * scale) // ROWS_AN_IMAGE * ROWS_AN_IMAGE
    vectors = sift_like(count)
    settings = HOUSE.load_settings(
        None,
        [f"codebook.size={WORDS}", f"codebook.refine_iterations={PASSES}", "codebook.tolerance=0"],
    )
    with tempfile.TemporaryDirectory() as folder:
        spark = session()
        write_features(spark, settings, vectors, Path(folder) / "raw")
        images = count // ROWS_AN_IMAGE

        def fit(run: str, path: str, images: int) -> Context:
            tables = [written("features", "features", "b1", images, path)]
            return carry_out_alone(spark, settings, folder, "codebook", tables, run)

        few = max(2 * WORDS, count // 20)
        write_features(spark, settings, vectors[:few], Path(folder) / "few" / "raw")
        warm, _ = timed(lambda: fit("warm", "few/features", few // ROWS_AN_IMAGE))
        yield Figure("warm-up: the same of a twentieth, once, seconds", warm)

        faiss.omp_set_num_threads(2)
        floats = vectors.astype(np.float32)
        ratios = []
        for repeat in range(2):
            kmeans = faiss.Kmeans(
                128, WORDS, niter=PASSES, seed=1, max_points_per_centroid=count, nredo=1
            )
            plain, _ = timed(lambda kmeans=kmeans: kmeans.train(floats))
            yield Figure("  FAISS, seconds", plain)
            ours, context = timed(lambda repeat=repeat: fit(f"r{repeat}", "features", images))
            yield Figure("  minia, seconds (start, passes, final cost, saved)", ours)
            ratios.append(ours / plain)
        distances, _ = kmeans.index.search(floats, 1)
        cost = context.counts["cost_per_descriptor"]
        yield Figure("seconds / FAISS (the better of two pairs)", min(ratios), at_most=1.5)
        yield Figure("cost / FAISS", cost / float(distances.mean()), at_most=1.01)

        # MLlib alone, at a tenth of the size and of the iterations that would be fair to it
        share, iterations = 10, 2
        part = spark.createDataFrame(
            pa.table(
                {
                    "d": pa.FixedSizeListArray.from_arrays(floats[::share].ravel(), 128).cast(
                        pa.list_(pa.float32())
                    )
                }
            )
        ).repartition(2)
        part = part.select(array_to_vector(F.col("d")).alias("features")).persist()
        part.count()
        short, _ = timed(
            lambda: KMeans(k=WORDS, maxIter=iterations, seed=1, initMode="random").fit(part)
        )
        full, _ = timed(
            lambda: KMeans(k=WORDS, maxIter=2 * iterations, seed=1, initMode="random").fit(part)
        )
        an_iteration = (full - short) / iterations * share
        yield Figure("MLlib, seconds an iteration, scaled to the full size", an_iteration)
        yield Figure("MLlib's 10 iterations / minia", 10 * an_iteration / ours, at_least=10)
        spark.stop()
