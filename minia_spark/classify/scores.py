"""How well probabilities fit classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

__all__ = ["Scores", "calibration", "roc", "scores"]

Probabilities = NDArray[np.float64]

_BINS = 10
_LEAST = 1e-7
MEASURES = ("accuracy", "loss", "precision", "recall", "f1", "auc", "calibration_error")


@dataclass(frozen=True)
class Scores:
    """What is measured.

    Attributes
    ----------
    overall : dict
        accuracy, loss (mean negative log-likelihood), precision, recall and f1 (weighted by the
        images of a class), auc (mean over classes), calibration_error; NaN where undefined.
    by_class : list of dict
        precision, recall, f1, auc and images of every class.
    confusion : int array, shape (k, k)
        Rows: true classes.
    """

    overall: dict[str, float]
    by_class: list[dict[str, float]]
    confusion: NDArray[np.int64]


def scores(labels: NDArray[np.int64], probabilities: Probabilities) -> Scores:
    """Measure predictions.

    Parameters
    ----------
    labels : int array, shape (n,)
        True classes, at least one image.
    probabilities : array, shape (n, k)
        Rows add up to 1.
    """
    count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    names = np.arange(count)
    each = precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    weighted = precision_recall_fscore_support(
        labels, predicted, labels=names, average="weighted", zero_division=0
    )
    areas = [_auc(labels == c, probabilities[:, c]) for c in range(count)]
    own = probabilities[np.arange(len(labels)), labels]
    _, _, gap = calibration(labels, probabilities)
    known = [a for a in areas if np.isfinite(a)]
    overall = {
        "accuracy": float((predicted == labels).mean()),
        "loss": float(-np.log(np.maximum(own, _LEAST)).mean()),
        "precision": float(weighted[0]),
        "recall": float(weighted[1]),
        "f1": float(weighted[2]),
        "auc": float(np.mean(known)) if known else np.nan,
        "calibration_error": gap,
    }
    by_class = [
        {
            "images": float(each[3][c]),
            "precision": float(each[0][c]),
            "recall": float(each[1][c]),
            "f1": float(each[2][c]),
            "auc": areas[c],
        }
        for c in range(count)
    ]
    return Scores(overall, by_class, confusion_matrix(labels, predicted, labels=names))


def _auc(is_it: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    if is_it.all() or not is_it.any():
        return np.nan
    return float(roc_auc_score(is_it, probability))


def roc(
    labels: NDArray[np.int64], probabilities: Probabilities, which: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates of one class against the others; empty without both."""
    is_it = labels == which
    if is_it.all() or not is_it.any():
        return np.empty(0), np.empty(0)
    wrong, right, _ = roc_curve(is_it, probabilities[:, which])
    return wrong, right


def calibration(
    labels: NDArray[np.int64], probabilities: Probabilities
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Compare the probability of the predicted class with how often it is right.

    Returns
    -------
    said, found : float64 arrays
        Mean probability, and share that is right, in each of ten equal bins that is not empty.
    error : float
        Mean distance of the two, weighted by images.
    """
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((top * _BINS).astype(int), _BINS - 1)
    sizes = np.bincount(place, minlength=_BINS)
    filled = sizes > 0
    said = np.bincount(place, top, _BINS)[filled] / sizes[filled]
    found = np.bincount(place, right, _BINS)[filled] / sizes[filled]
    error = float((np.abs(said - found) * sizes[filled]).sum() / len(labels))
    return said, found, error
