"""Squares cut out of images."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.reduce.crop import crop


def test_the_centre_pixel_for_pixel():
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert np.array_equal(crop(pixels, 4), pixels[1:5, 2:6])
    assert np.array_equal(crop(pixels, 3), pixels[1:4, 2:5])


def test_grey_becomes_colour():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    cut = crop(grey, 2)
    assert cut.shape == (2, 2, 3)
    assert cut[..., 0].tolist() == cut[..., 2].tolist() == [[5, 6], [9, 10]]


def test_a_smaller_image_stands_in_its_median_colour():
    pixels = np.full((2, 4, 3), (10, 20, 30), np.uint8)
    pixels[0, 0] = 200
    cut = crop(pixels, 4)
    assert np.array_equal(cut[1:3], pixels)
    assert (cut[[0, 3]] == (10, 20, 30)).all()


def galaxy(size, at, radius, rng=None):
    y, x = np.mgrid[:size, :size]
    inside = (y - at) ** 2 + (x - at) ** 2 <= radius**2
    noise = (rng or np.random.default_rng(0)).normal(20, 2, (size, size))
    grey = np.clip(noise + 150 * inside, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize("radius", [10, 20, 35])
def test_an_object_fills_the_square_whatever_its_size(radius):
    bright = (crop(galaxy(128, 64, radius), 48, "object")[..., 0] > 90).mean()
    # the disc in a square of 1.2 times its diameter, which the smoothing makes a little larger
    assert 0.25 < bright < np.pi / 4 / 1.44 + 0.02
    grown = (crop(galaxy(128, 64, radius), 48)[..., 0] > 90).mean()
    assert (grown < 0.25) == (radius == 10)


def test_without_an_object_the_largest_square():
    rng = np.random.default_rng(1)
    noise = np.clip(rng.normal(20, 2, (40, 60, 3)), 0, 255).astype(np.uint8)
    assert np.array_equal(crop(noise, 40, "object", threshold=50.0), noise[:, 10:50])
