"""Drift through Spark: against the tables it is made from, and what it costs and changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import SMALL, rows_of, table_of, take_codebook

from minia_spark.drift.measure import WordSums, measure
from minia_spark.drift.stage import run
from minia_spark.warehouse.warehouse import Warehouse


@pytest.fixture(scope="module")
def three(minia, grown, tmp_path_factory):
    """The shared warehouse, more of the same, and that inverted; and what the runs told."""
    folder = tmp_path_factory.mktemp("three")
    other = folder / "other"
    other.mkdir()
    for image in (grown.parent / "images").iterdir():
        assert cv2.imwrite(str(other / image.name), 255 - cv2.imread(str(image)))
    location = Path(shutil.copytree(grown, folder / "W"))
    source = ("--images", other, "--batch", "other", "--warehouse", location)
    told = minia("run", *source, *SMALL).expect(0).err
    return location, {"b2": (grown.parent / "told").read_text(), "other": told}


def test_against_the_tables(three, warehouse):
    location, _ = three
    codebook = table_of(location, "codebooks").sort_values("word")
    row = table_of(location, "drift", batch="b2").iloc[0]
    words = table_of(location, "words", batch="b2")
    centres = np.stack(codebook["centre"]).astype(np.int64)
    features = table_of(location, "features", batch="b2").set_index("image_id")["descriptors"]
    totals, counts = [], np.zeros((len(words), len(codebook)), dtype=np.int64)
    for number, (image, found) in enumerate(
        zip(words["image_id"], words["feature_words"], strict=True)
    ):
        vectors = np.frombuffer(features[image], np.uint8).reshape(-1, 128).astype(np.int64)
        totals.append(int(((vectors - centres[found]) ** 2).sum()))
        np.add.at(counts[number], found, 1)
    n = counts.sum(axis=1)
    wanted = measure(
        WordSums(
            occurrences=counts.sum(axis=0),
            squares=(counts**2).sum(axis=0),
            images=int((n > 0).sum()),
            squared_features=int((n**2).sum()),
            error=sum(totals),
            squared_error=sum(t * t for t in totals),
            error_times_features=sum(t * int(m) for t, m in zip(totals, n, strict=True)),
        ),
        training=codebook["occurrences"].to_numpy(),
        training_errors=codebook["error"].to_numpy(),
        scale=1.0,
    )
    for name, value in vars(wanted).items():
        got = row[name]
        assert (tuple(got) if isinstance(value, tuple) else got) == value, name
    (entry,) = Warehouse(str(warehouse)).entries("codebooks")
    assert row["codebook"] == entry.digest
    costs = codebook["error"] * codebook["occurrences"]
    mean = costs.sum() / codebook["occurrences"].sum()
    assert mean == pytest.approx(codebook["cost_history"].iloc[0][-1])


def test_which_batches_alarm(three):
    location, told = three
    assert "warning" not in told["b2"]
    assert "warning: Batch other is unlike what the codebook was made from" in told["other"]
    assert f"minia codebook refit --warehouse {location}" in told["other"]
    found = {row[0]: row[1:] for row in rows_of(location, "drift", "batch", "in_training")}
    assert found == {"b1": (True,), "b2": (False,), "other": (False,)}


def test_status_tells(minia, three, warehouse):
    location, _ = three
    facts = json.loads(minia("status", "--json", "--warehouse", location).expect(0).out)
    assert {d["batch"]: bool(d["beyond"]) for d in facts["drift"]} == {
        "b1": False,
        "other": True,
        "b2": False,
    }
    assert facts["advice"].startswith("Batch other is unlike")
    told = minia("status", "--warehouse", location).expect(0).out
    lines = {line.split()[0]: line for line in told.partition("drift from")[2].splitlines()[1:4]}
    assert lines["b1"].endswith("trained on")
    assert lines["other"].endswith("unlike it")
    assert facts["advice"] in told
    calm = json.loads(minia("status", "--json", "--warehouse", warehouse).expect(0).out)
    assert calm["advice"] is None


def test_the_page_tells(three, warehouse):
    location, _ = three
    page = (location / "report" / "index.html").read_text()
    assert "Batch other is unlike what the codebook was made from" in page
    assert page.count("unlike the codebook</b>") == 1
    assert "Batches beside the codebook" in page
    calm = (warehouse / "report" / "index.html").read_text()
    assert "unlike what" not in calm
    assert "drift-light.png" not in calm  # one batch has no course


def test_status_tells_of_a_file_that_is_missing(minia, own_warehouse):
    (entry,) = Warehouse(str(own_warehouse)).require().of_table("drift")
    next((own_warehouse / entry.path).rglob("*.parquet")).unlink()
    told = minia("status", "--warehouse", own_warehouse).expect(1)
    assert "(drift) is damaged: " in told.err


def test_only_the_batch_is_read(three, published, tmp_path):
    """Other batches' words and features are gone: nobody misses them."""
    location = Path(shutil.copytree(three[0], tmp_path / "W"))
    house = Warehouse(str(location))
    for entry in house.require().entries:
        if entry.batch not in (None, "b2") or entry.table == "features":
            shutil.rmtree(location / entry.path)
    before = rows_of(three[0], "drift", batch="b2")
    published(location, "drift", "b2")
    assert rows_of(location, "drift", batch="b2") == before


def test_partitions_do_not_show(three, context):
    location, _ = three
    rows = []
    for parts in (1, 7):
        made = context(location, "drift", "other")
        read = made.read
        made.read = lambda *a, read=read, parts=parts: read(*a).repartition(parts)
        run(made)
        (entry,) = made.entries
        rows.append(made.spark.read.parquet(made.pattern(entry.path)).collect())
    assert rows[0] == rows[1]


def test_a_batch_without_features(warehouse, published, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "blank.png"), np.full((64, 64), 90, np.uint8))
    location = tmp_path / "W"
    take_codebook(warehouse, location)
    for stage in ("ingest", "features", "words", "drift"):
        made = published(location, stage, "b1", source=folder)
    assert made.counts == {"features": 0}
    row = table_of(location, "drift").iloc[0]
    assert (row["images"], row["features"]) == (0, 0)
    assert row["error"] is None or np.isnan(row["error"])
    assert not row["in_training"]  # another batch of the same name
