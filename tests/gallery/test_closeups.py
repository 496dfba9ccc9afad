"""Where close-ups are: poses of features by hand, of planted patterns and of chance; frames."""

from __future__ import annotations

import numpy as np
import pytest
from explorer.browser import Opened, chromium

from minia_spark.gallery.site import write

from .samples import batch, gallery

POSES = """(pairs) => pairs.map(([one, other]) => {
    const names = ["x", "y", "size", "turn", "word"];
    const read = (rows) => rows.map((row) => Object.fromEntries(names.map((n, k) => [n, row[k]])));
    const found = minia_map.pose(read(one), read(other));
    return found && { agree: found.agree, turn: found.turn, scale: found.scale,
                      middle: found.taken({ x: 0.5, y: 0.5 }) };
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Any gallery: its program is what is tested."""
    place = tmp_path_factory.mktemp("closeups") / "g"
    write(gallery([batch("b1", ["a.png"])], structures=1), place)
    with chromium() as started:
        opened = Opened(started, place.as_uri())
        yield opened.open("gallery.html")
        opened.close()


def poses(page, pairs):
    return page.evaluate(POSES, [[rows.tolist() for rows in pair] for pair in pairs])


def features(rows):
    names = ("x", "y", "size", "turn", "word")
    return [dict(zip(names, row, strict=True)) for row in rows.tolist()]


def moved(rows, *, turn, scale, shift):
    """The rows after a turn from x to y around (0.5, 0.5), a scale and a shift."""
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x, y = rows[:, 0] - 0.5, rows[:, 1] - 0.5
    there = [0.5 + shift + cos * x - sin * y, 0.5 + sin * x + cos * y]
    return np.column_stack([*there, scale * rows[:, 2], rows[:, 3] + turn, rows[:, 4]])


def scattered(rng, count, words):
    size = rng.uniform(0.02, 0.07, count)
    turn = rng.uniform(0, 2 * np.pi, count)
    return np.column_stack(
        [*rng.uniform(0, 1, (2, count)), size, turn, rng.integers(words, size=count)]
    )


def test_a_quarter_turn_by_hand(page):
    one = np.array([[0.5, 0.5, 0.1, 0, 1], [0.6, 0.5, 0.1, 0, 2], [0.5, 0.7, 0.1, 0, 3]])
    other = moved(one, turn=np.pi / 2, scale=2, shift=0.1)
    assert other[1, :2] == pytest.approx([0.6, 0.7])  # what was on the right is below
    found, few, none = poses(page, [(one, other), (one[:2], other), (one[:0], other)])
    assert (found["agree"], found["scale"]) == (3, 2)
    assert found["turn"] == pytest.approx(np.pi / 2)
    assert found["middle"] == pytest.approx({"x": 0.6, "y": 0.5})
    assert few is none is None  # two do not do


@pytest.mark.parametrize(("count", "words"), [(8, 4), (40, 5), (400, 8)])
def test_planted_among_as_many_others(page, count, words):
    """Six in ten features come again in another place, the others are anywhere."""
    rng = np.random.default_rng(count)
    pairs, shifts = [], []
    for _ in range(10):
        one = scattered(rng, count, words)
        turn, scale, shift = rng.uniform([0, 0.7, -0.1], [2 * np.pi, 1.3, 0.1])
        other = moved(one, turn=turn, scale=scale, shift=shift)
        others = rng.random(count) > 0.6
        other[others] = scattered(rng, int(others.sum()), words)
        pairs.append((one, rng.permutation(other)))
        shifts.append(shift)
    found = poses(page, pairs)
    assert sum(one is not None for one in found) >= 8
    for one, shift in zip(found, shifts, strict=True):
        if one is not None:
            assert one["middle"] == pytest.approx({"x": 0.5 + shift, "y": 0.5}, abs=0.06)


@pytest.mark.parametrize(("count", "words"), [(8, 4), (40, 5), (400, 8), (1500, 2)])
def test_chance_is_no_pose(page, count, words):
    rng = np.random.default_rng(words)
    pairs = [[scattered(rng, count, words) for _ in range(2)] for _ in range(8)]
    assert sum(one is not None for one in poses(page, pairs)) <= 1


def test_cutouts_of_galaxies_are_laid_by_their_frames(page):
    """All features of an image are turned alike: by that, with the middle of the image in sight."""
    where = """(images) => {
        const laying = new minia_map.Laying(images, new Set([1]));
        return images.map((one) => laying.place(one));
    }"""
    rows = np.array([[0.7, 0.5, 0.02, 0, 1], [0.7, 0.5, 0.02, 0, 1], [0.1, 0.1, 0.02, 0, 2]])
    images = []
    for turn in (0.5, 2.0):
        own = moved(rows, turn=turn, scale=1, shift=0)
        images.append({"features": features(own), "wide": 1, "high": 1})
    for place, turn in zip(page.evaluate(where, images), (0.5, 2.0), strict=True):
        middle = {"x": 0.5 + 0.2 * np.cos(turn), "y": 0.5 + 0.2 * np.sin(turn)}
        assert place == pytest.approx({**middle, "half": 0.4, "turn": turn, "alike": True})
    told = "(images) => minia_map.somewhere(minia_map.scattered(images, new Set([1])))"
    wanted = "towards an end of the galaxies' long axis"
    assert page.evaluate(told, 2 * images) == wanted
