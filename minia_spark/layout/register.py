"""A new map laid onto an older one: turned, mirrored, scaled and shifted, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Similarity", "similarity"]


@dataclass(frozen=True)
class Similarity:
    """A similarity transform.

    Attributes
    ----------
    matrix : float64 array, shape (d, d)
        Rotation, or rotation and mirror, times the scale.
    shift : float64 array, shape (d,)
    error : float
        Root mean square distance of the points that it was made from, by the spread of the target.
    """

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    error: float

    def __call__(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points, shape (n, d), where they belong on the target."""
        # einsum: every point by itself
        return np.asarray(np.einsum("ij,jk->ik", places, self.matrix) + self.shift)


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> Similarity | None:
    """Return the similarity that takes points nearest to others (Umeyama 1991, with mirrors).

    Parameters
    ----------
    source, target : float64 arrays, shape (n, d)
        The same points on both maps.

    Returns
    -------
    Similarity or None
        None where there are too few points, or all in one place: they say nothing.
    """
    if len(source) <= source.shape[1]:
        return None
    means = source.mean(axis=0), target.mean(axis=0)
    before, after = source - means[0], target - means[1]
    spread, wanted = float((before**2).sum()), float((after**2).sum())
    if not (spread > 0 and wanted > 0):
        return None
    left, values, right = np.linalg.svd(before.T @ after)
    matrix = left @ right * (values.sum() / spread)
    shift = means[1] - means[0] @ matrix
    rest = source @ matrix + shift - target
    return Similarity(matrix, shift, float(np.sqrt((rest**2).sum() / wanted)))
