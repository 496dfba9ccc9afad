"""Clusterings through Spark, on the vectors of the shared warehouse."""

from __future__ import annotations

import json
import shutil

import lab_samples
import numpy as np
import pytest
from commands import chosen, table_of
from lab_samples import METHODS
from sklearn.metrics import silhouette_score

from minia_spark.clustering.place import place
from minia_spark.clustering.som import Lattice, trained
from minia_spark.galaxies.frozen import model_of
from minia_spark.warehouse.warehouse import Warehouse

SMALL = lab_samples.SETTINGS


def model_in(location, method):
    (entry,) = Warehouse(str(location)).entries("clusterings", variant=method)
    folder = location / entry.path
    kind = method.partition("-")[0]
    return model_of(lambda name: (folder / name).read_bytes(), "here", kind)


def vectors_in(location, table="reductions"):
    rows = table_of(location, table).sort_values(["batch", "image_id"])
    missing = np.full(len(rows["vector"].dropna().iloc[0]), np.nan)
    vectors = [missing if v is None else v for v in rows["vector"]]
    return rows["image_id"].tolist(), np.stack(vectors).astype(float)


def check_clusters(location, variant, table):
    """Look that all images are where the model places them, and keep what a tree says of them."""
    found = table_of(location, "clusters")
    own = found[found["variant"] == variant].set_index("image_id")
    names, vectors = vectors_in(location, table)
    rows = own.loc[names]
    assert (rows["method"] == variant.partition("-")[0]).all()
    model = model_in(location, variant)
    assert model.arrays["centres"].shape[1] == vectors.shape[1]
    clusters, distances = place(model, vectors)
    split = table_of(location, "facets").set_index("image_id").loc[names, "split"]
    unseen = (split == "test").to_numpy()
    assert np.array_equal(rows["cluster"].to_numpy()[unseen], clusters[unseen])
    told = rows["distance"].to_numpy()[unseen]
    assert np.allclose(told, distances[unseen], equal_nan=True)
    usable = np.isfinite(vectors).all(axis=1)
    assert (rows["cluster"].to_numpy()[~usable] == -1).all()
    assert model.told["images"] == (~unseen & usable).sum()
    if "labels" in model.arrays:  # images of the tree keep what it says
        labels = dict(zip(model.arrays["names"].tolist(), model.arrays["labels"], strict=True))
        teaching = zip(names, ~unseen & usable, strict=True)
        assert set(labels) == {f"b1/{n}" for n, teaches in teaching if teaches}
        assert all(rows.loc[n.partition("/")[2], "cluster"] == v for n, v in labels.items())


def test_every_image_has_a_cluster_of_every_method(laboratory):
    assert set(table_of(laboratory, "clusters")["variant"]) == set(METHODS)
    for method in METHODS:
        check_clusters(laboratory, method, "reductions")


@pytest.mark.parametrize(
    "methods", [("hdbscan",), pytest.param(METHODS, marks=pytest.mark.heavy)], ids=len
)
def test_embeddings_are_clustered_and_compared_beside_components(
    laboratory, tmp_path, minia, methods
):
    location = shutil.copytree(laboratory, tmp_path / "W")
    names = sorted(table_of(location, "images")["image_id"])
    settings = chosen(
        f"clustering.methods=[{','.join(methods)}]",
        "clustering.embeddings=[words]",
        "embedding.words.dimensions=4",
        "lab.clusters_shown=2",
        "lab.repeats=1",
    )
    minia("lab", "report", "--warehouse", location, *settings).expect(0)
    variants = [f"{method}-words" for method in methods]
    assert set(table_of(location, "clusters")["variant"]) == {*methods, *variants}
    for method, variant in zip(methods, variants, strict=True):
        check_clusters(location, variant, "embeddings")
        one, other = (model_in(place, method).arrays["centres"] for place in (location, laboratory))
        assert np.array_equal(one, other)
    told = json.loads(minia("lab", "compare", "--warehouse", location, "--json").expect(0).out)
    assert {(r["method"], r["vectors"]) for r in told["repeats"]} == {
        (m, v) for m in methods for v in ("components", "words")
    }
    vectors = dict(zip(*vectors_in(location, "embeddings"), strict=True))
    split = table_of(location, "facets").set_index("image_id")["split"]
    clusters = table_of(location, "clusters").set_index("image_id")
    placed = clusters[clusters["variant"] == "hdbscan-words"]["cluster"]
    own = [n for n in names if split[n] == "test" and placed[n] >= 0]
    wanted = silhouette_score(np.stack([vectors[n] for n in own]), placed[own])
    (row,) = (
        r
        for r in told["agreements"]
        if (r["method"], r["vectors"], r["split"], r["classes"])
        == ("hdbscan", "words", "test", "label")
    )
    assert row["silhouette"] == pytest.approx(wanted, abs=1e-5)
    assert row["seconds"] > 0
    assert {"cluster hdbscan of words"} <= {
        kind for r in told["contingencies"] for kind in (r["left_kind"], r["right_kind"])
    }
    page = (location / "report" / "index.html").read_text()
    assert "<summary>hdbscan of words</summary>" in page
    assert "Images nearest to the centres" in page
    (entry,) = Warehouse(str(location)).entries("figures")
    assert (location / entry.path / "hdbscan-words-condensed.pdf").is_file()
    told = minia("lab", "report", "--warehouse", location).expect(0).out
    assert told.startswith("nothing to do")
    asked = ("--classes", "label", "--clusters", 3, "--repeats", 1, "--components", 3)
    text = minia("lab", "sweep", "--warehouse", location, *asked, "--methods", "som").expect(0).out
    assert "embedding words 4" in text


def test_the_map_is_that_of_the_twin_in_memory(laboratory):
    names, vectors = vectors_in(laboratory)
    split = table_of(laboratory, "facets").set_index("image_id").loc[names, "split"]
    train = vectors[(split == "train").to_numpy()]
    units = trained(train, Lattice(2, 2), 4)
    assert np.allclose(model_in(laboratory, "som").arrays["centres"], units, atol=1e-3)


@pytest.mark.parametrize(
    "methods", [("kmeans", "som"), pytest.param(METHODS, marks=pytest.mark.heavy)], ids=len
)
def test_partitions_do_not_count(laboratory, tmp_path, published, methods):
    location = shutil.copytree(laboratory, tmp_path / "W")
    for method in methods:
        more = (*SMALL, f"clustering.methods=[{method}]", "spark.partitions=5")
        published(location, "clusterings", None, *more)
        one, other = model_in(laboratory, method), model_in(location, method)
        for name, array in one.arrays.items():
            assert np.array_equal(array, other.arrays[name]), (method, name)


def test_beyond_the_sample_images_are_placed(laboratory, tmp_path, published):
    location = shutil.copytree(laboratory, tmp_path / "W")
    more = (*SMALL, "clustering.methods=[hierarchical]", "clustering.hierarchical.sample=12")
    published(location, "clusterings", None, *more)
    published(location, "clusters", "b1", *more)
    model = model_in(location, "hierarchical")
    assert model.told["fitted_to"] == 12
    assert len(model.arrays["tree"]) == 11
    found = table_of(location, "clusters")
    found = found[found["variant"] == "hierarchical"].set_index("image_id")
    names, vectors = vectors_in(location)
    clusters, _ = place(model, vectors)
    tree = {n.partition("/")[2] for n in model.arrays["names"].tolist()}
    others = [i for i, n in enumerate(names) if n not in tree]
    assert len(others) == 48
    assert [found.loc[names[i], "cluster"] for i in others] == clusters[others].tolist()


@pytest.mark.parametrize(
    "methods", [("kmeans",), pytest.param(METHODS[1:], marks=pytest.mark.heavy)], ids=len
)
def test_fewer_images_than_clusters(laboratory, tmp_path, published, methods):
    location = shutil.copytree(laboratory, tmp_path / "W")
    names, _ = vectors_in(location)
    for method in methods:
        more = (*SMALL, f"clustering.methods=[{method}]", "clustering.clusters=200")
        published(location, "clusterings", None, *more)
        published(location, "clusters", "b1", *more)
        found = table_of(location, "clusters")
        found = found[found["variant"] == method]
        assert len(found) == len(names)
        assert found["cluster"].max() < 60


def test_only_the_method_whose_settings_changed_is_fitted(laboratory, minia, tmp_path):
    location = shutil.copytree(laboratory, tmp_path / "W")
    told = minia("clusters", "--warehouse", location).expect(0).out
    assert told.startswith("nothing to do")
    told = minia("clusters", "--warehouse", location, *chosen("clustering.som.passes=5"))
    found = told.expect(0).err
    assert "clustering.som.passes 4 -> 5" in found
    assert "clusterings kmeans" not in found  # the others do not depend on it
    kept = [model_in(location, m).arrays["centres"] for m in ("kmeans", "mixture")]
    assert np.array_equal(kept[0], model_in(laboratory, "kmeans").arrays["centres"])


def test_wrong_settings(minia, laboratory):
    told = minia("clusters", "--warehouse", laboratory, *chosen("clustering.methods=[som,som]"))
    assert "names a method twice" in told.expect(2).err
    told = minia("clusters", "--warehouse", laboratory, *chosen("clustering.methods=[birch]"))
    assert "birch" in told.expect(2).err


def test_embeddings_that_are_not_made(laboratory, minia):
    several = chosen("clustering.embeddings=[words,pca]")
    told = minia("clusters", "--warehouse", laboratory, *several).expect(2).err
    assert "clustering.embeddings names pca, and embedding.methods are words" in told
    assert "--set embedding.methods=[words,pca]" in told
    twice = chosen("clustering.embeddings=[words,words]")
    assert "names one twice" in minia("clusters", "--warehouse", laboratory, *twice).expect(2).err


def test_components_that_are_fitted_anew_make_clusterings_outdated(laboratory, minia, tmp_path):
    """Else vectors of other components would be placed by the centres of the old ones."""
    location = shutil.copytree(laboratory, tmp_path / "W")
    told = minia("reduce", "--warehouse", location, *chosen("reduce.components=4")).expect(0)
    assert "reduce.components 5 -> 4" in told.err
    told = minia("plan", "--lines", "lab", "--warehouse", location).expect(0).out
    lines = [line.split() for line in told.splitlines() if line.startswith("clusterings")]
    assert sorted(line[1] for line in lines) == sorted(METHODS)
    assert {line[2] for line in lines} == {"run"}
