"""Small images around the sources of a CCD: pixels in, arrays out.

Sources are found by sep, which holds the algorithms of SExtractor (Bertin and Arnouts 1996, Barbary
2016); what is cut out, and how it is scaled, is Teimoorinia et al. (2021), section 2.

Positions are those of arrays: x counts columns, y rows, and the centre of the first pixel is
(0, 0). The same place is (x + 1, y + 1) in FITS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from minia_spark.exposures.reasons import ExposureReason

__all__ = ["SIDE_PX", "Cutouts", "Sources", "cut", "draw", "drawn_share", "scaled", "sources"]

SIDE_PX = 32
"""Height and width of a cutout."""

_STACK = 1 << 22  # pixels above the threshold that sep holds at a time
_SMALL_STACK = 300_000  # sep's own; clearing the whole one costs more than a small CCD does
_BLENDED = 4_096  # parts of one source that sep tells apart


@dataclass(frozen=True)
class Sources:
    """The sources of a CCD.

    Attributes
    ----------
    x, y : float64 arrays, shape (n,)
        Centres (windowless barycentres), in pixels from 0.
    background, noise : float
        Level of the sky and its standard deviation, in counts.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    background: float
    noise: float

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Cutouts:
    """Cutouts of a CCD.

    Attributes
    ----------
    pixels : uint8 array, shape (n, 32, 32)
        A count c became ``round(255 * (clip(c, low, high) - low) / (high - low))``; zeros where
        high = low.
    low, high : float32 arrays, shape (n,)
        1st and 95th percentile of the cutout, in counts.
    """

    pixels: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def sources(pixels: NDArray[np.float32], *, threshold: float = 1.5, least_px: int = 5) -> Sources:
    """Find what stands out from the sky.

    Parameters
    ----------
    pixels : float32 array, shape (height, width), C-contiguous
        Counts; NaN where there are none. Not changed.
    threshold : float
        In standard deviations of the sky.
    least_px : int
        Pixels above it that make a source.

    Returns
    -------
    Sources
        None where all counts are equal or missing: a dead CCD.

    Raises
    ------
    Rejected
        ``too_crowded``: there are more pixels above the threshold than sep takes.
    """
    missing = ~np.isfinite(pixels)
    known = pixels[~missing]
    if not known.size or known.min() == known.max():
        level = float(known[0]) if known.size else float("nan")
        return Sources(np.empty(0), np.empty(0), level, 0.0)
    sky = sep.Background(np.where(missing, 0, pixels), mask=missing if missing.any() else None)
    clean = np.where(missing, 0, pixels - sky.back(dtype=np.float32))
    if not sky.globalrms > 0:
        return Sources(np.empty(0), np.empty(0), float(sky.globalback), 0.0)
    found = _extract(clean, missing, threshold, float(sky.globalrms), least_px)
    return Sources(
        np.asarray(found["x"]),
        np.asarray(found["y"]),
        float(sky.globalback),
        float(sky.globalrms),
    )


def _extract(
    clean: NDArray[np.float32],
    missing: NDArray[np.bool_],
    threshold: float,
    noise: float,
    least_px: int,
) -> NDArray[np.void]:
    sep.set_extract_pixstack(min(_STACK, max(_SMALL_STACK, clean.size)))
    sep.set_sub_object_limit(_BLENDED)
    refusal = None
    for contrast in (0.005, 1.0):  # SExtractor's; then blended sources are not told apart
        try:
            found: NDArray[np.void] = sep.extract(
                clean,
                threshold,
                err=noise,
                mask=missing if missing.any() else None,
                minarea=least_px,
                deblend_cont=contrast,
            )
        except Exception as error:  # sep raises the class Exception itself
            refusal = error
        else:
            return found
    raise ExposureReason.TOO_CROWDED.reject(
        f"sep cannot separate the sources of this CCD ({refusal}); raise exposures.threshold."
    ) from refusal


def draw(
    found: Sources, shape: tuple[int, int], number: int, margin_px: int, key: Sequence[object]
) -> NDArray[np.intp]:
    """Draw sources for cutouts, with replacement.

    Parameters
    ----------
    found : Sources
    shape : (height, width)
        Of the CCD, in pixels.
    number : int
        How many are drawn.
    margin_px : int
        Sources count that are more than this far from every border.
    key : sequence
        What the draw depends on, e.g. seed, exposure and extension: nothing else does.

    Returns
    -------
    intp array, shape (number,) or (0,)
        Places in `found`; none where no source is far enough from the borders.
    """
    height, width = shape
    inside = np.flatnonzero(
        (found.x > margin_px)
        & (found.y > margin_px)
        & (found.x < width - 1 - margin_px)
        & (found.y < height - 1 - margin_px)
    )
    if not len(inside):
        return inside
    return inside[_generator(key).integers(0, len(inside), number)]


def drawn_share(number: int, share: float, key: Sequence[object]) -> NDArray[np.intp]:
    """Draw a share of `number` things without replacement.

    Parameters
    ----------
    number : int
    share : float
        From 0 to 1; what it is of `number` is rounded up or down by chance.
    key : sequence
        What the draw depends on, besides.

    Returns
    -------
    intp array, ascending
    """
    generator = _generator(key)
    many = min(number, int(number * share + generator.uniform()))
    return np.sort(generator.choice(number, many, replace=False)) if many else np.empty(0, np.intp)


def _generator(key: Sequence[object]) -> np.random.Generator:
    digest = hashlib.blake2b(repr(tuple(key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def cut(
    pixels: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Cut 32 x 32 pixels around positions.

    The pixel that holds the position is in row and column 16 of the cutout (counted from 0).
    Missing values are replaced by the median of the whole CCD.

    Parameters
    ----------
    pixels : float32 array, shape (height, width)
    x, y : float arrays, shape (n,)
        At least 16 pixels from every border.

    Returns
    -------
    float32 array, shape (n, 32, 32)

    Raises
    ------
    ValueError
        A position is nearer to a border.
    """
    half = SIDE_PX // 2
    columns = np.floor(np.asarray(x) + 0.5).astype(np.intp) - half
    rows = np.floor(np.asarray(y) + 0.5).astype(np.intp) - half
    height, width = pixels.shape
    fits_in = (
        (columns >= 0) & (rows >= 0) & (columns <= width - SIDE_PX) & (rows <= height - SIDE_PX)
    )
    if not fits_in.all():
        raise ValueError(f"a cutout needs {half} pixels on all sides of its position")
    if not len(rows):
        return np.zeros((0, SIDE_PX, SIDE_PX), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE_PX, SIDE_PX))
    found = np.array(windows[rows, columns], dtype=np.float32)
    holes = ~np.isfinite(found)
    if holes.any():
        found[holes] = np.nanmedian(pixels) if np.isfinite(pixels).any() else 0
    return found


def scaled(counts: NDArray[np.float32]) -> Cutouts:
    """Clip every cutout to its 1st and 95th percentile and scale it to 0 .. 255.

    Parameters
    ----------
    counts : float32 array, shape (n, 32, 32)
        Finite.

    Returns
    -------
    Cutouts
        A cutout of one value becomes zeros.
    """
    if not len(counts):
        none = np.empty(0, np.float32)
        return Cutouts(np.zeros((0, SIDE_PX, SIDE_PX), np.uint8), none, none)
    low, high = np.percentile(counts, (1, 95), axis=(1, 2)).astype(np.float32)
    width = np.where(high > low, high - low, np.float32(1))[:, None, None]
    share = (np.clip(counts, low[:, None, None], high[:, None, None]) - low[:, None, None]) / width
    return Cutouts(np.rint(255 * share).astype(np.uint8), low, high)
