"""Principal components in parts: each part of the data on its own, the results merged up a tree.

The decomposition of a part is its mean and the leading rows of S V^T of its centred data; two are
merged by decomposing both sets of rows and the difference of the means together (Ross et al. 2008,
eq. 3; Golub and Van Loan, "Matrix Computations", 2013, on SVD by Gram matrices). Nothing is lost
while as many rows are kept as the data has dimensions or images.

Parts have many more dimensions than images, so that a Gram matrix between images is small. Of a
merge only the products between the two parts' directions are computed: within a part they are
orthonormal, and so small components keep their relative accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "BLOCK_BYTES",
    "Components",
    "Part",
    "block_rows",
    "components_of",
    "decompose",
    "merge",
    "merge_all",
]

Real = NDArray[np.floating]

BLOCK_BYTES = 192 << 20
"""Of the images of a part in single precision."""
_COLUMNS, _EXACT_COLUMNS = 4096, 256
"""Of the data that are products' depth at a time: sums of single precision stay short, and those of
differences of bytes are whole numbers below 2^24, which are exact."""
_TOGETHER = 64


@dataclass(frozen=True)
class Part:
    """What a part of the data is to principal components.

    Attributes
    ----------
    count : int
        Images.
    mean : float64 array, shape (D,)
    strengths : float64 array, shape (r,)
        Singular values of the centred data, descending.
    directions : float array, shape (r, D)
        Orthonormal rows.
    rest : float
        Sum of the squares of the centred data that the kept rows do not hold.
    """

    count: int
    mean: NDArray[np.float64]
    strengths: NDArray[np.float64]
    directions: Real
    rest: float


@dataclass(frozen=True)
class Components:
    """Principal components and a scaler, which vectors of standardised scores are made with.

    Attributes
    ----------
    mean : float64 array, shape (D,)
    directions : float32 array, shape (k, D)
        Orthonormal; the entry of largest size in each is positive.
    variances : float64 array, shape (k,)
        Of the data along them, with n - 1.
    scales : float64 array, shape (k,)
        What scores are divided by: their standard deviation over the data, with n, as
        scikit-learn's StandardScaler has it; 1 where there is no variance, or nothing is scaled.
    total_variance : float
        Of all dimensions, with n - 1.
    count : int
        Images that it was fitted to.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float32]
    variances: NDArray[np.float64]
    scales: NDArray[np.float64]
    total_variance: float
    count: int

    def transform(self, data: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the scores of images, shape (n, k), of images of shape (n, D)."""
        found = np.empty((len(data), len(self.scales)), np.float32)
        # products of one shape: no score depends on the images beside its own
        block = np.zeros((_TOGETHER, data.shape[1]), np.float32)
        mean, ways = self.mean.astype(np.float32), np.ascontiguousarray(self.directions.T)
        for start in range(0, len(data), _TOGETHER):
            piece = data[start : start + _TOGETHER]
            np.subtract(piece, mean, out=block[: len(piece)], casting="unsafe")
            found[start : start + len(piece)] = ((block @ ways) / self.scales)[: len(piece)]
        return found

    def inverse(self, scores: Real) -> NDArray[np.float32]:
        """Return the images, shape (n, D), that scores of shape (n, k) stand for."""
        back = (np.asarray(scores, np.float64) * self.scales).astype(np.float32)
        return np.asarray(back @ self.directions + self.mean.astype(np.float32), np.float32)


def block_rows(dims: int, kept: int) -> int:
    """Return how many images a part has: as many as memory allows, at least the rows kept."""
    return max(kept, BLOCK_BYTES // (4 * dims), 2)


def decompose(data: NDArray[np.generic], kept: int, dtype: type[np.floating] = np.float32) -> Part:
    """Decompose one part.

    Parameters
    ----------
    data : array, shape (n, D)
        At least one image.
    kept : int
        Components to keep at most.
    dtype : float type
        Of the directions and of the products that they come from.

    Raises
    ------
    ValueError
        There is no image, or a value that is no finite number.
    """
    if data.ndim != 2 or not len(data):
        raise ValueError(f"a part needs at least one image, its shape is {data.shape}")
    mean = data.mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        raise ValueError("the data holds values that are no finite numbers")
    is_whole = data.dtype == np.uint8
    centred = data.astype(dtype)
    centred -= (np.round(mean) if is_whole else mean).astype(dtype)
    gram = _products(centred, centred, _EXACT_COLUMNS if is_whole else _COLUMNS)
    if is_whole:  # what rounding the mean left
        gram -= gram.mean(axis=0)
        gram -= gram.mean(axis=1)[:, None]
        centred -= (mean - np.round(mean)).astype(dtype)
    strengths, mixing = _largest(gram, min(kept, len(data) - 1, data.shape[1]), dtype)
    directions = np.asarray((mixing / strengths).T.astype(dtype) @ centred)
    total = float(np.trace(gram))
    return Part(
        len(data), mean, strengths, directions, max(0.0, total - float((strengths**2).sum()))
    )


def merge(first: Part, second: Part, kept: int) -> Part:
    """Return the decomposition of two parts together.

    Parameters
    ----------
    first, second : Part
        Of the same number of dimensions; the order changes rounding only.
    kept : int
        Components to keep at most.
    """
    count = first.count + second.count
    apart = second.mean - first.mean
    mean = first.mean + apart * (second.count / count)
    kind = np.result_type(first.directions, second.directions)
    shift = (apart * np.sqrt(first.count * second.count / count)).astype(kind)
    length = float(np.sqrt(np.dot(shift, shift.astype(np.float64))))
    shift_way = shift / length if length > 0 else shift
    rows = [first.directions, second.directions, shift_way[None, :]]
    strengths = np.concatenate([first.strengths, second.strengths, [length]])
    sizes = [len(r) for r in rows]
    starts = np.cumsum([0, *sizes])
    gram = np.eye(len(strengths))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        block = _products(rows[i], rows[j])
        gram[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = block
        gram[starts[j] : starts[j + 1], starts[i] : starts[i + 1]] = block.T
    if length == 0:
        gram[-1, -1] = 0.0
    gram *= strengths[:, None] * strengths[None, :]
    total = float(np.trace(gram))
    found, mixing = _largest(gram, min(kept, count - 1, len(mean)), kind)
    weights = ((mixing * strengths[:, None]) / found).T.astype(kind)
    directions = weights[:, : starts[1]] @ rows[0]
    directions += weights[:, starts[1] : starts[2]] @ rows[1]
    directions += weights[:, starts[2] :] @ rows[2]
    lost = max(0.0, total - float((found**2).sum()))
    return Part(count, mean, found, directions, first.rest + second.rest + lost)


def merge_all(parts: Sequence[Part], kept: int) -> Part:
    """Merge neighbours, and the results again, until one is left; at least one part."""
    level = list(parts)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [merge(pair[0], pair[1], kept) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]


def components_of(part: Part, number: int, *, scale: bool) -> Components:
    """Return the components of a whole collection.

    Parameters
    ----------
    part : Part
        Of all of it.
    number : int
        Components wanted; there are fewer where the data has not so many.
    scale : bool
        Whether scores are divided by their standard deviation.

    Raises
    ------
    ValueError
        All images are equal, so that there is no component.
    """
    if not len(part.strengths):
        raise ValueError("all images are equal: there is no component")
    strengths = part.strengths[:number]
    directions = part.directions[:number].astype(np.float64)
    # many merges, or small components of single precision: right angles are made right again
    basis, corner = np.linalg.qr(directions.T)
    directions = (basis * np.sign(np.diag(corner))).T
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)]
    directions *= np.where(largest < 0, -1.0, 1.0)[:, None]
    free = max(1, part.count - 1)
    deviations = strengths / np.sqrt(part.count)
    return Components(
        mean=part.mean,
        directions=directions.astype(np.float32),
        variances=strengths**2 / free,
        scales=deviations if scale else np.ones(len(strengths)),
        total_variance=float((part.strengths**2).sum() + part.rest) / free,
        count=part.count,
    )


def _products(left: Real, right: Real, columns: int = _COLUMNS) -> NDArray[np.float64]:
    """Return left @ right.T, shapes (a, D) and (b, D), summed up in double precision."""
    found = np.zeros((len(left), len(right)))
    for start in range(0, left.shape[1], columns):
        piece = slice(start, start + columns)
        found += left[:, piece] @ right[:, piece].T
    return found


def _largest(
    gram: NDArray[np.float64], kept: int, dtype: DTypeLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest singular values, descending, and the eigenvectors, shape (n, r).

    Those whose squares are no more than what rounding in `dtype` makes of the largest are no data.
    """
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    strengths = np.sqrt(np.maximum(values[::-1], 0.0))
    least = 4 * np.sqrt(np.finfo(np.dtype(dtype)).eps) * strengths[0]
    enough = min(kept, int((strengths > least).sum()))
    return strengths[:enough], vectors[:, ::-1][:, :enough]
