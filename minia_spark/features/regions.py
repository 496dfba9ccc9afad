"""Features among the positions of a network's output: their boxes, and which of them are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["best", "overlaps", "receptive_boxes", "scaled_size"]


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return the size of an image at a scale: rounded to even halves, at least 1 pixel.

    In float32, as TensorFlow does it in the exported network.
    """
    factor = np.float32(scale)
    rows, columns = (max(1, int(np.rint(np.float32(n) * factor))) for n in (height, width))
    return rows, columns


def receptive_boxes(
    rows: int, columns: int, *, field: int, stride: int, padding: int, scale: float
) -> NDArray[np.float32]:
    """Return what each position of an output sees, in pixels of the image before it was scaled.

    Position (r, c) sees ``field`` pixels from ``stride * r - padding`` on, of the scaled image;
    parts of it may lie outside.

    Parameters
    ----------
    rows, columns : int
        Of the output.
    field, stride, padding : int
    scale : float

    Returns
    -------
    float32 array, shape (rows * columns, 4)
        y and x of the first pixel, y and x of the last; row by row.
    """
    y, x = np.mgrid[0:rows, 0:columns]
    first = np.stack([y, x], axis=-1).reshape(-1, 2).astype(np.float32) * np.float32(stride)
    first -= np.float32(padding)
    boxes = np.concatenate([first, first + np.float32(field - 1)], axis=1)
    return (boxes / np.float32(scale)).astype(np.float32)


def overlaps(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over the union of a box and each of some others; 0 without area.

    Parameters
    ----------
    box : float32 array, shape (4,)
    others : float32 array, shape (n, 4)
    """
    begin, end = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.maximum(end - begin, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both
    shares: NDArray[np.float32] = np.divide(
        both, union, out=np.zeros(len(others), np.float32), where=union > 0
    )
    return shares


def best(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], *, iou: float, limit: int
) -> NDArray[np.intp]:
    """Choose features by their scores, none of which overlaps a better one too much.

    Parameters
    ----------
    boxes : float32 array, shape (n, 4)
    scores : float32 array, shape (n,)
    iou : float
        More overlap (:func:`overlaps`) with a better feature that is kept drops one; 1 keeps all.
    limit : int
        Most features.

    Returns
    -------
    intp array
        Their positions, the best first; of equal scores, the one that comes first.
    """
    order = np.argsort(-scores, kind="stable")
    if iou >= 1:
        return order[:limit]
    kept: list[np.intp] = []
    while len(order) and len(kept) < limit:
        kept.append(order[0])
        order = order[1:][overlaps(boxes[order[0]], boxes[order[1:]]) <= iou]
    return np.array(kept, np.intp)
