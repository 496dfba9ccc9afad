"""Clusterings against scikit-learn and scipy on the same small data, and unseen vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from minia_spark.clustering import fit
from minia_spark.clustering.place import place
from minia_spark.clustering.som import Lattice, trained

DATA, TRUTH = make_blobs(240, 5, centers=4, cluster_std=0.7, random_state=2)
OTHERS, THEIR_TRUTH = make_blobs(400, 5, centers=4, cluster_std=0.7, random_state=2)


def same(one, other):
    """Equal up to the names of the clusters."""
    return adjusted_rand_score(one, other) == 1


def models(data, clusters=4):
    centres = KMeans(min(clusters, len(np.unique(data, axis=0))), random_state=0).fit(data)
    lattice = Lattice(2, 2) if clusters == 4 else Lattice(1, clusters)
    yield fit.kmeans(centres.cluster_centers_, data)
    yield fit.hierarchical(data, clusters)
    yield fit.density(data, 5, None)
    yield fit.mixture(data, clusters, 0, tolerance=1e-7, iterations=1000)
    yield fit.som(trained(data, lattice, 10), {})


def test_as_the_libraries_have_it():
    kmeans, ward, density, mixture, _ = models(DATA)
    assert same(place(kmeans, DATA)[0], KMeans(4, random_state=0).fit_predict(DATA))
    assert same(ward.arrays["labels"], fcluster(linkage(DATA, "ward"), 4, "maxclust"))
    assert same(density.arrays["labels"], HDBSCAN(min_cluster_size=5, copy=True).fit(DATA).labels_)
    theirs = GaussianMixture(4, tol=1e-7, max_iter=1000, n_init=5, random_state=1).fit(DATA)
    assert same(place(mixture, DATA)[0], theirs.predict(DATA))
    assert mixture.told["converged"]
    assert mixture.told["log_likelihood"] == pytest.approx(theirs.lower_bound_, rel=1e-4)


@pytest.mark.parametrize("number", range(5))
def test_unseen_vectors_are_placed(number):
    model = list(models(DATA))[number]
    clusters, distances = place(model, OTHERS)
    placed = clusters >= 0
    assert placed.mean() > (0.8 if model.kind == "hdbscan" else 0.999)
    # a map of two by two bends round four groups as it can
    least = 0.6 if model.kind == "som" else 1
    assert adjusted_rand_score(clusters[placed], THEIR_TRUTH[placed]) >= least
    assert np.isfinite(distances[placed]).all()
    # alone, in another order, in pieces: the same
    alone = [place(model, row[None, :]) for row in OTHERS[:9]]
    assert [int(c[0]) for c, _ in alone] == clusters[:9].tolist()
    assert [float(d[0]) for _, d in alone] == distances[:9].tolist() or model.kind == "hdbscan"
    turned, _ = place(model, OTHERS[::-1])
    assert np.array_equal(turned[::-1], clusters)


@pytest.mark.parametrize("number", range(5))
def test_what_is_no_number_is_noise(number):
    spoiled = OTHERS[:6].copy()
    spoiled[2, 3], spoiled[4, 0] = np.nan, np.inf
    clusters, distances = place(list(models(DATA))[number], spoiled)
    assert clusters[[2, 4]].tolist() == [-1, -1]
    assert np.isnan(distances[[2, 4]]).all()
    assert (clusters[[0, 1, 3, 5]] >= 0).all()


@pytest.mark.parametrize("number", range(5))
def test_one_cluster(number):
    model = list(models(DATA[:40], 1))[number]
    if model.kind != "hdbscan":  # which chooses the number
        assert set(place(model, DATA)[0].tolist()) == {0}
        assert np.allclose(model.arrays["centres"], DATA[:40].mean(axis=0), atol=1e-3)


@pytest.mark.parametrize("number", range(5))
def test_fewer_vectors_than_clusters(number):
    three = np.eye(3)
    model = list(models(three, 12))[number]
    clusters, _ = place(model, three)
    assert len(set(clusters.tolist())) == (1 if model.kind == "hdbscan" else 3)
    assert (clusters == -1).all() == (model.kind == "hdbscan")  # too few for a cluster


@pytest.mark.parametrize("number", range(5))
def test_equal_vectors(number):
    model = list(models(np.full((20, 4), 7.0), 3))[number]
    clusters, distances = place(model, np.full((2, 4), 7.0))
    assert len(set(clusters.tolist())) == 1
    if clusters[0] >= 0:
        assert np.allclose(distances, 0, atol=1e-3)


def test_density_by_hand():
    """Two groups on a line and a lone point: what lies between belongs to nobody."""
    line = np.array([0, 1, 2, 3, 4, 100, 101, 102, 103, 104, 1e3])[:, None]
    model = fit.density(line, 3, 2)
    assert model.told == {"clusters": 2, "noise": 1, "smallest": 3}
    assert model.arrays["limits"].tolist() == [1, 1]
    clusters, distances = place(model, np.array([[2.2], [5.0], [6.5], [102.0], [1000.0], [999.0]]))
    assert clusters.tolist() == [0, 0, -1, 1, -1, -1]
    assert distances[0] == pytest.approx(0.2)


def test_clusters_are_numbered_by_size():
    labels = np.array([7, 7, -1, 3, 3, 3, 9, 9])
    assert fit.numbered_by_size(labels).tolist() == [1, 1, -1, 0, 0, 0, 2, 2]
    for model in models(DATA[:150]):
        if model.kind in ("kmeans", "hierarchical"):
            sizes = np.bincount(place(model, DATA[:150])[0])
            assert (np.diff(sizes) <= 0).all()
