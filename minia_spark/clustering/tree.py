"""The tree behind HDBSCAN (Campello, Moulavi & Sander 2013): grown, condensed, laid out.

Vectors are joined by the least of their mutual reachability distances, the farther of a pair's
distance and both core distances. Condensed, a branch lives on where fewer vectors than the smallest
cluster leave it, and ends where two groups of that size part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

__all__ = ["Branch", "condensed", "grown"]

_NOISE = -1


def grown(vectors: NDArray[np.float64], core: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tree of single linkage by mutual reachability, as scipy's linkage has it.

    Parameters
    ----------
    vectors : array, shape (n, D)
    core : array, shape (n,)
        Core distances.

    Returns
    -------
    float64 array, shape (max(0, n - 1), 4)
        Both nodes that are joined, their distance, the vectors below. Memory is that of a row of
        distances (Prim 1957), not of all.
    """
    count = len(vectors)
    edges = np.empty((max(0, count - 1), 3))
    reach, nearest = np.full(count, np.inf), np.zeros(count, np.int64)
    inside = np.zeros(count, np.bool_)
    current = 0
    for step in range(count - 1):
        inside[current] = True
        apart = cdist(vectors[current : current + 1], vectors)[0]
        apart = np.maximum(np.maximum(apart, core), core[current])
        nearer = (apart < reach) & ~inside
        reach[nearer], nearest[nearer] = apart[nearer], current
        reach[inside] = np.inf
        current = int(reach.argmin())
        edges[step] = nearest[current], current, reach[current]
    return _joined(edges[np.argsort(edges[:, 2], kind="stable")])


def _joined(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scipy's linkage of a spanning tree whose edges ascend."""
    count = len(edges) + 1
    parent = list(range(2 * count - 1))
    size = [1] * count + [0] * (count - 1)
    tree = np.empty((count - 1, 4))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for step, (one, other, apart) in enumerate(edges.tolist()):
        first, second = sorted((root(int(one)), root(int(other))))
        node = count + step
        parent[first] = parent[second] = node
        size[node] = size[first] + size[second]
        tree[step] = first, second, apart, size[node]
    return tree


@dataclass(frozen=True)
class Branch:
    """A branch of the condensed tree.

    Attributes
    ----------
    parent : int
        Its number in the list of branches; -1 for the first.
    start, end : float
        Density, 1 / distance, at which it parts from its parent, and at which it ends.
    leaves : float array, shape (m, 2)
        Density, and how many vectors leave at it, ascending; those that go on in branches of its
        own are not among them.
    size : int
        Vectors that it starts with.
    cluster : int
        That all of its vectors are in, and not all of its parent's; -1: no cluster.
    """

    parent: int
    start: float
    end: float
    leaves: NDArray[np.float64]
    size: int
    cluster: int


def condensed(
    tree: NDArray[np.float64], labels: NDArray[np.integer], smallest: int
) -> list[Branch]:
    """Return the branches of the condensed tree, parents before their own.

    Parameters
    ----------
    tree : array, shape (n - 1, 4)
        Of :func:`grown`, at least one row.
    labels : int array, shape (n,)
        Cluster of every vector; -1: noise.
    smallest : int
        Vectors of a cluster, at least.
    """
    count = len(tree) + 1
    children = tree[:, :2].astype(np.int64)
    sizes = np.r_[np.ones(count, np.int64), tree[:, 3].astype(np.int64)]
    # the cluster that all vectors below a node share, or noise
    shared = np.r_[labels.astype(np.int64), np.full(count - 1, _NOISE)]
    for step, (one, other) in enumerate(children):
        shared[count + step] = shared[one] if shared[one] == shared[other] else _NOISE
    found: list[Branch] = []
    waiting = [(2 * count - 2, -1, 0.0, _NOISE)]
    while waiting:
        top, parent, start, above = waiting.pop()
        node, leaves = top, []
        splits: list[int] = []
        end = start
        while node >= count:
            one, other = children[node - count].tolist()
            apart = tree[node - count, 2]
            end = 1 / apart if apart > 0 else np.inf
            large = [n for n in (one, other) if sizes[n] >= smallest]
            if len(large) == 2:
                splits = large
                break
            leaves.append((end, int(sizes[node]) - sum(int(sizes[n]) for n in large)))
            if not large:
                break
            node = large[0]
        own = int(shared[top])
        cluster = own if own != above else _NOISE
        number = len(found)
        table = np.array(leaves, np.float64).reshape(-1, 2)
        found.append(Branch(parent, start, end, table, int(sizes[top]), cluster))
        waiting += [(child, number, end, own) for child in reversed(splits)]
    return found
