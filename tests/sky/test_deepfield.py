"""Sources of the deep field: hand-sized detections, and the real picture where it is installed."""

from __future__ import annotations

import csv
import sys

import cv2
import numpy as np
import pytest

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.sky.deepfield import cutout, deep_field, detect_sources, write_cutouts


def sky_with(*stars, shape=(80, 100)):
    rng = np.random.default_rng(3)
    image = rng.normal(20, 1, shape)
    y, x = np.indices(shape)
    for star_x, star_y, peak in stars:
        image += peak * np.exp(-((x - star_x) ** 2 + (y - star_y) ** 2) / 8)
    return image.round().clip(0, 255).astype(np.uint8)


def test_sources_brightest_first():
    found = detect_sources(sky_with((30, 20, 90), (70, 60, 200)))
    np.testing.assert_allclose(found[:, :2], [[70, 60], [30, 20]], atol=1)
    assert found[0, 2] > found[1, 2] > 20
    grey = sky_with((30, 20, 90))
    np.testing.assert_allclose(detect_sources(np.dstack([grey] * 3)), detect_sources(grey))


def test_nothing_to_find():
    assert detect_sources(np.full((30, 30), 7, np.uint8)).shape == (0, 3)
    assert detect_sources(np.zeros((30, 30, 3), np.uint8)).shape == (0, 3)


def test_a_flat_top_is_one_source():
    image = np.zeros((60, 60), np.uint8)
    image[20:40, 20:40] = 255
    assert len(detect_sources(image, sigma_px=0.5)) == 1


def test_cutout():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    np.testing.assert_array_equal(cutout(image, x=2, y=3, side_px=2), [[21, 22], [31, 32]])
    assert cutout(image, x=5, y=5, side_px=10).shape == (10, 10)
    for x, y in ((0, 5), (9, 5), (5, 0), (5, 9)):
        assert cutout(image, x=x, y=y, side_px=4) is None


def test_real_picture(tmp_path):
    pytest.importorskip("skimage", reason="the picture comes with scikit-image")
    picture = deep_field()
    files = write_cutouts(tmp_path, side_px=64, limit=40)
    with files.positions.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert files.count == len(rows) == len(list(files.images.iterdir())) == 40
    heights = [float(row["height"]) for row in rows]
    assert heights == sorted(heights, reverse=True)
    for row in rows:
        x, y = int(row["x"]), int(row["y"])
        written = cv2.imread(str(files.images / row["image_id"]))[..., ::-1]
        np.testing.assert_array_equal(written, picture[y - 32 : y + 32, x - 32 : x + 32])


def test_limit_none_writes_all_inner_sources(tmp_path):
    pytest.importorskip("skimage", reason="the picture comes with scikit-image")
    sources = detect_sources(deep_field())
    files = write_cutouts(tmp_path, side_px=512, image_format="jpg")
    inner = (abs(sources[:, 0] - 500) <= 244) & (abs(sources[:, 1] - 436) <= 180)
    assert 0 < files.count <= inner.sum()


def test_missing_picture_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(MiniaError, match="not installed: pip install scikit-image"):
        deep_field()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side_px": 4}, r"side_px is 4, must be in \[16, 512\]"),
        ({"limit": -1}, "limit is -1"),
        ({"image_format": "bmp"}, "'bmp' is unknown"),
    ],
)
def test_wrong_parameters(tmp_path, wrong, message):
    with pytest.raises(SettingsError, match=message):
        write_cutouts(tmp_path, **wrong)
