"""The nearest of 100,000 x 64 on one core against faiss.knn, and what a new batch of 1 % costs.

Then by an inverted file against exactly: core seconds, and the share of the nearest that it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from minia_spark.neighbours.cells import cells_for, fit, search, searched
from minia_spark.neighbours.nearest import Lists, Search, merged, nearest, prepared
from minia_spark.neighbours.settings import NeighboursSettings
from tests.benchmarks.figures import Figure

NUMBERS, COUNT, PAIRS = 64, 50, 2
PART = 16_384
"""Images that a task compares, as the step does."""


def clustered(images: int) -> np.ndarray:
    """Return vectors of 200 kinds that overlap, as embeddings do."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(200, NUMBERS)) * 1.5
    kinds = random.integers(0, 200, images)
    return (centres[kinds] + random.normal(size=(images, NUMBERS))).astype(np.float32)


def core_seconds(work: Callable[[], object]) -> float:
    """Return processor seconds on one core: what else the machine does counts little."""
    start = time.process_time()
    work()
    return time.process_time() - start


def of(vectors: np.ndarray, asked: np.ndarray, among: np.ndarray, count: int = COUNT) -> Lists:
    """Find the nearest `among` some images of those that are `asked`, a part after another."""
    blocks = [(among, vectors[among])]
    found = []
    for first in range(0, len(asked), PART):
        part = asked[first : first + PART]
        found.append(nearest(vectors[part], blocks, count, own=part))
    names = ("positions", "distances")
    return Lists(*(np.concatenate([getattr(f, name) for f in found]) for name in names))


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    with threadpool_limits(1):
        faiss.omp_set_num_threads(1)
        yield from figures(prepared(clustered(int(100_000 * scale))))


def figures(vectors: np.ndarray) -> Iterator[Figure]:
    """Yield them with one thread."""
    images = len(vectors)
    every = np.arange(images)
    ratios, kept = [], {}
    for _ in range(PAIRS):
        theirs = core_seconds(lambda: faiss.knn(vectors, vectors, COUNT + 1))
        ours = core_seconds(lambda: kept.update(all=of(vectors, every, every)))
        yield Figure("  faiss.knn, core seconds", theirs)
        yield Figure("  minia, core seconds", ours)
        ratios.append(ours / theirs)
    best = min(ratios)
    yield Figure("core seconds / faiss.knn (the better of two pairs)", best, at_most=1.3)
    found: Lists = kept["all"]
    _, known = faiss.knn(vectors[:1000], vectors, COUNT + 1)
    shared = [
        len((set(a.tolist()) - {k}) & set(b.tolist())) / COUNT
        for k, (a, b) in enumerate(zip(known, found.positions[:1000], strict=True))
    ]
    share = float(np.mean(shared))
    yield Figure("share of the neighbours that faiss finds too", share, at_least=0.999)
    new = np.sort(np.random.default_rng(2).choice(images, images // 100, replace=False))
    longer = of(vectors, every, every, count=COUNT + 20)  # so many that 50 old ones are left
    before = without(longer, new)
    seconds = []
    for _ in range(PAIRS):
        grown = Lists(before.positions.copy(), before.distances.copy())
        seconds.append(core_seconds(lambda lists=grown: add(vectors, lists, new)))
    batch = min(seconds)
    right = np.array_equal(grown.positions, found.positions)
    yield Figure("lists after the batch as those of all at once", float(right), at_least=1.0)
    yield Figure("  a batch of 1 %, core seconds", batch)
    yield Figure("a batch of 1 % / all", batch / ours, at_most=0.02)
    yield from by_cells(vectors, found, ours)


def add(vectors: np.ndarray, lists: Lists, new: np.ndarray) -> None:
    """Bring new images into lists: compared with all, they tell who of the old ones lists them."""
    reach = lists.distances[:, -1].copy()
    reach[new] = -np.inf
    every = np.arange(len(vectors))
    for first in range(0, len(new), PART):
        part = new[first : first + PART]
        search = Search(vectors[part], COUNT, own=part)
        hits = search.add(every, vectors, reach)
        lists.positions[part], lists.distances[part] = (
            search.lists.positions,
            search.lists.distances,
        )
        changed, row = np.unique(hits.positions, return_inverse=True)
        place = np.arange(len(row)) - np.searchsorted(hits.positions, changed)[row]
        shape = (len(changed), int(place.max(initial=-1)) + 1)
        more = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
        more.positions[row, place], more.distances[row, place] = part[hits.rows], hits.distances
        both = merged(Lists(lists.positions[changed], lists.distances[changed]), more, COUNT)
        lists.positions[changed], lists.distances[changed] = both.positions, both.distances


def by_cells(vectors: np.ndarray, exact: Lists, exact_seconds: float) -> Iterator[Figure]:
    """Yield what the same takes by an inverted file, and what it finds."""
    count = cells_for(len(vectors))
    order = np.random.default_rng(3).permutation(len(vectors))
    kept = {}
    fitting = core_seconds(lambda: kept.update(cells=fit(vectors[order[: 64 * count]], count)))
    yield Figure("  cells", len(kept["cells"]))
    yield Figure("  cells are fitted, core seconds", fitting)
    default = NeighboursSettings().probes
    for probes in (1, 2, 4, 8, default):
        seconds = core_seconds(
            lambda p=probes: kept.update(lists=all_by_cells(vectors, kept["cells"], p))
        )
        pairs = zip(exact.positions, kept["lists"].positions, strict=True)
        recall = float(np.mean([len(set(a) & set(b)) / COUNT for a, b in pairs]))
        least, most = (0.95, 0.9) if probes == default else (None, None)
        yield Figure(f"recall of the {COUNT} nearest, {probes} searched", recall, at_least=least)
        share = seconds / exact_seconds
        yield Figure(f"core seconds / exactly, {probes} searched", share, at_most=most)


def all_by_cells(vectors: np.ndarray, cells: np.ndarray, probes: int) -> Lists:
    """Find the lists of all, those of about the same cells a part after another, as the step."""
    near = searched(vectors, cells, probes)
    order = np.argsort(near[:, 0], kind="stable")
    starts = np.searchsorted(near[order, 0], np.arange(len(cells) + 1))
    shape = (len(vectors), COUNT)
    lists = Lists(np.full(shape, -1, np.int64), np.full(shape, np.inf))
    for first in range(0, len(order), PART):
        part = order[first : first + PART]
        members = (
            (int(cell), here, vectors[here])
            for cell in np.unique(near[part])
            for here in [order[starts[cell] : starts[cell + 1]]]
        )
        known = Lists(lists.positions[part], lists.distances[part])
        found = search(vectors[part], near[part], members, COUNT, own=part, known=known)
        lists.positions[part], lists.distances[part] = found.positions, found.distances
    return lists


def without(lists: Lists, new: np.ndarray) -> Lists:
    """Return lists without the new images: what a warehouse holds before they come."""
    gone = np.isin(lists.positions, new)
    positions = np.where(gone, -1, lists.positions)
    distances = np.where(gone, np.inf, lists.distances)
    order = np.argsort(distances, axis=1, kind="stable")
    kept = order[:, :COUNT]
    return Lists(np.take_along_axis(positions, kept, 1), np.take_along_axis(distances, kept, 1))
