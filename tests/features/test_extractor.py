"""The order and the cap of features, and the settings that choose an extractor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from minia_spark.features.extractor import Features, ordered, strongest
from minia_spark.features.extractors import create
from minia_spark.features.settings import FeaturesSettings, SiftSettings

ROW = st.tuples(*[st.integers(0, 2)] * 5, st.binary(min_size=3, max_size=3))


def made(rows):
    table = np.array([row[:5] for row in rows], dtype=np.float32).reshape(-1, 5).T
    descriptors = np.frombuffer(b"".join(row[5] for row in rows), np.uint8).reshape(-1, 3)
    return Features(*np.ascontiguousarray(table), descriptors=descriptors, found=len(rows))


def listed(features):
    columns = (features.x, features.y, features.size, features.angle, features.response)
    numbers = zip(*(c.tolist() for c in columns), strict=True)
    return [(*n, d.tobytes()) for n, d in zip(numbers, features.descriptors, strict=True)]


def test_order_by_hand():
    a = (9, 0, 0, 0, 0, b"\0\0\0")  # highest y comes last whatever x
    b = (0, 1, 0, 0, 0, b"\0\0\0")
    c = (0, 1, 0, 0, 0, b"\0\0\1")  # a tie down to the last descriptor byte
    d = (0, 1, 0, 0, 1, b"\0\0\0")
    assert listed(ordered(made([d, c, b, a]))) == [a, b, c, d]


@given(st.lists(ROW, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_does_not_depend_on_the_order_found(rows, shuffle):
    mixed = list(rows)
    shuffle.shuffle(mixed)
    expected = sorted(rows, key=lambda r: (r[1], r[0], *r[2:]))
    assert listed(ordered(made(mixed))) == expected


@given(st.lists(ROW, max_size=20), st.integers(1, 25))
@settings(max_examples=100, deadline=None)
def test_strongest_keeps_the_best_in_order(rows, limit):
    features = ordered(made(rows))
    kept = strongest(features, limit)
    assert len(kept) == min(limit, len(rows))
    assert kept.found == len(rows)
    assert sorted(kept.response, reverse=True) == sorted(features.response, reverse=True)[:limit]
    places = [listed(features).index(row) for row in listed(kept)]
    assert places == sorted(places)
    assert kept.descriptors.flags.c_contiguous


def test_float_descriptors_have_a_total_order_too():
    features = made([(0, 0, 0, 0, 0, b"\0\0\0")] * 2)
    descriptors = np.array([[2.0, -1.0], [1.0, 3.0]], np.float32)
    both = [
        ordered(
            Features(
                features.x,
                features.y,
                features.size,
                features.angle,
                features.response,
                np.ascontiguousarray(descriptors[order]),
                2,
            )
        ).descriptors
        for order in ([0, 1], [1, 0])
    ]
    np.testing.assert_array_equal(*both)


def test_extractor_is_made_once_in_a_process():
    first = create(FeaturesSettings())
    assert create(FeaturesSettings()) is first
    assert create(FeaturesSettings(max_features=7)) is not first
    assert (first.name, first.descriptor_dim, first.descriptor_dtype) == ("sift", 128, np.uint8)


def test_defaults_are_those_of_opencv():
    import cv2

    sift, own = cv2.SIFT.create(), SiftSettings()
    assert own.nfeatures == sift.getNFeatures()
    assert own.n_octave_layers == sift.getNOctaveLayers()
    assert own.contrast_threshold == sift.getContrastThreshold()
    assert own.edge_threshold == sift.getEdgeThreshold()
    assert own.sigma == sift.getSigma()


@pytest.mark.parametrize("size", [1, 2, 8, 257, -3])
def test_median_size(size):
    with pytest.raises(ValidationError, match="median_filter"):
        FeaturesSettings(median_filter=size)
    assert FeaturesSettings(median_filter=9).median_filter == 9


def test_unknown_names_are_refused():
    with pytest.raises(ValidationError, match="extractor"):
        FeaturesSettings(extractors=("orb",))
    with pytest.raises(ValidationError, match="nOctaveLayers"):
        SiftSettings(nOctaveLayers=3)
    for model in (FeaturesSettings, SiftSettings):
        assert all(f.description.endswith(".") for f in model.model_fields.values())
