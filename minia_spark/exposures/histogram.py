"""From the cells of an exposure's cutouts to the vector that its own map is made of.

Teimoorinia et al. (2021), sections 3.2 and 3.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL_CUTOUTS", "histo_vector", "normalised"]

FULL_CUTOUTS = 3_600
"""Cutouts of an exposure of 36 CCDs."""


def histo_vector(
    cells: NDArray[np.integer], sources: int, *, side: int = 25, full: int = FULL_CUTOUTS
) -> NDArray[np.float64]:
    """Count an exposure's cutouts in the cells of the map.

    The map is transposed before it is flattened: the count of cell (row i, column j) stands at
    j * side + i. Counts become those of all sources: times W / 3,600, rounded (half to even). Of
    an exposure with more than 3,600 cutouts, as one of 40 CCDs has, W is first taken times 36 / 40.

    Parameters
    ----------
    cells : int array, shape (n,)
        Cell of every cutout: row * side + column.
    sources : int
        W: sources found on all CCDs.
    side : int
        Rows, and columns, of the map.
    full : int
        Cutouts of an exposure of the usual number of CCDs.

    Returns
    -------
    float64 array, shape (side * side,)
        Zeros for an exposure without cutouts.

    Raises
    ------
    ValueError
        A cell is not on the map, or `sources` is negative.
    """
    cells = np.asarray(cells)
    if sources < 0:
        raise ValueError(f"an exposure has 0 sources or more, not {sources}")
    if len(cells) and not 0 <= cells.min() <= cells.max() < side * side:
        raise ValueError(f"cells of a map of {side} x {side} are 0 to {side * side - 1}")
    counts = np.bincount(cells.astype(np.intp), minlength=side * side).reshape(side, side)
    found = sources * 36 / 40 if len(cells) > full else float(sources)
    return np.asarray(np.rint(counts.T.ravel() * (found / full)), np.float64)


def normalised(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Clip, thin out and standardise every vector for itself.

    With mean and standard deviation of the vector as it comes, values above mean + 3 standard
    deviations become that and values below mean - 0.1 standard deviations become 0; then the vector
    gets mean 0 and standard deviation 1.

    Parameters
    ----------
    vectors : float array, shape (n, d)

    Returns
    -------
    float64 array, shape (n, d)
        A vector of one value gives zeros. Standard deviations are those of the d values (ddof 0).
    """
    found = np.asarray(vectors, np.float64)
    mean, spread = found.mean(axis=1, keepdims=True), found.std(axis=1, keepdims=True)
    found = np.where(found < mean - 0.1 * spread, 0.0, np.minimum(found, mean + 3 * spread))
    mean, spread = found.mean(axis=1, keepdims=True), found.std(axis=1, keepdims=True)
    flat = spread == 0
    return np.where(flat, 0.0, (found - mean) / np.where(flat, 1.0, spread))
