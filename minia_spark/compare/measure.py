"""How good structures are, in numbers that do not depend on who found them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import hypergeom

__all__ = [
    "Measured",
    "agreeing",
    "best_overlaps",
    "coverage",
    "neighbour_agreement",
    "pair_agreement",
]

_QUERIES = 2000
"""Images whose neighbours are looked for: enough for an error of one in a hundred."""
_BLOCK = 250
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Measured:
    """A number with its standard error; both NaN where there is nothing to measure."""

    value: float
    error: float


_NOTHING = Measured(np.nan, np.nan)


def coverage(members: sp.csr_array, rng: np.random.Generator, repeats: int = 200) -> Measured:
    """Share of the images that are in any structure.

    Parameters
    ----------
    members : sparse bool array, shape (s, n)
        Whether an image is in a structure.
    rng : Generator
    repeats : int
        Collections of n images that are drawn, with replacement, for the error.
    """
    images = members.shape[1]
    if not images:
        return _NOTHING
    covered = np.asarray(members.sum(axis=0)).ravel() > 0
    drawn = rng.binomial(images, covered.mean(), repeats) / images
    return Measured(float(covered.mean()), float(drawn.std()))


def agreeing(members: sp.csr_array, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell in which structures one label is more frequent than chance explains.

    Parameters
    ----------
    members : sparse bool array, shape (s, n)
    labels : int array, shape (n,)
        Numbers of labels from 0; -1 for none, which is left out.

    Returns
    -------
    bool array, shape (s,)
        Whether the least hypergeometric tail of a label, times labels and structures
        (Bonferroni), is at most 0.05.
    """
    known = labels >= 0
    if not known.any():
        return np.zeros(members.shape[0], dtype=np.bool_)
    whole = np.bincount(labels[known])
    counts = sp.coo_array(members[:, known].astype(np.float64) @ _onehot(labels[known]))
    sizes = np.asarray(counts.sum(axis=1)).ravel()
    structure, label = counts.coords
    tails = hypergeom.sf(counts.data - 1, whole.sum(), whole[label], sizes[structure])
    least = np.ones(members.shape[0])
    np.minimum.at(least, structure, tails)
    tried = len(least) * int((whole > 0).sum())
    return np.asarray(least * tried <= _SIGNIFICANT)


def pair_agreement(
    members: sp.csr_array,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    repeats: int = 200,
) -> Measured:
    """Chance that two images of a structure have the same label, corrected for chance.

    ``(observed - expected) / (1 - expected)``: expected is the same for two images of the
    collection, observed the mean over structures, weighted by their labelled images. The error is
    by bootstrap over the images; a pair of an image with itself, which drawing with replacement
    makes, is no pair.

    Parameters
    ----------
    members, labels
        As for :func:`agreeing`.
    rng : Generator
    repeats : int
    """
    known = labels >= 0
    if not known.any() or not members.shape[0]:
        return _NOTHING
    members, labels = members[:, known], labels[known]
    onehot = _onehot(labels)
    images = len(labels)

    def agreement(weights: NDArray[np.float64]) -> float:
        expected = float(_same(sp.csr_array(weights[None, :]) @ onehot, weights @ weights)[0])
        weighted = sp.csr_array(members.multiply(weights[None, :]))
        observed = _same(weighted @ onehot, members @ (weights * weights))
        sizes = np.asarray(weighted.sum(axis=1)).ravel()
        usable = np.isfinite(observed)
        if not usable.any() or expected >= 1:
            return np.nan
        mean = np.average(observed[usable], weights=sizes[usable])
        return float((mean - expected) / (1 - expected))

    found = agreement(np.ones(images))
    if not np.isfinite(found):
        return _NOTHING
    drawn = [
        agreement(rng.multinomial(images, np.full(images, 1 / images)).astype(np.float64))
        for _ in range(repeats)
    ]
    usable = [one for one in drawn if np.isfinite(one)]  # not all draws hold a pair
    return Measured(found, float(np.std(usable)) if usable else np.nan)


def neighbour_agreement(
    bags: sp.csr_array,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    neighbours: int = 15,
    repeats: int = 200,
) -> Measured:
    """Chance that an image and one of its nearest have the same label, corrected for chance.

    Nearest by the cosine of tf-idf weighted words (Sivic & Zisserman 2003); of equally near
    images the earlier. Images without words or without a label are left out.

    Parameters
    ----------
    bags : sparse array, shape (n, K)
        How often each word is in each image.
    labels : int array, shape (n,)
        As for :func:`agreeing`.
    rng : Generator
        Chooses the images that are asked, where there are more than 2,000, and the error's.
    neighbours : int
    repeats : int
    """
    known = (labels >= 0) & (np.asarray(bags.sum(axis=1)).ravel() > 0)
    if known.sum() <= neighbours:
        return _NOTHING
    bags, labels = sp.csr_array(bags[known]), labels[known]
    vectors = _tf_idf(bags)
    images = len(labels)
    asked = np.arange(images)
    if images > _QUERIES:
        asked = np.sort(rng.choice(images, _QUERIES, replace=False))
    shares = np.empty(len(asked))
    for first in range(0, len(asked), _BLOCK):
        block = asked[first : first + _BLOCK]
        near = (vectors[block] @ vectors.T).toarray()
        near[np.arange(len(block)), block] = -1
        order = np.argsort(-near, axis=1, kind="stable")[:, :neighbours]
        shares[first : first + len(block)] = (labels[order] == labels[block, None]).mean(axis=1)
    whole = np.ones((1, images)) @ _onehot(labels)
    expected = float(_same(sp.csr_array(whole), float(images))[0])
    if expected >= 1:
        return _NOTHING
    drawn = rng.choice(shares, (repeats, len(shares))).mean(axis=1)
    return Measured(
        float((shares.mean() - expected) / (1 - expected)), float(drawn.std() / (1 - expected))
    )


def best_overlaps(left: sp.csr_array, right: sp.csr_array) -> NDArray[np.float64]:
    """Largest Jaccard similarity of each structure's images with those of any other's.

    Parameters
    ----------
    left, right : sparse bool arrays, shapes (s, n) and (t, n)
        Structures of both, over the same images.

    Returns
    -------
    float64 array, shape (s,)
        0 where nothing is shared.
    """
    if not right.shape[0]:
        return np.zeros(left.shape[0])
    shared = (left.astype(np.int64) @ right.astype(np.int64).T).toarray()
    sizes = [np.asarray(side.sum(axis=1), dtype=np.int64).ravel() for side in (left, right)]
    either = sizes[0][:, None] + sizes[1][None, :] - shared
    return np.asarray((shared / np.maximum(1, either)).max(axis=1))


def _onehot(labels: NDArray[np.int64]) -> sp.csr_array:
    ones = np.ones(len(labels))
    return sp.csr_array(
        (ones, (np.arange(len(labels)), labels)), shape=(len(labels), labels.max() + 1)
    )


def _same(counts: sp.csr_array, twice: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Share of pairs with the same label, from weights by label and the sum of their squares."""
    pairs = np.asarray(counts.sum(axis=1)).ravel() ** 2 - twice
    alike = np.asarray(counts.multiply(counts).sum(axis=1)).ravel() - twice
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, alike / pairs, np.nan))


def _tf_idf(bags: sp.csr_array) -> sp.csr_array:
    images = np.asarray((bags > 0).sum(axis=0)).ravel()
    idf = np.log(bags.shape[0] / np.maximum(1, images))
    weighted = sp.csr_array(bags.multiply(idf[None, :]))
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sp.csr_array(weighted.multiply((1 / np.where(lengths > 0, lengths, 1))[:, None]))
