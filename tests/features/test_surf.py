"""SURF: the descriptor against a slow twin and by hand, both implementations, strange images."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from features.test_sift import STRANGE, blobs, listed
from pydantic import ValidationError

from minia_spark.base.errors import Rejected, SettingsError
from minia_spark.features import extractors, surf
from minia_spark.features.extractors import check_extracted, create, extractor_of
from minia_spark.features.settings import FeaturesSettings, SurfSettings
from minia_spark.features.surf import SurfExtractor, available, describe, detect, orientations


def extract(pixels, own=None, **options):
    chosen = {"implementation": "mahotas", **(own or {})}
    return create(FeaturesSettings(surf=SurfSettings(**chosen), **options), "surf").extract(pixels)


def sums_of(grey):
    sums = np.zeros((grey.shape[0] + 1, grey.shape[1] + 1), np.int64)
    sums[1:, 1:] = grey.astype(np.int64).cumsum(axis=0).cumsum(axis=1)
    return sums


def wavelet(grey, x, y, half):
    """Mean of the right half minus that of the left, and of the lower minus the upper."""
    column, row = math.floor(x + 1), math.floor(y + 1)
    square = grey[row - half : row + half, column - half : column + half].astype(float)
    return (
        square[:, half:].mean() - square[:, :half].mean(),
        square[half:].mean() - square[:half].mean(),
    )


def twin(grey, x, y, scale, angle, extended):
    """The descriptor as the paper tells it, place by place."""
    cosine, sine = math.cos(angle), math.sin(angle)
    half = max(1, round(scale))
    numbers = []
    for i in range(4):
        for j in range(4):
            cell = np.zeros(8 if extended else 4)
            for row in range(5 * i, 5 * i + 5):
                for column in range(5 * j, 5 * j + 5):
                    u, v = column - 9.5, row - 9.5
                    right, down = wavelet(
                        grey,
                        x + scale * (cosine * u - sine * v),
                        y + scale * (sine * u + cosine * v),
                        half,
                    )
                    weight = math.exp(-(u * u + v * v) / (2 * 3.3**2))
                    dx = weight * (cosine * right + sine * down)
                    dy = weight * (cosine * down - sine * right)
                    if not extended:
                        cell += [dx, dy, abs(dx), abs(dy)]
                    else:
                        cell[[0, 1] if dy < 0 else [2, 3]] += [dx, abs(dx)]
                        cell[[4, 5] if dx < 0 else [6, 7]] += [dy, abs(dy)]
            numbers.extend(cell)
    return np.array(numbers) / np.linalg.norm(numbers)


@pytest.mark.parametrize("extended", [False, True])
def test_descriptor_equals_the_slow_twin(extended):
    grey = cv2.cvtColor(blobs(150, 160), cv2.COLOR_RGB2GRAY)
    x, y = np.array([80.0, 70.3, 90.8]), np.array([75.0, 80.6, 66.1])
    scale, angle = np.array([1.2, 2.7, 3.4]), np.array([0.0, 1.1, -2.5])
    found = describe(sums_of(grey), x, y, scale, angle, extended=extended)
    assert found.shape == (3, 128 if extended else 64)
    assert found.dtype == np.float32
    for number in range(3):
        own = twin(grey, x[number], y[number], scale[number], angle[number], extended)
        np.testing.assert_allclose(found[number], own, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


def test_a_slope_by_hand():
    # brighter by 2 a pixel to the right: every wavelet gives dx = 2 half, dy = 0
    grey = np.tile(np.arange(0, 240, 2, dtype=np.uint8), (120, 1))
    at = (np.array([60.0]), np.array([60.0]), np.array([2.0]))
    (flat,) = describe(sums_of(grey), *at, np.zeros(1), extended=False).reshape(-1, 16, 4)
    np.testing.assert_allclose(flat[:, 0], flat[:, 2])
    assert (flat[:, 0] > 0).all()
    np.testing.assert_allclose(flat[:, [1, 3]], 0, atol=1e-7)
    assert orientations(sums_of(grey), *at)[0] == pytest.approx(0, abs=1e-9)
    assert orientations(sums_of(grey.T), *at)[0] == pytest.approx(np.pi / 2)
    assert abs(orientations(sums_of(grey[:, ::-1]), *at)[0]) == pytest.approx(np.pi)
    (split,) = describe(sums_of(grey), *at, np.zeros(1), extended=True).reshape(-1, 16, 8)
    np.testing.assert_allclose(split[:, [2, 3]], flat[:, [0, 2]])  # dy >= 0
    np.testing.assert_allclose(split[:, [0, 1, 4, 5]], 0, atol=1e-7)
    nothing = describe(sums_of(np.full((120, 120), 9, np.uint8)), *at, np.zeros(1), extended=False)
    assert not nothing.any()


@pytest.mark.parametrize("sigma", [3.0, 5.0, 8.0])
def test_a_blob_is_found_where_it_is_and_as_strong_as_opencv_says(sigma):
    rows, columns = np.mgrid[:301, :301]
    light = 200 * np.exp(-((columns - 150) ** 2 + (rows - 140) ** 2) / (2 * sigma**2))
    grey = np.rint(light).astype(np.uint8)
    x, y, scale, response = detect(grey, threshold=100.0, octaves=4, layers=3)
    best = int(np.argmax(response))
    assert (x[best], y[best]) == (pytest.approx(150, abs=0.1), pytest.approx(140, abs=0.1))
    # OpenCV's determinant there, for lobes of 3, 5, ... pixels: the mean of a box minus twice that
    # of the next plus that of the one after, squared, as both directions are alike
    determinants = {}
    for lobe in range(3, 41, 2):
        wide, long = lobe // 2, (2 * lobe - 1) // 2
        left, middle, right = (
            grey[140 - long : 141 + long, 150 + at - wide : 151 + at + wide].astype(float).mean()
            for at in (-lobe, 0, lobe)
        )
        determinants[lobe] = (left - 2 * middle + right) ** 2
    strongest = max(determinants, key=lambda lobe: determinants[lobe])
    assert scale[best] / 0.4 == pytest.approx(strongest, abs=1.2)  # 9 pixels are a scale of 1.2
    assert response[best] == pytest.approx(determinants[strongest], rel=0.03)


def test_the_threshold_is_that_of_the_response():
    grey = cv2.cvtColor(blobs(200, 240), cv2.COLOR_RGB2GRAY)
    everything = detect(grey, threshold=1.0, octaves=3, layers=3)[3]
    limit = float(np.median(everything))
    some = detect(grey, threshold=limit, octaves=3, layers=3)[3]
    assert sorted(some) == sorted(everything[everything >= limit])
    assert len(everything) > len(some) > 5


def test_upright_and_extended_work():
    kinds = {
        (extended, upright): extract(blobs(), {"extended": extended, "upright": upright})
        for extended in (False, True)
        for upright in (False, True)
    }
    for (extended, upright), found in kinds.items():
        n = len(found)
        assert n == len(kinds[False, True]) > 5
        assert found.descriptors.shape == (n, 128 if extended else 64)
        assert (found.descriptors.dtype, found.x.dtype) == (np.float32, np.float32)
        if upright:
            assert (found.angle == -1).all()
        else:
            assert ((found.angle >= 0) & (found.angle < 360)).all()
    assert not np.allclose(kinds[False, True].descriptors, kinds[False, False].descriptors)
    # extended splits the sums of the short one
    long = kinds[True, True].descriptors.reshape(-1, 16, 8)
    joined = np.stack([long[..., [k, k + 2]].sum(axis=-1) for k in (0, 4, 1, 5)], axis=-1)
    joined /= np.linalg.norm(joined, axis=(1, 2), keepdims=True)
    short = kinds[False, True].descriptors.reshape(-1, 16, 4)
    np.testing.assert_allclose(joined, short, atol=1e-5)


def test_turned_images_have_the_same_descriptors_unless_upright():
    grey = cv2.cvtColor(blobs(201, 201), cv2.COLOR_RGB2GRAY)
    turned = np.ascontiguousarray(np.rot90(grey))  # x to 200 - y... and y to 200 - x

    def likeness(upright):
        one, other = (extract(g, {"upright": upright}) for g in (grey, turned))
        found = []
        for number in range(len(one)):
            away = np.hypot(other.x - one.y[number], other.y - (200 - one.x[number]))
            near = int(np.argmin(away + np.abs(other.size - one.size[number])))
            if away[near] < 0.5:
                found.append(float(one.descriptors[number] @ other.descriptors[near]))
        assert len(found) > 10
        return np.median(found)

    assert likeness(False) > 0.98
    assert likeness(True) < 0.95


def test_order_cap_median_and_mask():
    everything, some = extract(blobs()), extract(blobs(), max_features=5)
    assert (len(some), some.found) == (5, len(everything))
    assert sorted(some.response) == sorted(everything.response)[-5:]
    assert set(listed(some)) <= set(listed(everything))
    assert (everything.y[1:] >= everything.y[:-1]).all()
    assert listed(extract(blobs(count=6), background_mask=True)) != listed(extract(blobs(count=6)))
    assert listed(extract(blobs(), median_filter=9)) != listed(everything)
    with pytest.raises(Rejected, match=r"the limit of extraction is 99 \(features.max_pixels\)"):
        extract(blobs(), max_pixels=99)


def test_many_features_are_described_as_few_are(monkeypatch):
    expected = listed(extract(blobs(), {"upright": False}))
    monkeypatch.setattr(surf, "_CHUNK", 3)
    assert listed(extract(blobs(), {"upright": False})) == expected


@pytest.mark.parametrize("shape", STRANGE)
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
@pytest.mark.parametrize("channels", [1, 3])
def test_strange_shapes(shape, fill, channels, capfd):
    full = shape if channels == 1 else (*shape, 3)
    pixels = {
        "black": np.zeros(full, np.uint8),
        "white": np.full(full, 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, full, dtype=np.uint8),
    }[fill]
    found = extract(pixels, {"upright": False, "hessian_threshold": 0})
    assert (len(found), found.found, found.descriptors.shape) == (0, 0, (0, 64))
    assert found.descriptors.dtype == np.float32
    assert capfd.readouterr() == ("", "")


def test_features_at_the_edge_see_the_edge_repeated():
    rows, columns = np.mgrid[:90, :90]
    light = 200 * np.exp(-((columns - 24) ** 2 + (rows - 45) ** 2) / 32) + 40 * (columns < 9)
    grey = light.clip(0, 255).astype(np.uint8)
    found = extract(grey, {"upright": False})
    assert (found.x - 2 * found.size < 0).any()  # patches reach beyond the image
    wide = extract(np.pad(grey, 40, mode="edge"), {"upright": False})
    assert len(found) > 0
    for number in range(len(found)):
        away = np.hypot(wide.x - 40 - found.x[number], wide.y - 40 - found.y[number])
        near = int(np.argmin(away + np.abs(wide.size - found.size[number])))
        assert away[near] < 1e-3
        np.testing.assert_allclose(wide.descriptors[near], found.descriptors[number], atol=1e-6)


class OwnSurf:
    """What OpenCV's SURF looks like from outside, where it was built with it."""

    made: tuple[object, ...] = ()

    def __init__(self, keypoints=()):
        self.keypoints = list(keypoints)

    def detectAndCompute(self, grey, _mask):
        descriptors = np.arange(64 * len(self.keypoints), dtype=np.float32).reshape(-1, 64)
        return self.keypoints, descriptors if self.keypoints else None


@pytest.fixture
def opencv_has_surf(monkeypatch):
    """Make OpenCV look as if it were built with its non-free modules."""
    points = [cv2.KeyPoint(5.0, 9.0, 15.0, 270.0, 300.0), cv2.KeyPoint(7.5, 3.0, 21.0, 270.0, 99.0)]

    def create(*options):
        OwnSurf.made = options
        return OwnSurf(points)

    monkeypatch.setattr(cv2, "xfeatures2d", SimpleNamespace(SURF=SimpleNamespace(create=create)))
    extractors._made.cache_clear()
    yield
    extractors._made.cache_clear()


def test_opencv_is_preferred_where_it_has_surf(opencv_has_surf):
    assert available()[0] == "opencv"
    found = extract(np.zeros((20, 20), np.uint8), {"implementation": "auto", "octaves": 2})
    assert OwnSurf.made == (100.0, 2, 3, False, True)
    assert found.x.tolist() == [7.5, 5.0]
    assert found.angle.tolist() == [-1, -1]  # upright
    assert found.descriptors[1, 0] == 0
    turned = extract(np.zeros((20, 20), np.uint8), {"implementation": "opencv", "upright": False})
    assert turned.angle.tolist() == [270, 270]
    settings = FeaturesSettings()
    assert extractor_of("surf").layout(settings)["implementation"] == "opencv"


def test_who_computes_is_stored_and_the_rest_as_ever():
    settings = FeaturesSettings(surf=SurfSettings(extended=True, implementation="mahotas"))
    assert extractor_of("surf").layout(settings) == {
        "extractor": "surf",
        "dtype": "<f4",
        "dimension": 128,
        "scored": False,
        "implementation": "mahotas",
    }
    assert "implementation" not in extractor_of("sift").layout(settings)
    json.dumps(extractor_of("surf").options(settings))


def check(**own):
    settings = SimpleNamespace(of=lambda _: FeaturesSettings(surf=SurfSettings(**own)))
    warehouse = SimpleNamespace(storage=None, catalogue=lambda: None)
    check_extracted(settings, warehouse, "surf")


def test_what_is_not_there_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(extractors, "told_of_descriptors", lambda *_: None)
    monkeypatch.setattr(surf, "available", lambda: ("mahotas",))
    check()
    check(implementation="mahotas")
    with pytest.raises(SettingsError, match=r"surf\.implementation: opencv is not possible"):
        check(implementation="opencv")
    monkeypatch.setattr(surf, "available", lambda: ("opencv",))
    check()
    with pytest.raises(SettingsError, match="pip install mahotas"):
        check(implementation="mahotas")
    monkeypatch.setattr(surf, "available", lambda: ())
    with pytest.raises(SettingsError, match="pip install mahotas"):
        check()


def test_another_implementation_than_the_warehouse_has_is_refused(monkeypatch):
    monkeypatch.setattr(surf, "available", lambda: ("opencv", "mahotas"))
    told = {"implementation": "mahotas"}
    monkeypatch.setattr(extractors, "told_of_descriptors", lambda *_: told)
    with pytest.raises(SettingsError, match=r"are by mahotas, and this machine would take opencv"):
        check()
    check(implementation="mahotas")  # as the message says
    check(implementation="opencv")  # asked for: a change of settings, which --replace confirms


@pytest.mark.parametrize("own", [{"octaves": 0}, {"layers": 0}, {"hessian_threshold": -1}])
def test_wrong_settings(own):
    with pytest.raises(ValidationError, match=next(iter(own))):
        SurfSettings(**own)


def test_defaults_are_those_of_minia():
    own = SurfSettings()
    assert (own.hessian_threshold, own.octaves, own.layers) == (100, 4, 3)
    assert (own.extended, own.upright) == (False, True)
    assert SurfExtractor.name == "surf"
