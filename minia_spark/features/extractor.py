"""What an extractor of local features is, and what it returns.

SIFT is the first; others join by a module with a class of this shape and a line in
:mod:`.extractors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Extractor", "Features", "check_size", "ordered", "strongest"]


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one image, n of them, possibly none.

    Attributes
    ----------
    x, y : float32 arrays, shape (n,)
        Centre in pixels; (0, 0) is the centre of the top left pixel.
    size : float32 array, shape (n,)
        Diameter in pixels.
    angle : float32 array, shape (n,)
        Orientation in degrees, 0 <= angle < 360, from +x towards +y; -1 where there is none.
    response : float32 array, shape (n,)
        Strength; its scale is the extractor's own.
    descriptors : array, shape (n, descriptor_dim)
        Of the extractor's `descriptor_dtype`, C-contiguous.
    found : int
        How many there were before the cap; n unless the cap cut.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    size: NDArray[np.float32]
    angle: NDArray[np.float32]
    response: NDArray[np.float32]
    descriptors: NDArray[Any]
    found: int

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: NDArray[np.intp]) -> Features:
        """Return the features at these positions; `found` stays."""
        return Features(
            x=self.x[index],
            y=self.y[index],
            size=self.size[index],
            angle=self.angle[index],
            response=self.response[index],
            descriptors=np.ascontiguousarray(self.descriptors[index]),
            found=self.found,
        )


class Extractor(Protocol):
    """Turns pixels into features. Made once in a worker, used for many images.

    One that is faster on several images at once also has ``extract_many(images)``, which returns
    the Features of each, or the Rejected that :meth:`extract` would raise. What it finds in an
    image must not depend on the others.
    """

    @property
    def name(self) -> str:
        """Word for tables, e.g. ``sift``; it also names the implementation if there are several."""

    @property
    def descriptor_dtype(self) -> np.dtype[Any]:
        """Type of the descriptors' elements."""

    @property
    def descriptor_dim(self) -> int:
        """Number of elements of a descriptor."""

    def extract(self, pixels: NDArray[np.uint8]) -> Features:
        """Return the features of an image in the order of :func:`ordered`.

        Parameters
        ----------
        pixels : uint8 array, shape (height, width) or (height, width, 3)
            Grey or RGB.

        Raises
        ------
        Rejected
            If this image cannot be worked on. An image without features is none of these.
        """


def check_size(pixels: NDArray[np.uint8], limit: int) -> None:
    """Raise Rejected (``pixel_limit``) for an image of more than `limit` pixels."""
    height, width = pixels.shape[:2]
    if height * width > limit:
        raise Reason.PIXEL_LIMIT.reject(
            f"The image has {width} x {height} pixels; the limit of extraction is "
            f"{limit} (features.max_pixels)."
        )


def ordered(features: Features) -> Features:
    """Sort by y, x, size, angle, response, and last by the descriptor's bytes.

    A total order: two features that tie in everything are the same, so that the result does not
    depend on the order in which a detector found them.
    """
    keys = (
        _bytes_key(features.descriptors),
        features.response,
        features.angle,
        features.size,
        features.x,
        features.y,
    )
    return features.take(np.lexsort(keys))


def strongest(features: Features, limit: int) -> Features:
    """Keep the `limit` features of highest response, and their order.

    Among equal responses those that stand first in `features` stay; apply :func:`ordered` before.
    """
    if len(features) <= limit:
        return features
    best = np.argsort(-features.response, kind="stable")[:limit]
    return features.take(np.sort(best))


def _bytes_key(descriptors: NDArray[Any]) -> NDArray[np.bytes_]:
    width = descriptors.shape[1] * descriptors.itemsize
    return np.ascontiguousarray(descriptors).view(f"S{width}").reshape(len(descriptors))
