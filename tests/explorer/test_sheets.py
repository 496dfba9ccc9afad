"""Small images in one picture."""

from __future__ import annotations

import pytest

from minia_spark.explorer.sheets import IMAGES, decoded, sheet

from .samples import picture


def test_every_image_is_in_its_cell():
    levels = [10 * i for i in range(1, 19)]
    made, there = sheet([picture(level) for level in levels], 8, quality=100)
    pixels = decoded(made)
    assert pixels.shape == (16, 128, 3)  # two rows: the rest is not stored
    assert there == [True] * 18
    for place, level in enumerate(levels):
        top, left = 8 * (place // 16), 8 * (place % 16)
        assert abs(pixels[top + 2 : top + 6, left + 2 : left + 6].mean() - level) < 4
    assert pixels[8:, 24:].max() < 8


def test_an_image_is_scaled_until_it_fits_and_centred():
    made, _ = sheet([picture(200, width=80, height=20)], 16, quality=100)
    pixels = decoded(made)[:, :16].mean(axis=2)
    assert pixels[7:9].min() > 150  # a quarter of the cell's height
    assert pixels[:4].max() < 60
    assert pixels[12:].max() < 60
    small, _ = sheet([picture(200, width=2, height=1)], 16, quality=100)
    assert decoded(small)[5:10, :16].mean() > 150  # a smaller one is enlarged


def test_missing_and_broken_images_are_black_and_told():
    made, there = sheet([None, b"", b"no image", picture(255)[:60], picture(255)], 8)
    assert there == [False, False, False, False, True]
    pixels = decoded(made)
    assert pixels[:8, :32].max() < 40
    assert pixels[2:6, 34:38].min() > 200


def test_too_many_images_and_none_are_refused():
    for count in (0, IMAGES + 1):
        with pytest.raises(ValueError, match=f"a sheet holds 1 to {IMAGES} images, not {count}"):
            sheet([None] * count, 8)
