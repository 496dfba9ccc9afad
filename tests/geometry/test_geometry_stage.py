"""The check through Spark: as pair by pair, for any partitioning; off, it costs nothing."""

from itertools import combinations

import numpy as np
import pytest
from commands import rows_of, table_of

from minia_spark.geometry.alike import Placed, alike


def test_as_pair_by_pair(own_warehouse, published):
    settings = ("geometry.pairs=10000", "geometry.tolerance=1.0")
    published(own_warehouse, "geometry", None, *settings)
    features = table_of(own_warehouse, "features").set_index("image_id")
    words = table_of(own_warehouse, "words").set_index("image_id")["feature_words"]
    matches = table_of(own_warehouse, "structure_images")
    found = table_of(own_warehouse, "verifications").set_index("structure_id")
    assert sorted(found.index) == sorted(matches["structure_id"].unique())
    assert len(found) > 0

    def placed(row):
        own, at = features.loc[row.image_id], row.features
        places = np.stack([own["x"][at], own["y"][at]], axis=1)
        return Placed(words[row.image_id][at], places, own["size"][at], own["angle"][at])

    for structure, group in matches.groupby("structure_id"):
        sides = [placed(row) for row in group.sort_values("rank").itertuples()]
        good = sum(alike(a, b, least=3, tolerance=1.0) > 0 for a, b in combinations(sides, 2))
        pairs = len(sides) * (len(sides) - 1) // 2
        row = found.loc[structure]
        assert (row["pairs"], row["alike"]) == (pairs, good)
        assert row["verified"] == pytest.approx(good / pairs)
    assert found["alike"].sum() > 0


def test_a_sample_does_not_depend_on_partitions(own_warehouse, published):
    published(own_warehouse, "geometry", None, "geometry.pairs=5")
    first = rows_of(own_warehouse, "verifications")
    published(own_warehouse, "geometry", None, "geometry.pairs=5", "spark.partitions=7")
    assert sorted(rows_of(own_warehouse, "verifications")) == sorted(first)
    assert table_of(own_warehouse, "verifications")["pairs"].max() == 5


def test_off(warehouse):
    assert table_of(warehouse, "verifications").empty
