"""The mean of our own network's descriptors; takes a minute."""

from __future__ import annotations

import delf_samples
import numpy as np
import pytest

from minia_spark.base.errors import MiniaError
from minia_spark.embedding.network import DelfNetwork, embed
from minia_spark.features.delf_model import read_manifest

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def network(delf_model):
    weights = read_manifest(delf_model).weights
    return DelfNetwork(
        model=str(delf_model), weights=weights, side_px=64, batch_images=4, threads=1
    )


def test_a_mean_by_attention(network):
    images = delf_samples.pictures(6, side=64)
    found = np.array(embed(network, images))
    batch = np.stack(images[:4])
    scores, features = network._network(batch, 1.0)
    for number in range(4):
        mean = np.zeros(features.shape[-1])
        for row in range(scores.shape[1]):
            for column in range(scores.shape[2]):
                score = np.float64(scores[number, row, column])
                mean += score * features[number, row, column]
        assert found[number] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(6), abs=1e-6)


def test_who_else_is_in_the_batch_does_not_matter(network):
    images = delf_samples.pictures(6, side=64)
    every = embed(network, images)
    assert np.array_equal(embed(network, images[5:])[0], every[5])


def test_another_network_than_the_driver_found(delf_model):
    with pytest.raises(MiniaError, match="holds another network here than where the run"):
        DelfNetwork(model=str(delf_model), weights="x", side_px=64, batch_images=4, threads=1)
