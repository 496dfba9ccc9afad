"""Grey, median and the background mask, against answers by hand and slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from minia_spark.images.preprocess import apply_mask, background_mask, median, to_grey

GREY = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def test_grey_weights_are_those_of_rgb_not_bgr():
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], dtype=np.uint8)
    assert to_grey(pure).tolist() == [[76, 150, 29, 90]]  # 0.299, 0.587, 0.114 of 255


def test_grey_passes_through():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert to_grey(grey) is grey


@given(GREY, st.sampled_from([3, 5, 9]))
@settings(max_examples=50, deadline=None)
def test_median_equals_scipy(grey, size):
    np.testing.assert_array_equal(
        median(grey, size), ndimage.median_filter(grey, size=size, mode="nearest")
    )


def ellipse(diameter: int) -> np.ndarray:
    """OpenCV's ellipse, row by row from its definition."""
    radius = diameter // 2
    rows = np.arange(diameter) - radius
    half = np.rint(radius * np.sqrt((radius**2 - rows**2) / radius**2))
    return np.abs(np.arange(diameter) - radius)[None, :] <= half[:, None]


def slow_mask(grey: np.ndarray) -> np.ndarray:
    """The filter of minIA written with other tools."""
    mask = ndimage.median_filter(grey, size=3, mode="nearest") > 11
    for _ in range(3):
        mask = ndimage.binary_erosion(mask, ellipse(5), border_value=True)
    for _ in range(2):
        mask = ndimage.binary_dilation(mask, ellipse(11), border_value=False)
    return mask


def test_ellipse_of_five_by_hand():
    assert ellipse(5).astype(int).tolist() == [
        [0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 0, 1, 0, 0],
    ]


def test_mask_of_one_large_and_one_small_source():
    grey = np.zeros((80, 80), np.uint8)
    grey[30:50, 30:50] = 12  # 20 wide, just above the threshold
    grey[5:11, 5:11] = 255  # 6 wide: three erosions by two pixels leave nothing
    grey[60:80, 0:20] = 11  # at the threshold is background
    mask = background_mask(grey)
    rows, columns = np.nonzero(mask)
    # 30..49 less 3 * 2 on either side is 36..43, plus 2 * 5 is 26..53
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (26, 53, 26, 53)
    assert mask[40, 40]
    assert not mask[8, 8]
    assert not mask[70, 10]
    np.testing.assert_array_equal(mask, slow_mask(grey))


def test_source_at_the_edge_is_not_eroded_from_outside():
    assert background_mask(np.full((4, 4), 200, np.uint8)).all()
    assert not background_mask(np.full((4, 4), 11, np.uint8)).any()


@given(GREY.map(lambda grey: np.kron(grey // 10, np.ones((4, 4), np.uint8))))
@settings(max_examples=30, deadline=None)
def test_mask_equals_its_slow_twin(grey):
    np.testing.assert_array_equal(background_mask(grey), slow_mask(grey))


def test_mask_of_colour_is_the_mask_of_its_grey():
    colour = np.zeros((60, 60, 3), np.uint8)
    colour[20:40, 20:40, 2] = 100  # blue: grey level 11
    colour[20:40, 20:40, 0] = 2  # and a little red: 12
    np.testing.assert_array_equal(background_mask(colour), background_mask(to_grey(colour)))
    assert background_mask(colour).any()


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 3)])
def test_apply_mask_by_hand(shape):
    pixels = np.full(shape, 7, np.uint8)
    masked = apply_mask(pixels, np.array([[True, False], [False, True]]))
    assert masked.shape == shape
    assert masked.dtype == np.uint8
    assert masked.reshape(4, -1)[:, 0].tolist() == [7, 0, 0, 7]
    assert (pixels == 7).all()
