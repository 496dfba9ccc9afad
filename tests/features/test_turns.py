"""What turns do to descriptors, against OpenCV's own of turned images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from minia_spark.features.turns import TURNS, turns_of


def described(image):
    key = cv2.KeyPoint(32, 32, 8, 0)
    return cv2.SIFT_create().compute(np.ascontiguousarray(image), [key])[1][0]


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 255, (65, 65)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.mark.parametrize("number", range(8))
def test_sift_of_a_turned_image(image, number):
    turned = np.rot90(image[::-1] if number >= 4 else image, -(number % 4))  # clockwise
    found = described(image)[turns_of("sift")]
    alike = [np.corrcoef(described(turned), one)[0, 1] for one in found]
    assert np.argmax(alike) == number
    assert alike[number] > 0.99
    assert sorted(alike)[-2] < 0.6


def test_every_turn_has_a_name_and_the_first_is_none():
    rows = turns_of("sift")
    assert len(rows) == len(TURNS) == len(set(TURNS))
    assert TURNS[0] == ""
    assert rows[0].tolist() == list(range(128))
    assert (np.sort(rows, axis=1) == np.arange(128)).all()


def test_two_half_turns_and_two_mirrors_are_none():
    numbers = np.arange(128)
    for turn in (2, 4, 6):
        row = turns_of("sift")[turn]
        assert (numbers[row][row] == numbers).all()


def test_of_others_nothing_is_known():
    assert turns_of("delf").shape == (1, 0)
