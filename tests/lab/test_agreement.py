"""Agreement of clusters and classes: against scikit-learn, by hand, and what chance makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import hypergeom
from sklearn import metrics

from minia_spark.lab.agreement import agreement, enrichment, majority_recalls, silhouette

TABLE = np.array([[8, 1, 0], [2, 9, 3], [0, 0, 4], [0, 0, 0]])


def labels_of(table):
    rows, columns = np.indices(table.shape)
    return np.repeat(rows.ravel(), table.ravel()), np.repeat(columns.ravel(), table.ravel())


def test_as_scikit_learn():
    found = agreement(TABLE, np.random.default_rng(0))
    classes, clusters = labels_of(TABLE)
    nmi, ami = metrics.normalized_mutual_info_score, metrics.adjusted_mutual_info_score
    assert found.nmi.value == pytest.approx(nmi(classes, clusters), rel=1e-12)
    assert found.ami.value == pytest.approx(ami(classes, clusters), rel=1e-12)
    assert found.ari.value == pytest.approx(metrics.adjusted_rand_score(classes, clusters))
    assert found.purity.value == pytest.approx((8 + 9 + 4) / 27)
    assert [r.value for r in found.recalls[:3]] == pytest.approx([8 / 9, 9 / 14, 1.0])
    assert np.isnan(found.recalls[3].value)


TABLES = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(0, 9))
)


@settings(max_examples=100)
@given(TABLES.filter(lambda table: table.sum() > 0))
def test_any_table_as_scikit_learn(table):
    found = agreement(table, np.random.default_rng(0), repeats=2)
    labels = labels_of(table)
    for name, twin in (
        ("nmi", metrics.normalized_mutual_info_score),
        ("ami", metrics.adjusted_mutual_info_score),
        ("ari", metrics.adjusted_rand_score),
    ):
        assert getattr(found, name).value == pytest.approx(twin(*labels), rel=1e-9, abs=1e-9), name


def test_errors_are_those_of_the_bootstrap_over_images():
    """A slow twin draws the images themselves."""
    found = agreement(TABLE * 10, np.random.default_rng(0), repeats=150)
    classes, clusters = labels_of(TABLE * 10)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(150):
        rows = rng.integers(0, len(classes), len(classes))
        drawn.append(metrics.adjusted_rand_score(classes[rows], clusters[rows]))
    assert found.ari.error == pytest.approx(np.std(drawn), rel=0.3)
    smaller = agreement(TABLE, np.random.default_rng(0), repeats=150)
    assert 2.2 < smaller.ari.error / found.ari.error < 4.5  # by the root of ten


def test_errors_of_many_images_are_scaled():
    found = agreement(TABLE * 3000, np.random.default_rng(0), repeats=60)
    twin = agreement(TABLE * 700, np.random.default_rng(0), repeats=60)  # all are drawn
    assert found.purity.error == pytest.approx(twin.purity.error * np.sqrt(700 / 3000), rel=0.5)


def test_edges():
    whole = agreement(np.array([[5]]), np.random.default_rng(0))
    assert (whole.ami.value, whole.purity.value) == (1.0, 1.0)
    chance = agreement(np.full((4, 4), 50), np.random.default_rng(0))
    assert chance.ami.value == pytest.approx(0, abs=0.01)
    with pytest.raises(ValueError, match="counts no image"):
        agreement(np.zeros((2, 2), np.int64), np.random.default_rng(0))


def test_of_equally_frequent_classes_the_first():
    assert majority_recalls(np.array([[2, 0], [2, 0]])).tolist() == [1.0, 0.0]


def test_silhouette_as_scikit_learn_without_noise():
    rng = np.random.default_rng(2)
    data = rng.normal(size=(60, 3)) + np.repeat([[0, 0, 0], [9, 0, 0], [0, 9, 0]], 20, axis=0)
    clusters = np.repeat([0, 1, -1], 20)
    found = silhouette(data, clusters, np.random.default_rng(0))
    assert found.value == metrics.silhouette_score(data[:40], clusters[:40])
    assert 0 < found.error < 0.1
    assert np.isnan(silhouette(data, np.zeros(60, int), rng).value)
    assert np.isnan(silhouette(data, np.full(60, -1), rng).value)


def test_enrichment_by_hand():
    both = np.array([10, 1, 5])
    left, right = np.array([10, 10, 10]), np.array([10, 10, 50])
    total = np.array([100] * 3)
    lift, p, q = enrichment(both, left, right, total)
    assert lift == pytest.approx([10, 1, 1])
    assert p == pytest.approx(
        [hypergeom.sf(b - 1, 100, 10, r) for b, r in zip(both, right, strict=False)]
    )
    assert p[0] == pytest.approx(1 / 17_310_309_456_440, rel=1e-6)  # 100 over 10
    assert (q >= p).all()
    assert q[0] == pytest.approx(3 * p[0])
    assert all(len(x) == 0 for x in enrichment(*(np.empty(0, np.int64),) * 4))
