"""Networks through Spark: trained, predicting every image, evaluated, on the page."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from commands import chosen, table_of
from sklearn.metrics import accuracy_score, confusion_matrix

from minia_spark.warehouse.warehouse import Warehouse

pytestmark = pytest.mark.heavy  # trains a network; test_classify_training.py always runs

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

SMALL = chosen(
    "reduce.side_px=32",
    "reduce.components=5",
    "classify.target=label",
    "classify.folds=2",
    "classify.epochs=2",
    "classify.per_class=6",
    "spark.partitions=2",
)


@pytest.fixture(scope="module")
def classified(warehouse, minia, tmp_path_factory):
    location = tmp_path_factory.mktemp("classify") / "W"
    shutil.copytree(warehouse, location)
    where = ("--warehouse", location)
    minia("lab", "classify", *where, "--networks", "study_balanced", *SMALL).expect(0)
    return location


def manifest_of(location, network):
    (entry,) = Warehouse(str(location)).entries("networks", variant=network)
    return json.loads((location / entry.path / "manifest.json").read_text())


def test_every_image_is_seen(classified):
    found = table_of(classified, "predictions")
    images = table_of(classified, "images")
    assert set(found["variant"]) == {"study_balanced"}
    for network, rows in found.groupby("variant"):
        assert sorted(rows["image_id"]) == sorted(images["image_id"])
        classes = manifest_of(classified, network)["classes"]
        known = np.stack(rows["probabilities"])
        assert known.shape == (60, len(classes))
        assert np.allclose(known.sum(axis=1), 1, atol=1e-5)
        assert [classes[i] for i in known.argmax(axis=1)] == rows["predicted"].tolist()


def test_measures_are_those_of_the_test_images(classified):
    evaluations = table_of(classified, "evaluations")
    facets = table_of(classified, "facets").set_index("image_id")
    labels = table_of(classified, "images").set_index("image_id")["label"]
    curves = table_of(classified, "curves")
    for network, rows in table_of(classified, "predictions").groupby("variant"):
        manifest = manifest_of(classified, network)
        own = rows.set_index("image_id")["predicted"]
        test = [n for n in own.index if facets.loc[n, "split"] == "test"]
        test = [n for n in test if labels[n] in manifest["classes"]]
        mine = evaluations[evaluations["network"] == network]
        whole = mine[(mine["part"] == "test") & mine["class"].isna()].set_index("measure")
        assert whole.loc["images", "value"] == len(test)
        accuracy = accuracy_score(labels[test], own[test])
        assert whole.loc["accuracy", "value"] == pytest.approx(accuracy)
        assert whole.loc["accuracy", "error"] > 0
        folds = mine[mine["part"] == "folds"].set_index("measure")
        values = [f["accuracy"] for f in manifest["folds"]]
        assert folds.loc["accuracy", "value"] == pytest.approx(np.mean(values))
        cells = curves[(curves["network"] == network) & (curves["curve"] == "confusion")]
        table = confusion_matrix(labels[test], own[test], labels=manifest["classes"])
        assert cells["y"].tolist() == table.ravel().tolist()
        assert len(manifest["courses"]) == 2
        assert 1 <= len(manifest["courses"][0]["curves"]) <= 2
    train = (facets["split"] == "train") & labels.reindex(facets.index).notna()
    assert manifest_of(classified, "study_balanced")["images"] <= train.sum()


def test_it_is_up_to_date_and_keeps_no_checkpoints(classified, minia):
    told = minia("lab", "classify", "--warehouse", classified).expect(0).out
    assert told.startswith("nothing to do")
    assert not list((classified / "scratch" / "networks").glob("*"))


def test_a_network_that_was_changed_is_refused(classified, published, tmp_path):
    location = shutil.copytree(classified, tmp_path / "W")
    (entry,) = Warehouse(str(location)).entries("networks", variant="study_balanced")
    (location / entry.path / "network.keras").write_bytes(b"something else")
    settings = [word for word in SMALL if word != "--set"]
    with pytest.raises(Exception, match="is not the one that its manifest tells of"):
        published(location, "classify", "b1", *settings, "classify.networks=[study_balanced]")


def test_without_networks_nothing_is_trained(warehouse, minia, tmp_path):
    location = shutil.copytree(warehouse, tmp_path / "W")
    minia("lab", "classify", "--warehouse", location, *SMALL).expect(0)
    assert table_of(location, "evaluations").empty
    assert not Warehouse(str(location)).catalogue().of_table("networks")


def test_too_few_images(classified, minia, tmp_path):
    location = shutil.copytree(classified, tmp_path / "W")
    more = chosen("classify.folds=20", "classify.target=galaxy_class")
    told = minia("lab", "classify", "--warehouse", location, "--replace", *more)
    assert "training needs two classes of at least 20 training images" in told.expect(3).err
