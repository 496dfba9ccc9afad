"""Representations beside each other: how well each clustering of each recovers the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

__all__ = ["METHODS", "Compared", "Options", "Representation", "best", "compare", "of_crops"]
__all__ += ["clustering_of", "of_embedding", "of_words", "options_of", "recommended"]

METHODS = ("kmeans", "hierarchical", "hdbscan", "som", "mixture")
_SHARE = 0.9
"""Of the training images that each repeat is fitted to: methods without chance vary too."""
_NEIGHBOURS = 15


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
    fitted : int
        Training images that each fit saw.
    """

    representation: str
    method: str
    balanced: bool
    ami: Measured
    nmi: Measured
    clusters: float
    fitted: int


@dataclass(frozen=True)
class Options:
    """How methods are fitted; as in the settings of the clusterings.

    Attributes
    ----------
    clusters : int
    starts : int
        Of k-means.
    smallest : int
    neighbours : int or None
        Of HDBSCAN.
    lattice : Lattice
    passes : int
        Of the map.
    tolerance : float
    iterations : int
        Of the mixture.
    """

    clusters: int
    starts: int
    smallest: int
    neighbours: int | None
    lattice: Lattice
    passes: int
    tolerance: float
    iterations: int


def options_of(settings: Mapping[str, Any], clusters: int | None = None) -> Options:
    """Return the options that settings ask for.

    Parameters
    ----------
    settings : mapping
        Section ``clustering``, as nested mappings.
    clusters : int or None
        Another number of clusters, also of units of the map, which is as square as can be.
    """
    som, density, mixture = (settings[n] for n in ("som", "hdbscan", "mixture"))
    lattice = Lattice(som["rows"], som["columns"], som["shape"])
    if clusters is not None:
        rows = max(r for r in range(1, int(clusters**0.5) + 1) if clusters % r == 0)
        lattice = Lattice(rows, clusters // rows, som["shape"])
    return Options(
        clusters=clusters or settings["clusters"],
        starts=settings["kmeans"]["starts"],
        smallest=density["smallest"],
        neighbours=density["neighbours"],
        lattice=lattice,
        passes=som["passes"],
        tolerance=mixture["tolerance"],
        iterations=mixture["iterations"],
    )


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


def of_embedding(
    vectors: NDArray[np.float64], train: NDArray[np.bool_], number: int, title: str
) -> Representation:
    """Return an embedding as it is, or, where it is longer than asked for, its main components.

    Parameters
    ----------
    vectors : array, shape (n, D)
        Images without an embedding are vectors of zeros.
    train : bool array, shape (n,)
        Images that the components are from.
    number : int
        Numbers of a vector at most.
    title : str
    """
    if vectors.shape[1] > number:
        found = decompose(vectors[train], 2 * number, np.float64)
        model = components_of(found, number, scale=False)
        vectors = (vectors - model.mean) @ model.directions.T.astype(np.float64)
    return Representation(f"{title} {vectors.shape[1]}", vectors, np.nan)


def neighbours_f1(
    vectors: NDArray[np.float64], labels: NDArray[np.str_], train: NDArray[np.bool_]
) -> float:
    """Return the weighted F1 on test images of a vote of the 15 nearest training images."""
    model = KNeighborsClassifier(min(_NEIGHBOURS, int(train.sum())))
    model.fit(vectors[train], labels[train])
    return float(f1_score(labels[~train], model.predict(vectors[~train]), average="weighted"))


def _model(method: str, vectors: NDArray[np.float64], options: Options, seed: int) -> Model:
    if method == "kmeans":
        count = min(options.clusters, len(np.unique(vectors, axis=0)))
        means = KMeans(count, n_init=options.starts, random_state=seed).fit(vectors)
        return fit.kmeans(means.cluster_centers_, vectors)
    if method == "hierarchical":
        return fit.hierarchical(vectors, options.clusters)
    if method == "hdbscan":
        return fit.density(vectors, options.smallest, options.neighbours)
    if method == "mixture":
        return fit.mixture(
            vectors,
            options.clusters,
            seed,
            tolerance=options.tolerance,
            iterations=options.iterations,
        )
    return fit.som(trained(vectors, options.lattice, options.passes), {})


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
    options: Options,
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
    options : Options
    repeats, seed : int
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
                model = _model(method, representation.vectors[own], options, seed + repeat)
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
                len(own),
            )


def best(rows: Sequence[Compared]) -> tuple[Compared, list[Compared]]:
    """Return the row of the largest AMI, and those that are within its and their error of it."""
    first = max(rows, key=lambda row: row.ami.value)

    def reach(row: Compared) -> float:
        return float(np.hypot(np.nan_to_num(row.ami.error), np.nan_to_num(first.ami.error)))

    near = [r for r in rows if r is not first and first.ami.value - r.ami.value <= reach(r)]
    return first, near


def clustering_of(row: Mapping[str, Any]) -> str:
    """Return the clustering of a row of a table as people call it, e.g. ``kmeans of words``."""
    method, vectors = str(row["method"]), str(row["vectors"])
    return method if vectors == "components" else f"{method} of {vectors}"


def recommended(rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Return which clustering recovers classes best, as a sentence.

    Parameters
    ----------
    rows : sequence of mapping
        At least one of table ``repeats``, all of one kind of classes.
    kind : str
        Of the classes.
    """

    def compared(row: Mapping[str, Any]) -> Compared:
        ami, nmi = (
            Measured(row[n], np.nan if row[f"{n}_error"] is None else row[f"{n}_error"])
            for n in ("ami", "nmi")
        )
        is_balanced = row["fitted_to"] == "balanced"
        numbers = (float(row["clusters"]), int(row["fitted_images"]))
        return Compared(clustering_of(row), "", is_balanced, ami, nmi, *numbers)

    def name(one: Compared) -> str:
        return one.representation + (" (fitted to balanced images)" if one.balanced else "")

    first, near = best([compared(row) for row in rows])
    told = f"For {kind.replace('_', ' ')}, {name(first)} is best: AMI {first.ami.value:.3f}"
    if np.isfinite(first.ami.error):
        told += f" \u00b1 {first.ami.error:.3f}"
    if not near:
        return f"{told}; all others are worse by more than their errors."
    return f"{told}; as good within errors: {'; '.join(name(one) for one in near)}."
