"""What the cells of the map of exposures mean: labels of some, spread to the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from minia_spark.desom.grid import squared_distances

__all__ = ["majority", "spread", "sure"]

_NEIGHBOURS = 5
"""Labelled cells that an unlabelled one asks."""


def spread(
    prototypes: NDArray[np.floating], labels: Mapping[int, str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Give every cell the label that its nearest labelled cells have.

    An unlabelled cell asks the five labelled ones whose prototypes are nearest; each counts with
    the inverse of the squared distance. Its confidence is the winner's share of that. A labelled
    cell has its own label, and confidence 1. This is equivalent to scikit-learn's
    ``KNeighborsClassifier(5, weights=lambda d: d**-2).fit(those, labels).predict_proba(all)``.

    Parameters
    ----------
    prototypes : float array, shape (cells, latent)
    labels : mapping of int to str
        Cell to label, at least one; every cell is on the map.

    Returns
    -------
    list of str, of length cells
        Of equally good labels the first by name.
    float64 array, shape (cells,)
        Confidence, from 0 to 1.
    """
    known = np.array(sorted(labels), np.intp)
    names = sorted(set(labels.values()))
    numbers = np.array([names.index(labels[int(cell)]) for cell in known])
    squared = squared_distances(prototypes, np.asarray(prototypes)[known])
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :_NEIGHBOURS]
    found: list[str] = []
    confidence = np.ones(len(prototypes))
    for cell in range(len(prototypes)):
        if cell in labels:
            found.append(labels[cell])
            continue
        votes = np.zeros(len(names))
        apart = squared[cell, nearest[cell]]
        if apart[0] == 0:  # the same prototype: only such cells count
            apart = np.where(apart == 0, 1.0, np.inf)
        np.add.at(votes, numbers[nearest[cell]], 1 / apart)
        found.append(names[int(votes.argmax())])
        confidence[cell] = votes.max() / votes.sum()
    return found, confidence


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
