"""The gallery of a warehouse says what its tables say."""

from __future__ import annotations

import base64
import json
import re
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import minia_spark
from minia_spark.clustering.tables import CLUSTERS
from minia_spark.frames.news import NO_REASON
from minia_spark.layout.tables import MAP, MAP_FRAMES
from minia_spark.neighbours.tables import NEIGHBOURS
from minia_spark.warehouse.warehouse import Warehouse


def _part(folder, name):
    text = (folder / "map" / name).read_text("ascii")
    blobs = re.search(r"\[([^\[\]]*)\]\);\n$", text)[1]
    return [base64.b64decode(blob.strip('"')) for blob in blobs.split(",") if blob]


@pytest.fixture(scope="module")
def built(warehouse):
    (entry,) = minia_spark.open(warehouse)._state.of_table("gallery")
    folder = warehouse / entry.path
    text = (folder / "gallery-data.js").read_text("ascii")
    return folder, json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))


def _rows(built):
    folder, head = built
    return json.loads(zlib.decompress(_part(folder, head["variants"][0]["table"])[0]))


def _names(built):
    folder, head = built
    return json.loads(zlib.decompress(_part(folder, head["batches"][0]["about"][0])[0]))


def test_structures(built, warehouse):
    collection = minia_spark.open(warehouse)
    told = collection.frame("structures").sort_values("structure_id")
    rows = _rows(built)
    assert [row["words"] for row in rows] == [list(words) for words in told["words"]]
    assert [row["support"] for row in rows] == told["support"].tolist()
    counts = collection.frame("structure_images").groupby("structure_id").size()
    assert [row["images"] for row in rows] == [counts.get(row["id"], 0) for row in rows]
    lineage = collection.frame("lineage").set_index("structure_id")["lineage_id"]
    assert [row["lineage"] for row in rows] == [lineage[row["id"]] for row in rows]


def test_images_of_structures(built, warehouse):
    folder, head = built
    blobs = [zlib.decompress(b) for b in _part(folder, head["variants"][0]["images"][0])]
    counts, _, images = (np.frombuffer(blob, "<u4") for blob in blobs[:3])
    names = _names(built)
    told = minia_spark.open(warehouse).frame("structure_images")
    told = told.sort_values(["structure_id", "rank"])
    assert [names[i] for i in images] == told["image_id"].tolist()
    assert np.frombuffer(blobs[3], "<f4").tolist() == told["overlap"].astype("f4").tolist()
    assert counts.sum() == len(told)


def test_features_of_images(built, warehouse):
    folder, head = built
    (name,) = head["batches"][0]["features"]["sift"]
    counts, shares, words = (zlib.decompress(blob) for blob in _part(folder, name))
    counts = np.frombuffer(counts, "<u4")
    collection = minia_spark.open(warehouse)
    features = collection.frame("features").set_index("image_id")
    feature_words = collection.frame("words").set_index("image_id")["feature_words"]
    names = _names(built)
    assert counts.tolist() == [len(feature_words[n]) for n in names]
    assert np.frombuffer(words, "<u4").tolist() == [w for n in names for w in feature_words[n]]
    places = np.frombuffer(shares, "<u2").reshape(4, -1) / 65535
    x, turn = places[0] * 128, places[3] * 360
    wanted = np.concatenate([features.loc[n, "x"] for n in names])
    assert np.abs(x - wanted).max() < 0.002
    degrees = np.concatenate([features.loc[n, "angle"] for n in names])
    assert np.abs(turn - degrees).max() < 0.003
    assert len(np.unique(degrees)) > 100


def test_a_collection_without_structures(own_warehouse, published):
    house = Warehouse(str(own_warehouse))
    state = house.catalogue()
    entries = []
    for entry in state.entries:
        if entry.table in ("structures", "structure_images", "lineage", "verifications"):
            table = pq.read_table(own_warehouse / entry.path).slice(0, 0)
            (own_warehouse / entry.table / "none").mkdir()
            pq.write_table(table, own_warehouse / entry.table / "none" / "part.parquet")
            changed = {"path": f"{entry.table}/none", "rows": 0, "files": ""}
            entries.append(entry.model_copy(update=changed))
        elif entry.table != "gallery":
            entries.append(entry)
    house.commit(state, state.run, entries, "without structures")
    assert published(own_warehouse, "gallery").counts["structures"] == 0
    found = minia_spark.open(own_warehouse).news()
    assert found.alerts == 0
    assert len(found.images) == 60


def test_it_is_where_people_look(warehouse):
    assert (warehouse / "gallery" / "index.html").is_file()
    page = (warehouse / "report" / "index.html").read_text("utf-8")
    assert 'href="../gallery/index.html"' in page


def test_what_the_newest_batch_brought(built, warehouse):
    _, head = built
    (news,) = head["facts"]["news"]
    told = minia_spark.open(warehouse).news()
    assert news["batch"] == "b1"
    first = told.images.head(12)
    odd = first[first["reasons"] != NO_REASON]
    assert 0 < len(odd) < 12
    assert [one["name"] for one in news["images"]] == odd["image_id"].tolist()
    assert [one["reasons"] for one in news["images"]] == odd["reasons"].tolist()
    assert news["structures"] == []


def test_what_other_lines_know(own_warehouse, published):
    """Places on a map, nearest images and clusters, as their tables have them."""
    images = minia_spark.open(own_warehouse).frame("images")["image_id"].tolist()
    n = len(images)
    own = [{"batch": "b1", "image_id": name} for name in images]
    low, high = [-2.0, -2.0], [2.0, 2.0]
    rows = {
        MAP: [one | {"x": k / n, "y": -k / n} for k, one in enumerate(own[1:], 1)],
        MAP_FRAMES: [{"low": low, "high": high}],
        NEIGHBOURS: [
            one
            | {
                "neighbours": [images[(k + j) % n] for j in range(1, 11)] + ["gone.png"],
                "batches": ["b1"] * 10 + ["a batch that went"],
                "distances": [0.5 * j for j in range(1, 12)],
            }
            for k, one in enumerate(own)
        ],
        CLUSTERS: [one | {"cluster": k % 2 - 1} for k, one in enumerate(own)],
    }
    variants = {CLUSTERS: "kmeans"}
    house = Warehouse(str(own_warehouse))
    state = house.catalogue()
    base = state.of_table("images")[0]
    entries = list(state.entries)
    for table, those in rows.items():
        path = f"{table.name}/by-hand"
        (own_warehouse / path).mkdir(parents=True)
        schema = table.arrow_schema()
        full = [dict.fromkeys(schema.names) | row for row in those]
        loose = pa.schema([field.with_nullable(True) for field in schema])
        pq.write_table(pa.Table.from_pylist(full, loose), own_warehouse / path / "p.parquet")
        variant = variants.get(table, "words")
        told = {"table": table.name, "path": path, "variant": variant, "rows": len(those)}
        entries.append(base.model_copy(update=told | {"batch": None, "stage": "s", "files": ""}))
    house.commit(state, state.run, entries, "a map")
    published(own_warehouse, "gallery")

    (entry,) = minia_spark.open(own_warehouse)._state.of_table("gallery")
    folder = own_warehouse / entry.path
    text = (folder / "gallery-data.js").read_text("ascii")
    head = json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))
    (batch,) = head["batches"]
    assert head["map_page"] == "explorer/index.html"
    names = _names((folder, head))
    number = {name: k for k, name in enumerate(images)}
    of = np.array([number[name] for name in names])

    (part,) = batch["places"][0]
    x, y = np.frombuffer(_part(folder, part)[0], "<u2").reshape(2, n).astype(float)
    assert (x[of == 0], y[of == 0]) == (65535, 65535)  # not on the map
    there = of > 0
    assert np.abs(x / 65534 * 4 - 2 - of / n)[there].max() < 1e-4
    assert np.abs(y / 65534 * 4 - 2 + of / n)[there].max() < 1e-4
    counts = np.frombuffer(zlib.decompress(_part(folder, head["maps"][0]["density"])[0]), "u1")
    assert counts.reshape(96, 96).max() == 255
    assert (counts.reshape(96, 96)[:48] > 0).sum() == 0  # all lie below the middle

    (part,) = batch["nearest"]["words"]
    blobs = [zlib.decompress(blob) for blob in _part(folder, part)]
    counts, _, near = (np.frombuffer(blob, "<u4") for blob in blobs[:3])
    assert counts.tolist() == [8] * n
    wanted = (of[:, None] + np.arange(1, 9)) % n
    assert (of[near].reshape(n, 8) == wanted).all()
    assert np.frombuffer(blobs[3], "<f4")[:8].tolist() == [0.5 * j for j in range(1, 9)]

    (part,) = batch["known"]
    told = json.loads(zlib.decompress(_part(folder, part)[0]))
    assert told == {"cluster (kmeans)": [f"c{k % 2 - 1}" for k in of]}


def test_two_extractors(own_warehouse, published):
    """Structures of two that found the same are each other's counterparts."""
    house = Warehouse(str(own_warehouse))
    state = house.catalogue()
    twins = [e.model_copy(update={"variant": "surf"}) for e in state.entries if e.variant == "sift"]
    house.commit(state, state.run, (*state.entries, *twins), "as if by two")
    made = published(own_warehouse, "gallery")
    (entry,) = minia_spark.open(own_warehouse)._state.of_table("gallery")
    folder = own_warehouse / entry.path
    text = (folder / "gallery-data.js").read_text("ascii")
    head = json.loads(text.removeprefix("minia_map.site(").removesuffix(",[]);\n"))
    assert [one["name"] for one in head["variants"]] == ["sift", "surf"]
    assert made.counts["structures"] == 2 * len(_rows((folder, head)))
    for row in _rows((folder, head)):
        (name,) = row["beside"]
        counterparts = {number: rest for number, *rest in row["beside"][name]}
        assert name == "surf"
        if row["images"]:
            assert counterparts[row["id"]] == [1.0, row["images"]]
    assert [one["variant"] for one in json.loads((folder / "news.json").read_text())] == [
        "sift",
        "surf",
    ]
