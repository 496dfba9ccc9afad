"""Principal components in parts against the SVD of the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from minia_spark.reduce.pca import components_of, decompose, merge, merge_all


def images(count, dims, seed=0, decay=0.9):
    """Return data whose components fall off, with a mean that is far from zero."""
    rng = np.random.default_rng(seed)
    rank = min(count, dims)
    mixed = rng.normal(size=(count, rank)) * (30 * decay ** np.arange(rank))
    return mixed @ np.linalg.qr(rng.normal(size=(dims, rank)))[0].T + 100


def in_parts(data, cuts, kept, dtype=np.float64):
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if b > a]
    return merge_all([decompose(piece, kept, dtype) for piece in pieces], kept)


@settings(max_examples=25)
@given(
    st.integers(2, 40),
    st.integers(1, 30),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 2**20),
)
def test_any_cuts_give_the_svd_of_the_whole(count, dims, cuts, seed):
    data = images(count, dims, seed)
    found = in_parts(data, [c for c in cuts if c < count], kept=64)
    centred = data - data.mean(axis=0)
    strengths = np.linalg.svd(centred, compute_uv=False)
    kept = len(found.strengths)
    assert np.allclose(found.strengths, strengths[:kept], rtol=1e-5)
    assert (strengths[kept:] < 1e-5 * strengths[0]).all()
    # the same scatter, whatever the signs and the order of equal components
    scatter = (found.directions.T * found.strengths**2) @ found.directions
    assert np.allclose(scatter, centred.T @ centred, atol=1e-5 * strengths[0] ** 2)
    assert np.allclose(found.mean, data.mean(axis=0))
    assert found.count == count
    assert np.allclose(found.directions @ found.directions.T, np.eye(kept), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cuts", [(), (50,), (10, 20, 30, 90), tuple(range(7, 120, 7))])
def test_as_scikit_learn(cuts, dtype):
    data = images(120, 300)
    found = components_of(in_parts(data, cuts, 128, dtype), 20, scale=True)
    model = PCA(20, svd_solver="full").fit(data)
    scaler = StandardScaler().fit(model.transform(data))
    assert np.allclose(found.variances, model.explained_variance_, rtol=1e-5)
    assert found.total_variance == pytest.approx(data.var(axis=0, ddof=1).sum(), rel=1e-5)
    assert np.allclose(found.scales, scaler.scale_, rtol=1e-5)
    signs = np.sign((found.directions * model.components_).sum(axis=1))
    assert np.allclose(found.directions * signs[:, None], model.components_, atol=1e-5)
    wanted = scaler.transform(model.transform(data)) * signs
    assert np.allclose(found.transform(data), wanted, atol=2e-4)
    back = model.inverse_transform(scaler.inverse_transform(wanted * signs))
    assert np.allclose(found.inverse(found.transform(data)), back, atol=1e-2)
    assert (found.directions.max(axis=1) >= -found.directions.min(axis=1)).all()


def test_truncation_loses_little_and_says_how_much():
    data = images(200, 150, decay=0.95)
    found = in_parts(data, range(25, 200, 25), kept=40)
    strengths = np.linalg.svd(data - data.mean(axis=0), compute_uv=False)
    assert len(found.strengths) == 40
    assert (found.strengths[:20] ** 2).sum() == pytest.approx(
        (strengths[:20] ** 2).sum(), rel=0.005
    )
    assert (found.strengths**2).sum() + found.rest == pytest.approx((strengths**2).sum(), rel=1e-6)


@pytest.mark.parametrize("cuts", [(), (11, 30), range(3, 50, 3)])
def test_bytes_are_nearly_as_exact_as_double_precision(cuts):
    rng = np.random.default_rng(3)
    light = rng.gamma(0.4, 40, (50, 1)) * np.exp(-np.linspace(0, 4, 900)) + rng.normal(0, 2, 900)
    data = np.clip(light + rng.normal(20, 2, (50, 900)), 0, 255).astype(np.uint8)
    found = in_parts(data, cuts, 64, np.float32)
    strengths = np.linalg.svd(data - data.mean(axis=0), compute_uv=False)[:49]
    assert strengths[0] > 30 * strengths[-1]
    assert np.allclose(found.strengths, strengths, rtol=0, atol=1e-6 * strengths[0])
    assert np.allclose(found.strengths, strengths, rtol=5e-5)


def test_by_hand():
    """Two images on a line, and a third at their middle: one component along it."""
    part = merge(
        decompose(np.array([[1.0, 0, 0], [3.0, 0, 0]]), 5, np.float64),
        decompose(np.array([[2.0, 0, 0]]), 5, np.float64),
        5,
    )
    assert part.count == 3
    assert part.mean.tolist() == [2, 0, 0]
    assert part.strengths == pytest.approx([np.sqrt(2)])
    found = components_of(part, 3, scale=True)
    assert found.directions.tolist() == [[1, 0, 0]]
    assert found.variances == pytest.approx([1.0])
    assert found.transform(np.array([[3.0, 7, 7]])) == pytest.approx(np.sqrt(1.5))


def test_equal_images_have_no_component():
    part = in_parts(np.full((6, 4), 7, np.uint8), (2, 3), 5)
    assert len(part.strengths) == 0
    with pytest.raises(ValueError, match="all images are equal"):
        components_of(part, 2, scale=True)


def test_what_is_no_part():
    with pytest.raises(ValueError, match=r"at least one image, its shape is \(0, 3\)"):
        decompose(np.empty((0, 3)), 2)
    with pytest.raises(ValueError, match="no finite numbers"):
        decompose(np.array([[1.0, np.nan]]), 2)
