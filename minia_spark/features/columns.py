"""Features of several images as the columns of table ``features``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from minia_spark.base.arrow import from_lists
from minia_spark.base.errors import Rejected
from minia_spark.features.extractor import Features

__all__ = ["LISTS", "feature_columns"]

LISTS = ("x", "y", "size", "angle", "response")


def feature_columns(results: Sequence[Features | Rejected]) -> dict[str, pa.Array]:
    """Return the columns, a row a result.

    Parameters
    ----------
    results : sequence of Features or Rejected
        At least one; a rejected image has zero features and says why.

    Returns
    -------
    dict
        ``n_features``, ``n_found`` int32; ``x``, ``y``, ``size``, ``angle``, ``response`` lists of
        float32; ``descriptors`` binary, row-major; ``reason``, ``detail`` null where all is well.
    """
    counts = [0 if isinstance(r, Rejected) else len(r) for r in results]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    good = [r for r in results if not isinstance(r, Rejected)]
    columns: dict[str, pa.Array] = {
        "n_features": pa.array(counts, pa.int32()),
        "n_found": pa.array(
            [0 if isinstance(r, Rejected) else r.found for r in results], pa.int32()
        ),
    }
    for name in LISTS:
        columns[name] = from_lists(_joined([getattr(r, name) for r in good]), offsets)
    columns["descriptors"] = pa.array(
        [b"" if isinstance(r, Rejected) else r.descriptors.tobytes() for r in results], pa.binary()
    )
    columns["reason"] = pa.array(
        [r.reason if isinstance(r, Rejected) else None for r in results], pa.string()
    )
    columns["detail"] = pa.array(
        [r.detail if isinstance(r, Rejected) else None for r in results], pa.string()
    )
    return columns


def _joined(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *arrays])
