"""Variants that are pairs: their names, which tables they read, which settings they depend on."""

from __future__ import annotations

import pytest

from minia_spark.embedding.tables import EMBEDDINGS
from minia_spark.engine.stage import pair_of
from minia_spark.galaxies.tables import FACETS
from minia_spark.rooms import HOUSE

BOTH = HOUSE.load_settings(
    None, ["clustering.methods=[kmeans,som]", "clustering.embeddings=[pca,words]"]
)
STAGE = HOUSE.by_name["embedding_clusterings"]


def test_a_variant_for_every_pair():
    pairs = ("kmeans-pca", "som-pca", "kmeans-words", "som-words")
    assert HOUSE.variants(STAGE, BOTH) == pairs
    assert HOUSE.variants(HOUSE.by_name["clusterings"], BOTH) == ("kmeans", "som")
    assert HOUSE.variants(STAGE, HOUSE.load_settings()) == ()
    assert set(pairs) < set(HOUSE.variants_of(STAGE).names)
    assert [pair_of(name) for name in ("som-words", "som", "")] == [
        ("som", "words"),
        ("som", ""),
        ("", ""),
    ]


def test_it_reads_the_variant_that_its_second_name_says():
    assert STAGE.variant_of(EMBEDDINGS, "som-words", BOTH) == "words"
    assert STAGE.variant_of(STAGE.writes[0], "som-words", BOTH) == "som-words"
    assert STAGE.variant_of(FACETS, "som-words", BOTH) is None


@pytest.mark.parametrize(("name", "variant"), [("clusterings", "som"), (STAGE.name, "som-pca")])
def test_it_depends_on_the_settings_of_its_first_name(name, variant):
    used = HOUSE.uses(HOUSE.by_name[name], BOTH, variant)
    assert "clustering.som.passes" in used
    assert not any(key.startswith("clustering.kmeans") for key in used)
    assert not {"clustering.methods", "clustering.embeddings"} & set(used)
