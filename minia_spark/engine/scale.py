"""What a collection of any size would cost: tasks, bytes, memory and time of every stage.

Laws with measured rates: each stage's work is a product of a few numbers (images, pixels, features,
words, tables), and its rate was measured on one core. ``minia plan --for-images N`` prints it,
SCALE.md says how far measured runs agree and what breaks first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from minia_spark.engine.session import default_partitions
from minia_spark.engine.settings import Settings
from minia_spark.features.extractor import create
from minia_spark.mining.passes import SPAN_BYTES

__all__ = ["StageCost", "costs", "print_costs"]

ASSUMED_TUPLE_SIZE, ASSUMED_TABLES = 2, 1000
FEATURE_NUMBERS_BYTES = 5 * 4
"""x, y, size, angle, response."""
SIFT_BYTES_A_PIXEL = 230
WORKER_BYTES = 150 << 20
"""Interpreter and libraries of one Python worker."""

# Rates of one core (AMD EPYC, AVX-512, 2025), in seconds.
_DECODE_PIXEL = 5e-9
_SIFT_PIXEL = 90e-9
_IMAGE = 1e-3  # opening, hashing, decoding whatever its size, one row written
_ROW = 0.03e-3  # an image's descriptors or words read, as a row
_DISTANCE = 8e-9  # of a descriptor to a centre
_MLLIB_DISTANCE = 60e-9
_MLLIB_PASSES = 12
_MINIMUM = 0.03e-9  # of one occurrence under one permutation
_GROUPED = 75e-9  # an item in a table
_SHUFFLED = 750e-9  # an occurrence in a decoy
_COUNTED = 120e-9  # an occurrence: pairs it is in, structures it supports
_STAGE = 3.0  # jobs to plan and start, whatever their size
_ITERATIONS = 10.0  # the same for the many small jobs of the vocabulary
_TRIALS = 6.0  # and of mining
_BYTES_AN_IMAGE = 200  # its row in images, words' identity


@dataclass(frozen=True)
class StageCost:
    """One line of the table.

    Attributes
    ----------
    stage : str
    tasks : int
    core_seconds : float
        Work that is shared among the tasks.
    driver_seconds : float
        Work that only the driver does, and what starting takes.
    written_bytes : int
        Before compression.
    task_bytes : int
        Memory of one Python worker.
    """

    stage: str
    tasks: int
    core_seconds: float
    driver_seconds: float
    written_bytes: int
    task_bytes: int

    def seconds(self, cores: int) -> float:
        """Return the time on so many cores."""
        return self.driver_seconds + self.core_seconds / max(1, min(cores, self.tasks))


def costs(
    images: int, *, features: float, pixels: float, settings: Settings, cores: int
) -> list[StageCost]:
    """Return what every stage costs for a collection that is brought in at once.

    Parameters
    ----------
    images : int
    features, pixels : float
        Of an image, on average.
    settings : Settings
    cores : int
        Tasks at the same time.
    """
    return list(_costs(images, features, pixels, settings, cores))


def _costs(
    images: int, features: float, pixels: float, settings: Settings, cores: int
) -> Iterator[StageCost]:
    mining, words = settings.mining, settings.codebook.at_most
    extractor = create(settings.features)
    width, number_bytes = extractor.descriptor_dim, extractor.descriptor_dtype.itemsize
    minima = (mining.tuple_size or ASSUMED_TUPLE_SIZE) * (mining.tables or ASSUMED_TABLES)
    tables = mining.tables or ASSUMED_TABLES
    tasks = default_partitions(images, cores, settings.spark.partitions)
    total = images * features
    # an image of n features in K words has about K (1 - exp(-n / K)) different ones: at most n
    postings = images * min(features, float(words))
    signatures = 4 * words * minima
    codebook = 5 * 4 * words * width  # sums and counts of a pass are 64-bit and exist twice
    in_tasks = max(cores, -(-images // 100_000))
    trials = 1 + mining.seeds + mining.decoys

    def cost(
        stage: str, work: float, written: float, task: float, *, on: int = tasks, driver: float = 0
    ) -> StageCost:
        own = int(WORKER_BYTES + task)
        return StageCost(stage, on, work, _STAGE + driver, int(written), own)

    opened, row = images * _IMAGE, images * _ROW
    passes = 1 + settings.codebook.refine_iterations
    yield cost(
        "ingest", opened + images * pixels * _DECODE_PIXEL, images * _BYTES_AN_IMAGE, 4 * pixels
    )
    yield cost(
        "features",
        opened + images * pixels * _SIFT_PIXEL,
        total * (width * number_bytes + FEATURE_NUMBERS_BYTES),
        SIFT_BYTES_A_PIXEL * pixels,
    )
    sample = min(total, settings.codebook.sample_size or total)
    yield cost(
        "vocabulary",
        (row + total * words * _DISTANCE) * passes
        + sample * words * _MLLIB_DISTANCE * _MLLIB_PASSES,
        4 * words * width,
        codebook,
        driver=_ITERATIONS,
    )
    yield cost("words", row + total * words * _DISTANCE, total * 4 + postings * 12, codebook)
    per_piece = 12 * postings / max(1, images)
    held = 100_000 * per_piece + 3 * min(signatures, SPAN_BYTES)
    yield cost(
        "sketch",
        postings * minima * _MINIMUM * (1 + mining.seeds),
        signatures * (1 + mining.seeds),
        held,
        on=in_tasks,
    )
    pieces = max(1, images // 20_000) * max(1, mining.decoys)
    yield cost(
        "mine",
        row * (1 + mining.decoys)
        + postings * mining.decoys * (_SHUFFLED + minima * _MINIMUM)
        + words * tables * trials * _GROUPED
        + postings * (1 + mining.decoys) * _COUNTED,
        words * 100,
        20_000 * per_piece * 4 + 3 * min(signatures, SPAN_BYTES),
        on=max(in_tasks, pieces, 2 * cores),
        driver=_TRIALS + words * tables * trials * _GROUPED / 4,
    )
    yield cost("structures", row + postings * _COUNTED, postings * 2, 64 << 20)
    yield cost("report", row, 10 << 20, 64 << 20, driver=10)


def print_costs(images: int, cores: int, found: list[StageCost], *, as_json: bool) -> None:
    """Print the table."""
    if as_json:
        rows = [asdict(cost) | {"seconds": cost.seconds(cores)} for cost in found]
        print(json.dumps({"images": images, "cores": cores, "stages": rows}, indent=1))
        return
    print(f"{images:,} images at once, on {cores:,} cores\n")
    print("stage           tasks   core-hours        time     written   memory of a task")
    for cost in found:
        print(
            f"{cost.stage:<12} {cost.tasks:>8,} {cost.core_seconds / 3600:>12,.3g} "
            f"{_duration(cost.seconds(cores)):>11} {_size(cost.written_bytes):>11} "
            f"{_size(cost.task_bytes):>18}"
        )
    print(
        f"{'all':<12} {'':>8} {sum(c.core_seconds for c in found) / 3600:>12,.3g} "
        f"{_duration(sum(c.seconds(cores) for c in found)):>11} "
        f"{_size(sum(c.written_bytes for c in found)):>11}"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:.3g} s"


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size_bytes < 1024:
            return f"{size_bytes:,.3g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.3g} PiB"
