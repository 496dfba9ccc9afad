"""Structures that have words in common, or images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from minia_spark.mining.model import Structures, incidence

__all__ = ["counterparts", "leaders", "related"]

_MOST = 8
_MOST_COUNTERPARTS = 3
_BLOCK = 256  # structures whose images are compared with those of all leaders at once
_SAME = 1 / 3
"""Least Jaccard similarity of the images of two structures that are shown as one: half of the
images of each, where they have as many, are in both."""


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


def leaders(images: Sequence[NDArray[np.int64]], apart: Sequence[bool]) -> list[int | None]:
    """Return, for each structure in much the same images as one before it, the number of that one.

    Going through the structures in their order, each one joins the first of those before it, of
    which none joined another, that has a Jaccard similarity of images of a third or more; else it
    may lead others itself.

    Parameters
    ----------
    images : sequence of int64 arrays
        The images of every structure, as numbers from 0; an image once a structure.
    apart : sequence of bool
        Structures that neither lead nor join.

    Returns
    -------
    list of int or None
        None: it stands by itself.
    """
    found: list[int | None] = []
    leading: list[int] = []
    for start in range(0, len(images), _BLOCK):  # so that few of the counts are there at a time
        block = images[start : start + _BLOCK]
        here = list(range(start, start + len(block)))
        shared = _shared(block, [images[k] for k in (*leading, *here)])
        candidates = np.array([*leading, *here])
        for row, own in enumerate(block, start):
            part = slice(shared.indptr[row - start], shared.indptr[row - start + 1])
            others, both = candidates[shared.indices[part]], shared.data[part]
            sizes = np.array([len(images[k]) for k in others.tolist()])
            near = others[(both >= _SAME * (len(own) + sizes - both)) & (others < row)].tolist()
            led = (k for k in near if not apart[row] and not apart[k] and found[k] is None)
            found.append(next(led, None))
        leading += [k for k in here if found[k] is None and not apart[k]]
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
    shared = _shared(images, others)
    sizes = np.array([len(one) for one in others], np.int64)
    found = []
    for row, own in enumerate(images):
        here = slice(shared.indptr[row], shared.indptr[row + 1])
        numbers, both = shared.indices[here], shared.data[here]
        likeness = both / (len(own) + sizes[numbers] - both)
        order = np.lexsort((numbers, -likeness))[:_MOST_COUNTERPARTS]
        found.append([[int(numbers[i]), round(float(likeness[i]), 4), int(both[i])] for i in order])
    return found


def _shared(images: Sequence[NDArray[np.int64]], others: Sequence[NDArray[np.int64]]) -> csr_array:
    """Return how many images each of one list has in common with each of the other."""
    count = 1 + max((int(one.max()) for one in (*images, *others) if len(one)), default=-1)
    member, other = (_membership(rows, count) for rows in (images, others))
    shared = (member @ other.T).tocsr()
    shared.sort_indices()
    return shared


def _membership(rows: Sequence[NDArray[np.int64]], count: int) -> csr_array:
    columns = np.concatenate([np.zeros(0, np.int64), *rows])
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in rows], dtype=np.int64)])
    ones = np.ones(len(columns), np.int64)
    return csr_array((ones, columns, offsets), shape=(len(rows), count))
