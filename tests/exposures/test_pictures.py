"""Pictures of CCDs by hand, and tiles that give the whole again."""

from __future__ import annotations

import numpy as np
import pytest

from minia_spark.exposures.pictures import exposure_picture, picture, tiles, unpacked


def test_black_is_below_the_sky_and_white_above():
    """Two sigma below is black, thirty above is white; the first row is the lowest."""
    pixels = np.array([[98.0] * 8, [100.0] * 8, [130.0] * 8, [500.0] * 8], np.float32)
    found = unpacked(picture(np.repeat(pixels, 8, axis=0), 100.0, 1.0)).astype(int)
    assert found.shape == (32, 8)
    grey = 255 * np.arcsinh(2) / np.arcsinh(32)
    for row, wanted in ((4, 255), (12, 255), (20, grey), (28, 0)):
        assert abs(found[row, 4] - wanted) < 12, row


def test_missing_counts_do_not_count():
    pixels = np.full((512, 300), 5.0, np.float32)
    pixels[:, ::2] = np.nan
    pixels[:2, :2] = np.nan
    found = unpacked(picture(pixels, 4.0, 1.0))
    assert found.shape == (256, 150)
    assert found[-1, 0] < 60
    assert abs(int(found[100, 100]) - 255 * np.arcsinh(3) / np.arcsinh(32)) < 4


@pytest.mark.parametrize(("background", "noise"), [(np.nan, 0.0), (1.0, 0.0)])
def test_a_dead_ccd_is_black(background, noise):
    assert not unpacked(picture(np.ones((40, 30), np.float32), background, noise)).any()


def test_ccds_lie_in_rows():
    ccds = [np.full((2, 3), value, np.uint8) for value in (1, 2, 3)]
    found = exposure_picture(ccds)
    assert found.shape == (2 + 4 + 2, 3 + 4 + 3)
    assert (found[:2, :3] == 1).all()
    assert (found[:2, 7:] == 2).all()
    assert (found[6:, :3] == 3).all()
    assert found[found > 0].sum() == 6 * (1 + 2 + 3)


def test_tiles_give_the_picture_again():
    rows, columns = np.mgrid[:600, :300]
    whole = ((rows + columns) / 4).astype(np.uint8)
    found = list(tiles(whole))
    assert [key[:3] for key in found if key[0]] == [
        *[(1, 0, 0), (1, 1, 0)],  # 300 x 150
        (2, 0, 0),  # 150 x 75
    ]
    again = np.zeros_like(whole)
    for level, row, column, content in found:
        if level == 0:
            tile = unpacked(content)
            again[row * 256 :, column * 256 :][: tile.shape[0], : tile.shape[1]] = tile
    assert np.abs(again.astype(int) - whole).max() < 6
