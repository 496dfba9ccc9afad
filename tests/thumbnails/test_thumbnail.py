"""Thumbnails: the mean of what they cover, never enlarged, the same bytes every time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from minia_spark.thumbnails.settings import ThumbnailsSettings
from minia_spark.thumbnails.thumbnail import thumbnail, thumbnail_size


def decoded(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., ::-1]


def noise(*shape):
    return np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "side_px", "expected"),
    [
        ((424, 424), 256, (256, 256)),
        ((100, 400), 256, (64, 256)),
        ((400, 100), 256, (256, 64)),
        ((3, 2), 1, (1, 1)),
        ((1, 5000), 64, (1, 64)),  # the shorter side keeps a pixel
        ((5, 10), 5, (3, 5)),  # 2.5: half up
        ((256, 20), 256, (256, 20)),  # not larger: as it is
        ((1, 1), 256, (1, 1)),
    ],
)
def test_sizes(shape, side_px, expected):
    assert thumbnail_size(*shape, side_px) == expected
    for image in (np.zeros(shape, np.uint8), np.zeros((*shape, 3), np.uint8)):
        assert decoded(thumbnail(image, side_px, 85)).shape == (*expected, *image.shape[2:])


@given(height=st.integers(1, 10**5), width=st.integers(1, 10**5), side_px=st.integers(1, 2048))
def test_any_size_fits_and_keeps_the_proportion(height, width, side_px):
    rows, columns = thumbnail_size(height, width, side_px)
    assert max(rows, columns) == min(side_px, max(height, width))
    assert min(rows, columns) >= 1
    scale = max(rows, columns) / max(height, width)
    assert abs(rows - height * scale) <= 0.5 or rows == 1
    assert abs(columns - width * scale) <= 0.5 or columns == 1


def test_a_pixel_is_the_mean_of_what_it_covers():
    # blocks of 8 x 8 pixels of 0 and 80 and of 100 and 140: means 40 and 120
    image = np.zeros((16, 16), np.uint8)
    image[:, :8] = np.tile([0, 80], 4)
    image[:, 8:] = np.tile([100, 140], 4)
    small = decoded(thumbnail(image, 2, 100)).astype(int)
    np.testing.assert_allclose(small, [[40, 120], [40, 120]], atol=2)


def test_grey_stays_grey_and_colours_keep_their_order():
    image = np.zeros((40, 40, 3), np.uint8)
    image[...] = (200, 100, 30)
    small = decoded(thumbnail(image, 16, 95)).astype(int)
    np.testing.assert_allclose(small, np.broadcast_to((200, 100, 30), (16, 16, 3)), atol=3)
    assert decoded(thumbnail(image[..., 0], 16, 95)).ndim == 2


@pytest.mark.parametrize("shape", [(50, 31), (50, 31, 3)])
def test_the_same_pixels_give_the_same_bytes_in_any_layout(shape):
    image = noise(*shape)
    before = image.copy()
    data = thumbnail(image, 20, 85)
    assert data == thumbnail(image, 20, 85)
    assert data == thumbnail(np.asfortranarray(image), 20, 85)
    read_only = image.copy()
    read_only.flags.writeable = False
    assert data == thumbnail(read_only, 20, 85)
    np.testing.assert_array_equal(image, before)
    assert thumbnail(image[::-1], 20, 85) != data


def test_quality_costs_bytes():
    image = cv2.GaussianBlur(noise(90, 90), (0, 0), 2)
    sizes = [len(thumbnail(image, 64, quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(set(sizes))


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    colour=st.booleans(),
    side_px=st.integers(1, 50),
    quality=st.integers(1, 100),
)
def test_every_image_has_a_thumbnail_that_can_be_read(height, width, colour, side_px, quality):
    image = noise(height, width, *([3] if colour else []))
    small = decoded(thumbnail(image, side_px, quality))
    assert small.shape == (*thumbnail_size(height, width, side_px), *image.shape[2:])
    assert abs(small.mean() - image.mean()) < 80


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4), np.uint16), "not from uint16 of shape"),
        (np.zeros((4, 4, 1), np.uint8), r"not from uint8 of shape \(4, 4, 1\)"),
        (np.zeros((4, 4, 4), np.uint8), "not from uint8 of shape"),
        (np.zeros(4, np.uint8), "not from uint8 of shape"),
        (np.zeros((0, 4), np.uint8), r"needs pixels, this image has shape \(0, 4\)"),
    ],
)
def test_what_is_no_image_is_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        thumbnail(pixels, 16, 85)


@pytest.mark.parametrize(
    ("side_px", "quality", "message"),
    [(0, 85, "at least 1 pixel"), (16, 0, "from 1 to 100, not 0"), (16, 101, "not 101")],
)
def test_numbers_out_of_range_are_refused(side_px, quality, message):
    with pytest.raises(ValueError, match=message):
        thumbnail(noise(8, 8), side_px, quality)


def test_settings_have_bounds():
    assert ThumbnailsSettings().model_dump() == {"side_px": 256, "quality": 85}
    for wrong in ({"side_px": 31}, {"side_px": 2049}, {"quality": 0}, {"quality": 101}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            ThumbnailsSettings(**wrong)
