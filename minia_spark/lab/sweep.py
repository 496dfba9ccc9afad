"""Representations beside each other: how well each clustering of each recovers the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, f1_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

from minia_spark.clustering import fit
from minia_spark.clustering.place import place
from minia_spark.clustering.som import Lattice, trained
from minia_spark.compare.measure import Measured
from minia_spark.galaxies.frozen import Model
from minia_spark.reduce.pca import block_rows, components_of, decompose, merge_all

__all__ = ["METHODS", "Compared", "Representation", "best", "compare", "of_crops", "of_words"]

METHODS = ("kmeans", "hierarchical", "hdbscan", "som", "mixture")
_SHARE = 0.9
"""Of the training images that each repeat is fitted to: methods without chance vary too."""
_NEIGHBOURS = 15
_PASSES = 20
_SMALLEST = 5
_STARTS = 5


@dataclass(frozen=True)
class Representation:
    """Vectors of the same images in one way.

    Attributes
    ----------
    name : str
    vectors : float array, shape (n, D)
    error : float
        Root of the mean squared difference of test images and what the vectors keep of them, in
        grey levels; NaN where they keep no image.
    """

    name: str
    vectors: NDArray[np.float64]
    error: float


@dataclass(frozen=True)
class Compared:
    """What one clustering of one representation recovers, on test images.

    Attributes
    ----------
    representation, method : str
    balanced : bool
        Whether it was fitted to the same number of training images of every class.
    ami, nmi : Measured
        Mean over the repeats, and their standard deviation.
    clusters : float
        That hold test images, on average.
    """

    representation: str
    method: str
    balanced: bool
    ami: Measured
    nmi: Measured
    clusters: float


def of_crops(
    crops: NDArray[np.uint8], train: NDArray[np.bool_], numbers: Sequence[int], title: str
) -> list[Representation]:
    """Return standardised principal components, as many as asked for, of crops.

    Parameters
    ----------
    crops : uint8 array, shape (n, D)
    train : bool array, shape (n,)
        What components are fitted to; at least two images that differ.
    numbers : sequence of int
        Components, each its own representation; those that the images have not are left out.
    title : str
        Of the crops, e.g. ``centre``.
    """
    kept = 2 * max(numbers)
    data = crops[train]
    rows = block_rows(data.shape[1], kept)
    parts = [decompose(data[i : i + rows], kept) for i in range(0, len(data), rows)]
    whole = merge_all(parts, kept)
    found, seen = [], set()
    test = crops[~train]
    for number in sorted(numbers):
        model = components_of(whole, number, scale=True)
        size = len(model.scales)
        if size in seen:
            continue
        seen.add(size)
        squares = 0.0
        for start in range(0, len(test), 64):
            piece = test[start : start + 64]
            apart = piece - model.inverse(model.transform(piece))
            squares += float((apart.astype(np.float64) ** 2).sum())
        error = float(np.sqrt(squares / test.size)) if test.size else np.nan
        vectors = model.transform(crops).astype(np.float64)
        found.append(Representation(f"{title} {size}", vectors, error))
    return found


def of_words(
    bags: sp.csr_array, train: NDArray[np.bool_], number: int, title: str
) -> Representation:
    """Return bags of words as principal components of their tf-idf vectors of length 1.

    Parameters
    ----------
    bags : sparse array, shape (n, K)
        How often each word is in each image; an image without words is a vector of zeros.
    train : bool array, shape (n,)
        Images that the weights and the components are from.
    number : int
        Components at most.
    title : str
    """
    images = np.asarray((bags[train] > 0).sum(axis=0)).ravel()
    weights = np.log(max(1, int(train.sum())) / np.maximum(1, images))
    dense = bags.toarray().astype(np.float64) * weights
    lengths = np.linalg.norm(dense, axis=1)
    dense /= np.where(lengths > 0, lengths, 1)[:, None]
    model = components_of(decompose(dense[train], 2 * number, np.float64), number, scale=False)
    vectors = (dense - model.mean) @ model.directions.T.astype(np.float64)
    return Representation(f"{title} {vectors.shape[1]}", vectors, np.nan)


def neighbours_f1(
    vectors: NDArray[np.float64], labels: NDArray[np.str_], train: NDArray[np.bool_]
) -> float:
    """Return the weighted F1 on test images of a vote of the 15 nearest training images."""
    model = KNeighborsClassifier(min(_NEIGHBOURS, int(train.sum())))
    model.fit(vectors[train], labels[train])
    return float(f1_score(labels[~train], model.predict(vectors[~train]), average="weighted"))


def _model(method: str, vectors: NDArray[np.float64], clusters: int, seed: int) -> Model:
    if method == "kmeans":
        count = min(clusters, len(np.unique(vectors, axis=0)))
        means = KMeans(count, n_init=_STARTS, random_state=seed).fit(vectors)
        return fit.kmeans(means.cluster_centers_, vectors)
    if method == "hierarchical":
        return fit.hierarchical(vectors, clusters)
    if method == "hdbscan":
        return fit.density(vectors, _SMALLEST, None)
    if method == "mixture":
        return fit.mixture(vectors, clusters, seed, tolerance=1e-7, iterations=1000)
    rows = max(r for r in range(1, int(clusters**0.5) + 1) if clusters % r == 0)
    return fit.som(trained(vectors, Lattice(rows, clusters // rows), _PASSES), {})


def _chosen(
    labels: NDArray[np.str_], rows: NDArray[np.intp], rng: np.random.Generator, *, balanced: bool
) -> NDArray[np.intp]:
    """Return the training images of a repeat: a share of all, or as many of every class."""
    if not balanced:
        return np.sort(rng.permutation(rows)[: max(1, round(_SHARE * len(rows)))])
    names, counts = np.unique(labels[rows], return_counts=True)
    least = max(1, round(_SHARE * counts.min()))
    groups = [rng.permutation(rows[labels[rows] == name])[:least] for name in names]
    return np.sort(np.concatenate(groups))


def compare(
    representation: Representation,
    labels: NDArray[np.str_],
    train: NDArray[np.bool_],
    *,
    methods: Sequence[str],
    clusters: int,
    repeats: int,
    seed: int,
    balanced: Sequence[bool] = (False,),
) -> Iterator[Compared]:
    """Yield what every method recovers of the classes of test images.

    Parameters
    ----------
    representation : Representation
    labels : str array, shape (n,)
        Every image has a class; fits do not see them, but for balancing.
    train : bool array, shape (n,)
    methods : sequence of str
        Of :data:`METHODS`; k-means is scikit-learn's here.
    clusters, repeats, seed : int
        Each repeat has its own nine tenths of the training images, and its own start.
    balanced : sequence of bool
        Fits to the images as they are, to as many of every class, or to both, one after another.
    """
    rows = np.flatnonzero(train)
    for method in methods:
        for is_balanced in balanced:
            found = []
            for repeat in range(repeats):
                rng = np.random.default_rng([seed, repeat])
                own = _chosen(labels, rows, rng, balanced=is_balanced)
                model = _model(method, representation.vectors[own], clusters, seed + repeat)
                placed, _ = place(model, representation.vectors[~train])
                truth = labels[~train]
                found.append(
                    (
                        adjusted_mutual_info_score(truth, placed),
                        normalized_mutual_info_score(truth, placed),
                        len(np.unique(placed)),
                    )
                )
            table = np.array(found)
            spread = table.std(axis=0, ddof=1) if repeats > 1 else np.full(3, np.nan)
            yield Compared(
                representation.name,
                method,
                is_balanced,
                Measured(float(table[:, 0].mean()), float(spread[0])),
                Measured(float(table[:, 1].mean()), float(spread[1])),
                float(table[:, 2].mean()),
            )


def best(rows: Sequence[Compared]) -> tuple[Compared, list[Compared]]:
    """Return the row of the largest AMI, and those that are within its and their error of it."""
    first = max(rows, key=lambda row: row.ami.value)

    def reach(row: Compared) -> float:
        return float(np.hypot(np.nan_to_num(row.ami.error), np.nan_to_num(first.ami.error)))

    near = [r for r in rows if r is not first and first.ami.value - r.ami.value <= reach(r)]
    return first, near
