"""Training of small networks: it learns, goes on where it stopped, and sees what it may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from minia_spark.base.errors import InputError
from minia_spark.classify.folds import unchanged
from minia_spark.classify.training import Course, Recipe, train

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

from minia_spark.classify.network import as_bytes, build, from_bytes, probabilities

RECIPE = Recipe("study", 32, 2, 3, 8, 1e-3, 5, 1, augment=False, mirror=True)
TEACH, CHECK = np.arange(24), np.arange(24, 32)


@pytest.fixture(scope="module")
def galaxies():
    """Round and elongated ones, in noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    y, x = np.mgrid[:32, :32] - 15.5
    light = [np.exp(-(x**2 + (y * (3 if label else 1)) ** 2) / 40) for label in labels]
    noisy = 150 * np.stack(light)[..., None] + rng.normal(20, 5, (40, 32, 32, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64)


def fitted(galaxies, recipe=RECIPE, **more):
    crops, labels = galaxies
    return train(recipe, crops, labels, unchanged(TEACH), CHECK, **more)


def weights(network):
    return [w.copy() for w in network.get_weights()]


@pytest.mark.parametrize("design", ["study", "ours"])
def test_it_learns(galaxies, design):
    recipe = replace(RECIPE, design=design, augment=design == "ours", epochs=6)
    network, course = fitted(galaxies, recipe)
    losses = [c["validation_loss"] for c in course.curves]
    assert course.best_loss == min(losses) == losses[course.best_epoch]
    crops, labels = galaxies
    known = probabilities(network, crops[32:])  # neither taught nor checked
    assert (known.argmax(axis=1) == labels[32:]).mean() >= 0.75
    assert np.allclose(known.sum(axis=1), 1, atol=1e-5)


def test_it_goes_on_as_if_nothing_had_happened(galaxies, tmp_path):
    whole, course = fitted(galaxies, place=tmp_path / "whole")
    said = []
    fitted(galaxies, replace(RECIPE, epochs=1), place=tmp_path / "parts")
    rest, again = fitted(galaxies, place=tmp_path / "parts", say=said.append)
    assert said[0] == "goes on after epoch 1"
    assert len(said) == 3
    assert again.best_epoch == course.best_epoch
    for one, other in zip(again.curves, course.curves, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for one, other in zip(weights(rest), weights(whole), strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_shares_of_votes_are_learned(galaxies):
    """Where all votes are split in the same way, that is what the network says."""
    crops, labels = galaxies
    sure = np.eye(2, dtype=np.float32)[labels]
    network, course = fitted(galaxies, targets=sure)
    same, again = fitted(galaxies)
    for one, other in zip(again.curves, course.curves, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    assert np.allclose(probabilities(network, crops), probabilities(same, crops), atol=1e-4)
    split = np.full((40, 2), (0.3, 0.7), np.float32)
    network, course = fitted(galaxies, replace(RECIPE, epochs=8), targets=split)
    assert np.abs(probabilities(network, crops[32:]) - (0.3, 0.7)).max() < 0.1
    assert course.best_loss == pytest.approx(-0.3 * np.log(0.3) - 0.7 * np.log(0.7), abs=0.02)


def test_no_other_image_is_learned_from(galaxies):
    """Images that neither teach nor validate may be anything, and their labels too."""
    crops, labels = (array.copy() for array in galaxies)
    network, _ = fitted((crops, labels))
    crops[32:], labels[32:] = 255, 1 - labels[32:]
    other, _ = fitted((crops, labels))
    for one, two in zip(weights(network), weights(other), strict=True):
        assert np.allclose(one, two, atol=1e-5)
    crops[TEACH[0]] = 255
    spoiled, _ = fitted((crops, labels))
    pairs = zip(weights(network), weights(spoiled), strict=True)
    assert any(not np.allclose(one, two, atol=1e-5) for one, two in pairs)


def test_a_file_holds_the_network(galaxies):
    network = build("ours", 32, 3, 0)
    again = from_bytes(as_bytes(network))
    crops = galaxies[0]
    assert np.allclose(probabilities(network, crops), probabilities(again, crops), atol=1e-6)
    alone = np.concatenate([probabilities(again, crops[i : i + 1]) for i in range(3)])
    assert np.array_equal(alone, probabilities(again, crops)[:3])


def test_the_designs_are_those_of_the_study():
    network = build("study", 174, 12, 0)
    shapes = [tuple(w.shape) for w in network.weights]
    assert shapes == [
        *((6, 6, 3, 64), (64,), (3, 3, 64, 64), (64,), (3, 3, 64, 32), (32,)),
        *((19 * 19 * 32, 64), (64,), (64, 12), (12,)),
    ]
    with pytest.raises(InputError, match=r"reduce\.side_px is 16, and networks need crops"):
        build("study", 16, 2, 0)


def test_training_slows_down_and_ends():
    course = Course(1.0)
    for loss in (3.0, 2.0, 2.5, 2.5, 2.5, 1.0):
        course.note({"validation_loss": loss}, patience=4)
    assert course.learning_rate == 0.5  # after two epochs without gain
    assert (course.best_loss, course.best_epoch, course.since_best) == (1.0, 5, 0)
