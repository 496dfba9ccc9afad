"""What is said of averages: of pictures that are drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from explorer.browser import Opened, chromium

from minia_spark.gallery.site import write

from .samples import batch, gallery

SIDE = 60


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("portraits") / "g"
    write(gallery([batch("b1", ["a.png"])], structures=1), place)
    with chromium() as started:
        opened = Opened(started, place.as_uri())
        yield opened.open("gallery.html")
        opened.close()


def blob(x, y, *, light=1.0, long=0.05, wide=0.05, degrees=0.0):
    """A Gaussian: its middle and widths as shares of the side, turned from +x to +y."""
    v, u = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    along, across = cos * (u - x) + sin * (v - y), cos * (v - y) - sin * (u - x)
    return light * np.exp(-((along / long) ** 2 + (across / wide) ** 2) / 2)


def told(page, picture, circle, centre):
    x, y, radius = circle
    return page.evaluate(
        """([cells, circle, centre]) => minia_map.told(Float64Array.from(cells),
            minia_map.coverage([[circle]]), centre)""",
        [
            picture.ravel().tolist(),
            {"x": x, "y": y, "radius": radius},
            {"x": centre[0], "y": centre[1]},
        ],
    )


BESIDE = "an elongated galaxy with a star or another galaxy beside it"
OUTER = "the outer part of the galaxy"
GALAXY = blob(0.3, 0.5, long=0.1, wide=0.07)
MIDDLE = (0.3, 0.5)


@pytest.mark.parametrize(
    ("more", "circle", "words"),
    [
        (
            blob(0.7, 0.5, light=0.4),
            (0.65, 0.5, 0.2),
            "a compact source beside the galaxy: a star or a small galaxy",
        ),
        (
            blob(0.7, 0.5, light=0.4, long=0.12, wide=0.03, degrees=30),
            (0.65, 0.5, 0.2),
            "a thin galaxy with a star or another galaxy beside it",
        ),
        (
            blob(0.6, 0.4, light=0.4) + blob(0.8, 0.7, light=0.3),
            (0.7, 0.55, 0.3),
            "2 compact sources beside the galaxy: stars or small galaxies",
        ),
        # too faint, and one that no feature covers
        (
            blob(0.7, 0.5, light=0.1),
            (0.5, 0.5, 0.15),
            "the outer part of the galaxy",
        ),
        (
            blob(0.8, 0.1, light=0.9),
            (0.5, 0.5, 0.1),
            "the outer part of the galaxy",
        ),
        (0, (0.3, 0.5, 0.2), "the middle of the galaxy"),
    ],
)
def test_beside_a_galaxy(page, more, circle, words):
    assert told(page, GALAXY + more, circle, MIDDLE) == words


@pytest.mark.parametrize(
    ("degrees", "words"),
    [
        (40, BESIDE),
        (-40, BESIDE),
        (90, BESIDE),
        (5, "an elongated galaxy"),
    ],
)
def test_a_core(page, degrees, words):
    core = blob(0.5, 0.5, long=0.12, wide=0.035, degrees=degrees)
    assert told(page, core, (0.5, 0.5, 0.2), (0.5, 0.5)) == words


def test_an_empty_picture(page):
    assert told(page, 0 * GALAXY, (0.5, 0.5, 0.3), MIDDLE) == ""


def test_sources_are_hills_that_rise_above_the_pass_to_a_higher_one(page):
    picture = blob(0.3, 0.5) + blob(0.7, 0.5, light=0.5)
    found = page.evaluate(
        "(cells) => minia_map.sources(Float64Array.from(cells))", picture.ravel().tolist()
    )
    assert [one["rises"] for one in found] == pytest.approx([1, 0.5], abs=0.02)
    assert [(one["x"], one["y"]) for one in found] == [
        pytest.approx((0.3, 0.5), abs=0.02),
        pytest.approx((0.7, 0.5), abs=0.02),
    ]


def test_a_feature_covers_a_circle_in_a_share_of_the_images(page):
    found = page.evaluate(
        """() => [...minia_map.coverage([[{ x: 0.5, y: 0.5, radius: 0.1 }], [],
            [{ x: 0.5, y: 0.5, radius: 0.1 }, { x: 0.52, y: 0.5, radius: 0.1 }], []])]"""
    )
    share = np.reshape(found, (SIDE, SIDE))
    assert set(np.unique(share)) == {0, 0.25, 0.5}
    assert (share == 0.5).sum() == pytest.approx(np.pi * 6**2, rel=0.1)
    assert share[30, 30] == 0.5
