"""The object at the middle of a cutout, against answers by hand and a slow twin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from minia_spark.images.objects import frame_of, object_mask, sky_of


def disc(shape, x, y, radius, level=100, sky=10):
    """A bright disc on a flat sky."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return np.where(inside, level, sky).astype(np.uint8)


def twin(grey, threshold):
    """The object, pixel by pixel: a flood from the bright pixel nearest to the middle."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 2.0, borderType=cv2.BORDER_REPLICATE)
    level = np.median(smooth)
    noise = max(0.5, 1.4826 * np.median(np.abs(smooth - level)))
    bright = smooth > level + threshold * noise
    height, width = grey.shape
    found = np.zeros(grey.shape, dtype=bool)
    distances = {
        (r, c): np.hypot(r - (height - 1) / 2, c - (width - 1) / 2)
        for r in range(height)
        for c in range(width)
        if bright[r, c]
    }
    if not distances or min(distances.values()) > max(0.5, 0.1 * min(height, width)):
        return found
    pending = [min(distances, key=lambda place: (distances[place], place))]
    while pending:
        r, c = pending.pop()
        if 0 <= r < height and 0 <= c < width and bright[r, c] and not found[r, c]:
            found[r, c] = True
            pending += [(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return found


def test_sky_is_the_median_and_noise_the_median_deviation():
    grey = np.array([[8, 9, 10, 11, 12], [10, 10, 10, 200, 255]], np.uint8)
    assert sky_of(grey) == (10.0, pytest.approx(1.4826))
    assert sky_of(np.full((4, 4), 7, np.uint8)) == (7.0, 0.5)


def test_the_object_is_the_disc_in_the_middle_and_not_its_neighbour():
    both = np.maximum(disc((80, 100), 50, 40, 12), disc((80, 100), 85, 15, 9, level=250))
    mask = object_mask(both, 3.0)
    assert mask[40, 50]
    assert not mask[:, 75:].any()
    alone = object_mask(disc((80, 100), 50, 40, 12), 3.0)
    np.testing.assert_array_equal(mask, alone)
    radius = np.sqrt(mask.sum() / np.pi)
    assert 12 < radius < 18  # the Gaussian makes it wider


def test_an_object_beside_the_middle_counts_up_to_a_tenth_of_the_shorter_side():
    near, far = disc((100, 140), 69.5 + 16, 49.5, 6), disc((100, 140), 69.5 + 40, 49.5, 6)
    assert object_mask(near, 3.0)[49, 85]
    assert not object_mask(far, 3.0).any()


@pytest.mark.parametrize(
    "grey",
    [
        np.zeros((50, 60), np.uint8),
        np.full((50, 60), 255, np.uint8),
        np.full((1, 1), 9, np.uint8),
        np.zeros((1, 500), np.uint8),
    ],
)
def test_without_a_source_there_is_no_object(grey):
    mask = object_mask(grey, 3.0)
    assert mask.shape == grey.shape
    assert not mask.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [1.0, 3.0, 10.0])
def test_equals_the_slow_twin(seed, threshold):
    random = np.random.default_rng(seed)
    grey = random.normal(20, 4, (41, 53))
    rows, columns = np.mgrid[:41, :53]
    for _ in range(4):
        x, y = random.uniform(5, 48), random.uniform(5, 36)
        grey += random.uniform(20, 150) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 30)
    grey = grey.clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(object_mask(grey, threshold), twin(grey, threshold))


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0])
def test_frame_of_an_ellipse(degrees):
    rows, columns = np.mgrid[:161, :161] - 80.0
    turn = np.radians(degrees)
    along = columns * np.cos(turn) + rows * np.sin(turn)
    across = rows * np.cos(turn) - columns * np.sin(turn)
    light = np.exp(-(along**2) / (2 * 15**2) - across**2 / (2 * 6**2))
    grey = np.rint(240 * light).astype(np.uint8)
    frame = frame_of(grey, np.ones(grey.shape, dtype=bool))
    assert (frame.x, frame.y) == (pytest.approx(80, abs=0.1), pytest.approx(80, abs=0.1))
    assert frame.angle % 180 == pytest.approx(degrees, abs=1.0)
    assert frame.radius == pytest.approx(30, rel=0.05)


def test_the_axis_points_to_where_the_light_reaches_farther():
    grey = np.zeros((41, 101), np.uint8)
    grey[20, 30:40] = 250  # bright, and a tail to the right
    grey[20, 40:90] = 60
    mask = grey > 0
    assert frame_of(grey, mask).angle == pytest.approx(0)
    assert frame_of(grey[:, ::-1], mask[:, ::-1]).angle == pytest.approx(180)
    assert frame_of(np.rot90(grey, -1), np.rot90(mask, -1)).angle == pytest.approx(90)


@pytest.mark.parametrize("seed", range(5))
def test_frame_equals_the_slow_twin(seed):
    random = np.random.default_rng(seed)
    grey = random.integers(0, 20, (37, 50)).astype(np.uint8)
    mask = np.zeros(grey.shape, dtype=bool)
    mask[10:30, 5:40] = True
    grey[mask] = random.integers(0, 256, mask.sum())
    sky = int(np.median(grey))
    places = [(r, c, max(0, int(grey[r, c]) - sky)) for r, c in np.argwhere(mask).tolist()]
    total = sum(light for _, _, light in places)
    x = sum(light * c for _, c, light in places) / total
    y = sum(light * r for r, _, light in places) / total
    spread = np.zeros((2, 2))
    for r, c, light in places:
        away = np.array([c - x, r - y])
        spread += light * np.outer(away, away) / total
    values, vectors = np.linalg.eigh(spread)
    axis = vectors[:, 1]
    if sum(light * ((c - x) * axis[0] + (r - y) * axis[1]) ** 3 for r, c, light in places) < 0:
        axis = -axis
    frame = frame_of(grey, mask)
    assert (frame.x, frame.y) == (pytest.approx(x), pytest.approx(y))
    assert frame.radius == pytest.approx(2 * np.sqrt(values[1]))
    assert np.radians(frame.angle) % (2 * np.pi) == pytest.approx(
        np.arctan2(axis[1], axis[0]) % (2 * np.pi)
    )


def test_an_object_of_one_pixel_has_a_frame():
    grey = np.zeros((5, 5), np.uint8)
    grey[1, 3] = 200
    frame = frame_of(grey, grey > 0)
    assert (frame.x, frame.y, frame.radius) == (3.0, 1.0, 1.0)
    dark = frame_of(np.zeros((5, 5), np.uint8), grey > 0)
    assert (dark.x, dark.y) == (3.0, 1.0)
