"""Made-up galaxies of the twelve classes: their strings, and what defines each class."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from minia_spark.galaxies import morphology
from minia_spark.sky.galaxy_zoo import CLASSES, draw_galaxy, write_galaxies


def shape_of(pixels):
    """Return axis ratio and concentration of what is brighter than half the peak's height."""
    light = pixels.astype(float).mean(axis=2)
    light -= np.median(light)
    light[light < 0.2 * light.max()] = 0
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    total = light.sum()
    x, y = x - (light * x).sum() / total, y - (light * y).sum() / total
    moments = [[(light * a * b).sum() / total for a in (x, y)] for b in (x, y)]
    small, large = np.linalg.eigvalsh(moments)
    near = light[np.hypot(x, y) < 5].sum() / total
    return np.sqrt(small / large), near


def many(kind, count=12):
    return [draw_galaxy(kind, 96, np.random.default_rng([5, i])) for i in range(count)]


@pytest.mark.parametrize("kind", CLASSES)
def test_its_string_is_of_its_class(kind):
    for pixels, text in many(kind, 4):
        assert morphology.reduced_class(text) == kind
        assert morphology.facets_of(text) is not None
        assert pixels.shape == (96, 96, 3)
        assert pixels.dtype == np.uint8
        assert pixels.std() > 3


def test_what_defines_a_class():
    ratio = {kind: np.median([shape_of(p)[0] for p, _ in many(kind)]) for kind in CLASSES}
    assert ratio["Er"] > ratio["Ei"] > ratio["Ec"]
    assert ratio["Sc"] > ratio["Ser"] > ratio["Sen"]
    middle = slice(42, 54)
    glow = {k: np.median([p[middle, middle].mean() for p, _ in many(k)]) for k in CLASSES}
    assert glow["Sa"] > glow["Sc"] > glow["Sd"]
    assert glow["A"] > glow["Sd"]


def test_the_same_seed_writes_the_same(tmp_path):
    seeds = {"a": 1, "b": 1, "c": 2}
    tables = [write_galaxies(tmp_path / n, 2, side_px=48, seed=s) for n, s in seeds.items()]
    files = [sorted((t.parent / "images").iterdir()) for t in tables]
    assert [len(f) for f in files] == [24, 24, 24]
    content = [[path.read_bytes() for path in f] for f in files]
    assert content[0] == content[1] != content[2]
    rows = list(csv.DictReader(tables[0].read_text().splitlines()))
    assert [morphology.reduced_class(r["gz2_class"]) for r in rows] == [
        kind for kind in CLASSES for _ in range(2)
    ]
