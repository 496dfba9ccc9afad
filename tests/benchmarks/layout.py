"""Maps of 10,000 images beside scikit-learn's t-SNE, UMAP and PaCMAP: quality and time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from minia_spark.layout.quality import judge
from minia_spark.layout.tsne import fit, place
from tests.benchmarks.figures import Figure
from tests.benchmarks.neighbours import clustered


def run(scale: float) -> Iterator[Figure]:
    """Yield the figures."""
    images = max(200, int(10_000 * scale))
    vectors = clustered(images)
    found = {}
    for name, make in makers().items():
        start, begun = time.process_time(), time.perf_counter()
        places = make(vectors)
        seconds, wall = time.process_time() - start, time.perf_counter() - begun
        found[name] = quality(vectors, places)
        yield Figure(f"  {name}: processor seconds", seconds)
        yield Figure(f"  {name}: seconds by the clock", wall)
        yield Figure(f"  {name}: trustworthiness", found[name][0])
        yield Figure(f"  {name}: recall of the 15 nearest", found[name][1])
    for k, what in enumerate(("trustworthiness", "recall")):
        less = found["scikit-learn t-SNE"][k] - found["minia"][k]
        yield Figure(f"{what} below scikit-learn's", less, at_most=0.01)
    late = images // 10
    made = fit(vectors[late:])
    start = time.process_time()
    placed = place(vectors[:late], vectors[late:], made.places)
    yield Figure("  placed afterwards, images a second", late / (time.process_time() - start))
    every = np.concatenate([placed, made.places])
    judged = judge(vectors, every, np.full(images, -1), np.arange(late))
    yield Figure("  recall of those that were placed", float(judged.recall.mean()))


def quality(vectors: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """Return trustworthiness and recall of up to 2,000 images."""
    asked = np.random.default_rng(1).permutation(len(vectors))[:2000]
    judged = judge(vectors, np.asarray(places, np.float64), np.full(len(vectors), -1), asked)
    return float(judged.trust.mean()), float(judged.recall.mean())


def makers() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return the methods, with the article's parameters where they have them."""
    from pacmap import PaCMAP
    from sklearn.manifold import TSNE
    from umap import UMAP

    def learned(vectors: np.ndarray) -> np.ndarray:
        return TSNE(perplexity=20, max_iter=2000, init="pca", random_state=8).fit_transform(vectors)

    def umap(vectors: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a seed needs one thread
            return UMAP(n_neighbors=20, random_state=8).fit_transform(vectors)

    def pacmap(vectors: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PaCMAP(random_state=8).fit_transform(vectors)

    return {
        "minia": lambda vectors: fit(vectors).places,
        "scikit-learn t-SNE": learned,
        "UMAP": umap,
        "PaCMAP": pacmap,
    }
