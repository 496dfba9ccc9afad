"""The lab's own kernels against libraries: PCA of 10,000 crops, a map of 1,000,000 vectors.

Processor seconds of one thread each, in this process: the passes on Spark share them out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from minisom import MiniSom
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA
from sklearn.utils import gen_batches
from threadpoolctl import threadpool_limits

from minia_spark.clustering.som import Lattice, errors, trained
from minia_spark.reduce.pca import block_rows, components_of, decompose, merge
from tests.benchmarks.figures import Figure

T = TypeVar("T")

SIDE, COMPONENTS = 174, 75
ROWS, COLUMNS, DIMENSIONS, PASSES = 20, 20, 75, 10
_MINISOM_STEPS = 100_000
"""MiniSom goes vector by vector: its time is that of so many, times the rest."""


def cpu(work: Callable[[], T]) -> tuple[float, T]:
    """Return the processor seconds of a piece of work, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def crops(count: int) -> NDArray[np.uint8]:
    """Return images of sixty common patterns and noise."""
    rng = np.random.default_rng(0)
    dims = 3 * SIDE * SIDE
    patterns = rng.normal(size=(60, dims)).astype(np.float32)
    weights = (rng.normal(size=(count, 60)) * (6 * 0.93 ** np.arange(60))).astype(np.float32)
    found = np.empty((count, dims), np.uint8)
    for start in range(0, count, 250):
        piece = weights[start : start + 250]
        noise = rng.normal(0, 8, (len(piece), dims)).astype(np.float32)
        found[start : start + 250] = np.clip(60 + piece @ patterns + noise, 0, 255)
    return found


def components(data: NDArray[np.uint8]) -> float:
    """Fit as the stage does, block after block; return the share of the variance."""
    kept, part = 2 * COMPONENTS, None
    rows = block_rows(data.shape[1], kept)
    for start in range(0, len(data), rows):
        block = decompose(data[start : start + rows], kept)
        part = block if part is None else merge(part, block, kept)
    assert part is not None
    found = components_of(part, COMPONENTS, scale=True)
    return float(found.variances.sum() / found.total_variance)


def incremental(model: IncrementalPCA, data: NDArray[np.uint8]) -> None:
    """Fit as its own ``fit`` does, which first makes a copy of all images as doubles: 7 GB.

    It needs as many images at a time as components; these take the same memory as ours.
    """
    for rows in gen_batches(len(data), 552, min_batch_size=COMPONENTS):
        model.partial_fit(data[rows])


def vectors(count: int) -> NDArray[np.float32]:
    """Return standardised vectors in thirty groups that ten directions explain."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(30, 10))[rng.integers(0, 30, count)] * 2
    inner = groups + rng.normal(size=(count, 10)) * 0.6
    found = inner @ rng.normal(size=(10, DIMENSIONS)) + rng.normal(size=(count, DIMENSIONS)) * 0.5
    return (found / found.std(axis=0)).astype(np.float32)


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    with threadpool_limits(1):
        data = crops(max(1200, int(10_000 * scale)))
        ours, share = cpu(lambda: components(data))
        model = IncrementalPCA(COMPONENTS)
        theirs, _ = cpu(lambda: incremental(model, data))
        yield Figure("PCA: time / scikit-learn's IncrementalPCA", ours / theirs, at_most=0.5)
        wanted = model.explained_variance_ratio_.sum()
        yield Figure("PCA: variance explained / IncrementalPCA's", share / wanted, at_least=0.995)

        points = vectors(max(5000, int(1_000_000 * scale)))
        lattice = Lattice(ROWS, COLUMNS)
        ours, units = cpu(lambda: trained(points, lattice, PASSES))
        steps = min(len(points) * PASSES, _MINISOM_STEPS)
        timed = MiniSom(ROWS, COLUMNS, DIMENSIONS, sigma=2.0, random_seed=1)
        theirs, _ = cpu(lambda: timed.train(points, steps))
        ratio = theirs / steps * len(points) * PASSES / ours
        yield Figure("map: times MiniSom's speed", ratio, at_least=20)
        few = points[:5000]
        here = trained(few, lattice, PASSES)
        there = MiniSom(ROWS, COLUMNS, DIMENSIONS, sigma=2.0, random_seed=1)
        there.pca_weights_init(few.astype(np.float64))
        there.train(few, len(few) * PASSES)
        ours_errors = errors(few, here, lattice)
        their_errors = errors(few, there.get_weights().reshape(-1, DIMENSIONS), lattice)
        for name, one, other in zip(
            ("quantisation", "topographic"), ours_errors, their_errors, strict=True
        ):
            yield Figure(f"map: {name} error / MiniSom's, 5,000 vectors", one / other, at_most=1)
        yield Figure("map: quantisation error of all", errors(points[:20_000], units, lattice)[0])
