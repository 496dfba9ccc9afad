"""Moved and masked copies, in arrays that a reader can follow."""

from __future__ import annotations

import numpy as np
import pytest
from image_samples import picture

from minia_spark.delf.copies import Movement, as_jpeg, masked, moved, movement_of
from minia_spark.images.decode import decode
from minia_spark.images.preprocess import background_mask

STILL = {"right": 0.0, "down": 0.0, "angle_deg": 0.0, "mirror": False, "upend": False}


def spot(x, y, size=9):
    pixels = np.zeros((size, size, 3), dtype=np.uint8)
    pixels[y, x] = 200
    return pixels


def place(pixels):
    """Return the (x, y) of the brightest pixel."""
    y, x = np.unravel_index(pixels[..., 0].argmax(), pixels.shape[:2])
    return int(x), int(y)


def test_nothing_moves_nothing():
    pixels = picture()
    np.testing.assert_array_equal(moved(pixels, Movement(**STILL)), pixels)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"mirror": True}, (7, 3)),
        ({"upend": True}, (1, 5)),
        ({"right": 1 / 9}, (2, 3)),
        ({"down": -2 / 9}, (1, 1)),
        ({"angle_deg": 90.0}, (5, 1)),  # from the left of the centre, (4, 4), to above it
        ({"mirror": True, "right": 1 / 9}, (8, 3)),
    ],
)
def test_where_a_spot_goes(change, wanted):
    assert place(moved(spot(1, 3), Movement(**STILL | change))) == wanted


def test_what_comes_from_outside_is_black():
    white = np.full((8, 16, 3), 255, dtype=np.uint8)
    found = moved(white, Movement(**STILL | {"right": 1 / 8, "down": 1 / 8}))
    assert found[1:, 2:].min() == 255
    assert found[:1].max() == found[:, :2].max() == 0


def test_a_movement_is_of_the_name_and_the_seed():
    assert movement_of("123", 1) == movement_of("123", 1)
    assert movement_of("123", 1) != movement_of("124", 1) != movement_of("124", 2)


def test_movements_fill_their_ranges():
    drawn = [movement_of(str(i), 5) for i in range(2000)]
    for values, limit in (
        ([m.right for m in drawn], 1 / 8),
        ([m.down for m in drawn], 1 / 8),
        ([m.angle_deg for m in drawn], 30.0),
    ):
        assert -limit <= min(values) < -0.99 * limit
        assert 0.99 * limit < max(values) <= limit
        assert abs(np.mean(values)) < 0.05 * limit
    flips = {(m.mirror, m.upend): 0 for m in drawn}
    for m in drawn:
        flips[m.mirror, m.upend] += 1
    assert len(flips) == 4
    assert min(flips.values()) > 400


def test_masked_is_black_outside_the_sources():
    pixels = np.full((60, 60, 3), 9, dtype=np.uint8)
    pixels[20:40, 20:40] = 150
    pixels[5, 5] = 255  # a hot pixel is no source
    found = masked(pixels)
    assert found[20:40, 20:40].min() == 150
    assert found[5, 5].max() == found[:10].max() == 0
    np.testing.assert_array_equal(found[background_mask(pixels)], pixels[background_mask(pixels)])


def test_jpeg_there_and_back():
    pixels = picture(48, 64)
    data = as_jpeg(pixels)
    assert data == as_jpeg(pixels)
    found = decode(data)
    assert (found.format, found.width, found.height) == ("jpeg", 64, 48)
    assert np.abs(found.pixels.astype(int) - pixels).mean() < 3  # of noise and quality 95
