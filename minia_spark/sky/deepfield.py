"""Sources cut out of the Hubble deep field picture that scikit-image carries: real pixels at hand.

Detection is the classic one (threshold above the local sky, one source a local maximum of the
smoothed image); it serves a demo, not photometry.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray
from scipy import ndimage

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.sky.survey import write_image

__all__ = ["DeepFieldFiles", "cutout", "deep_field", "detect_sources", "write_cutouts"]

_FORMATS = ("png", "jpg")


@dataclass(frozen=True)
class DeepFieldFiles:
    """Where `write_cutouts` wrote: the folder with the images, and the table beside it."""

    images: Path
    positions: Path
    count: int


def deep_field() -> NDArray[np.uint8]:
    """Load the picture (NASA/ESA, the Hubble eXtreme Deep Field, 2012), without a download.

    Returns
    -------
    uint8 array, shape (872, 1000, 3)

    Raises
    ------
    MiniaError
        scikit-image is not installed.
    """
    try:
        from skimage import data  # noqa: PLC0415 - only the demo needs it
    except ImportError as error:
        raise MiniaError(
            "the Hubble deep field picture comes with scikit-image, which is not installed: "
            "pip install scikit-image"
        ) from error
    return np.asarray(data.hubble_deep_field(), dtype=np.uint8)


def detect_sources(
    image: NDArray[np.uint8],
    *,
    sigma_px: float = 1.5,
    threshold: float = 5.0,
    separation_px: int = 9,
) -> NDArray[np.float64]:
    """Find sources: local maxima of the smoothed image that stand out of the sky.

    Parameters
    ----------
    image : uint8 array, shape (height, width) or (height, width, 3)
    sigma_px : float
        Standard deviation of the smoothing Gaussian.
    threshold : float
        Height over the clipped median, in clipped standard deviations of the smoothed image.
    separation_px : int
        Two sources are at least this far apart along x or y.

    Returns
    -------
    float64 array, shape (sources, 3)
        Columns x, y (pixels) and height over the sky in grey levels; brightest first, equal ones
        by y, then x. No sources give shape (0, 3), as does an image without any variation.
    """
    grey = image.astype(np.float64).mean(axis=2) if image.ndim == 3 else image.astype(np.float64)
    smooth = ndimage.gaussian_filter(grey, sigma_px)
    _, sky, deviation = sigma_clipped_stats(smooth, sigma=3.0)
    above = smooth - sky
    peaks = (above == ndimage.maximum_filter(above, size=separation_px)) & (above > 0)
    peaks &= above > threshold * deviation
    # A flat top is one source: the first pixel of every connected group of equal maxima.
    groups, count = ndimage.label(peaks, structure=np.ones((3, 3)))
    firsts = np.unique(groups, return_index=True)[1][1:] if count else np.zeros(0, dtype=np.intp)
    y, x = np.unravel_index(firsts, grey.shape)
    height = above[y, x]
    order = np.lexsort((x, y, -height))
    return np.column_stack([x, y, height])[order].astype(np.float64)


def cutout(
    image: NDArray[np.uint8], *, x: float, y: float, side_px: int
) -> NDArray[np.uint8] | None:
    """Return the square of `side_px` around (x, y), or None where it leaves the image."""
    left, top = round(x) - side_px // 2, round(y) - side_px // 2
    height, width = image.shape[:2]
    if left < 0 or top < 0 or left + side_px > width or top + side_px > height:
        return None
    return image[top : top + side_px, left : left + side_px]


def write_cutouts(
    folder: Path, *, side_px: int = 96, limit: int | None = None, image_format: str = "png"
) -> DeepFieldFiles:
    """Write the deep field's sources as images, brightest first.

    Writes ``images/hdf-<rank>.<format>`` and ``positions.csv`` (image_id, x, y, height; pixels of
    the whole picture and grey levels). Sources nearer to the edge than half a side are left out.

    Parameters
    ----------
    folder : Path
        Made when it does not exist.
    side_px : int
        Side of a cutout in pixels, 16 to 512.
    limit : int, optional
        At most this many cutouts; None writes all.
    image_format : str
        ``png`` or ``jpg`` (quality 95).

    Raises
    ------
    SettingsError
        Unknown format, side or limit out of range.
    MiniaError
        scikit-image is missing, or an image could not be written.
    """
    if image_format not in _FORMATS:
        raise SettingsError(
            f"deep field: image format {image_format!r} is unknown; choose one of "
            f"{', '.join(_FORMATS)}"
        )
    if not 16 <= side_px <= 512:
        raise SettingsError(f"deep field: side_px is {side_px}, must be in [16, 512]")
    if limit is not None and limit < 0:
        raise SettingsError(f"deep field: limit is {limit}, must be 0 or more")
    picture = deep_field()
    images, positions = folder / "images", folder / "positions.csv"
    images.mkdir(parents=True, exist_ok=True)
    count = 0
    with positions.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("image_id", "x", "y", "height"))
        for x, y, height in detect_sources(picture):
            pixels = cutout(picture, x=x, y=y, side_px=side_px)
            if pixels is None:
                continue
            if limit is not None and count >= limit:
                break
            image_id = f"hdf-{count:04d}.{image_format}"
            write_image(images / image_id, pixels)
            table.writerow((image_id, int(x), int(y), f"{height:.2f}"))
            count += 1
    return DeepFieldFiles(images, positions, count)
