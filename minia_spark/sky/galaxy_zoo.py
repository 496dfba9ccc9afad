"""Made-up galaxies of the twelve classes that Galaxy Zoo 2 is reduced to, with their class strings.

Each class is drawn with what defines it and with everything else at random: size, brightness,
direction, colour, noise, neighbours.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minia_spark.sky.morphology import add_blob, add_star, add_trail, frame

__all__ = ["CLASSES", "draw_galaxy", "write_galaxies"]

CLASSES = ("A", "Ec", "Ei", "Er", "SB", "Sa", "Sb", "Sc", "Sd", "Seb", "Sen", "Ser")

Plane = NDArray[np.float32]

_OLD = np.array((1.0, 0.82, 0.58), np.float32)
_YOUNG = np.array((0.72, 0.86, 1.0), np.float32)
_BETWEEN = np.asarray((_OLD + _YOUNG) / 2, np.float32)
_AXIS_RATIOS = {"Er": (0.88, 1.0), "Ei": (0.55, 0.75), "Ec": (0.2, 0.38)}
_BULGES = {"Sa": (1.1, 1.5), "Sb": (0.55, 0.75), "Sc": (0.22, 0.34), "Sd": (0.0, 0.0)}
"""Size of the bulge, in lengths of the disc."""
_BULGE_OF_EDGE = {"Ser": "round", "Seb": "square", "Sen": ""}
_NEIGHBOURS = 3


def draw_galaxy(kind: str, side_px: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str]:
    """Draw a galaxy of a class.

    Parameters
    ----------
    kind : str
        Of `CLASSES`.
    side_px : int
        Of the image; the galaxy fills about half of it.
    rng : Generator

    Returns
    -------
    uint8 array, shape (side_px, side_px, 3)
    str
        Its class string, e.g. ``SBb2m``.
    """
    image = np.zeros((side_px, side_px, 3), np.float32)
    for _ in range(rng.integers(0, _NEIGHBOURS + 1)):
        add_star(image, rng)
    x, y = side_px / 2 + rng.normal(0, 0.01 * side_px, 2)
    size = side_px * rng.uniform(0.075, 0.115)
    light = rng.uniform(18, 45)
    angle = rng.uniform(0, np.pi)
    whole = slice(0, side_px)
    u, v = frame(whole, whole, x=float(x), y=float(y), angle=angle)
    text = kind
    if kind == "A":
        _artifact(image, rng)
    elif kind in _AXIS_RATIOS:
        ratio = rng.uniform(*_AXIS_RATIOS[kind])
        radius = np.hypot(u, v / np.float32(ratio))
        _paint(image, light * _profile(radius, size, rng.uniform(2.0, 4.0)), _OLD)
    elif kind in _BULGE_OF_EDGE:
        shape = _BULGE_OF_EDGE[kind]
        _edge_on(image, u, v, bulge=shape, size=size, light=light, rng=rng)
    else:
        text = _disc(image, kind, u, v, size=size, light=light, rng=rng)
    image = cv2.GaussianBlur(image, (0, 0), side_px / 160)
    noisy = image + rng.normal(0, 1, image.shape).astype(np.float32)
    return np.clip(20 + 90 * np.arcsinh(noisy / 12), 0, 255).astype(np.uint8), text


def _paint(image: NDArray[np.float32], light: NDArray[np.floating], colour: Plane) -> None:
    image += (light[..., None] * colour).astype(np.float32)


def _profile(radius: Plane, half_light: float, index: float) -> Plane:
    """Sersic's profile, 1 at the half-light radius."""
    b = 2 * index - 1 / 3
    reduced = np.sqrt(radius**2 + 0.3) / half_light
    return np.asarray(np.exp(-b * (reduced ** (1 / index) - 1)), np.float32)


def _artifact(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A star in the middle, as bright as the detector bears, or the trail of a satellite."""
    middle = image.shape[0] / 2
    if rng.random() < 0.3:
        add_trail(image, rng)
    add_blob(image, x=middle, y=middle, sigma=image.shape[0] / 60, peak=rng.uniform(300, 900))
    for along, across in ((slice(None), int(middle)), (int(middle), slice(None))):
        image[along, across] += np.float32(rng.uniform(10, 60))


def _edge_on(
    image: NDArray[np.float32],
    u: Plane,
    v: Plane,
    *,
    bulge: str,
    size: float,
    light: float,
    rng: np.random.Generator,
) -> None:
    thickness = size * rng.uniform(0.1, 0.15)
    disc = np.exp(-np.abs(u) / (1.2 * size)) / np.cosh(np.clip(v / thickness, -20, 20)) ** 2
    _paint(image, 1.2 * light * disc, _BETWEEN)
    width = size * rng.uniform(0.45, 0.6)
    if bulge == "round":
        _paint(image, 0.8 * light * np.exp(-((u**2 + v**2) / width**2)), _OLD)
    elif bulge == "square":
        box = np.exp(-(np.abs(u / width) ** 6 + np.abs(v / (0.8 * width)) ** 6))
        _paint(image, 0.8 * light * box, _OLD)


def _disc(
    image: NDArray[np.float32],
    kind: str,
    u: Plane,
    v: Plane,
    *,
    size: float,
    light: float,
    rng: np.random.Generator,
) -> str:
    """Draw a disc with arms; return its class string."""
    is_barred = kind == "SB"
    letter = str(rng.choice(["a", "b", "c", "d"])) if is_barred else kind[1]
    plane = v / np.float32(rng.uniform(0.6, 0.95))
    radius, azimuth = np.hypot(u, plane), np.arctan2(plane, u)
    arms = int(rng.integers(1, 4))
    winding = str(rng.choice(["t", "m", "l"]))
    pitch = np.deg2rad({"t": 10, "m": 18, "l": 30}[winding] + rng.uniform(-2, 2))
    bar = size * rng.uniform(0.9, 1.3) if is_barred else 0.25 * size
    hand = float(rng.choice((-1.0, 1.0)))
    wound = hand * np.log(np.maximum(radius, 0.5) / bar) / np.tan(pitch)
    crest = (0.5 + 0.5 * np.cos(arms * (azimuth - wound))) ** 3
    disc = np.exp(-radius / size)
    inside = 1 / (1 + np.exp(-(radius - 0.8 * bar) / 1.5))
    _paint(image, 0.7 * light * disc, _OLD)
    _paint(image, rng.uniform(1.2, 2.2) * light * disc * crest * inside, _YOUNG)
    bulge = rng.uniform(*_BULGES[f"S{letter}"])
    if bulge:
        _paint(image, light * np.exp(-((radius / (bulge * size)) ** 2)), _OLD)
    if is_barred:
        isophote = np.abs(u / bar) ** 3 + np.abs(plane / (0.22 * bar)) ** 3
        _paint(image, 1.6 * light * np.exp(-isophote), _OLD)
    return f"S{'B' if is_barred else ''}{letter}{arms}{winding}"


def write_galaxies(folder: Path, per_class: int, *, side_px: int = 128, seed: int = 0) -> Path:
    """Write images of all classes, and a table of their class strings.

    Parameters
    ----------
    folder : Path
        Gets ``images/`` and ``classes.csv`` (image, gz2_class).
    per_class, side_px, seed : int

    Returns
    -------
    Path
        The table.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    rows = []
    for place, kind in enumerate(CLASSES):
        for number in range(per_class):
            rng = np.random.default_rng([seed, place, number])
            pixels, text = draw_galaxy(kind, side_px, rng)
            name = f"{place * per_class + number:06d}.png"
            Image.fromarray(pixels).save(images / name)
            rows.append((name, text))
    table = folder / "classes.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "gz2_class"))
        writer.writerows(rows)
    return table
