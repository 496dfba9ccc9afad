"""What the newest batch brought, in a line and on the overview."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from minia_spark.gallery.news import line
from minia_spark.gallery.panel import attention
from minia_spark.gallery.tables import NEWS

QUIET = {
    "batch": "night2",
    "variant": "sift",
    "new": 0,
    "grown": 0,
    "returned": 0,
    "compared_with": None,
    "odd": 0,
    "featureless": {"images": 0, "expected": 0.1, "p": 1.0, "alert": False},
    "structures": [],
    "images": [{"name": "a.png", "alert": False, "reasons": "nothing in particular"}],
}
ODD = {"name": "<b>\u202eodd", "alert": True, "reasons": "it has no features"}
LOUD = QUIET | {
    "new": 3,
    "grown": 1,
    "compared_with": 7,
    "odd": 5,
    "structures": [{"id": 12, "images": 1400, "of": 3.14}],
    "images": [ODD] * 4,
}


def test_a_line():
    assert line(QUIET) == "night2 (sift): 0 alerts"
    few = QUIET | {"odd": 1, "images": [ODD, *QUIET["images"]]}
    odd = r"<b>\u202eodd: it has no features"
    assert line(few) == f"night2 (sift): 1 alert: {odd}"
    assert line(LOUD) == (
        "night2 (sift): 6 alerts: s0012 in 1,400 of its images, 3.1 expected; "
        f"{odd}; {odd}; {odd}; 2 more; 3 structures new, 1 grown or changed since state 7"
    )
    clouds = {"images": 30, "expected": 1.25, "p": 1e-9, "alert": True}
    assert line(QUIET | {"featureless": clouds}) == (
        "night2 (sift): 1 alert: 30 images without features, 1.2 expected"
    )
    assert line(LOUD | {"returned": 2}).endswith(
        "3 structures new, 1 grown or changed, 2 returned since state 7"
    )


@pytest.mark.parametrize(
    ("news", "told"),
    [
        ([], []),
        ([QUIET], []),
        ([LOUD | {"batch": "<i>"}], ["In batch <bdi>&lt;i&gt;</bdi>: 1 structure is in more of "]),
        ([QUIET, LOUD], ["In batch <bdi>night2</bdi> (sift): 1 structure is in more of "]),
    ],
)
def test_on_the_overview(news, told):
    storage = SimpleNamespace(read=lambda path: {f"gallery/run=1/{NEWS}": json.dumps(news)}[path])
    context = SimpleNamespace(
        entries_of=lambda _: [SimpleNamespace(path="gallery/run=1")],
        warehouse=SimpleNamespace(storage=storage),
    )
    found = attention(context)
    rest = "its images than expected, 5 images are unlike anything known. "
    link = '<a href="warehouse:/gallery/index.html#/new">What is new</a>'
    assert found == [f"{one}{rest}{link}" for one in told]


def test_images_without_features_are_told_of_also_where_they_are_no_alert():
    blank = {"images": 1, "expected": 2.0, "p": 0.9, "alert": False}
    news = [QUIET | {"featureless": blank}]
    storage = SimpleNamespace(read=lambda _: json.dumps(news))
    context = SimpleNamespace(
        entries_of=lambda _: [SimpleNamespace(path="gallery/run=1")],
        warehouse=SimpleNamespace(storage=storage),
    )
    (told,) = attention(context)
    assert "In batch <bdi>night2</bdi>: 1 image has no features. " in told
