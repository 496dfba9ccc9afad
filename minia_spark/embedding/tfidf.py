"""Bags of visual words as vectors: tf-idf (Sivic & Zisserman 2003), and its strongest components.

A word counts as often as it occurs, times the logarithm of how rare it is; an image is a vector of
length 1. Latent semantic analysis (Deerwester et al. 1990) keeps the strongest components of these
vectors, so that images need no word in common to be near each other.

Rows are computed one by one, each sum in the order of its words: what an image gets does not depend
on which others are there.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

__all__ = ["components", "idf", "projected", "weighted"]

_DENSE = 512
"""Words or images up to which all components are computed at once."""


def idf(images_of_words: NDArray[np.int64], images: int) -> NDArray[np.float64]:
    """Return the weight of every word: ``log(images / images that have it)``.

    Parameters
    ----------
    images_of_words : int64 array, shape (K,)
        In how many images each word occurs. One that occurs in none counts like one of a single
        image: a later image may have it.
    images : int

    Returns
    -------
    float64 array, shape (K,)
        0 for a word of all images.
    """
    return np.log(max(1, images) / np.maximum(1, images_of_words))


def weighted(
    words: NDArray[np.integer],
    counts: NDArray[np.integer],
    offsets: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> sp.csr_array:
    """Return the weighted bags of m images.

    Parameters
    ----------
    words, counts : int arrays, shape (nnz,)
        Different words of an image, ascending, and how often each occurs.
    offsets : int64 array, shape (m + 1,)
        Image i holds ``words[offsets[i]:offsets[i + 1]]``.
    weights : float64 array, shape (K,)
        Of :func:`idf`.

    Returns
    -------
    sparse float64 array, shape (m, K)
        Rows of length 1; rows of zeros where no word counts.
    """
    images = len(offsets) - 1
    values = counts * weights[words]
    rows = np.repeat(np.arange(images), np.diff(offsets))
    # bincount adds one after another
    lengths = np.sqrt(np.bincount(rows, weights=values * values, minlength=images))
    values = values / np.where(lengths > 0, lengths, 1)[rows]
    return sp.csr_array((values, words, offsets), shape=(images, len(weights)))


def components(
    vectors: sp.csr_array, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the strongest components of weighted bags: their truncated singular vectors.

    Nothing is subtracted first. Of each component the largest number is positive.

    Parameters
    ----------
    vectors : sparse float64 array, shape (m, K)
    count : int
        Wanted; fewer where the vectors span less.

    Returns
    -------
    matrix : float64 array, shape (K, d)
        A component a column, the strongest first.
    strengths : float64 array, shape (d,)
        Sum over the images of the square of what is along each.
    """
    images, words = vectors.shape
    wanted = min(count, images, words)
    if not wanted:
        return np.zeros((words, 0)), np.zeros(0)
    if min(images, words) <= _DENSE or wanted == min(images, words):
        _, values, rows = np.linalg.svd(vectors.toarray(), full_matrices=False)
    else:
        start = np.ones(min(images, words))
        _, values, rows = svds(vectors, k=wanted, v0=start, solver="arpack")
        order = np.argsort(-values, kind="stable")
        values, rows = values[order], rows[order]
    spanned = values > values.max(initial=0.0) * max(images, words) * np.finfo(np.float64).eps
    keep = np.flatnonzero(spanned)[:wanted]
    matrix = rows[keep].T
    largest = np.abs(matrix).argmax(axis=0) if len(keep) else np.zeros(0, np.intp)
    signs = np.sign(matrix[largest, np.arange(len(keep))])
    return np.ascontiguousarray(matrix * signs), values[keep] ** 2


def projected(
    vectors: sp.csr_array, matrix: NDArray[np.float64] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the embeddings of weighted bags, of length 1.

    Parameters
    ----------
    vectors : sparse float64 array, shape (m, K)
    matrix : float64 array, shape (K, d), or None
        Of :func:`components`; None: a number a word.

    Returns
    -------
    embeddings : float32 array, shape (m, d), or (m, K)
    has : bool array, shape (m,)
        False for images that nothing is left of; their row is zeros.
    """
    dense = vectors.toarray() if matrix is None else np.asarray(vectors @ matrix)
    # einsum adds within a row, whatever the other rows
    lengths = np.sqrt(np.einsum("ij,ij->i", dense, dense))
    has = lengths > 1e-9
    scaled = dense / np.where(has, lengths, 1)[:, None]
    return np.where(has[:, None], scaled, 0).astype(np.float32), has
