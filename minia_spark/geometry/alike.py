"""Whether features lie alike in two images, and which pairs of images are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Placed", "alike", "sampled_pairs"]

_OF_A_WORD = 6
"""Features of one word that are matched, in an image: the first."""
_ITERATIONS, _CONFIDENCE = 2000, 0.995
_SCALES = 4.0
"""How many times larger one image may show the thing."""
_SIZE_RATIO = 1.5
_TURN_DEGREES = 30.0
"""How far sizes and orientations may be from what scale and rotation say."""


@dataclass(frozen=True)
class Placed:
    """Features of an image, n of them.

    Attributes
    ----------
    words : int array, shape (n,)
    places : float32 array, shape (n, 2)
        Centres x, y, in pixels.
    sizes : float32 array, shape (n,)
        Diameters, in pixels.
    angles : float32 array, shape (n,)
        In degrees; -1 where there is none.
    """

    words: NDArray[np.integer]
    places: NDArray[np.float32]
    sizes: NDArray[np.float32]
    angles: NDArray[np.float32]


def alike(left: Placed, right: Placed, *, least: int, tolerance: float) -> int:
    """Return how many features lie alike: 0 where they are fewer than `least`.

    Features of the same word are matched; a shift, rotation and uniform scale that takes most of
    them from one image to the other is found by RANSAC (Fischler & Bolles 1981; the geometric
    check of Philbin et al. 2007), and those that it takes there, with the right size and
    orientation, lie alike. Mirror images do not. The same features give the same answer.

    Parameters
    ----------
    left, right : Placed
    least : int
        Features, >= 3.
    tolerance : float
        How far a feature may be from where it should be, in median diameters.
    """
    first, second = _matches(left.words, right.words)
    if len(first) < least:
        return 0
    start, end = left.places[first], right.places[second]
    reach = tolerance * float(np.median(right.sizes[second]))
    if not reach > 0:
        return 0
    matrix, inliers = cv2.estimateAffinePartial2D(
        start,
        end,
        method=cv2.RANSAC,
        ransacReprojThreshold=reach,
        maxIters=_ITERATIONS,
        confidence=_CONFIDENCE,
    )
    if matrix is None:
        return 0
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if not 1 / _SCALES <= scale <= _SCALES:
        return 0
    turn = float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))
    good = inliers.ravel().astype(np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(right.sizes[second] / left.sizes[first] / scale))
    good &= off <= np.log(_SIZE_RATIO)
    angles = left.angles[first], right.angles[second]
    turned = (angles[1] - angles[0] - turn + 180) % 360 - 180
    good &= (np.abs(turned) <= _TURN_DEGREES) | (angles[0] < 0) | (angles[1] < 0)
    # one place may have several features, of several orientations
    found = min(len(np.unique(side[good], axis=0)) for side in (start, end))
    return found if found >= least else 0


def _matches(
    left: NDArray[np.integer], right: NDArray[np.integer]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = [], []
    for word in np.intersect1d(left, right):
        own, other = (np.flatnonzero(side == word)[:_OF_A_WORD] for side in (left, right))
        first.append(np.repeat(own, len(other)))
        second.append(np.tile(other, len(own)))
    none = np.zeros(0, np.intp)
    return np.concatenate([none, *first]), np.concatenate([none, *second])


def sampled_pairs(images: int, pairs: int, seed: tuple[int, int]) -> NDArray[np.int64]:
    """Return pairs of different images, each once.

    Parameters
    ----------
    images : int
        Images of the structure, n.
    pairs : int
        Wanted; fewer where there are no more.
    seed : two ints
        Of the run, and of the structure.

    Returns
    -------
    int64 array, shape (m, 2)
        Numbers i < j of images from 0, ascending.
    """
    every = images * (images - 1) // 2
    if every <= pairs:
        chosen = np.arange(every)
    else:
        chosen = np.sort(np.random.default_rng(seed).choice(every, pairs, replace=False))
    # pair k is (i, j) with k = j (j - 1) / 2 + i
    right = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
    right -= right * (right - 1) // 2 > chosen
    right += right * (right + 1) // 2 <= chosen
    left = chosen - right * (right - 1) // 2
    order = np.lexsort((right, left))
    return np.stack([left, right], axis=1)[order].astype(np.int64)
