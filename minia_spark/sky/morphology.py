"""Light of galaxies and stars, added to an image: arrays in, arrays changed in place.

An image is a float32 array of shape (height, width, 3) in units of the standard deviation of the
sky noise; positions are (x, y) in pixels. Nothing here blurs: the survey applies one point spread
function to everything at the end.

Profiles: Sersic (1963) with Ciotti's (1991) approximation of b_n; exponential discs; logarithmic
spiral arms; bars with generalised elliptical isophotes (Athanassoula et al. 1990); edge-on discs
with the isothermal sech^2 law (van der Kruit and Searle 1981).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["GALAXIES", "add_blob", "add_star", "add_trail", "frame", "window"]

Image = NDArray[np.float32]
Plane = NDArray[np.float32]

_OLD = (1.0, 0.82, 0.58)
_YOUNG = (0.72, 0.86, 1.0)
_GAS = (1.0, 0.62, 0.8)
_REACH = 4.0  # standard deviations of a blob that are drawn: the rest is under 0.04 % of its peak


def window(image: Image, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Return the rows and columns within `reach` pixels of (x, y), cut at the image's edges.

    Both slices may be empty when the position is outside the image.
    """
    height, width = image.shape[:2]
    rows = slice(min(max(int(y - reach), 0), height), min(max(int(y + reach) + 2, 0), height))
    columns = slice(min(max(int(x - reach), 0), width), min(max(int(x + reach) + 2, 0), width))
    return rows, columns


def frame(
    rows: slice, columns: slice, *, x: float, y: float, angle: float, scale: float = 1.0
) -> tuple[Plane, Plane]:
    """Return the coordinates (u, v) of pixels in a frame centred on (x, y) and turned by `angle`.

    Parameters
    ----------
    rows, columns : slice
        The pixels, as `window` gives them.
    x, y : float
        Origin of the frame in pixels.
    angle : float
        From the image's x axis to the frame's u axis in radians, towards the image's y axis.
    scale : float
        Pixels for one unit of the frame.

    Returns
    -------
    (u, v) : tuple of 2D float32 arrays, shape (rows, columns)
    """
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(x)
    cosine, sine = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    return dx * cosine + dy * sine, dy * cosine - dx * sine


def _paint(image: Image, light: Plane, colour: tuple[float, float, float]) -> None:
    image += light[..., None] * np.asarray(colour, dtype=np.float32)


def _whole(image: Image) -> tuple[slice, slice]:
    return slice(0, image.shape[0]), slice(0, image.shape[1])


def _sersic(radius: Plane, *, half_light: float, index: float) -> Plane:
    b = 2 * index - 1 / 3 + 4 / (405 * index)
    # Softened by a third of a pixel: the cusp of n = 4 has no finite central pixel value.
    reduced = np.sqrt(radius**2 + 0.1) / half_light
    return np.asarray(np.exp(-b * (reduced ** (1 / index) - 1)), dtype=np.float32)


def add_blob(
    image: Image,
    *,
    x: float,
    y: float,
    sigma: float,
    peak: float,
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> None:
    """Add a round Gaussian of standard deviation `sigma` pixels; outside the image nothing."""
    rows, columns = window(image, x, y, _REACH * sigma)
    u, v = frame(rows, columns, x=x, y=y, angle=0.0, scale=sigma)
    _paint(image[rows, columns], np.float32(peak) * np.exp(-(u**2 + v**2) / 2), colour)


def add_star(image: Image, rng: np.random.Generator) -> None:
    """Add a star at a random place: a Moffat profile and, when bright, diffraction spikes."""
    height, width = image.shape[:2]
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    peak = 10.0 * (1 - rng.uniform()) ** -0.7  # number counts rise towards faint stars
    peak = min(peak, 800.0)
    warmth = rng.uniform(0.7, 1.0)
    colour = (warmth, 0.9, 1.7 - warmth)
    rows, columns = window(image, x, y, 8 + peak**0.5)
    u, v = frame(rows, columns, x=x, y=y, angle=0.0)
    light = peak * (1 + (u**2 + v**2) / 1.6**2) ** -2.5
    if peak > 60:
        length = peak**0.5 / 2
        for along, across in ((u, v), (v, u)):
            light += 0.06 * peak * np.exp(-np.abs(along) / length - (across / 0.6) ** 2)
    _paint(image[rows, columns], np.asarray(light, np.float32), colour)


def add_trail(image: Image, rng: np.random.Generator) -> None:
    """Add the straight trail of a satellite through a random point in a random direction."""
    height, width = image.shape[:2]
    _, v = frame(
        *_whole(image),
        x=rng.uniform(0.2, 0.8) * width,
        y=rng.uniform(0.2, 0.8) * height,
        angle=rng.uniform(0, np.pi),
    )
    _paint(image, rng.uniform(6, 25) * np.exp(-((v / rng.uniform(0.9, 1.8)) ** 2)), (1, 1, 1))


class _Site:
    """Where a galaxy lies: centre and angle, with the size in pixels and the surface brightness."""

    def __init__(self, image: Image, rng: np.random.Generator) -> None:
        height, width = image.shape[:2]
        self.x = width / 2 + rng.normal(0, 0.01 * width)
        self.y = height / 2 + rng.normal(0, 0.01 * height)
        self.angle = rng.uniform(0, np.pi)
        self.size = min(height, width) * rng.uniform(0.075, 0.12)
        self.light = rng.uniform(12, 40)

    def plane(self, image: Image, axis_ratio: float) -> tuple[Plane, Plane]:
        """Coordinates in the galaxy's own plane, seen under an inclination."""
        u, v = frame(*_whole(image), x=self.x, y=self.y, angle=self.angle)
        return u, v / np.float32(axis_ratio)


def _elliptical(image: Image, rng: np.random.Generator) -> None:
    site = _Site(image, rng)
    u, v = site.plane(image, rng.uniform(0.55, 1.0))
    light = _sersic(np.hypot(u, v), half_light=site.size, index=rng.uniform(2.5, 4.5))
    _paint(image, site.light * light, _OLD)


def _disc(
    image: Image, rng: np.random.Generator, site: _Site, bar: float, contrast: float
) -> tuple[Plane, Plane]:
    """Bulge, exponential disc and logarithmic spiral arms that start at the bar's ends."""
    u, v = site.plane(image, rng.uniform(0.55, 0.95))
    radius, azimuth = np.hypot(u, v), np.arctan2(v, u)
    pitch = np.deg2rad(rng.uniform(14, 26))
    hand = rng.choice((-1.0, 1.0))
    wound = hand * np.log(np.maximum(radius, 0.5) / max(bar, 2.0)) / np.tan(pitch)
    crest = (0.5 + 0.5 * np.cos(2 * (azimuth - wound))) ** 3
    inside = 1 / (1 + np.exp(-(radius - 0.8 * max(bar, 2.0)) / 1.5))
    disc = np.exp(-radius / site.size).astype(np.float32)
    _paint(image, 0.7 * site.light * disc, _OLD)
    _paint(image, (contrast * site.light * disc * crest * inside).astype(np.float32), _YOUNG)
    bulge = _sersic(radius, half_light=0.25 * site.size, index=2.0)
    _paint(image, site.light * bulge, _OLD)
    for _ in range(rng.integers(3, 9)):  # regions of ionised gas lie on the arms
        distance = site.size * rng.uniform(0.9, 2.5)
        turn = hand * np.log(distance / max(bar, 2.0)) / np.tan(pitch) + rng.choice((0, np.pi))
        _on_plane(image, rng, site, distance * np.exp(1j * turn))
    return u, v


def _on_plane(image: Image, rng: np.random.Generator, site: _Site, place: complex) -> None:
    place *= np.exp(1j * site.angle)
    add_blob(
        image,
        x=site.x + place.real,
        y=site.y + place.imag,
        sigma=rng.uniform(0.6, 1.4),
        peak=site.light * rng.uniform(0.1, 0.5),
        colour=_GAS,
    )


def _spiral(image: Image, rng: np.random.Generator) -> None:
    _disc(image, rng, _Site(image, rng), bar=0.0, contrast=rng.uniform(1.0, 2.2))


def _barred(image: Image, rng: np.random.Generator) -> None:
    site = _Site(image, rng)
    half_length = site.size * rng.uniform(0.9, 1.3)
    u, v = _disc(image, rng, site, bar=half_length, contrast=rng.uniform(1.0, 2.0))
    isophote = np.abs(u / half_length) ** 3 + np.abs(v / (0.25 * half_length)) ** 3
    _paint(image, 1.2 * site.light * np.exp(-isophote), _OLD)


def _ring(image: Image, rng: np.random.Generator) -> None:
    site = _Site(image, rng)
    u, v = site.plane(image, rng.uniform(0.7, 1.0))
    radius = np.hypot(u, v)
    around = np.exp(-(((radius - 1.6 * site.size) / (0.22 * site.size)) ** 2))
    uneven = 1 + 0.4 * np.cos(np.arctan2(v, u) - rng.uniform(0, 2 * np.pi))
    _paint(image, 0.5 * site.light * around * uneven, _YOUNG)
    _paint(image, site.light * _sersic(radius, half_light=0.4 * site.size, index=2.5), _OLD)


def _edge_on(image: Image, rng: np.random.Generator) -> None:
    site = _Site(image, rng)
    u, v = site.plane(image, 1.0)
    thickness = site.size * rng.uniform(0.14, 0.22)
    disc = np.exp(-np.abs(u) / site.size) / np.cosh(np.clip(v / thickness, -20, 20)) ** 2
    bulge = _sersic(np.hypot(u, v / 0.8), half_light=0.35 * site.size, index=2.0)
    lane = np.exp(-(((v - 0.15 * thickness) / (0.35 * thickness)) ** 2) / 2)
    dust = 1 - rng.uniform(0.5, 0.85) * lane * np.exp(-((u / (2.2 * site.size)) ** 2))
    _paint(image, (1.3 * site.light * disc + site.light * bulge) * dust, _OLD)


def _merger(image: Image, rng: np.random.Generator) -> None:
    site = _Site(image, rng)
    u, v = site.plane(image, 1.0)
    apart = site.size * rng.uniform(0.7, 1.3)
    for side in (-1.0, 1.0):
        light = _sersic(
            np.hypot(u - side * apart, (v - side * 0.2 * apart) / rng.uniform(0.5, 0.9)),
            half_light=site.size * rng.uniform(0.4, 0.8),
            index=rng.uniform(1.0, 3.0),
        )
        _paint(image, 0.6 * site.light * light, _OLD)
        swing = rng.uniform(1.2, 2.4)  # tidal tail: material spread along an opening curve
        for step in np.linspace(0, 1, 28):
            place = side * apart * (1 + 2.4 * step) * np.exp(1j * (swing * step + site.angle))
            add_blob(
                image,
                x=site.x + place.real,
                y=site.y + place.imag,
                sigma=0.12 * site.size * (1 + step),
                peak=0.18 * site.light * (1 - 0.8 * step),
                colour=_YOUNG,
            )


def _empty(image: Image, rng: np.random.Generator) -> None:
    """Blank sky: only what the survey adds to every image."""


GALAXIES: Mapping[str, Callable[[Image, np.random.Generator], None]] = MappingProxyType(
    {
        "elliptical": _elliptical,
        "spiral": _spiral,
        "barred": _barred,
        "ring": _ring,
        "edge_on": _edge_on,
        "merger": _merger,
        "empty": _empty,
    }
)
"""Kind of galaxy -> function that adds one to the middle of an image."""
