"""The sweep: representations by hand, what clusterings recover, the command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from minia_spark.clustering.settings import ClusteringSettings
from minia_spark.clustering.som import Lattice
from minia_spark.compare.measure import Measured
from minia_spark.lab import sweep
from minia_spark.lab.sweep import (
    METHODS,
    Compared,
    Representation,
    best,
    compare,
    neighbours_f1,
    of_crops,
    of_embedding,
    of_words,
    options_of,
    recommended,
)

RNG = np.random.default_rng(3)
LABELS = np.array(list("abc"))[np.arange(120) % 3]
TRAIN = np.arange(120) < 80
GROUPS = np.stack([(c == LABELS).astype(float) for c in "abc"], axis=1)
APART = Representation("apart", GROUPS * 10 + RNG.normal(size=(120, 3)), np.nan)
THREE = options_of(ClusteringSettings().model_dump(), 3)
NOISE = Representation("noise", RNG.normal(size=(120, 3)), np.nan)


@pytest.mark.parametrize("balanced", [False, True])
def test_classes_that_lie_apart_are_recovered_noise_is_not(balanced):
    options = {"options": THREE, "repeats": 2, "seed": 1, "balanced": (balanced,)}
    found = list(compare(APART, LABELS, TRAIN, methods=METHODS, **options))
    assert [row.method for row in found] == list(METHODS)
    for row in found:
        assert row.ami.value > (0.5 if row.method in ("hdbscan", "som") else 0.99), row.method
        assert row.balanced == balanced
    few = list(compare(NOISE, LABELS, TRAIN, methods=("kmeans",), **options))
    assert abs(few[0].ami.value) < 0.1
    first, near = best([*few, *found])
    assert first.representation == "apart"
    assert few[0] not in near
    assert neighbours_f1(APART.vectors, LABELS, TRAIN) > 0.99
    assert neighbours_f1(NOISE.vectors, LABELS, TRAIN) < 0.6


@pytest.mark.parametrize("balanced", [False, True])
def test_test_images_are_not_fitted_to(monkeypatch, balanced):
    fitted = []

    def spy(method, vectors, *rest):
        fitted.append(vectors)
        return original(method, vectors, *rest)

    original = sweep._model
    monkeypatch.setattr(sweep, "_model", spy)
    options = {"options": THREE, "repeats": 2, "seed": 1, "balanced": (balanced,)}
    list(compare(APART, LABELS, TRAIN, methods=METHODS, **options))
    assert len(fitted) == 2 * len(METHODS)
    teaching = {row.tobytes() for row in APART.vectors[TRAIN]}
    for vectors in fitted:
        assert 60 <= len(vectors) < 80
        assert {row.tobytes() for row in vectors} <= teaching


def test_crops():
    crops = RNG.integers(0, 256, (30, 48)).astype(np.uint8)
    train = np.arange(30) < 20
    found = of_crops(crops, train, (5, 10, 500), "pca")
    assert [r.name for r in found] == ["pca 5", "pca 10", "pca 19"]
    assert found[0].error > found[1].error > found[2].error
    changed = crops.copy()
    changed[20:] = 0
    assert np.array_equal(of_crops(changed, train, (5,), "")[0].vectors[:20], found[0].vectors[:20])


def test_words():
    counts = np.array([[4, 0, 1], [2, 0, 1], [0, 3, 1], [0, 0, 0], [9, 0, 1]])
    train = np.array([True, True, True, True, False])
    found = of_words(sp.csr_array(counts), train, 2, "words")
    assert found.name == "words 2"
    # two images with nothing but the first word, beyond what all have, lie together
    apart = np.linalg.norm(found.vectors[0] - found.vectors[[1, 2, 4]], axis=1)
    assert apart[0] < 0.2
    assert apart[2] < 0.2
    assert apart[1] > 1


def test_which_is_recommended():
    def row(name, value, error):
        return Compared(name, "kmeans", False, Measured(value, error), Measured(0, 0), 3, 9)

    first, near = best([row("a", 0.5, 0.02), row("b", 0.48, 0.02), row("c", 0.4, 0.02)])
    assert first.representation == "a"
    assert [r.representation for r in near] == ["b"]


def test_what_is_told_of_repeated_fits():
    def row(vectors, fitted, value, error):
        told = {"method": "som", "vectors": vectors, "fitted_to": fitted, "clusters": 3.0}
        measured = {"ami": value, "ami_error": error, "nmi": value, "nmi_error": error}
        return told | measured | {"fitted_images": 9}

    rows = [row("components", "all", 0.5, 0.02), row("words", "balanced", 0.49, 0.02)]
    rows.append(row("words", "all", 0.3, 0.02))
    assert recommended(rows, "label") == (
        "For label, som is best: AMI 0.500 \u00b1 0.020; as good within errors: som of words "
        "(fitted to balanced images)."
    )
    alone = recommended([row("words", "all", 0.3, None)], "label")
    assert alone.startswith("For label, som of words is best: AMI 0.300; all others are worse")


def test_options_are_those_of_the_settings():
    settings = ClusteringSettings(som={"rows": 2, "columns": 5, "shape": "hexagonal"}).model_dump()
    assert options_of(settings).lattice == Lattice(2, 5, "hexagonal")
    assert options_of(settings).clusters == 12
    assert options_of(settings, 15).lattice == Lattice(3, 5, "hexagonal")
    assert options_of(settings, 15).clusters == 15


def test_long_embeddings_become_components():
    vectors = RNG.normal(size=(40, 20))
    train = np.arange(40) < 30
    assert of_embedding(vectors, train, 20, "e").vectors is vectors
    short = of_embedding(vectors, train, 4, "e")
    assert short.name == "e 4"
    changed = vectors.copy()
    changed[30:] += 9
    again = of_embedding(changed, train, 4, "e").vectors
    assert np.array_equal(again[:30], short.vectors[:30])
    assert not np.allclose(again[30:], short.vectors[30:])


def test_the_command(laboratory, minia):
    where = ("--warehouse", laboratory, "--classes", "label", "--clusters", 3, "--repeats", 2)
    some = ("--components", "3,5", "--methods", "kmeans,som", "--with", laboratory)
    told = json.loads(minia("lab", "sweep", *where, *some, "--json").expect(0).out)
    names = [r["representation"] for r in told["representations"]]
    words = [name for name in names if "words" in name]
    assert names == ["1: pca 3", "1: pca 5", *words, "2: pca 3", "2: pca 5"]
    assert len(words) == 1
    assert words[0].startswith("1: words sift ")
    assert len(told["clusterings"]) == 2 * len(names)
    assert told["recommended"]["ami"]["value"] == max(
        r["ami"]["value"] for r in told["clusterings"]
    )
    text = minia("lab", "sweep", *where, "--components", 4, "--balanced", "--methods", "som")
    out = text.expect(0).out
    assert "recommended: som of" in out
    assert "balanced" in out


def test_what_cannot_be_swept(laboratory, warehouse, minia):
    where = ("--warehouse", laboratory)
    assert "no number" in minia("lab", "sweep", *where, "--components", "3,x").expect(2).err
    assert "no clustering 'x'" in minia("lab", "sweep", *where, "--methods", "x").expect(2).err
    told = minia("lab", "sweep", "--warehouse", warehouse).expect(3).err
    assert "there are no facets" in told
    told = minia("lab", "sweep", *where, "--with", warehouse, "--classes", "label").expect(3).err
    assert "there are no crops" in told
