"""Generated exposures of six qualities, as FITS files with one extension a CCD, and their truth.

Every exposure depends on the parameters and its own number only, so any process may make any part
of them, in any order, one CCD in memory at a time.

A CCD: stars with a power law of fluxes and exponential discs, convolved with the exposure's point
spread function; sky; photon and read noise; some columns without values; now and then nothing at
all. The qualities are those that Teimoorinia et al. (2021) tell apart.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from minia_spark.base.errors import MiniaError, SettingsError

__all__ = [
    "QUALITIES",
    "ExposureTruth",
    "Exposures",
    "exposure_truth",
    "pixels_of",
    "point_spread",
    "write_exposures",
]

Plane = NDArray[np.float32]

_REACH_PX = 32  # of a point spread function
_SKY = 400.0  # electrons
_READ_NOISE = 4.0  # electrons
_FAINTEST, _BRIGHTEST = 1_500.0, 120_000.0  # electrons of a star
_FULL = 65_535
_FILTERS = ("g", "r", "i")


def _grid() -> tuple[Plane, Plane]:
    y, x = np.mgrid[-_REACH_PX : _REACH_PX + 1, -_REACH_PX : _REACH_PX + 1].astype(np.float32)
    return x, y


def _moffat(x: Plane, y: Plane, fwhm_px: float) -> Plane:
    """Moffat (1969) with beta 3."""
    width = fwhm_px / (2 * np.sqrt(2 ** (1 / 3) - 1))
    return np.asarray((1 + (x**2 + y**2) / width**2) ** -3, np.float32)


def _sharp(rng: np.random.Generator) -> Plane:
    return _moffat(*_grid(), rng.uniform(2.6, 3.4))


def _bad_seeing(rng: np.random.Generator) -> Plane:
    return _moffat(*_grid(), rng.uniform(6.5, 9.0))


def _bad_focus(rng: np.random.Generator) -> Plane:
    """Return the image of the mirror with the shadow in its middle, blurred by the seeing."""
    x, y = _grid()
    radius = np.hypot(x, y)
    outer = rng.uniform(6.0, 9.0)
    inner = outer * rng.uniform(0.45, 0.6)
    ring = np.clip(outer - radius + 0.5, 0, 1) * np.clip(radius - inner + 0.5, 0, 1)
    return np.asarray(fftconvolve(ring, _moffat(x, y, 2.6), mode="same"), np.float32)


def _trailed(rng: np.random.Generator, length_px: float, jumps: bool) -> Plane:
    x, y = _grid()
    angle, fwhm = rng.uniform(0, np.pi), rng.uniform(2.6, 3.2)
    places = np.linspace(-length_px / 2, length_px / 2, max(2, int(2 * length_px)))
    weights = np.ones_like(places)
    if jumps:  # the telescope rests at both ends and runs in between
        weights *= 0.25
        weights[: len(places) // 6] = 3.0
        weights[-len(places) // 5 :] = 2.0
    light = np.zeros_like(x)
    for place, weight in zip(places, weights, strict=True):
        light += weight * _moffat(x - place * np.cos(angle), y - place * np.sin(angle), fwhm)
    return light


def _bad_tracking(rng: np.random.Generator) -> Plane:
    return _trailed(rng, rng.uniform(6.0, 9.0), jumps=False)


def _real_bad_tracking(rng: np.random.Generator) -> Plane:
    return _trailed(rng, rng.uniform(15.0, 22.0), jumps=True)


QUALITIES: Mapping[str, Callable[[np.random.Generator], Plane]] = MappingProxyType(
    {
        "good": _sharp,
        "bad focus": _bad_focus,
        "bad seeing": _bad_seeing,
        "background problem": _sharp,
        "bad tracking": _bad_tracking,
        "real bad tracking": _real_bad_tracking,
    }
)
"""What an exposure can be, and what draws its point spread function."""


@dataclass(frozen=True, kw_only=True)
class Exposures:
    """The parameters of generated exposures.

    Raises
    ------
    SettingsError
        A value is out of its range, or a quality is none of `QUALITIES`.
    """

    seed: int = 1
    ccds: int = 4
    """CCDs of an exposure: extensions of its file."""
    side_px: int = 320
    """Height of a CCD; it is as wide."""
    sources: float = 120.0
    """Mean number of stars and galaxies on a CCD."""
    qualities: tuple[str, ...] = tuple(QUALITIES)
    """The exposures take them in turns."""
    dead: float = 0.02
    """Probability that a CCD gave nothing."""
    first_night_mjd: int = 60_000
    night: int = 50
    """Exposures of a night."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.qualities) - set(QUALITIES))
        checks = (
            (self.seed >= 0, f"seed is {self.seed}, must be 0 or more"),
            (self.ccds >= 1, f"ccds is {self.ccds}, must be 1 or more"),
            (self.side_px >= 128, f"side_px is {self.side_px}, must be 128 or more"),
            (self.sources >= 0, f"sources is {self.sources}, must be 0 or more"),
            (bool(self.qualities), "qualities is empty, must name at least one"),
            (not unknown, f"unknown qualities {unknown}; there are {sorted(QUALITIES)}"),
            (0 <= self.dead <= 1, f"dead is {self.dead}, must be in [0, 1]"),
            (self.night >= 1, f"night is {self.night}, must be 1 or more"),
        )
        wrong = [message for holds, message in checks if not holds]
        if wrong:
            raise SettingsError(f"exposures: {'; '.join(wrong)}")


@dataclass(frozen=True)
class ExposureTruth:
    """What is in one exposure."""

    name: str
    """Of its file."""
    quality: str
    filter: str
    mjd: float
    """Its start, as a modified Julian date."""
    exposure_seconds: float
    dead: tuple[int, ...]
    """Numbers of the extensions without light, from 1."""


def exposure_truth(exposures: Exposures, index: int) -> ExposureTruth:
    """Return what exposure number `index` is, without making its pixels."""
    rng = np.random.default_rng((exposures.seed, index))
    night, place = divmod(index, exposures.night)
    dead = np.flatnonzero(rng.uniform(size=exposures.ccds) < exposures.dead) + 1
    return ExposureTruth(
        name=f"e{index:06d}.fits",
        quality=exposures.qualities[index % len(exposures.qualities)],
        filter=_FILTERS[int(rng.integers(len(_FILTERS)))],
        mjd=exposures.first_night_mjd + night + 0.2 + place * 0.5 / exposures.night,
        exposure_seconds=float(rng.choice((60.0, 120.0, 300.0))),
        dead=tuple(int(number) for number in dead),
    )


def point_spread(exposures: Exposures, index: int) -> Plane:
    """Return the point spread function of an exposure; its sum is 1."""
    rng = np.random.default_rng((exposures.seed, index, 0))
    light = QUALITIES[exposure_truth(exposures, index).quality](rng)
    return np.asarray(light / light.sum(), np.float32)


def pixels_of(exposures: Exposures, index: int, ccd: int) -> NDArray[np.float32]:
    """Return the counts of one CCD.

    Parameters
    ----------
    exposures : Exposures
    index : int
        Number of the exposure, from 0.
    ccd : int
        Number of the CCD, from 1.

    Returns
    -------
    float32 array, shape (side_px, side_px)
        Whole numbers from 0 to 65,535; NaN in a bad column. A dead CCD has one value everywhere.
    """
    truth = exposure_truth(exposures, index)
    rng = np.random.default_rng((exposures.seed, index, ccd))
    side = exposures.side_px
    if ccd in truth.dead:
        return np.full((side, side), _SKY / 2, np.float32)
    light = _sources(rng, side, rng.poisson(exposures.sources))
    light = np.asarray(
        fftconvolve(light, point_spread(exposures, index), mode="same"), np.float32
    ).clip(0)
    light += _SKY
    if truth.quality == "background problem":
        light += _uneven(np.random.default_rng((exposures.seed, index, 1_000)), side, ccd)
    noisy = rng.poisson(light) + rng.normal(0, _READ_NOISE, light.shape)
    counts: NDArray[np.float32] = np.clip(np.rint(noisy), 0, _FULL).astype(np.float32)
    for column in rng.integers(0, side, rng.poisson(0.5)):
        counts[:, column] = np.nan
    return counts


def _sources(rng: np.random.Generator, side: int, number: int) -> Plane:
    light = np.zeros((side, side), np.float32)
    places = rng.uniform(1, side - 2, (number, 2))
    share = rng.uniform(size=number)
    fluxes = np.minimum(_FAINTEST * share ** (-1 / 0.9), _BRIGHTEST)
    for (x, y), flux in zip(places, fluxes, strict=True):
        if rng.uniform() < 0.2:
            _add_disc(light, rng, x, y, 2.5 * flux)
        else:  # a point between pixels is shared among four
            column, row = int(x), int(y)
            across, down = x - column, y - row
            shares = np.outer((1 - down, down), (1 - across, across))
            light[row : row + 2, column : column + 2] += np.float32(flux) * shares
    return light


def _add_disc(light: Plane, rng: np.random.Generator, x: float, y: float, flux: float) -> None:
    reach = 12
    rows = slice(max(int(y) - reach, 0), int(y) + reach + 1)
    columns = slice(max(int(x) - reach, 0), int(x) + reach + 1)
    window = light[rows, columns]
    down, across = np.mgrid[: window.shape[0], : window.shape[1]]
    down, across = down + rows.start, across + columns.start
    angle, ratio = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    u = (across - x) * np.cos(angle) + (down - y) * np.sin(angle)
    v = ((down - y) * np.cos(angle) - (across - x) * np.sin(angle)) / ratio
    disc = np.exp(-np.hypot(u, v) / rng.uniform(1.0, 2.5))
    window += np.float32(flux) * (disc / disc.sum()).astype(np.float32)


def _uneven(rng: np.random.Generator, side: int, ccd: int) -> Plane:
    """Return fringes and a steep gradient, the same ones across all CCDs of an exposure."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    x += np.float32(side * ccd)
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    period = rng.uniform(12.0, 18.0)
    waves = 1 + np.sin(2 * np.pi * along / period + 2 * np.sin(y / 40))
    slope = (along - along.min()) / side
    return np.asarray(rng.uniform(40, 80) * waves + rng.uniform(300, 800) * slope, np.float32)


def write_exposures(
    folder: Path, exposures: Exposures, number: int, *, first: int = 0
) -> Iterator[ExposureTruth]:
    """Write exposures `first` to `first + number - 1`, each as it is asked for.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    exposures : Exposures
    number : int
    first : int
        So that another night can follow.

    Yields
    ------
    ExposureTruth
        Of the file just written; a file has its name when it is whole. The last adds
        ``<folder>-truth.csv`` beside the folder.

    Raises
    ------
    MiniaError
        The folder cannot be written.
    """
    truths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(first, first + number):
            truth = exposure_truth(exposures, index)
            partial = folder / f".{truth.name}"
            _hdus(exposures, index, truth).writeto(partial, overwrite=True)
            partial.replace(folder / truth.name)
            truths.append(truth)
            yield truth
        with (folder.parent / f"{folder.name}-truth.csv").open(
            "w", encoding="utf-8", newline=""
        ) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("exposure_id", "quality", "dead_ccds"))
            rows.writerows((t.name, t.quality, " ".join(map(str, t.dead))) for t in truths)
    except OSError as error:
        raise MiniaError(f"exposures cannot be written to {folder}: {error}") from error


def _hdus(exposures: Exposures, index: int, truth: ExposureTruth) -> fits.HDUList:
    header = fits.Header()
    header["OBJECT"] = f"FIELD{index % 7}"
    header["EXPTIME"] = (truth.exposure_seconds, "seconds")
    header["FILTER"] = truth.filter
    header["MJD-OBS"] = (truth.mjd, "start of the exposure, days")
    hdus = fits.HDUList([fits.PrimaryHDU(header=header)])
    for ccd in range(1, exposures.ccds + 1):
        pixels = pixels_of(exposures, index, ccd)
        whole = np.isfinite(pixels).all()
        data = pixels.astype(np.uint16) if whole else pixels
        hdus.append(fits.ImageHDU(data, name=f"CCD{ccd:02d}"))
    return hdus
