"""Words through Spark on two cores against a plain float32 matrix product and argmin."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minia_spark.codebook.tables import CODEBOOKS
from minia_spark.rooms import HOUSE
from tests.benchmarks.figures import (
    Figure,
    carry_out_alone,
    session,
    sift_like,
    timed,
    written,
)
from tests.benchmarks.vocabulary import ROWS_AN_IMAGE, WORDS, write_features

BLOCK = 4096


def plain(arguments: tuple[int, int]) -> int:
    """Find the nearest centre of descriptors in memory: nothing read, nothing written."""
    count, seed = arguments
    vectors = sift_like(count, seed)
    centres = vectors[:WORDS].astype(np.float32)
    half = (centres * centres).sum(axis=1) / 2
    transposed = np.ascontiguousarray(centres.T)

    def work() -> int:
        total = 0
        for start in range(0, count, BLOCK):
            block = vectors[start : start + BLOCK].astype(np.float32)
            total += int((half - block @ transposed).argmin(axis=1).sum())
        return total

    work()
    return timed(work)[0]


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    count = int(1_000_000 * scale) // ROWS_AN_IMAGE * ROWS_AN_IMAGE
    vectors = sift_like(count)
    settings = HOUSE.load_settings(None, [f"codebook.size={WORDS}"])
    with tempfile.TemporaryDirectory() as folder:
        spark = session()
        write_features(spark, settings, vectors, Path(folder) / "raw")
        rows = [
            ("v", i, c.astype(float).tolist(), 1, None, False, 1.0, "sift", [1.0], "set", "sift")
            for i, c in enumerate(vectors[:WORDS])
        ]
        spark.createDataFrame(rows, CODEBOOKS.stored_schema()).write.parquet(f"{folder}/codebooks")
        images = count // ROWS_AN_IMAGE

        tables = (
            written("features", "features", "b1", images),
            written("images", "ingest", "b1", images),
            written("codebooks", "codebook", None, WORDS),
        )
        ratios = []
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            for repeat in range(4):
                seconds = max(pool.map(plain, [(count // 2, 1), (count // 2, 2)]))
                ours, _ = timed(
                    lambda repeat=repeat: carry_out_alone(
                        spark, settings, folder, "words", tables, f"r{repeat}"
                    )
                )
                if repeat == 0:
                    yield Figure("warm-up: the same once, seconds", ours)
                    continue
                yield Figure("  plain product and argmin, two processes, seconds", seconds)
                yield Figure("  through Spark: read, words, bags, counts, written, seconds", ours)
                ratios.append(seconds / ours)
        yield Figure("throughput / plain (median of 3 pairs)", sorted(ratios)[1], at_least=0.85)
        spark.stop()
