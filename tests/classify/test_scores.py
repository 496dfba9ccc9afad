"""Measures of predictions, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from minia_spark.classify.scores import calibration, roc, scores


def test_by_hand():
    labels = np.array([0, 0, 1, 1])
    known = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    found = scores(labels, known)
    assert found.confusion.tolist() == [[1, 1], [0, 2]]
    assert found.overall["accuracy"] == 0.75
    assert found.overall["loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    assert found.by_class[0]["precision"] == 1
    assert found.by_class[0]["recall"] == 0.5
    assert found.by_class[1]["auc"] == 1.0
    assert [c["images"] for c in found.by_class] == [2, 2]


def test_as_scikit_learn():
    rng = np.random.default_rng(1)
    known = rng.dirichlet(np.ones(4), 200)
    labels = np.array([rng.choice(4, p=p) for p in known])
    found = scores(labels, known)
    predicted = known.argmax(axis=1)
    assert found.overall["f1"] == metrics.f1_score(labels, predicted, average="weighted")
    auc = metrics.roc_auc_score(labels, known, multi_class="ovr", average="macro")
    assert found.overall["auc"] == pytest.approx(auc)
    assert found.overall["calibration_error"] < 0.12  # labels were drawn by the probabilities
    wrong, right = roc(labels, known, 2)
    assert metrics.auc(wrong, right) == pytest.approx(found.by_class[2]["auc"])


def test_overconfidence_shows():
    said, found, error = calibration(np.array([0, 1, 1, 1]), np.array([[0.95, 0.05]] * 4))
    assert said == pytest.approx([0.95])
    assert found.tolist() == [0.25]
    assert error == pytest.approx(0.7)


def test_a_class_without_images():
    found = scores(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert np.isnan(found.by_class[1]["auc"])
    assert np.isnan(found.overall["auc"])
    assert found.by_class[1]["recall"] == 0
    assert len(roc(np.array([0, 0]), np.array([[0.9, 0.1]] * 2), 1)[0]) == 0
