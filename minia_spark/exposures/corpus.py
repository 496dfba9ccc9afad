"""Exposures as documents: bags of the cells of their cutouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minia_spark.base.bags import Bags

__all__ = ["bags_of_cells"]


def bags_of_cells(exposures: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Bags:
    """Return the bags of exposures.

    Parameters
    ----------
    exposures : sequence of (cells, counts)
        The different cells of each, and how many cutouts are in them; both may be empty.
    """
    lengths = [len(cells) for cells, _ in exposures]
    return Bags(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([cell for cells, _ in exposures for cell in cells], np.uint32),
        np.array([count for _, counts in exposures for count in counts], np.uint32),
    )
