"""SIFT on a grid: positions by hand, OpenCV one patch at a time, and images that have nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from features.test_sift import blobs, extract
from pydantic import ValidationError

from minia_spark.base.errors import Rejected
from minia_spark.features.grid import PATCH, grid_features
from minia_spark.features.settings import FeaturesSettings, SiftSettings
from minia_spark.features.sift import root_sift
from minia_spark.images.objects import Frame, frame_of, object_mask
from minia_spark.rooms import HOUSE

ROOT = Path(__file__).resolve().parents[2]

SIFT = cv2.SIFT.create(0, 3, 0.04, 10.0, 1.6, cv2.CV_8U, False)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def places(features):
    return sorted(zip(features.x.tolist(), features.y.tolist(), strict=True))


def test_positions_by_hand():
    # 61 x 41 pixels: the middle is (30, 20); patches of 24 pixels reach 12 from their centres
    found = grid_features(SIFT, noise(41, 61), step=8, scales=(24.0,))
    assert places(found) == [(x, y) for x in (14, 22, 30, 38, 46) for y in (12, 20, 28)]
    assert (found.size == 24).all()
    assert (found.angle == -1).all()
    assert found.found == len(found) == 15
    one = grid_features(SIFT, noise(25, 25), step=8, scales=(24.0,))
    assert places(one) == [(12, 12)]


def test_a_patch_that_is_larger_than_the_image_is_none():
    for shape in [(1, 1), (1, 500), (23, 23), (20, 400)]:
        found = grid_features(SIFT, noise(*shape), step=2, scales=(24.0, 60.0))
        assert (len(found), found.found, found.descriptors.shape) == (0, 0, (0, 128))
        assert found.descriptors.dtype == np.uint8
    both = grid_features(SIFT, noise(30, 30), step=4, scales=(12.0, 24.0, 40.0))
    assert set(both.size) == {12, 24}


def test_centres_are_in_the_mask():
    mask = np.zeros((81, 91), dtype=bool)
    mask[30:41, 40:61] = True
    found = grid_features(SIFT, noise(81, 91), step=5, scales=(12.0, 20.0), mask=mask)
    assert len(found) > 10
    assert mask[np.rint(found.y).astype(int), np.rint(found.x).astype(int)].all()
    free = grid_features(SIFT, noise(81, 91), step=5, scales=(12.0, 20.0))
    assert len(free) > 3 * len(found)
    assert set(places(found)) == {p for p in places(free) if 40 <= p[0] < 61 and 30 <= p[1] < 41}
    none = grid_features(SIFT, noise(81, 91), step=5, scales=(12.0,), mask=mask & False)
    assert len(none) == 0


def test_descriptors_are_those_of_opencv_one_by_one():
    grey = cv2.cvtColor(blobs(70, 90), cv2.COLOR_RGB2GRAY)
    found = grid_features(SIFT, grey, step=9, scales=(float(PATCH),))
    left = (0.5, 0.5)  # the middle of 90 x 70 pixels is between pixels
    moved = cv2.warpAffine(
        grey,
        np.array([[1, 0, left[0]], [0, 1, left[1]]]),
        (91, 71),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert len(found) > 20
    for number in range(len(found)):
        x, y = float(found.x[number]) + left[0], float(found.y[number]) + left[1]
        _, own = SIFT.compute(moved, [cv2.KeyPoint(x, y, PATCH / 6, 0.0)])
        # where a row begins in memory decides how OpenCV adds up: the last digit may differ
        np.testing.assert_allclose(found.descriptors[number].astype(int), own[0], atol=2)
        x, y = int(x) - PATCH // 2, int(y) - PATCH // 2
        patch = moved[y : y + PATCH, x : x + PATCH]
        assert found.response[number] == pytest.approx(patch.std(), rel=1e-5, abs=1e-5)


def test_larger_patches_are_those_of_the_smaller_image():
    small = cv2.GaussianBlur(noise(61, 81), (0, 0), 2)
    large = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    fine = grid_features(SIFT, small, step=6, scales=(24.0,))
    coarse = grid_features(SIFT, large, step=12, scales=(48.0,))
    assert len(fine) == len(coarse) > 30
    a, b = (f.descriptors[np.lexsort((f.x, f.y))].astype(float) for f in (fine, coarse))
    likeness = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    assert np.median(likeness) > 0.98


def test_a_flat_image_has_nothing_and_a_half_flat_one_only_the_other_half():
    flat = np.full((80, 80), 90, np.uint8)
    assert len(grid_features(SIFT, flat, step=4, scales=(12.0, 24.0))) == 0
    half = flat.copy()
    half[:, :40] = noise(80, 40)
    found = grid_features(SIFT, half, step=4, scales=(12.0,))
    assert found.x.min() > 0
    assert found.x.max() < 40 + 12
    assert found.descriptors.any(axis=1).all()


def ellipse(degrees, zoom=1.0, side=201):
    """A lopsided galaxy with an arm, turned and magnified about the middle."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    turn = np.radians(degrees)
    u = (columns * np.cos(turn) + rows * np.sin(turn)) / zoom
    v = (rows * np.cos(turn) - columns * np.sin(turn)) / zoom
    light = 200 * np.exp(-(u**2) / 900 - v**2 / 250)
    light += 60 * np.exp(-((u - 22) ** 2) / 30 - (v - 6) ** 2 / 20)
    return np.rint(light).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("degrees", "zoom"), [(90.0, 1.0), (37.0, 1.0), (-120.0, 1.3)])
def test_the_frame_makes_turned_and_magnified_objects_alike(degrees, zoom):
    def described(grey):
        mask = object_mask(grey, 3.0)
        frame = frame_of(grey, mask)
        own = grid_features(
            SIFT, grey, step=8, scales=(16.0,), mask=mask, frame=frame, frame_radius=40.0
        )
        turn = np.radians(frame.angle)
        dx, dy = own.x - frame.x, own.y - frame.y
        scale = 40.0 / frame.radius
        u = np.rint(scale * (dx * np.cos(turn) + dy * np.sin(turn)) / 8).astype(int)
        v = np.rint(scale * (dy * np.cos(turn) - dx * np.sin(turn)) / 8).astype(int)
        assert np.allclose(own.size, 16 / scale, rtol=1e-5)
        assert np.allclose(own.angle, frame.angle)
        return dict(zip(zip(u.tolist(), v.tolist(), strict=True), own.descriptors, strict=True))

    one, other = described(ellipse(0.0)), described(ellipse(degrees, zoom))
    shared = sorted(set(one) & set(other))
    assert len(shared) > 0.7 * max(len(one), len(other)) > 20
    a, b = (np.array([d[p] for p in shared], float) for d in (one, other))
    likeness = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    assert np.median(likeness) > 0.97


def test_positions_of_a_frame_are_pixels_of_the_image():
    # a frame at (50, 40), turned by 90 degrees, twice as large as in the frame's own pixels
    frame = Frame(x=50.0, y=40.0, angle=90.0, radius=20.0)
    mask = np.zeros((100, 110), dtype=bool)
    mask[40, 50] = mask[56, 50] = True  # the middle, and 16 pixels below it
    found = grid_features(
        SIFT, noise(100, 110), step=8, scales=(12.0,), mask=mask, frame=frame, frame_radius=10.0
    )
    assert places(found) == [(50, 40), (50, 56)]
    assert (found.size == 24).all()
    assert (found.angle == 90).all()


def test_an_object_that_would_be_magnified_beyond_the_limit_is_a_reject():
    # a bright spot of a pixel in a wide faint object: its radius is tiny, its extent is not
    rows, columns = np.mgrid[:301, :301] - 150.0
    grey = np.where(rows**2 + columns**2 < 130**2, 12, 10).astype(np.uint8)
    grey[150, 150] = 255
    frame = Frame(x=150.0, y=150.0, angle=0.0, radius=1.0)
    with pytest.raises(
        Rejected,
        match=r"pixel_limit: What is described spans 259 x 259 pixels and has a radius of 1.0;",
    ):
        grid_features(
            SIFT,
            grey,
            step=8,
            scales=(12.0,),
            mask=grey > 10,
            frame=frame,
            frame_radius=40.0,
            most_pixels=4 * 16_000_000,
        )


def test_root_sift_by_hand():
    row = np.zeros((3, 128), np.uint8)
    row[0, :4] = 16, 4, 4, 1  # of 25: square roots of 0.64, 0.16, 0.16, 0.04
    row[1, 7] = 3
    expected = np.zeros((3, 128), np.uint8)
    expected[0, :4] = 204, 102, 102, 51
    expected[1, 7] = 255
    np.testing.assert_array_equal(root_sift(row), expected)  # zeros stay zeros
    assert root_sift(row[:0]).shape == (0, 128)


def test_root_holds_at_keypoints_too():
    plain, root = extract(blobs()), extract(blobs(), {"root": True})
    assert len(plain) == len(root) > 20
    want = {(x, y, *d) for x, y, d in zip(*of_root(plain), strict=True)}
    assert {(x, y, *d) for x, y, d in zip(*of_root(root, made=True), strict=True)} == want
    assert root.descriptors.dtype == np.uint8


def of_root(features, made=False):
    numbers = features.descriptors if made else root_sift(features.descriptors)
    return features.x.tolist(), features.y.tolist(), numbers.tolist()


def on_grid(pixels, grid=None, **options):
    return extract(pixels, {"grid": {"step": 6, **(grid or {})}}, **options)


def test_the_extractor_restricts_the_grid_to_the_object():
    grey = ellipse(20.0)
    grey[5:30, 5:30] = noise(25, 25)  # something else in the corner
    mask = object_mask(grey, 3.0)
    found = on_grid(np.dstack([grey] * 3))
    assert len(found) > 50
    assert mask[np.rint(found.y).astype(int), np.rint(found.x).astype(int)].all()
    assert set(found.size) == {12, 24, 40}
    anywhere = on_grid(grey, {"within": "image"})
    assert (anywhere.x < 30).any()
    framed = on_grid(grey, {"frame": True})
    assert framed.angle[0] == pytest.approx(frame_of(grey, mask).angle)
    assert (framed.y[1:] >= framed.y[:-1]).all()


def test_the_median_filter_and_the_background_mask_hold_on_a_grid():
    pixels = blobs(count=6)
    plain = on_grid(pixels, {"within": "image"}).descriptors
    assert (
        plain.shape != on_grid(pixels, {"within": "image"}, background_mask=True).descriptors.shape
    )
    filtered = on_grid(pixels, {"within": "image"}, median_filter=9).descriptors
    assert not np.array_equal(plain, filtered)


def test_the_cap_keeps_the_patches_of_most_contrast():
    everything = on_grid(blobs(), {"within": "image"})
    some = on_grid(blobs(), {"within": "image"}, max_features=9)
    assert (len(some), some.found) == (9, len(everything))
    assert sorted(some.response) == sorted(everything.response)[-9:]


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (300, 300), (64, 64, 3)])
@pytest.mark.parametrize("frame", [False, True])
def test_images_without_an_object_have_no_features(fill, shape, frame):
    found = on_grid(np.full(shape, fill, np.uint8), {"frame": frame})
    assert (len(found), found.found, found.descriptors.shape) == (0, 0, (0, 128))


def test_same_grid_with_any_number_of_threads():
    expected = on_grid(ellipse(10.0), {"frame": True})
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        again = on_grid(ellipse(10.0), {"frame": True})
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(again.descriptors, expected.descriptors)
    np.testing.assert_array_equal(again.x, expected.x)


@pytest.mark.parametrize(
    ("sift", "message"),
    [
        ({"grid": {"frame": True}}, "frame would have no effect: grid.step is null"),
        ({"grid": {"scales": [9]}}, "scales would have no effect: grid.step is null"),
        ({"grid": {"step": 8, "radius": 9}}, "radius would have no effect: grid.frame is false"),
        (
            {"grid": {"step": 8, "within": "image", "threshold": 2, "frame": True}},
            "threshold, frame would have no effect: grid.within is image",
        ),
        (
            {"grid": {"step": 8}, "contrast_threshold": 0.01, "sigma": 2},
            "contrast_threshold, sigma would have no effect: grid.step is set",
        ),
        ({"grid": {"step": 8, "scales": []}}, "at least 1 item"),
        ({"grid": {"step": 0}}, "greater than or equal to 1"),
        ({"grid": {"step": 8, "scales": [7]}}, "greater than or equal to 8"),
    ],
)
def test_what_would_be_ignored_is_refused(sift, message):
    with pytest.raises(ValidationError, match=message):
        SiftSettings(**sift)


def test_the_recommendation_for_galaxies_is_understood():
    own = HOUSE.load_settings(ROOT / "conf" / "galaxies.yaml").of(FeaturesSettings).sift
    assert own.root
    assert own.grid.step is not None
    assert own.grid.frame


def test_defaults_are_keypoints():
    own = FeaturesSettings()
    assert own.sift.grid.step is None
    assert own.sift.root is False
