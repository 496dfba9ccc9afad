"""The generated survey: determinism, truth that matches the pixels, files, and discoverability."""

from __future__ import annotations

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.base.errors import MiniaError, SettingsError
from minia_spark.sky.morphology import GALAXIES, add_blob, frame, window
from minia_spark.sky.patterns import PATTERNS
from minia_spark.sky.survey import Survey, generate, write_image, write_survey

SMALL = Survey(side_px=96)


def one(survey, index):
    return next(generate(survey, [index]))


def test_an_image_depends_on_seed_and_index_only():
    forwards = list(generate(SMALL, range(6)))
    backwards = list(generate(SMALL, reversed(range(6))))[::-1]
    for (name, image, truth), (again_name, again, again_truth) in zip(
        forwards, backwards, strict=True
    ):
        assert name == again_name
        assert truth == again_truth
        np.testing.assert_array_equal(image, again)
    assert len({image.tobytes() for _, image, _ in forwards}) == 6
    assert one(replace(SMALL, seed=2), 0)[1].tobytes() != forwards[0][1].tobytes()


@pytest.mark.parametrize(("channels", "shape"), [(3, (96, 96, 3)), (1, (96, 96))])
def test_shapes(channels, shape):
    name, image, truth = one(replace(SMALL, channels=channels), 42)
    assert (name, truth.image) == ("sky-0000042", "sky-0000042")
    assert image.shape == shape
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 10**9), frequency=st.floats(0, 1))
def test_truth_is_within_the_image_and_the_sky(index, frequency):
    survey = replace(SMALL, frequency=frequency)
    _, _, truth = one(survey, index)
    assert truth.label in GALAXIES
    assert 0 <= truth.ra_deg < 360
    assert -90 <= truth.dec_deg <= 90
    for planted in truth.planted:
        for position in (planted.x, planted.y):
            assert planted.radius_px <= position <= survey.side_px - planted.radius_px
    names = [planted.pattern for planted in truth.planted]
    assert len(set(names)) == len(names)
    for i, a in enumerate(truth.planted):
        for b in truth.planted[:i]:
            assert np.hypot(a.x - b.x, a.y - b.y) >= a.radius_px + b.radius_px


def test_planted_pixels_are_where_the_truth_says():
    """With and without patterns the same image differs inside the planted circles only."""
    quiet = replace(SMALL, noise=0.0, stars=0.0, trail_frequency=0.0, frequency=0.6)
    with_any = 0
    for _, image, truth in generate(quiet, range(12)):
        light = image.astype(int).sum(axis=2)
        if truth.label != "empty":
            continue
        inside = np.zeros_like(light, dtype=bool)
        y, x = np.indices(light.shape)
        for planted in truth.planted:
            circle = np.hypot(x - planted.x, y - planted.y) <= 1.45 * planted.radius_px
            inside |= circle
            assert light[circle].max() > light[~circle].min() + 100
            with_any += 1
        assert np.ptp(light[~inside]) <= 6
    assert with_any > 0


def test_frequency_is_kept_for_every_pattern():
    survey = replace(SMALL, side_px=160, frequency=0.1)
    count = dict.fromkeys(PATTERNS, 0)
    for _, _, truth in generate(survey, range(300)):
        for planted in truth.planted:
            count[planted.pattern] += 1
    for planted in count.values():
        assert 12 <= planted <= 50  # 30 expected, standard deviation 5.2


def test_every_galaxy_kind_adds_light():
    for kind, add in GALAXIES.items():
        image = np.zeros((64, 64, 3), dtype=np.float32)
        add(image, np.random.default_rng(5))
        assert np.isfinite(image).all()
        assert (image.max() > 1) == (kind != "empty")


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_a_pattern_fades_out_beyond_its_radius(pattern):
    u, v = frame(slice(0, 200), slice(0, 200), x=100, y=100, angle=0.3, scale=50)
    light = PATTERNS[pattern](u, v)
    assert light.shape == u.shape
    assert 0.3 < light.max() < 1.3
    assert abs(light[np.hypot(u, v) > 1.35]).max() < 0.02


def test_frame_turns_towards_the_image_y_axis():
    # Unit of 2 pixels, a quarter turn: the u axis points along y, the v axis against x.
    u, v = frame(slice(0, 3), slice(0, 3), x=1, y=1, angle=np.pi / 2, scale=2)
    np.testing.assert_allclose(u, [[-0.5] * 3, [0] * 3, [0.5] * 3], atol=1e-6)
    np.testing.assert_allclose(v, [[0.5, 0, -0.5]] * 3, atol=1e-6)


def test_blobs_are_cut_at_the_edge():
    image = np.zeros((8, 8, 3), dtype=np.float32)
    add_blob(image, x=-100, y=3, sigma=1, peak=5)
    assert window(image, -100, 3, 4)[1] == slice(0, 0)
    assert not image.any()
    add_blob(image, x=7, y=0, sigma=1, peak=5)
    assert image[0, 7, 0] == pytest.approx(5)
    assert image[1, 7, 0] == pytest.approx(5 * np.exp(-0.5))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"side_px": 20}, "side_px is 20, must be 48 or more"),
        ({"channels": 4}, "channels is 4, must be 1 or 3"),
        ({"patterns": ("lens", "unicorn")}, r"unknown patterns \['unicorn'\]"),
        ({"frequency": 1.5}, r"frequency is 1.5, must be in \[0, 1\]"),
        ({"pattern_radius": 0.0}, "pattern_radius is 0.0"),
        ({"scale_jitter": 0.9}, "scale_jitter is 0.9"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"psf_px": 0.0}, "psf_px is 0.0"),
        ({"stars": -1.0}, "stars is -1.0"),
        ({"trail_frequency": 2.0}, "trail_frequency is 2.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_parameters(wrong, message):
    with pytest.raises(SettingsError, match=message):
        Survey(**wrong)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("image_format", ["png", "jpg"])
def test_files(tmp_path, image_format):
    survey = replace(SMALL, frequency=0.5)
    files = write_survey(tmp_path / "new", survey, 5, image_format=image_format, start=3)
    truths = {
        f"{name}.{image_format}": (image, truth)
        for name, image, truth in generate(survey, range(3, 8))
    }
    assert sorted(path.name for path in files.images.iterdir()) == sorted(truths)
    labels = read_csv(files.labels)
    assert [row["image_id"] for row in labels] == sorted(truths)
    for row in labels:
        image, truth = truths[row["image_id"]]
        assert row["label"] == truth.label
        assert float(row["ra_deg"]) == pytest.approx(truth.ra_deg, abs=1e-5)
        written = cv2.imread(str(files.images / row["image_id"]))[..., ::-1]
        if image_format == "png":
            np.testing.assert_array_equal(written, image)
        else:  # JPEG halves the resolution of colour, hardly touches brightness
            assert np.abs(written.mean(axis=2) - image.mean(axis=2)).mean() < 4
    planted = [(row["image_id"], row["pattern"]) for row in read_csv(files.truth)]
    assert planted == [(i, p.pattern) for i, (_, t) in truths.items() for p in t.planted]


def test_no_images_write_empty_tables(tmp_path):
    files = write_survey(tmp_path, SMALL, 0)
    assert list(files.images.iterdir()) == []
    assert read_csv(files.labels) == read_csv(files.truth) == []


def test_wrong_files(tmp_path):
    with pytest.raises(SettingsError, match="'gif' is unknown; choose one of png, jpg"):
        write_survey(tmp_path, SMALL, 1, image_format="gif")
    with pytest.raises(SettingsError, match=r"images \(-1\) and start \(0\) must be 0 or more"):
        write_survey(tmp_path, SMALL, -1)
    with pytest.raises(MiniaError, match=r"none/a.png: cannot be written: No such file"):
        write_image(tmp_path / "none" / "a.png", np.zeros((4, 4), np.uint8))


def test_the_survey_is_discoverable():
    """SIFT words of every pattern recur together: what discovery is to find can be found."""
    survey = replace(SMALL, side_px=128, patterns=("asterism", "lens", "bad_columns"))
    sift = cv2.SIFT_create()
    document, descriptors, holds = [], [], []
    for index, (_, image, truth) in enumerate(generate(survey, range(150))):
        holds.append([name in {p.pattern for p in truth.planted} for name in survey.patterns])
        _, found = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        if found is not None:
            descriptors.append(found)
            document += [index] * len(found)
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_COUNT, 15, 0)
    words = 120
    _, word, _ = cv2.kmeans(np.vstack(descriptors), words, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    has = np.zeros((150, words), dtype=int)
    has[document, word[:, 0]] = 1
    truth = np.array(holds, dtype=int)
    for both, images in zip(truth.T @ has, truth.sum(axis=0), strict=True):
        own = (both / np.maximum(has.sum(axis=0), 1) >= 0.7) & (both / images >= 0.5)
        assert own.sum() >= 5  # words that mean the pattern, and are in most of its images
        support = has[:, own].sum(axis=1) > own.sum() / 2
        assert support.sum() >= 0.6 * images
