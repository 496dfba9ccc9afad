"""Pictures of networks: what is drawn follows from the arrays; hostile names do no harm."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minia_spark.classify import figures
from minia_spark.lab.figures import encoded

CURVE = np.array([[0.0, 0.0], [0.2, 0.8], [1.0, 1.0]])
HOSTILE = "$\\frac{$<script>"


def picture(figure):
    files = encoded(figure)
    assert files["pdf"].startswith(b"%PDF")
    return np.asarray(Image.open(io.BytesIO(files["png"])).convert("L")).astype(int)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            figures.roc_curves({HOSTILE: CURVE}, {HOSTILE: 0.9}),
            figures.roc_curves({HOSTILE: CURVE[::2]}, {HOSTILE: np.nan}),
        ),
        (figures.calibration_curve(CURVE), figures.calibration_curve(CURVE[:1])),
        (
            figures.learning_curves({"loss": CURVE, "validation_accuracy": CURVE}),
            figures.learning_curves({}),
        ),
        (
            figures.confusion_matrix([HOSTILE, "b"], np.array([[3.0, 1.0], [0.0, 0.0]])),
            figures.confusion_matrix([HOSTILE, "b"], np.array([[1.0, 3.0], [0.0, 0.0]])),
        ),
    ],
    ids=["roc", "calibration", "learning", "confusion"],
)
def test_what_differs_is_drawn_differently(one, other):
    first, second = picture(one), picture(other)
    assert first.shape != second.shape or np.abs(first - second).max() > 100
