"""A generated survey in which a few patterns recur, with the truth of which image holds which.

Every image depends on the survey's parameters and its own index only, so any process may make any
part of the survey, in any order, one image in memory at a time.

An image: blank sky with photon and read noise; a galaxy of a random kind in its middle; stars,
sometimes a satellite's trail; and every pattern of :mod:`minia_spark.sky.patterns` with the same
probability, turned, scaled and placed at random beside the galaxy. One Gaussian point spread
function blurs all of it. The three bands become a picture by Lupton et al. (2004), as survey
viewers show them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from astropy.visualization import make_lupton_rgb
from numpy.typing import NDArray

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.sky.morphology import GALAXIES, add_star, add_trail, frame, window
from minia_spark.sky.patterns import PATTERNS

__all__ = ["Planted", "Survey", "SurveyFiles", "Truth", "generate", "write_survey"]

_FORMATS = ("png", "jpg")
_SMALLEST_SIDE_PX = 48
_PLACING_ATTEMPTS = 60


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The parameters of a generated survey.

    Raises
    ------
    SettingsError
        A value is out of its range, or a pattern is not one of `PATTERNS`.
    """

    seed: int = 1
    side_px: int = 160
    """Height and width of every image in pixels."""
    channels: int = 3
    """3 for colour, 1 for grey."""
    patterns: tuple[str, ...] = tuple(PATTERNS)
    """Names of the patterns that are planted."""
    frequency: float = 0.1
    """Probability of each pattern to be in an image; they are planted independently."""
    pattern_radius: float = 0.16
    """Radius of a pattern, as a fraction of `side_px`."""
    rotation_deg: float = 180.0
    """Patterns are turned by up to this angle either way."""
    scale_jitter: float = 0.1
    """Patterns are scaled by up to this fraction either way."""
    pattern_peak: float = 60.0
    """Peak of a pattern in standard deviations of the sky noise, before the blur."""
    noise: float = 1.0
    """Sky noise; 0 makes noise-free images."""
    psf_px: float = 0.9
    """Standard deviation of the point spread function in pixels."""
    stars: float = 3.0
    """Mean number of stars in an image of 160 x 160 pixels; grows with the area."""
    trail_frequency: float = 0.03
    """Probability of a satellite's trail."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.patterns) - set(PATTERNS))
        checks = (
            (self.seed >= 0, f"seed is {self.seed}, must be 0 or more"),
            (
                self.side_px >= _SMALLEST_SIDE_PX,
                f"side_px is {self.side_px}, must be {_SMALLEST_SIDE_PX} or more",
            ),
            (self.channels in (1, 3), f"channels is {self.channels}, must be 1 or 3"),
            (not unknown, f"unknown patterns {unknown}; there are {sorted(PATTERNS)}"),
            (0 <= self.frequency <= 1, f"frequency is {self.frequency}, must be in [0, 1]"),
            (
                0 < self.pattern_radius <= 0.25,
                f"pattern_radius is {self.pattern_radius}, must be in (0, 0.25]",
            ),
            (
                0 <= self.scale_jitter <= 0.5,
                f"scale_jitter is {self.scale_jitter}, must be in [0, 0.5]",
            ),
            (self.noise >= 0, f"noise is {self.noise}, must be 0 or more"),
            (self.psf_px > 0, f"psf_px is {self.psf_px}, must be over 0"),
            (self.stars >= 0, f"stars is {self.stars}, must be 0 or more"),
            (
                0 <= self.trail_frequency <= 1,
                f"trail_frequency is {self.trail_frequency}, must be in [0, 1]",
            ),
        )
        wrong = [message for holds, message in checks if not holds]
        if wrong:
            raise SettingsError(f"survey: {'; '.join(wrong)}")


@dataclass(frozen=True)
class Planted:
    """One copy of a pattern in one image."""

    pattern: str
    x: float
    """Centre in pixels; also `y`."""
    y: float
    radius_px: float
    """Everything of the pattern lies within this distance of the centre."""
    angle_deg: float


@dataclass(frozen=True)
class Truth:
    """What is in one image."""

    image: str
    """File name without a folder and without an ending."""
    label: str
    """Kind of galaxy in the middle, one of `GALAXIES`."""
    ra_deg: float
    dec_deg: float
    stars: int
    trail: bool
    planted: tuple[Planted, ...] = field(default=())


@dataclass(frozen=True)
class SurveyFiles:
    """Where `write_survey` wrote: the folder with the images, and the two tables beside it."""

    images: Path
    labels: Path
    truth: Path
    count: int


def generate(
    survey: Survey, indices: Iterable[int]
) -> Iterator[tuple[str, NDArray[np.uint8], Truth]]:
    """Make images of a survey, one at a time.

    Parameters
    ----------
    survey : Survey
    indices : iterable of int
        Which images, 0 or more; ``range(n)`` for the first n. Order and repetition are free.

    Yields
    ------
    name : str
        File name without an ending, ``sky-0000042``.
    image : uint8 array, shape (side_px, side_px, 3) in the order red, green, blue,
        or (side_px, side_px)
    truth : Truth

    Notes
    -----
    The same (survey, index) gives the same truth everywhere; pixels can differ in the last grey
    level between processors, through the mathematical functions of NumPy.
    """
    for index in indices:
        yield _make(survey, index)


def write_survey(
    folder: Path, survey: Survey, images: int, *, image_format: str = "png", start: int = 0
) -> SurveyFiles:
    """Write images and their truth; an existing file of the same name is replaced.

    Writes ``images/<name>.<format>``, ``labels.csv`` (image_id, label, ra_deg, dec_deg; one line
    an image) and ``truth.csv`` (image_id, pattern, x, y, radius_px, angle_deg; one line a planted
    pattern). image_id is the path relative to the folder ``images``.

    Parameters
    ----------
    folder : Path
        Made when it does not exist.
    survey : Survey
    images : int
        How many, from index `start` on; 0 writes tables without rows.
    image_format : str
        ``png`` (exact) or ``jpg`` (quality 95).
    start : int
        Index of the first image: batches of one survey start where the last one ended.

    Raises
    ------
    SettingsError
        Unknown format, or a negative count or start.
    MiniaError
        An image could not be written.
    """
    if image_format not in _FORMATS:
        raise SettingsError(
            f"survey: image format {image_format!r} is unknown; choose one of {', '.join(_FORMATS)}"
        )
    if images < 0 or start < 0:
        raise SettingsError(f"survey: images ({images}) and start ({start}) must be 0 or more")
    files = SurveyFiles(folder / "images", folder / "labels.csv", folder / "truth.csv", images)
    files.images.mkdir(parents=True, exist_ok=True)
    with (
        files.labels.open("w", newline="", encoding="utf-8") as labels_file,
        files.truth.open("w", newline="", encoding="utf-8") as truth_file,
    ):
        labels, truths = csv.writer(labels_file), csv.writer(truth_file)
        labels.writerow(("image_id", "label", "ra_deg", "dec_deg"))
        truths.writerow(("image_id", "pattern", "x", "y", "radius_px", "angle_deg"))
        for name, image, truth in generate(survey, range(start, start + images)):
            image_id = f"{name}.{image_format}"
            write_image(files.images / image_id, image)
            labels.writerow((image_id, truth.label, f"{truth.ra_deg:.6f}", f"{truth.dec_deg:.6f}"))
            for one in truth.planted:
                numbers = (one.x, one.y, one.radius_px, one.angle_deg)
                truths.writerow((image_id, one.pattern, *(f"{value:.3f}" for value in numbers)))
    return files


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a grey or RGB image in the format of the path's ending.

    Raises
    ------
    MiniaError
        The image could not be encoded, or the file not be written.
    """
    pixels = image[..., ::-1] if image.ndim == 3 else image  # OpenCV's order is blue, green, red
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(pixels))
    if not encoded:
        raise MiniaError(f"{path}: OpenCV could not encode an image of shape {image.shape}")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise MiniaError(f"{path}: cannot be written: {error.strerror}") from error


def _make(survey: Survey, index: int) -> tuple[str, NDArray[np.uint8], Truth]:
    rng = np.random.default_rng((survey.seed, index))
    name = f"sky-{index:07d}"
    label = str(rng.choice(list(GALAXIES)))
    light = np.zeros((survey.side_px, survey.side_px, 3), dtype=np.float32)
    GALAXIES[label](light, rng)
    stars = int(rng.poisson(survey.stars * (survey.side_px / 160) ** 2))
    for _ in range(stars):
        add_star(light, rng)
    trail = bool(rng.uniform() < survey.trail_frequency)
    if trail:
        add_trail(light, rng)
    planted = _plant(light, survey, rng)
    light = cv2.GaussianBlur(light, (0, 0), survey.psf_px, borderType=cv2.BORDER_REPLICATE)
    # Photon noise on top of the sky's: variance grows with the light above it.
    sigma = survey.noise * np.sqrt(1 + np.maximum(light, 0) / 20)
    light += sigma * rng.standard_normal(light.shape, dtype=np.float32)
    image = make_lupton_rgb(
        light[..., 0], light[..., 1], light[..., 2], minimum=-2, stretch=18, Q=6
    )
    truth = Truth(
        image=name,
        label=label,
        ra_deg=float(rng.uniform(0, 360)),
        dec_deg=float(np.rad2deg(np.arcsin(rng.uniform(-1, 1)))),
        stars=stars,
        trail=trail,
        planted=planted,
    )
    if survey.channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return name, image, truth


def _plant(
    light: NDArray[np.float32], survey: Survey, rng: np.random.Generator
) -> tuple[Planted, ...]:
    """Add this image's patterns; one that finds no free place is left out, and so is its truth."""
    side = survey.side_px
    middle = side / 2
    planted: list[Planted] = []
    chosen = [name for name in survey.patterns if rng.uniform() < survey.frequency]
    for name in chosen:
        scale = 1 + rng.uniform(-survey.scale_jitter, survey.scale_jitter)
        radius = survey.pattern_radius * side * scale
        angle_deg = rng.uniform(-survey.rotation_deg, survey.rotation_deg)
        peak = survey.pattern_peak * rng.uniform(0.85, 1.15)
        for _ in range(_PLACING_ATTEMPTS):
            x, y = rng.uniform(1.1 * radius, side - 1.1 * radius, size=2)
            from_galaxy = np.hypot(x - middle, y - middle)
            apart = min(
                (np.hypot(x - p.x, y - p.y) - p.radius_px - radius for p in planted),
                default=np.inf,
            )
            if from_galaxy > 0.13 * side + radius and apart > 0:
                break
        else:
            continue
        rows, columns = window(light, x, y, 1.4 * radius)
        u, v = frame(rows, columns, x=x, y=y, angle=float(np.deg2rad(angle_deg)), scale=radius)
        light[rows, columns] += (peak * PATTERNS[name](u, v))[..., None]
        planted.append(Planted(name, float(x), float(y), float(radius), float(angle_deg)))
    return tuple(planted)
