"""How values are printed."""

from __future__ import annotations

import math

import pytest

from minia_spark.report.text import (
    duration,
    plural,
    q_value,
    setting,
    significant,
    thousands,
    visible,
)


@pytest.mark.parametrize(
    ("function", "value", "printed"),
    [
        (thousands, 5_300_000, "5,300,000"),
        (significant, 0, "0"),
        (significant, 0.04213, "0.0421"),
        (significant, 1.5, "1.50"),
        (significant, 77.24, "77.2"),
        (significant, 1234.5, "1,234"),
        (significant, 12_345_678, "1.23e+07"),
        (significant, 0.00001234, "1.23e-05"),
        (significant, -2.0, "-2.00"),
        (significant, math.inf, "∞"),
        (significant, math.nan, "nan"),
        (q_value, 0.0, "<0.001"),
        (q_value, 0.00099, "<0.001"),
        (q_value, 0.0123, "0.012"),
        (q_value, math.nan, "nan"),
        (duration, 0.0, "0.0 s"),
        (duration, 9.94, "9.9 s"),
        (duration, 9.96, "10 s"),
        (duration, 73.4, "73 s"),
        (duration, 725, "12 min 5 s"),
        (duration, 12_000, "3 h 20 min"),
        (setting, "sift", "sift"),
        (setting, None, "null"),
        (setting, True, "true"),
        (setting, [1, 2], "[1, 2]"),
        (visible, "M 51 — Übersicht 銀河.jpg", "M 51 — Übersicht 銀河.jpg"),
        (visible, "a\nb\tc\x07", r"a\nb\tc\x07"),
        (visible, "gpj.\u202egnp", r"gpj.\u202egnp"),
        (visible, "\udc80\u2028", r"\udc80\u2028"),
    ],
)
def test_printed(function, value, printed):
    assert function(value) == printed


def test_plural():
    assert plural(1, "image", "images") == "1 image"
    assert plural(1024, "image", "images") == "1,024 images"
