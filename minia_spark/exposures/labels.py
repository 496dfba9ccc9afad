"""What the cells of the map of exposures mean: labels of some, spread to the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from minia_spark.desom.grid import squared_distances

__all__ = ["majority", "outvoted", "spread", "sure", "worth_labelling"]

_NEIGHBOURS = 4
"""Nearest cells that a cell is linked with."""
_LEAST_LINK = 1e-6
"""To the nearest labelled cell, so that there is a way from every cell to a label."""
_SUGGESTED = 100
_ROUNDING = 1e-9


def spread(
    prototypes: NDArray[np.floating], labels: Mapping[int, str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Give every cell the label that a random walk from it is most likely to meet first.

    Labels so follow where prototypes lie close together (Zhu, Ghahramani and Lafferty 2003). Cells
    are linked with the four whose prototypes are nearest, both ways; the weight of a link of length
    d is exp(-d^2 / (s t)), s and t the distances of either end to its fourth nearest (Zelnik-Manor
    and Perona 2004). An unlabelled cell is linked with the nearest labelled one too, by a weight
    of 1e-6. Its confidence is the probability of its label. A labelled cell has its own label, and
    confidence 1.

    Parameters
    ----------
    prototypes : float array, shape (cells, latent)
    labels : mapping of int to str
        Cell to label, at least one; every cell is on the map.

    Returns
    -------
    list of str, of length cells
        Of equally likely labels the first by name.
    float64 array, shape (cells,)
        Confidence, from 0 to 1.
    """
    known = np.array(sorted(labels), np.intp)
    names = sorted(set(labels.values()))
    given = np.zeros((len(prototypes), len(names)))
    given[known, [names.index(labels[int(cell)]) for cell in known]] = 1
    others = np.setdiff1d(np.arange(len(prototypes)), known)
    if len(others):
        links = _links(np.asarray(prototypes, np.float64), known, others)
        leaving = np.asarray(links.sum(axis=1)).ravel()[others]
        inner = sparse.diags(leaving) - links[others][:, others]
        met = splu(inner.tocsc()).solve(links[others][:, known] @ given[known])
        given[others] = np.clip(met, 0, 1)
    # what differs by rounding is equally likely
    likely = given >= given.max(axis=1, keepdims=True) - _ROUNDING
    return [names[place] for place in likely.argmax(axis=1)], given.max(axis=1)


def _links(
    prototypes: NDArray[np.float64], known: NDArray[np.intp], others: NDArray[np.intp]
) -> sparse.csr_matrix:
    """Return the weights of the links, symmetric: shape (cells, cells)."""
    number = min(_NEIGHBOURS, len(prototypes) - 1)
    nearest = np.empty((len(prototypes), number), np.intp)
    apart = np.empty((len(prototypes), number))
    to_known = np.empty(len(prototypes), np.intp)
    for cell, prototype in enumerate(prototypes):
        squared = np.square(prototypes - prototype).sum(axis=1)
        to_known[cell] = known[squared[known].argmin()]
        squared[cell] = np.inf
        nearest[cell] = np.argsort(squared, kind="stable")[:number]
        apart[cell] = squared[nearest[cell]]
    scale = np.sqrt(apart[:, -1])
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.exp(-apart / (scale[:, None] * scale[nearest]))
    weights[apart == 0] = 1.0  # the same prototype
    rows = np.repeat(np.arange(len(prototypes)), number)
    shape = (len(prototypes), len(prototypes))
    links = sparse.csr_matrix((weights.ravel(), (rows, nearest.ravel())), shape)
    least = np.full(len(others), _LEAST_LINK)
    links = links + sparse.csr_matrix((least, (others, to_known[others])), shape)
    return links.maximum(links.T).tocsr()


def worth_labelling(prototypes: NDArray[np.floating], population: Mapping[int, int]) -> list[int]:
    """Return the cells whose labels say most of the others, the most telling first.

    Each next one is that which lowers the sum over all exposures of the distance from their
    prototype to the nearest chosen one most.

    Parameters
    ----------
    prototypes : float array, shape (cells, latent)
    population : mapping of int to int
        Exposures of the cells that have some.

    Returns
    -------
    list of int
        At most 100; of equally good ones the lower number comes first.
    """
    cells = np.array(sorted(population), np.intp)
    if not len(cells):
        return []
    numbers = np.array([population[int(cell)] for cell in cells], np.float64)
    own = np.asarray(prototypes)[cells]
    apart = np.sqrt(squared_distances(own, own))
    left = np.full(len(cells), apart.max() + 1)
    chosen: list[int] = []
    while len(chosen) < min(len(cells), _SUGGESTED):
        gains = np.maximum(left - apart, 0) @ numbers
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        left = np.minimum(left, apart[chosen[-1]])
    return [int(cell) for cell in cells[chosen]]


def sure(
    confidence: NDArray[np.float64], distances: NDArray[np.float64], expected: float
) -> NDArray[np.float64]:
    """Return how sure the labels of exposures are, from those of their cells.

    Parameters
    ----------
    confidence : float64 array, shape (n,)
        Of the cell of each exposure.
    distances : float64 array, shape (n,)
        From each exposure to its prototype.
    expected : float
        That distance for exposures of the kind that the map knows; >= 0.

    Returns
    -------
    float64 array, shape (n,)
        Lower by ``expected / distance`` where an exposure is farther away than expected.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.where(distances > expected, expected / distances, 1.0)
    return np.asarray(confidence * near, np.float64)


def majority(members: Iterable[tuple[int, str]]) -> dict[int, str]:
    """Return the most frequent label of every cell; of equal ones the first by name.

    Parameters
    ----------
    members : iterable of (int, str)
        Cell and label of every labelled exposure.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for cell, label in members:
        counts[cell][label] += 1
    return {
        cell: min(found, key=lambda label: (-found[label], label))
        for cell, found in sorted(counts.items())
    }


def outvoted(
    told: Mapping[str, tuple[Iterable[int], str]], chosen: Mapping[int, str]
) -> str | None:
    """Say which labels do not hold, as others in the same cell are more frequent; None: all hold.

    Parameters
    ----------
    told : mapping of str to (ints, str)
        Cells and label of every labelled exposure.
    chosen : mapping of int to str
        Of :func:`majority`.
    """
    against = [
        f"{name} ({label}; its cell {cell}: {chosen[cell]})"
        for name, (cells, label) in told.items()
        for cell in sorted(cells)
        if chosen[cell] != label
    ]
    if not against:
        return None
    lost = sorted({label for _, label in told.values()} - set(chosen.values()))
    end = f"; no cell is left for {', '.join(map(repr, lost))}" if lost else ""
    return (
        f"{len(against):,} labels are not those of their cells, where another one is more "
        f"frequent, or first by name, and goes for all of it, e.g. {', '.join(against[:3])}{end}"
    )
