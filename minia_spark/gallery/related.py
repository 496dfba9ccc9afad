"""Structures that have words in common, or images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minia_spark.mining.model import Structures, incidence
from minia_spark.structures.patterns import shared_images

__all__ = ["counterparts", "related"]

_MOST = 8
_MOST_COUNTERPARTS = 3


def related(structures: Structures) -> list[list[list[float]]]:
    """Return the structures most like each one: [number, Jaccard similarity of the words].

    At most 8 each, the most similar first, equal ones by number; none without a word in common.
    """
    member = incidence(structures, np.unique(structures.items))
    shared = (member @ member.T).tocsr()
    shared.sort_indices()
    sizes = structures.sizes
    found = []
    for row in range(len(structures)):
        here = slice(shared.indptr[row], shared.indptr[row + 1])
        others, both = shared.indices[here], shared.data[here]
        apart = others != row
        others, both = others[apart], both[apart]
        likeness = both / (sizes[row] + sizes[others] - both)
        order = np.lexsort((others, -likeness))[:_MOST]
        found.append([[int(others[i]), round(float(likeness[i]), 4)] for i in order])
    return found


def counterparts(
    images: Sequence[NDArray[np.int64]], others: Sequence[NDArray[np.int64]]
) -> list[list[list[float]]]:
    """Return the structures of another extractor in most nearly the same images as each one.

    Parameters
    ----------
    images, others : sequences of int64 arrays
        The images of every structure of the two, as numbers from 0; an image once a structure.

    Returns
    -------
    list of lists of [number, Jaccard similarity of the images, images in both]
        At most 3 each, the most similar first, equal ones by number; none without a common image.
    """
    shared = shared_images(images, others)
    sizes = np.array([len(one) for one in others], np.int64)
    found = []
    for row, own in enumerate(images):
        here = slice(shared.indptr[row], shared.indptr[row + 1])
        numbers, both = shared.indices[here], shared.data[here]
        likeness = both / (len(own) + sizes[numbers] - both)
        order = np.lexsort((numbers, -likeness))[:_MOST_COUNTERPARTS]
        found.append([[int(numbers[i]), round(float(likeness[i]), 4), int(both[i])] for i in order])
    return found
