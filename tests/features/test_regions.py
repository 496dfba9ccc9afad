"""Boxes of positions by hand; the choice of features against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.features.regions import best, overlaps, receptive_boxes, scaled_size

FIELD = {"field": 291, "padding": 145}


def test_boxes_by_hand():
    boxes = receptive_boxes(2, 3, stride=32, scale=1.0, **FIELD)
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [
        [-145, -145, 145, 145],
        [-145, -113, 145, 177],
        [-145, -81, 145, 209],
        [-113, -145, 177, 145],
        [-113, -113, 177, 177],
        [-113, -81, 177, 209],
    ]


def test_boxes_are_projected_back_to_the_image():
    (first, second) = receptive_boxes(1, 2, stride=16, scale=0.5, **FIELD)
    assert first.tolist() == [-290, -290, 290, 290]
    assert second.tolist() == [-290, -258, 290, 322]
    double = receptive_boxes(2, 1, stride=32, scale=2.0, **FIELD)[1]
    assert double.tolist() == [-56.5, -72.5, 88.5, 72.5]
    centre = (double[:2] + double[2:]) / 2
    assert centre.tolist() == [16, 0]  # 32 pixels down at twice the size


def test_no_position_no_box():
    assert receptive_boxes(0, 5, stride=32, scale=1.0, **FIELD).shape == (0, 4)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((423, 423), 0.5, (212, 212)),  # 211.5: to the even number
        ((425, 424), 0.5, (212, 212)),  # 212.5: to the even number
        ((100, 50), 0.7071, (71, 35)),
        ((10, 10), 4.0, (40, 40)),
        ((10, 12), 0.01, (1, 1)),
    ],
)
def test_sizes_at_a_scale(size, scale, expected):
    assert scaled_size(*size, scale) == expected


def test_overlaps_by_hand():
    box = np.array([0, 0, 2, 2], np.float32)
    others = np.array(
        [[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 2, 4], [5, 5, 6, 6], [2, 0, 3, 1], [1, 1, 1, 1]],
        np.float32,
    )
    np.testing.assert_allclose(overlaps(box, others), [1, 1 / 7, 0.5, 0, 0, 0])
    assert overlaps(np.zeros(4, np.float32), np.zeros((2, 4), np.float32)).tolist() == [0, 0]


def slow_best(boxes, scores, iou, limit):
    """Choose one after another, comparing each with all that were chosen."""
    left = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    kept = []
    for number in left:
        if len(kept) == limit:
            break
        y1, x1, y2, x2 = map(float, boxes[number])
        for other in kept:
            v1, u1, v2, u2 = map(float, boxes[other])
            both = max(0, min(y2, v2) - max(y1, v1)) * max(0, min(x2, u2) - max(x1, u1))
            union = (y2 - y1) * (x2 - x1) + (v2 - v1) * (u2 - u1) - both
            if union > 0 and both / union > iou:
                break
        else:
            kept.append(number)
    return kept


# shares with a denominator that no overlap of such boxes has: rounding cannot decide
IOUS = st.sampled_from([0.1017, 0.3217, 0.5117, 0.7317, 1.0])
BOX = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 5)] * 2)


@given(st.lists(st.tuples(BOX, st.integers(0, 4)), max_size=25), IOUS, st.integers(1, 30))
def test_the_choice_is_that_of_a_slow_twin(rows, iou, limit):
    boxes = np.array([(y, x, y + h, x + w) for (y, x, h, w), _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float32)
    found = best(boxes, scores, iou=iou, limit=limit)
    assert found.tolist() == slow_best(boxes, scores, iou, limit)


def test_one_keeps_even_what_is_twice_there():
    boxes = np.zeros((3, 4), np.float32) + np.array([0, 0, 1, 1], np.float32)
    scores = np.array([1, 3, 1], np.float32)
    assert best(boxes, scores, iou=1.0, limit=9).tolist() == [1, 0, 2]
    assert best(boxes, scores, iou=0.99, limit=9).tolist() == [1]
    assert best(boxes, scores, iou=1.0, limit=2).tolist() == [1, 0]
