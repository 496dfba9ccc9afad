"""A measured figure, and the clock and data that the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from minia_spark.engine.context import Context
from minia_spark.engine.plan import Request
from minia_spark.engine.progress import Progress
from minia_spark.engine.run import Runner
from minia_spark.engine.session import open_session
from minia_spark.engine.settings import Settings, SparkSettings
from minia_spark.engine.stage import Source, load
from minia_spark.rooms import HOUSE
from minia_spark.warehouse.records import Catalogue, Entry, RunRecord
from minia_spark.warehouse.warehouse import Warehouse

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """One number, and what it must be."""

    name: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the limit is not kept."""
        low = self.at_least is not None and self.value < self.at_least
        return low or (self.at_most is not None and self.value > self.at_most)

    def __str__(self) -> str:
        """Return a line of the table."""
        limit = ""
        if self.at_least is not None:
            limit = f"  (at least {self.at_least:g}{', MISSED' if self.missed else ''})"
        if self.at_most is not None:
            limit = f"  (at most {self.at_most:g}{', MISSED' if self.missed else ''})"
        return f"{self.name:<58} {self.value:>12,.4g} {self.unit:<6}{limit}"


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that a piece of work takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def session(**conf: str):
    """Return a Spark session on two cores whose Python workers are warm."""
    spark = open_session(SparkSettings(master="local[2]", conf=conf), mllib=True)

    def warm(batches):
        import cv2  # noqa: F401
        import scipy.sparse  # noqa: F401

        yield from batches

    spark.range(0, 64, 1, 8).mapInArrow(warm, "id long").count()
    return spark


def carry_out(
    location: Path | str,
    images: Path | None,
    settings: Settings,
    open_spark: Callable,
    *,
    stages: tuple[str, ...] = HOUSE.stages_of(("discovery",)),
    batch: str = "b1",
    progress: Progress | None = None,
) -> RunRecord:
    """Do what ``minia run`` does, with a batch of images, or None for one that is there."""
    sources = {} if images is None else {batch: Source(images)}
    request = Request("bench", stages, batch, sources, replace=True)
    shown = progress or Progress(quiet=True)
    return Runner(HOUSE, settings, Warehouse(str(location)), shown, open_spark).execute(request)


def carry_out_alone(
    spark, settings: Settings, location: Path | str, stage: str, tables: Iterable[Entry], run: str
) -> Context:
    """Carry out one stage over tables that are there already; return what it ran in."""
    chosen = HOUSE.by_name[stage]
    context = Context(
        spark=spark,
        stage=chosen,
        batch="b1" if chosen.per_batch else None,
        variant=HOUSE.variants(chosen, settings)[0],
        all_settings=settings,
        warehouse=Warehouse(str(location)),
        progress=Progress(quiet=True),
        fingerprint="f",
        run=run,
        view=Catalogue(entries=tuple(tables)),
        published=Catalogue(),
    )
    load(chosen.run)(context)
    return context


def written(table: str, stage: str, batch: str | None, rows: int, path: str = "") -> Entry:
    """Return the entry of a table that was written apart from any run."""
    variant = "sift" if HOUSE.outputs[table].variants else None
    names = {"table": table, "stage": stage, "batch": batch, "path": path or table}
    hashes = {"fingerprint": "f", "digest": "f"}
    return Entry(run="r", rows=rows, variant=variant, **names, **hashes)


def sift_like(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """Return descriptors that cluster like SIFT's: (count, 128) whole numbers, norm about 512."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.6, 40, (3000, 128)).astype(np.float32)
    parts = []
    for start in range(0, count, 100_000):
        size = min(100_000, count - start)
        block = centres[rng.integers(0, len(centres), size)]
        block = block + rng.gamma(0.8, 14, (size, 128)).astype(np.float32)
        block *= 512 / np.linalg.norm(block, axis=1, keepdims=True)
        parts.append(np.minimum(block, 255).round().astype(np.uint8))
    return np.concatenate(parts)
