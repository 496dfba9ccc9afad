"""The patterns that a generated survey plants: small scenes that look the same wherever they recur.

A pattern is a function of two arrays (u, v), the coordinates in its own frame where it reaches to
radius 1, and returns light of peak about 1 with the arrays' shape. Being functions of coordinates
they can be turned, scaled and moved without resampling. Every one has several unlike details at
unlike places: what SIFT finds there, it finds again in the next copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = ["PATTERNS", "Pattern"]

Plane = NDArray[np.float32]
Pattern = Callable[[Plane, Plane], Plane]


def _knots(u: Plane, v: Plane, *knots: tuple[float, float, float, float]) -> Plane:
    """Round Gaussians given as (u, v, standard deviation, peak)."""
    light = np.zeros_like(u)
    for x, y, sigma, peak in knots:
        light += peak * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2))
    return light


def _arc(
    u: Plane, v: Plane, *, radius: float, width: float, start: float, stop: float, peak: float
) -> Plane:
    """Part of a ring from azimuth `start` to `stop` in degrees, with soft ends."""
    azimuth = np.rad2deg(np.arctan2(v, u)) - (start + stop) / 2
    azimuth = np.abs((azimuth + 180) % 360 - 180)
    ends = 1 / (1 + np.exp(np.clip((azimuth - (stop - start) / 2) / 3, -30, 30)))
    return np.asarray(peak * ends * np.exp(-(((np.hypot(u, v) - radius) / width) ** 2)), u.dtype)


def _box(u: Plane, v: Plane, *, x: float, y: float, along: float, across: float) -> Plane:
    """A rectangle of half sizes `along` and `across`, whose edges are soft over a few percent."""
    edge = 0.03
    inside_u = 1 / (1 + np.exp(np.clip((np.abs(u - x) - along) / edge, -30, 30)))
    inside_v = 1 / (1 + np.exp(np.clip((np.abs(v - y) - across) / edge, -30, 30)))
    return np.asarray(inside_u * inside_v, u.dtype)


def _clumpy_ring(u: Plane, v: Plane) -> Plane:
    """A collisional ring galaxy: five clumps of unlike size at fixed azimuths."""
    ring = _arc(u, v, radius=0.72, width=0.07, start=-180, stop=180, peak=0.22)
    clumps = [(0, 0.10, 1.0), (55, 0.06, 0.8), (140, 0.13, 0.7), (205, 0.05, 1.0), (290, 0.08, 0.6)]
    azimuths = np.deg2rad([azimuth for azimuth, _, _ in clumps])
    return ring + _knots(
        u,
        v,
        (0.08, -0.05, 0.11, 0.7),
        *(
            (0.72 * float(np.cos(a)), 0.72 * float(np.sin(a)), sigma, peak)
            for a, (_, sigma, peak) in zip(azimuths, clumps, strict=True)
        ),
    )


def _asterism(u: Plane, v: Plane) -> Plane:
    """A fixed group of eight knots of unlike size, as a compact open cluster."""
    return _knots(
        u,
        v,
        (-0.75, -0.35, 0.09, 1.0),
        (-0.40, -0.62, 0.05, 0.9),
        (-0.28, -0.10, 0.13, 0.6),
        (0.05, 0.45, 0.07, 1.0),
        (0.30, 0.20, 0.05, 0.8),
        (0.48, -0.45, 0.11, 0.8),
        (0.78, 0.12, 0.07, 0.9),
        (-0.35, 0.72, 0.08, 0.7),
    )


def _pupil_ghost(u: Plane, v: Plane) -> Plane:
    """Out-of-focus reflection of a star: the telescope's pupil with its hole and three vanes."""
    radius = np.hypot(u, v)
    hole = np.hypot(u - 0.1, v)
    disc = 1 / (1 + np.exp(np.clip((radius - 0.85) / 0.025, -30, 30)))
    disc *= 1 / (1 + np.exp(np.clip((0.34 - hole) / 0.025, -30, 30)))
    for degrees in (20, 120, 250):
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        along, across = u * cosine + v * sine, v * cosine - u * sine
        disc *= 1 - 0.85 * np.exp(-((across / 0.07) ** 2)) * (along > 0)
    return np.asarray(0.45 * disc * (1 + 0.5 * u), u.dtype)


def _lens(u: Plane, v: Plane) -> Plane:
    """A strong gravitational lens: core, four images of a quasar and two arcs of its host."""
    cross = _knots(
        u,
        v,
        (0.0, 0.0, 0.16, 0.6),
        (0.62, 0.18, 0.06, 1.0),
        (-0.20, 0.66, 0.06, 0.9),
        (-0.60, -0.25, 0.06, 0.7),
        (0.12, -0.50, 0.06, 0.5),
    )
    outer = _arc(u, v, radius=0.88, width=0.06, start=20, stop=95, peak=0.45)
    return cross + outer + _arc(u, v, radius=0.82, width=0.05, start=205, stop=250, peak=0.35)


def _shells(u: Plane, v: Plane) -> Plane:
    """An elliptical with interleaved shells, sharp on the outside."""
    light = _knots(u, v, (0.0, 0.0, 0.12, 0.9))
    for radius, start, stop in (
        (0.34, -55, 55),
        (0.52, 130, 230),
        (0.70, -40, 30),
        (0.88, 150, 215),
    ):
        light += _arc(u, v, radius=radius, width=0.045, start=start, stop=stop, peak=0.45)
    return light


def _ansae(u: Plane, v: Plane) -> Plane:
    """A bar with handles at its ends and a small bar across its nucleus."""
    bar = 0.35 * np.exp(-(np.abs(u / 0.62) ** 4) - (np.abs(v / 0.14) ** 2))
    ends = _knots(u, v, (-0.74, 0.05, 0.10, 0.9), (0.74, -0.05, 0.07, 1.0), (0.3, 0.42, 0.06, 0.7))
    nucleus = 0.8 * np.exp(-((u / 0.07) ** 2) - ((v / 0.24) ** 2))
    handles = _arc(u, v, radius=0.80, width=0.05, start=-35, stop=35, peak=0.3)
    return np.asarray(bar + ends + nucleus + handles, u.dtype)


def _bad_columns(u: Plane, v: Plane) -> Plane:
    """A detector defect: a comb of hot columns of unlike length and one dark gap between them."""
    columns = ((-0.70, -0.1, 0.60), (-0.40, 0.25, 0.35), (-0.05, -0.3, 0.50), (0.40, 0.1, 0.75))
    light = np.zeros_like(u)
    for x, y, along in columns:
        light += 0.7 * _box(u, v, x=x, y=y, along=0.045, across=along)
    return light + 0.6 * _box(u, v, x=0.72, y=-0.45, along=0.12, across=0.12)


def _jet(u: Plane, v: Plane) -> Plane:
    """A jet: knots that grow along a line, a bow at its head and a fainter lobe behind."""
    knots = _knots(
        u,
        v,
        (-0.55, 0.0, 0.13, 1.0),
        (-0.25, 0.02, 0.05, 0.8),
        (-0.02, -0.02, 0.06, 0.7),
        (0.24, 0.03, 0.07, 0.8),
        (0.52, -0.02, 0.09, 0.7),
        (-0.85, 0.12, 0.09, 0.4),
    )
    return knots + _arc(u - 0.15, v, radius=0.66, width=0.06, start=-50, stop=50, peak=0.6)


PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {
        "clumpy_ring": _clumpy_ring,
        "asterism": _asterism,
        "pupil_ghost": _pupil_ghost,
        "lens": _lens,
        "shells": _shells,
        "ansae": _ansae,
        "bad_columns": _bad_columns,
        "jet": _jet,
    }
)
"""Name of a pattern -> its light as a function of (u, v)."""
