"""The lab from images to its panel, through the commands; numbers against the tables."""

from __future__ import annotations

import json
import shutil
from itertools import product

import lab_samples
import numpy as np
import pytest
from commands import table_of
from lab_samples import METHODS
from scipy.stats import hypergeom
from sklearn import metrics

from minia_spark.lab.figures import FORMATS
from minia_spark.warehouse.warehouse import Warehouse


def joined(location):
    clusters = table_of(location, "clusters").pivot(
        index="image_id", columns="variant", values="cluster"
    )
    facets = table_of(location, "facets").set_index("image_id")[["split", "galaxy_class"]]
    labels = table_of(location, "images").set_index("image_id")["label"]
    return clusters.join(facets).join(labels)


def test_agreement_of_the_tables(laboratory, minia):
    told = json.loads(minia("lab", "compare", "--warehouse", laboratory, "--json").expect(0).out)
    images = joined(laboratory)
    keys = {(r["method"], r["split"], r["classes"]) for r in told["agreements"]}
    assert keys == set(product(METHODS, ("train", "test"), ("galaxy_class", "label")))
    vectors = table_of(laboratory, "reductions").set_index("image_id")["vector"]
    for row in told["agreements"]:
        assert row["vectors"] == "components"
        own = images[images["split"] == row["split"]].dropna(subset=row["classes"])
        classes, clusters = own[row["classes"]], own[row["method"]]
        assert row["images"] == len(own)
        assert row["ami"] == pytest.approx(metrics.adjusted_mutual_info_score(classes, clusters))
        assert row["ari"] == pytest.approx(metrics.adjusted_rand_score(classes, clusters))
        assert row["noise"] == (clusters < 0).sum()
        assert row["ami_error"] >= 0
        assert row["seconds"] > 0
        side = images[images["split"] == row["split"]]
        inside = side[side[row["method"]] >= 0]
        if inside[row["method"]].nunique() < 2:
            assert row["silhouette"] is None
            continue
        found = metrics.silhouette_score(np.stack(vectors[inside.index]), inside[row["method"]])
        assert row["silhouette"] == pytest.approx(found, abs=1e-6)
    assert {r["class"] for r in told["recalls"]} == set(images["label"].dropna())
    text = minia("lab", "compare", "--warehouse", laboratory).expect(0).out
    assert "pairs of groups beyond chance" in text
    assert "kmeans" in text
    assert "fitted again, 2 times" in text
    assert "For label, " in text


def test_repeated_fits(laboratory, minia):
    rows = json.loads(minia("lab", "compare", "--warehouse", laboratory, "--json").expect(0).out)
    keys = {
        tuple(r[n] for n in ("method", "vectors", "classes", "fitted_to")) for r in rows["repeats"]
    }
    fits = ("all", "balanced")
    assert keys == set(product(METHODS, ["components"], ("galaxy_class", "label"), fits))
    images = joined(laboratory).dropna(subset="label")
    sizes = images[images["split"] == "train"]["label"].value_counts()
    for row in rows["repeats"]:
        assert -1 <= row["ami"] <= 1
        assert row["ami_error"] >= 0
        if row["classes"] == "label":
            few = len(sizes) * max(1, round(0.9 * sizes.min()))
            wanted = {"all": round(0.9 * sizes.sum()), "balanced": few}[row["fitted_to"]]
            assert row["fitted_images"] == wanted
            assert row["images"] == (images["split"] == "test").sum()


def test_every_pair_of_groups_against_pandas(laboratory):
    found = table_of(laboratory, "contingencies")
    images = joined(laboratory)
    members = table_of(laboratory, "structure_images")
    kinds = {
        **{f"cluster {m}": images[m].astype(int).astype(str) for m in METHODS},
        "galaxy_class": images["galaxy_class"],
        "label": images["label"],
    }
    assert {"structure sift", *kinds} <= {*found["left_kind"], *found["right_kind"]}
    for row in found.itertuples():
        sides = []
        known = images.index
        for kind, value in ((row.left_kind, row.left), (row.right_kind, row.right)):
            if kind == "structure sift":
                own = members[members["structure_id"] == int(value)]["image_id"]
                sides.append(set(own))
            else:
                sides.append(set(kinds[kind].index[kinds[kind] == value]))
                known = known.intersection(kinds[kind].dropna().index)
        left, right = (side & set(known) for side in sides)
        both = len(left & right)
        assert (row.images, row.left_images, row.right_images, row.all_images) == (
            both,
            len(left),
            len(right),
            len(known),
        )
        assert row.p == pytest.approx(hypergeom.sf(both - 1, len(known), len(left), len(right)))
        assert row.q >= row.p
        told = "galaxy_class" in (row.left_kind, row.right_kind)
        assert not (told and "facet" in row.left_kind + row.right_kind)
    assert found["left_kind"].nunique() >= 3


def test_pictures_and_panel(laboratory):
    house = Warehouse(str(laboratory))
    (entry,) = house.entries("figures")
    folder = laboratory / entry.path
    listed = json.loads((folder / "figures.json").read_text())
    names = [f["name"] for f in listed]
    for method in ("kmeans", "hierarchical"):
        for what in ("sizes", "classes-label", "centroids", "members"):
            assert f"{method}-{what}" in names
    assert {"hierarchical-dendrogram", "reconstructions", "agreement-label"} <= set(names)
    assert {"hdbscan-condensed", "repeats-label", "classes-label"} <= set(names)
    magic = {"png": b"\x89PNG", "pdf": b"%PDF"}
    for name, kind in product(names, FORMATS):
        data = (folder / f"{name}.{kind}").read_bytes()
        assert data.startswith(magic[kind])
        assert len(data) > 2000
    for page in (
        "report/index.html",
        next(p.path for p in house.entries("report")) + "/index.html",
    ):
        text = (laboratory / page).read_text()
        assert "Galaxy lab" in text
        assert "For label, " in text
        sources = [s.split('"')[0] for s in text.split('<img src="')[1:]]
        ours = [s for s in sources if "figures/" in s]
        assert len(ours) == len(names)
        for source in ours:
            assert ((laboratory / page).parent / source).resolve().is_file()


def test_the_same_again_is_nothing_to_do_and_the_same_bytes(laboratory, minia, published, tmp_path):
    told = minia("lab", "report", "--warehouse", laboratory).expect(0).out
    assert told.startswith("nothing to do")
    location = shutil.copytree(laboratory, tmp_path / "W")
    (entry,) = Warehouse(str(location)).entries("figures")
    published(location, "figures", None, *lab_samples.SETTINGS)
    (again,) = Warehouse(str(location)).entries("figures")
    assert again.path != entry.path
    for path in sorted((location / entry.path).iterdir()):
        assert (location / again.path / path.name).read_bytes() == path.read_bytes(), path.name


def test_nothing_to_compare_yet(minia, warehouse):
    told = minia("lab", "compare", "--warehouse", warehouse).expect(3).err
    assert "'minia lab report --warehouse" in told
