"""Links between sets: what they join, and as few of them as join the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from minia_spark.smh.arrays import Links, MalformedError

__all__ = ["components", "spanning_forest"]

_U32_MAX = 2**32 - 1


def components(count: int, links: Links) -> NDArray[np.int64]:
    """Connected components of sets under links.

    Parameters
    ----------
    count : int
        Number of sets, m.
    links : Links
        In any order, with any repetitions.

    Returns
    -------
    int64 array, shape (m,)
        For each set the smallest set index of its component.

    Raises
    ------
    MalformedError
        When a link names a set that does not exist.
    """
    if count == 0 and len(links) == 0:
        return np.zeros(0, dtype=np.int64)
    _, labels = connected_components(_graph(count, links), directed=False)
    smallest = np.full(count, count, dtype=np.int64)
    np.minimum.at(smallest, labels, np.arange(count))
    result: NDArray[np.int64] = smallest[labels]
    return result


def spanning_forest(count: int, links: Links) -> Links:
    """Drop links until none closes a circle; the components stay.

    Parameters and errors as in :func:`components`.

    Returns
    -------
    Links
        Sorted by first and second set; at most m - 1.
    """
    if len(links) == 0:
        return links
    tree = minimum_spanning_tree(_graph(count, links)).tocoo()
    pairs = np.stack([tree.row, tree.col], axis=1).astype(np.int64)
    return Links(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def _graph(count: int, links: Links) -> csr_array:
    largest = int(links.pairs.max()) if len(links) else -1
    if largest >= count:
        raise MalformedError(f"a link names set {largest}, and there are {count} sets")
    # one number a pair, because equal links would add up to other lengths
    codes = np.unique(
        links.pairs[:, 0].astype(np.uint64) << np.uint64(32) | links.pairs[:, 1].astype(np.uint64)
    )
    low, high = (
        (codes >> np.uint64(32)).astype(np.int64),
        (codes & np.uint64(_U32_MAX)).astype(np.int64),
    )
    return csr_array((np.ones(len(codes), dtype=np.int8), (low, high)), shape=(count, count))
