"""Sources and cutouts of a CCD."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from minia_spark.base.errors import Rejected
from minia_spark.exposures import cutouts
from minia_spark.exposures.cutouts import Sources, cut, draw, scaled, sources


def star(pixels, x, y, peak=2_000.0, sigma=1.5):
    rows, columns = np.indices(pixels.shape)
    pixels += peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@pytest.fixture
def ccd():
    """120 rows of 160 columns with noise and three stars; one is near a border."""
    pixels = np.random.default_rng(1).normal(100, 5, (120, 160))
    for x, y in ((60, 50), (110, 70), (20, 60)):
        star(pixels, x, y)
    return pixels.astype(np.float32)


def at(found):
    return sorted(zip(np.rint(found.x).astype(int), np.rint(found.y).astype(int), strict=True))


def test_positions_count_from_zero(ccd):
    found = sources(ccd, threshold=5)
    assert at(found) == [(20, 60), (60, 50), (110, 70)]
    assert found.background == pytest.approx(100, abs=1)
    assert found.noise == pytest.approx(5, rel=0.1)


def test_the_same_as_sep_itself(ccd):
    sky = sep.Background(ccd)
    direct = sep.extract(ccd - sky.back(dtype=np.float32), 1.5, err=sky.globalrms, minarea=5)
    found = sources(ccd)
    np.testing.assert_array_equal(found.x, direct["x"])
    np.testing.assert_array_equal(found.y, direct["y"])


def test_the_brightest_pixel_is_in_row_and_column_16(ccd):
    """The classic mistake is one pixel off."""
    (cutout,) = cut(ccd, np.array([60.3]), np.array([49.8]))
    assert np.unravel_index(cutout.argmax(), cutout.shape) == (16, 16)
    np.testing.assert_array_equal(cutout, ccd[34:66, 44:76])


def test_missing_pixels_become_the_median_of_the_ccd(ccd):
    ccd[50, 61] = np.nan
    (cutout,) = cut(ccd, np.array([60.0]), np.array([50.0]))
    assert cutout[16, 17] == np.nanmedian(ccd)
    assert np.isnan(ccd[50, 61])  # the CCD itself is left alone
    assert (60, 50) in at(sources(ccd, threshold=5))


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_a_dead_ccd_has_no_sources(value):
    found = sources(np.full((100, 100), value, np.float32))
    assert len(found) == 0
    assert len(draw(found, (100, 100), 10, 37, (0,))) == 0


def test_only_sources_far_from_all_borders_are_drawn(ccd):
    found = sources(ccd, threshold=5)
    chosen = draw(found, ccd.shape, 50, 37, (1, "a.fits", 3))
    assert len(chosen) == 50
    assert {(round(found.x[k]), round(found.y[k])) for k in chosen} == {(60, 50), (110, 70)}


def test_exactly_at_the_margin_is_too_near():
    edge = Sources(np.array([37.0, 62.0, 37.1]), np.array([50.0, 50.0, 50.0]), 0.0, 1.0)
    assert set(draw(edge, (100, 100), 20, 37, (0,))) == {2}


def test_the_draw_depends_on_its_key_alone(ccd):
    found = sources(ccd, threshold=5)
    one = draw(found, ccd.shape, 100, 20, (1, "a.fits", 3))
    np.testing.assert_array_equal(one, draw(found, ccd.shape, 100, 20, (1, "a.fits", 3)))
    assert (one != draw(found, ccd.shape, 100, 20, (1, "a.fits", 4))).any()
    assert (one != draw(found, ccd.shape, 100, 20, (2, "a.fits", 3))).any()


def test_scaling_by_hand():
    """0 to 1023: the 1st percentile is 10.23, the 95th 971.85; half way is 491.04."""
    found = scaled(np.arange(1024, dtype=np.float32).reshape(1, 32, 32))
    assert found.low[0] == pytest.approx(10.23)
    assert found.high[0] == pytest.approx(971.85)
    flat = found.pixels.ravel()
    assert (flat[10], flat[491], flat[972], flat[1023]) == (0, round(255 * 0.49996), 255, 255)


def test_a_constant_cutout_gives_zeros():
    assert not scaled(np.full((1, 32, 32), 9, np.float32)).pixels.any()


def test_nothing_gives_nothing():
    nothing = np.empty(0)
    found = scaled(cut(np.zeros((40, 40), np.float32), nothing, nothing))
    assert found.pixels.shape == (0, 32, 32)


def test_a_cutout_needs_room():
    with pytest.raises(ValueError, match="16 pixels on all sides"):
        cut(np.zeros((40, 40), np.float32), np.array([10.0]), np.array([20.0]))


def test_more_than_sep_takes_is_a_reject(monkeypatch, ccd):
    monkeypatch.setattr(cutouts, "_STACK", 100)
    with pytest.raises(Rejected, match=r"too_crowded: .*raise exposures.threshold"):
        sources(ccd, threshold=0.5)
