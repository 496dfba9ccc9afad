"""Which images teach in a fold, and which copies are made of them: no copy leaves its original."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

__all__ = ["Copies", "augmented", "balanced", "rotated", "split_folds", "unchanged"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Copies:
    """Images to teach with, as copies of originals.

    Attributes
    ----------
    sources : int array, shape (m,)
        Rows of the originals.
    degrees : float array, shape (m,)
        By which each is turned; 0: the original itself.
    """

    sources: NDArray[np.int64]
    degrees: NDArray[np.float64]


def split_folds(
    labels: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (rows that teach, rows that validate) of every fold.

    Parameters
    ----------
    labels : int array, shape (n,)
        Of originals; every class has at least `folds` of them.
    folds, seed : int
    """
    maker = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return [
        (np.asarray(teach, np.int64), np.asarray(check, np.int64))
        for teach, check in maker.split(np.zeros(len(labels)), labels)
    ]


def unchanged(rows: NDArray[np.int64]) -> Copies:
    """Return the originals of these rows as they are."""
    return Copies(rows, np.zeros(len(rows)))


def balanced(
    labels: NDArray[np.int64], rows: NDArray[np.int64], per_class: int, rng: np.random.Generator
) -> Copies:
    """Return the same number of every class: originals, and rotated copies of them.

    Parameters
    ----------
    labels : int array, shape (n,)
        Of all originals.
    rows : int array, shape (m,)
        Those that teach: nothing else is copied.
    per_class : int
    rng : Generator
    """
    sources, degrees = [], []
    for label in np.unique(labels[rows]):
        own = rng.permutation(rows[labels[rows] == label])[:per_class]
        missing = per_class - len(own)
        copied = own[np.arange(missing) % len(own)]
        sources += [own, copied]
        degrees += [np.zeros(len(own)), rng.uniform(5, 355, missing)]
    return Copies(np.concatenate(sources), np.concatenate(degrees))


def rotated(pixels: Pixels, degrees: float) -> Pixels:
    """Return an image, shape (side, side, 3), turned about its middle; corners are mirrored in."""
    if degrees == 0:
        return pixels
    return _warped(pixels, degrees, 1.0, 0.0, 0.0)


def _warped(pixels: Pixels, degrees: float, zoom: float, dx: float, dy: float) -> Pixels:
    side = pixels.shape[0]
    centre = (side - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), degrees, zoom)
    matrix[:, 2] += (dx, dy)
    turned = cv2.warpAffine(
        pixels, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(turned, np.uint8)


def augmented(pixels: Pixels, rng: np.random.Generator, *, mirrors: bool) -> Pixels:
    """Return an image as it could have been: turned, scaled, moved, with more noise.

    Parameters
    ----------
    pixels : uint8 array, shape (side, side, 3)
    rng : Generator
    mirrors : bool
        Whether half of the images are mirrored as well.
    """
    side = pixels.shape[0]
    zoom = float(np.exp(rng.uniform(-0.12, 0.12)))
    dx, dy = rng.uniform(-0.03 * side, 0.03 * side, 2)
    found = _warped(pixels, float(rng.uniform(0, 360)), zoom, float(dx), float(dy))
    if rng.random() < 0.5 and mirrors:
        found = found[:, ::-1]
    noisy = found * rng.uniform(0.9, 1.1) + rng.normal(0, rng.uniform(0, 4), found.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
