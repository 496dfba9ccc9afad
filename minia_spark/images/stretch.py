"""Counts to eight bits: the interval and the stretch of deep images, named and recorded.

The methods are those of :mod:`astropy.visualization`; this module adds what it leaves open: NaN,
infinities, constant images, and memory that does not grow with the pixel type.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from minia_spark.images.reasons import Reason

if TYPE_CHECKING:
    from astropy.visualization import BaseInterval, BaseStretch
    from numpy.typing import NDArray

__all__ = ["INTERVALS", "STRETCHES", "interval_of", "to_uint8"]

INTERVALS = ("zscale", "minmax", "percentile99", "percentile99.5", "percentile99.9")
STRETCHES = ("linear", "sqrt", "asinh", "log")

_ROUNDING = 1e-9  # a relative range below this is rounding of the interval's own sums
_BLOCK_PIXELS = 1 << 20  # a block in float64 and its temporaries stay below 64 MiB


@functools.cache
def interval_of(name: str) -> BaseInterval:
    """Return the interval of a name in `INTERVALS`."""
    from astropy import visualization  # noqa: PLC0415 - a second to load, for few images

    if name.startswith("percentile"):
        return visualization.PercentileInterval(float(name.removeprefix("percentile")))
    return {"zscale": visualization.ZScaleInterval, "minmax": visualization.MinMaxInterval}[name]()


@functools.cache
def _curve(name: str) -> BaseStretch:
    from astropy import visualization  # noqa: PLC0415

    curves = {
        "linear": visualization.LinearStretch(),
        "sqrt": visualization.SqrtStretch(),
        "asinh": visualization.AsinhStretch(a=0.1),
        "log": visualization.LogStretch(a=1000.0),
    }
    return curves[name]


def to_uint8(image: NDArray[Any], *, interval: str, stretch: str) -> tuple[NDArray[np.uint8], str]:
    """Map an image of any real type to eight bits.

    Values at or below the interval's lower limit become 0, at or above its upper limit 255. NaN
    becomes 0; infinities clip to their side and do not count for the limits. A constant image
    becomes zeros.

    Parameters
    ----------
    image : array of integers or floats, shape (height, width)
        Any byte order.
    interval : str
        One of `INTERVALS`. Where it gives no range although the values differ (``zscale`` on a
        background that is mostly one number), ``minmax`` is used, and the name returned says so.
    stretch : str
        One of `STRETCHES`.

    Returns
    -------
    pixels : uint8 array, shape (height, width)
    name : str
        What was done, e.g. ``zscale+asinh``.

    Raises
    ------
    Rejected
        ``not_finite`` if no pixel is finite or the finite ones span more than a double holds.
    """
    limits = _limits(image, interval)
    if limits[1] - limits[0] <= _ROUNDING * max(map(abs, limits)):
        interval = "minmax"
        limits = _limits(image, interval)
    low, high = limits
    span = high - low
    if not np.isfinite(span):
        raise Reason.NOT_FINITE.reject(
            f"Values from {low:.3g} to {high:.3g} have no range that a number can hold."
        )
    pixels = np.zeros(image.shape, dtype=np.uint8)
    if span > 0:
        rows = max(1, _BLOCK_PIXELS // max(1, image.shape[1]))
        for start in range(0, image.shape[0], rows):
            block = image[start : start + rows]
            pixels[start : start + rows] = _block_to_uint8(block, low, span, _curve(stretch))
    return pixels, f"{interval}+{stretch}"


def _block_to_uint8(
    block: NDArray[Any], low: float, span: float, curve: BaseStretch
) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # NaN of every kind, on purpose
        # clipping comes before the division: it bounds infinities and all overflow
        share = (np.clip(block.astype(np.float64), low, low + span) - low) / span
        levels = np.floor(np.asarray(curve(share, clip=True)) * 255.0 + 0.5)
    return np.nan_to_num(levels, nan=0.0).astype(np.uint8)


def _limits(image: NDArray[Any], interval: str) -> tuple[float, float]:
    if not np.isfinite(image).any():
        raise Reason.NOT_FINITE.reject("Every pixel is NaN or infinite.")
    with np.errstate(all="ignore"):
        low, high = interval_of(interval).get_limits(image)  # of the finite ones
    return float(low), float(high)
