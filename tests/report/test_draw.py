"""Drawing: circles where they belong, of the size they have, on any shape of image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.report.draw import PALETTE, colour_numbers, encode_jpeg, thumbnail


def features(*rows):
    x, y, size = np.array(rows, dtype=np.float32).reshape(-1, 3).T
    return {"x": x, "y": y, "size": size}


def ring(drawing):
    """Bounding box of everything that is not black: left, top, right, bottom."""
    y, x = np.nonzero(drawing.max(axis=2) > 60)
    return x.min(), y.min(), x.max(), y.max()


def test_a_circle_has_the_feature_s_place_and_size():
    # 100 -> 200 pixels: centre (30, 60) goes to (60.5, 120.5), diameter 20 to 40.
    drawing = thumbnail(
        np.zeros((100, 100), np.uint8), longer_side_px=200, **features((30, 60, 20))
    )
    assert drawing.shape == (200, 200, 3)
    np.testing.assert_allclose(ring(drawing), (40.5, 100.5, 80.5, 140.5), atol=1)
    assert drawing[120, 60].max() == 0  # hollow
    assert tuple(drawing[drawing.max(axis=2).argmax() // 200, 0]) == (0, 0, 0)
    brightest = drawing.reshape(-1, 3)[drawing.max(axis=2).argmax()]
    np.testing.assert_allclose(brightest, PALETTE[0], atol=20)


def test_without_features_the_image_is_only_scaled():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    drawing = thumbnail(image, longer_side_px=2, **features())
    # INTER_AREA: every pixel is the mean of 2 x 2.
    expected = image.reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(drawing, expected, atol=0.51)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 3)])
def test_every_shape_and_no_change_of_the_input(shape):
    image = np.full(shape, 7, np.uint8)
    drawing = thumbnail(image, longer_side_px=90, **features((4, 3, 3)))
    assert drawing.shape == (60, 90, 3)
    assert (image == 7).all()
    assert thumbnail(image[::-1, ::-1], longer_side_px=9, **features((4, 3, 3))).shape == (6, 9, 3)
    assert (image == 7).all()


def test_the_shorter_side_keeps_a_pixel():
    assert thumbnail(np.zeros((1, 5000), np.uint8), longer_side_px=64, **features()).shape == (
        1,
        64,
        3,
    )


def test_small_circles_lie_on_large_ones():
    both = features((20, 20, 2), (20, 20, 20))
    kwargs = {"longer_side_px": 400, "colours": np.array([1, 2])}
    image = np.zeros((40, 40), np.uint8)
    swapped = {name: values[::-1] for name, values in both.items()}
    np.testing.assert_array_equal(
        thumbnail(image, **both, **kwargs),
        thumbnail(image, **swapped, longer_side_px=400, colours=np.array([2, 1])),
    )


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(
        st.tuples(*[st.floats(width=32, allow_nan=True, allow_infinity=True)] * 3), max_size=5
    )
)
def test_no_number_breaks_drawing(numbers):
    drawing = thumbnail(np.zeros((5, 8), np.uint8), longer_side_px=64, **features(*numbers))
    assert drawing.shape == (40, 64, 3)


def test_features_outside_or_not_finite_are_left_out():
    outside = features(
        (-500, 5, 3), (5, 500, 3), (np.nan, 5, 3), (5, np.inf, 3), (5, 5, np.inf), (1e30, 1e30, 3)
    )
    assert not thumbnail(np.zeros((10, 10), np.uint8), longer_side_px=100, **outside).any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"1 or 3 channels, this is uint8 of shape \(4, 4, 4\)"),
        (np.zeros((4, 4), np.float32), "this is float32"),
        (np.zeros(4, np.uint8), r"of shape \(4,\)"),
        (np.zeros((0, 4), np.uint8), r"must have pixels, this has shape \(0, 4\)"),
    ],
)
def test_wrong_images(image, message):
    with pytest.raises(ValueError, match=message):
        thumbnail(image, **features())


def test_colour_numbers():
    ranking = np.arange(100, 110)  # ten words, eight colours
    words = np.array([100, 107, 108, 103, 7])
    assert colour_numbers(words, ranking).tolist() == [0, 7, 8, 3, 8]
    assert colour_numbers(words, ranking[:0]).tolist() == [8] * 5
    assert colour_numbers(words[:0], ranking).tolist() == []


def test_jpeg_keeps_the_order_of_channels():
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 250
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(image), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(decoded[8, 8], (0, 0, 250), atol=8)
