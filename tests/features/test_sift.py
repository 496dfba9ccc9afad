"""SIFT: equal to a direct call of OpenCV, ordered, and steady on strange images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from minia_spark.base.errors import Rejected
from minia_spark.features.extractors import create
from minia_spark.features.settings import FeaturesSettings, SiftSettings
from minia_spark.images.decode import decode
from minia_spark.images.preprocess import apply_mask, background_mask, median

GALAXIES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "galaxies" / "images"


def blobs(height=120, width=160, seed=0, count=25):
    """An RGB image with Gaussian sources of many sizes."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for _ in range(count):
        cy, cx = generator.uniform(0, height), generator.uniform(0, width)
        image += 180 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / generator.uniform(4, 120))
    image = image[..., None] * generator.uniform(0.6, 1, 3)
    return np.clip(image + generator.normal(8, 2, image.shape), 0, 255).astype(np.uint8)


def direct(grey, **options):
    """(x, y, size, angle, response, descriptor) of a plain float call, as a sorted list."""
    names = {
        "nfeatures": "nfeatures",
        "n_octave_layers": "nOctaveLayers",
        "contrast_threshold": "contrastThreshold",
        "edge_threshold": "edgeThreshold",
        "sigma": "sigma",
        "enable_precise_upscale": "enable_precise_upscale",
    }
    sift = cv2.SIFT_create(**{names[k]: v for k, v in options.items()})
    keypoints, descriptors = sift.detectAndCompute(grey, None)
    rows = [
        (k.pt[1], k.pt[0], k.size, k.angle, k.response, tuple(map(int, d)))
        for k, d in zip(keypoints, descriptors if keypoints else [], strict=True)
    ]
    return sorted(rows)


def listed(features):
    columns = (features.y, features.x, features.size, features.angle, features.response)
    numbers = zip(*(c.tolist() for c in columns), strict=True)
    return [(*n, tuple(d.tolist())) for n, d in zip(numbers, features.descriptors, strict=True)]


def float32(rows):
    return [(*(float(np.float32(v)) for v in r[:5]), r[5]) for r in rows]


def extract(pixels, sift=None, **options):
    return create(FeaturesSettings(sift=SiftSettings(**(sift or {})), **options)).extract(pixels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"nfeatures": 10},
        {"n_octave_layers": 5},
        {"contrast_threshold": 0.09},
        {"edge_threshold": 3.0},
        {"sigma": 1.2},
        {"enable_precise_upscale": True},
    ],
)
def test_equals_a_direct_call_in_every_parameter(options):
    pixels = blobs()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    expected = float32(direct(grey, **options))
    assert listed(extract(pixels, options)) == expected
    assert len(expected) >= 10
    if options:
        assert expected != float32(direct(grey))  # the option matters


def test_types_and_shapes():
    features = extract(blobs())
    n = len(features)
    assert features.found == n > 20
    for name in ("x", "y", "size", "angle", "response"):
        column = getattr(features, name)
        assert (column.dtype, column.shape) == (np.float32, (n,)), name
    assert (features.descriptors.dtype, features.descriptors.shape) == (np.uint8, (n, 128))
    assert features.descriptors.flags.c_contiguous
    assert (features.y[1:] >= features.y[:-1]).all()
    assert ((features.angle >= 0) & (features.angle < 360)).all()


def test_a_blob_is_found_where_it_is_and_as_large_as_it_is():
    y, x = np.mgrid[:101, :141]
    sigma = 6.0
    image = (200 * np.exp(-((x - 80) ** 2 + (y - 40) ** 2) / (2 * sigma**2))).astype(np.uint8)
    features = extract(image)
    best = int(np.argmax(features.response))
    assert features.x[best] == pytest.approx(80, abs=0.5)
    assert features.y[best] == pytest.approx(40, abs=0.5)
    assert features.size[best] == pytest.approx(2 * sigma, rel=0.3)  # a diameter


def test_grey_and_colour_of_the_same_levels_agree():
    grey = blobs()[..., 1]
    assert listed(extract(grey)) == listed(extract(np.dstack([grey] * 3)))


def test_median_then_mask():
    pixels = blobs(count=6)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mask = background_mask(pixels)
    cases = {
        (9, False): median(grey, 9),
        (0, True): apply_mask(grey, mask),
        (9, True): apply_mask(median(grey, 9), mask),
    }
    for (size, masked), prepared in cases.items():
        found = extract(pixels, median_filter=size, background_mask=masked)
        assert listed(found) == float32(direct(prepared)), (size, masked)
    assert 0 < mask.mean() < 1


def test_cap_keeps_the_strongest_and_tells_how_many_there_were():
    everything, some = extract(blobs()), extract(blobs(), max_features=5)
    assert (len(some), some.found) == (5, len(everything))
    assert sorted(some.response) == sorted(everything.response)[-5:]
    assert set(listed(some)) <= set(listed(everything))


def test_same_result_with_any_number_of_threads():
    expected = listed(extract(blobs()))
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        assert listed(extract(blobs())) == expected
    finally:
        cv2.setNumThreads(before)


def test_opencv_is_held_to_one_thread():
    code = (
        "import cv2; cv2.setNumThreads(3)\n"
        "from minia_spark.features.extractors import create\n"
        "from minia_spark.features.settings import FeaturesSettings\n"
        "create(FeaturesSettings()); print(cv2.getNumThreads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


STRANGE = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 500), (500, 1), (2, 70_000), (7, 4000)]


@pytest.mark.parametrize("shape", STRANGE)
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("prepared", [False, True])
def test_strange_shapes(shape, fill, channels, prepared, capfd):
    full = shape if channels == 1 else (*shape, 3)
    pixels = {
        "black": np.zeros(full, np.uint8),
        "white": np.full(full, 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, full, dtype=np.uint8),
    }[fill]
    features = extract(pixels, median_filter=9 if prepared else 0, background_mask=prepared)
    assert features.descriptors.shape == (len(features), 128)
    if fill != "noise" or min(shape) == 1:
        assert len(features) == 0
        assert features.x.shape == features.response.shape == (0,)
        assert features.descriptors.dtype == np.uint8
        assert features.found == 0
    assert capfd.readouterr() == ("", "")


def test_flat_image_of_a_million_pixels():
    assert len(extract(np.full((1000, 1000), 77, np.uint8))) == 0


def test_what_opencv_refuses_is_a_reject():
    with pytest.raises(
        Rejected,
        match=r"extraction_failed: OpenCV cannot extract SIFT from 40000 x 5 pixels: dst.*SHRT",
    ):
        extract(np.zeros((5, 40_000), np.uint8), {"enable_precise_upscale": True})


def test_lack_of_memory_is_no_verdict_on_the_image(monkeypatch):
    error = cv2.error("OpenCV(4) alloc.cpp:73: error: (-4:Insufficient memory)")
    error.code, error.err = cv2.Error.StsNoMem, "Failed to allocate"

    class Starving:
        def detectAndCompute(self, *_):
            raise error

    extractor = create(FeaturesSettings(max_features=99))
    monkeypatch.setattr(extractor, "_sift", Starving())
    with pytest.raises(MemoryError, match="Insufficient memory"):
        extractor.extract(blobs())


def test_images_too_large_for_the_memory_are_rejects():
    pixels = blobs(40, 50)
    assert len(extract(pixels, max_pixels=2000)) > 0
    with pytest.raises(
        Rejected,
        match=r"pixel_limit: The image has 50 x 40 pixels; the limit of extraction is 1999 \(feat",
    ):
        extract(pixels, max_pixels=1999)


def test_views_and_read_only_arrays():
    pixels = blobs()
    expected = listed(extract(pixels[::2, ::2].copy()))
    assert listed(extract(pixels[::2, ::2])) == expected
    frozen = pixels[::2, ::2].copy()
    frozen.flags.writeable = False
    assert listed(extract(frozen)) == expected
    grey = pixels[..., 0]
    assert listed(extract(grey)) == listed(extract(grey.copy()))


@pytest.mark.skipif(not GALAXIES.exists(), reason="the shared data is not on this machine")
def test_real_galaxies_equal_a_direct_call():
    total = 0
    for path in sorted(GALAXIES.iterdir())[::60]:
        pixels = decode(path.read_bytes()).pixels
        expected = float32(direct(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)))
        assert listed(extract(pixels)) == expected, path.name
        total += len(expected)
    assert total > 100
