"""Images of structures through Spark, against overlaps that are counted one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import SMALL, chosen, rows_of, table_of

from minia_spark.structures.rows import load_structures
from minia_spark.warehouse.warehouse import Warehouse


@pytest.mark.parametrize("counts", ["model", "ones"])
def test_ranks_overlaps_and_matched_features(warehouse, own_warehouse, published, counts):
    if counts == "model":
        location = warehouse
    else:
        location = own_warehouse
        published(location, "structures", None, f"structures.structure_counts={counts}")
    structures = table_of(location, "structures").set_index("structure_id")
    matches = table_of(location, "structure_images")
    words = table_of(location, "words").set_index("image_id")
    assert len(structures) > 1
    for number, structure in structures.iterrows():
        held = dict(
            zip(structure["words"].tolist(), structure["frequencies"].tolist(), strict=True)
        )
        if counts == "ones":
            held = dict.fromkeys(held, 1)
        wanted = []
        for image_id, row in words.iterrows():
            image = Counter(row["feature_words"].tolist())
            common = [word for word in held if word in image]
            if 2 * len(common) <= len(held):
                continue
            both = sum(min(held[word], image[word]) for word in common)
            overlap = both / min(sum(held.values()), sum(image.values()))
            matched = [k for k, word in enumerate(row["feature_words"].tolist()) if word in held]
            wanted.append((-overlap, image_id, len(common), matched))
        found = matches[matches["structure_id"] == number].sort_values("rank")
        assert found["rank"].tolist() == list(range(1, len(found) + 1))
        assert [
            (-overlap, image, n, features.tolist())
            for overlap, image, n, features in zip(
                found["overlap"],
                found["image_id"],
                found["words_held"],
                found["features"],
                strict=True,
            )
        ] == sorted(wanted)
        # without a least overlap, every image that supports a structure is one of its images
        assert structure["support"] == len(found)


def test_least_overlap(warehouse, own_warehouse, published):
    columns = ("structure_id", "rank", "image_id", "overlap")
    before = rows_of(warehouse, "structure_images", *columns)
    least = sorted(row[3] for row in before)[len(before) // 3]
    published(own_warehouse, "structures", None, f"structures.min_overlap={least!r}")
    kept = [row for row in before if row[3] >= least]
    assert rows_of(own_warehouse, "structure_images", *columns) == kept
    assert 0 < len(kept) < len(before)


def test_structures_come_back_from_their_table(warehouse):
    house = Warehouse(str(warehouse))
    (entry,) = house.entries("structures")
    found = load_structures(pq.read_table(house.path_of(entry)))
    table = table_of(warehouse, "structures").sort_values("structure_id")
    assert found.items.tolist() == [word for row in table["words"] for word in row]
    assert found.frequencies.tolist() == [f for row in table["frequencies"] for f in row]
    assert found.sets.tolist() == table["sets"].tolist()
    assert np.diff(found.offsets).tolist() == table["words"].map(len).tolist()
    assert np.diff(table["significant"] & table["reproducible"]).sum() <= 1  # the sure ones first


def test_a_collection_without_structures(minia, own_warehouse):
    """It is no error: tables are empty, the page is made, and the user is told what helps."""
    none = chosen("mining.min_cluster_size=1000000")
    found = minia("run", "--warehouse", own_warehouse, *SMALL, *none).expect(0)
    assert "warning: no structures were found: 60 images are too few to tell structure" in found.err
    assert rows_of(own_warehouse, "structures") == []
    assert rows_of(own_warehouse, "structure_images") == []
    assert (own_warehouse / "report" / "index.html").is_file()
    out = own_warehouse.parent / "out.model"
    minia("export", "structures", out, "--warehouse", own_warehouse).expect(0)
    assert out.read_bytes() == b""


def test_outlier_words_are_left_out_of_mining(own_warehouse, published, warehouse):
    counts = np.zeros(120, np.int64)
    for word, occurrences in rows_of(warehouse, "word_counts", "word", "occurrences"):
        counts[word] = occurrences
    low, high = counts.mean() - counts.std(), counts.mean() + counts.std()
    kept = np.flatnonzero((counts >= low) & (counts <= high))
    given = ("words.drop_outliers=true", "words.outlier_deviations=1", *SMALL[1::2])
    made = published(own_warehouse, "mine", None, *given)
    assert made.counts["words_kept_percent"] == round(100 * len(kept) / 120, 2)
    share = round(100 * counts[kept].sum() / counts.sum(), 2)
    assert made.counts["occurrences_kept_percent"] == share
    used = {word for row in rows_of(own_warehouse, "structures", "words") for word in row[0]}
    assert used
    assert used <= set(kept.tolist())


def test_patterns_stand_beside_structures(warehouse):
    found = table_of(warehouse, "patterns").set_index("structure_id").sort_index()
    structures = table_of(warehouse, "structures").set_index("structure_id").sort_index()
    assert found.index.tolist() == structures.index.tolist()
    sure = structures["significant"] & structures["reproducible"]
    assert (found["strength"].notna() == sure).all()
    lifts = structures["lift_beyond"].fillna(structures["lift"])
    assert (lifts[found["strength"] == "strong"] >= 3).all()
    assert (lifts[found["strength"] == "moderate"] < 3).all()
    # places: by strength, then by number
    order = found.sort_values("place")
    assert order["place"].tolist() == list(range(len(found)))
    grades = [("strong", "moderate", "weak").index(s) if s else 3 for s in order["strength"]]
    assert list(zip(grades, order.index, strict=True)) == sorted(
        zip(grades, order.index, strict=True)
    )
    # whoever began a pattern is its own first, and before all others of it
    first = found.loc[found["pattern"]]
    assert (first["pattern"].to_numpy() == found["pattern"].to_numpy()).all()
    assert (first["place"].to_numpy() <= found["place"].to_numpy()).all()
    images = {
        number: {(row["batch"], row["image_id"]) for _, row in rows.iterrows()}
        for number, rows in table_of(warehouse, "structure_images").groupby("structure_id")
    }
    for number, row in found.iterrows():
        if row["same_images_as"] == row["same_images_as"]:  # not NaN
            one, other = images[number], images[int(row["same_images_as"])]
            assert 3 * len(one & other) >= len(one | other)
            assert row["pattern"] == found.loc[int(row["same_images_as"]), "pattern"]
