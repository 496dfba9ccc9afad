"""Principal components of small copies of the images, in whole numbers.

Sums over images are sums of whole numbers below 2^53, which float64 adds without error in any
order; the components are rounded to a grid on which projections are exact too. So neither the order
of images, nor how they are spread, nor a library's way of adding changes a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

__all__ = ["Moments", "Pca", "fit", "moments", "project", "scaled"]

_GRID = float(1 << 28)
"""Of the components: 255 * 64 * 64 * 3 numbers of at most 1 stay below 2^53 in its units."""
_ROWS = 4096


def scaled(pixels: NDArray[np.uint8], side_px: int, crop: float = 1.0) -> NDArray[np.uint8]:
    """Return the middle of an image as a small square of three colours.

    Parameters
    ----------
    pixels : uint8 array, shape (height, width) or (height, width, 3)
    side_px : int
    crop : float
        Share of the shorter side that the square has, in (0, 1].

    Returns
    -------
    uint8 array, shape (side_px, side_px, 3)
        Grey images have three equal colours.
    """
    height, width = pixels.shape[:2]
    side = max(1, round(crop * min(height, width)))
    top, left = (height - side) // 2, (width - side) // 2
    cut = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    kind = cv2.INTER_AREA if side >= side_px else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(cut, (side_px, side_px), interpolation=kind), np.uint8)
    return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else small


@dataclass(frozen=True)
class Moments:
    """Sums over images; those of two collections add up to those of both, exactly.

    Attributes
    ----------
    images : int
    total : float64 array, shape (D,)
        Whole numbers.
    products : float64 array, shape (D, D)
        Sum over the images of the product of every two numbers; whole.
    """

    images: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    def __add__(self, other: Moments) -> Moments:
        """Return the sums over both."""
        return Moments(
            self.images + other.images, self.total + other.total, self.products + other.products
        )


def moments(rows: NDArray[np.uint8]) -> Moments:
    """Return the sums over images, shape (n, D): n at most 10^11."""
    found = Moments(0, np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1])))
    for first in range(0, len(rows), _ROWS):
        block = rows[first : first + _ROWS].astype(np.float64)
        found += Moments(len(block), block.sum(axis=0), block.T @ block)
    return found


@dataclass(frozen=True)
class Pca:
    """Principal components.

    Attributes
    ----------
    mean : float64 array, shape (D,)
    matrix : float64 array, shape (D, d)
        A component a column, the strongest first; multiples of 2^-28.
    variances : float64 array, shape (d,)
        Of the images along each.
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]
    variances: NDArray[np.float64]


def fit(sums: Moments, count: int) -> Pca:
    """Return the principal components of what was summed.

    Of each component the largest number is positive. At least one component is returned.

    Parameters
    ----------
    sums : Moments
        Of at least one image.
    count : int
        Wanted, at least 1; fewer where the images span less.
    """
    mean = sums.total / sums.images
    covariance = sums.products / sums.images - np.outer(mean, mean)
    numbers = len(mean)
    wanted = min(count, numbers, max(1, sums.images - 1))
    values, columns = eigh(covariance, subset_by_index=(numbers - wanted, numbers - 1))
    values, columns = values[::-1], columns[:, ::-1]
    spanned = np.flatnonzero(values > max(1e-9, values[0] * 1e-12))
    kept = max(1, len(spanned))
    values, columns = np.maximum(values[:kept], 0), columns[:, :kept]
    largest = np.abs(columns).argmax(axis=0)
    signed = columns * np.sign(columns[largest, np.arange(kept)])
    return Pca(mean, np.round(signed * _GRID) / _GRID, values)


def project(rows: NDArray[np.uint8], pca: Pca) -> NDArray[np.float32]:
    """Return the embeddings of images, shape (n, D), as float32, shape (n, d)."""
    exact = rows.astype(np.float64) @ pca.matrix
    # einsum: a sum of its own for every component, not a library's product
    shift = np.einsum("i,ij->j", pca.mean, pca.matrix)
    return np.asarray(exact - shift, np.float32)
