"""Structures that have words in common."""

from __future__ import annotations

import numpy as np

from minia_spark.mining.model import Structures, incidence

__all__ = ["related"]

_MOST = 8


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
