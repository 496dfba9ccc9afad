"""The map by t-SNE (van der Maaten & Hinton 2008); new images on it (Policar et al. 2019, 2023).

openTSNE computes it, with our exact neighbours and on one thread: the same input gives the same map
bit for bit on one kind of processor. A new image is placed by itself, with the map held fixed:
where it comes to lie does not depend on what else comes, and nothing that is there moves.
openTSNE's own ``transform`` shifts the map that it is called on; it is not called here.
"""
# ruff: noqa: PLC0415 - openTSNE takes a second to load

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from minia_spark.neighbours.nearest import Lists, nearest, prepared

__all__ = ["FEWEST", "Fit", "fit", "fitting_perplexity", "place", "principal"]

FEWEST = 5
"""Images that t-SNE needs; fewer lie where their principal components put them."""
_EXACT_UP_TO = 10_000
"""Images up to which repulsion goes by Barnes & Hut's tree; for more by interpolation."""
_START = 1e-4
"""Spread of the first coordinate when the fit begins, as in openTSNE."""
_MOMENTUM = (0.5, 0.8)
# openTSNE's own values for new points
_PERPLEXITY, _MEDIAN_OF, _ITERATIONS, _EXAGGERATION = 5.0, 25, 250, 1.5
_RATE, _STEEPEST = 0.1, 0.25
_AT_ONCE = 8192


@dataclass(frozen=True)
class Fit:
    """A map.

    Attributes
    ----------
    places : float64 array, shape (n, dimensions)
        The middle of the box around them is 0.
    method : str
        ``t-sne``, or ``pca`` for fewer than `FEWEST` images.
    perplexity : float
        As used.
    kl_divergence : float or None
        What the fit made small; None without one.
    """

    places: NDArray[np.float64]
    method: str
    perplexity: float
    kl_divergence: float | None


def fitting_perplexity(wanted: float, images: int) -> float:
    """Return the perplexity that so many images allow: a third of the others, at most."""
    return max(1.0, min(wanted, (images - 1) / 3))


def fit(
    vectors: NDArray[np.float32],
    *,
    dimensions: int = 2,
    perplexity: float = 20.0,
    iterations: int = 2000,
    exaggerated_iterations: int = 250,
    exaggeration: float = 12.0,
    seed: int = 8,
    distance: str = "euclidean",
    neighbours: Lists | None = None,
) -> Fit:
    """Fit a map.

    It begins with principal components; in the first iterations attraction is exaggerated.

    Parameters
    ----------
    vectors : float32 array, shape (n, d)
        Embeddings, finite, at least one.
    dimensions : int
        2 or 3.
    perplexity : float
        See :func:`fitting_perplexity`.
    iterations, exaggerated_iterations : int
        All, and how many of them, the first, are exaggerated.
    exaggeration : float
    seed : int
    distance : str
        ``euclidean`` or ``cosine``.
    neighbours : Lists or None
        The nearest ``min(n - 1, 3 perplexity)`` of every vector, where they are known.
    """
    with threadpool_limits(1):
        ready = prepared(vectors, distance)
        start = principal(ready, dimensions)
        if len(ready) < FEWEST:
            return Fit(_centred(start), "pca", 0.0, None)
        used = fitting_perplexity(perplexity, len(ready))
        if neighbours is None:
            count = min(len(ready) - 1, math.ceil(3 * used))
            here = np.arange(len(ready))
            neighbours = nearest(ready, [(here, ready)], count, own=here, distance=distance)
        early = min(exaggerated_iterations, iterations)
        spread = float(start[:, 0].std())
        jitter = np.random.default_rng(seed).normal(0, _START / 100, start.shape)
        start = start / (spread or 1.0) * _START + jitter
        embedding = _optimised(
            start,
            neighbours,
            perplexity=used,
            iterations=(early, iterations - early),
            exaggeration=exaggeration,
            seed=seed,
        )
        divergence = float(embedding.kl_divergence)
        return Fit(_centred(np.asarray(embedding, np.float64)), "t-sne", used, divergence)


def _optimised(
    start: NDArray[np.float64],
    neighbours: Lists,
    *,
    perplexity: float,
    iterations: tuple[int, int],
    exaggeration: float,
    seed: int,
) -> Any:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    index = PrecomputedNeighbors(neighbours.positions, neighbours.distances)
    affinities = PerplexityBasedNN(
        knn_index=index, perplexity=perplexity, n_jobs=1, random_state=seed
    )
    by_tree = len(start) <= _EXACT_UP_TO or start.shape[1] == 3
    embedding = TSNEEmbedding(
        start,
        affinities=affinities,
        negative_gradient_method="bh" if by_tree else "fft",
        n_jobs=1,
        random_state=seed,
    )
    first, rest = iterations
    if first:
        embedding = embedding.optimize(first, exaggeration=exaggeration, momentum=_MOMENTUM[0])
    return embedding.optimize(rest, momentum=_MOMENTUM[1])


def principal(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float64]:
    """Return the strongest principal components of vectors, shape (n, dimensions).

    Columns of zeros where vectors span less. Of each component the largest number is positive.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    values, columns = np.linalg.eigh(centred.T @ centred)
    found = np.zeros((len(vectors), dimensions))
    kept = min(dimensions, int((values > values[-1] * 1e-12).sum())) if values[-1] > 0 else 0
    axes = columns[:, ::-1][:, :kept]
    largest = np.abs(axes).argmax(axis=0)
    found[:, :kept] = centred @ (axes * np.sign(axes[largest, np.arange(kept)]))
    return found


def _centred(places: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(places - (places.max(axis=0) + places.min(axis=0)) / 2, np.float64)


def place(
    vectors: NDArray[np.float32],
    reference: NDArray[np.float32],
    places: NDArray[np.float64],
    *,
    distance: str = "euclidean",
) -> NDArray[np.float64]:
    """Place new images on a map, each by itself; the map does not move.

    A new image begins at the median of the places of its 25 nearest, and goes 250 steps along the
    gradient of t-SNE with perplexity 5, attracted by its nearest and pushed away by all.

    Parameters
    ----------
    vectors : float32 array, shape (m, d)
        Embeddings of the new images.
    reference : float32 array, shape (n, d)
        Embeddings of the images that the map was fitted to, at least one.
    places : float64 array, shape (n, dimensions)
        Their places.
    distance : str

    Returns
    -------
    float64 array, shape (m, dimensions)
    """
    found = np.zeros((len(vectors), places.shape[1]))
    with threadpool_limits(1):
        fixed = prepared(reference, distance)
        for first in range(0, len(vectors), _AT_ONCE):
            here = slice(first, first + _AT_ONCE)
            found[here] = _placed(prepared(vectors[here], distance), fixed, places, distance)
    return found


def _placed(
    vectors: NDArray[np.float32],
    reference: NDArray[np.float32],
    places: NDArray[np.float64],
    distance: str,
) -> NDArray[np.float64]:
    positions = np.arange(len(reference))
    count = min(len(reference), _MEDIAN_OF)
    near = nearest(vectors, [(positions, reference)], count, distance=distance)
    start = np.asarray(np.median(places[near.positions], axis=1), np.float64)
    if len(reference) < FEWEST:
        return start
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import joint_probabilities_nn
    from openTSNE.tsne import PartialTSNEEmbedding

    perplexity = min(_PERPLEXITY, len(reference) / 3)
    kept = min(count, math.ceil(3 * perplexity))
    affinities = joint_probabilities_nn(
        np.ascontiguousarray(near.positions[:, :kept]),
        np.ascontiguousarray(near.distances[:, :kept]),
        [perplexity],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=len(reference),
        n_jobs=1,
    )
    fixed = np.array(places, np.float64).view(TSNEEmbedding)
    for name in ("interp_coeffs", "box_x_lower_bounds", "box_y_lower_bounds"):
        setattr(fixed, name, None)
    partial = PartialTSNEEmbedding(
        start, fixed, affinities, negative_gradient_method="bh", n_jobs=1
    )
    moved = partial.optimize(
        _ITERATIONS,
        learning_rate=_RATE,
        exaggeration=_EXAGGERATION,
        momentum=_MOMENTUM[1],
        max_grad_norm=_STEEPEST,
        max_step_norm=None,
    )
    return np.asarray(moved, np.float64)
