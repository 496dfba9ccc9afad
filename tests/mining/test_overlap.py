import numpy as np
import pytest
import slow_twin
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.bags import Bags
from minia_spark.base.errors import SettingsError
from minia_spark.mining import overlap
from minia_spark.mining.model import Structures
from minia_spark.mining.overlap import StructureIndex


def structures(*counted):
    """Structures of {item: frequency}."""
    items = [item for bag in counted for item in bag]
    return Structures(
        np.cumsum([0, *map(len, counted)], dtype=np.int64),
        np.array(items, dtype=np.uint32),
        np.array([count for bag in counted for count in bag.values()], dtype=np.uint32),
        np.ones(len(counted), dtype=np.int64),
    )


def images(*counted):
    found = structures(*counted)
    return Bags(found.offsets, found.items, found.frequencies)


def listed(matches):
    return list(
        zip(
            matches.images.tolist(),
            matches.structures.tolist(),
            matches.overlaps.tolist(),
            matches.held.tolist(),
            strict=True,
        )
    )


def test_by_hand():
    """S = {1: 10, 2: 10, 3: 4}, |S| = 24; more than 1.5 of its 3 words means 2."""
    index = StructureIndex(structures({1: 10, 2: 10, 3: 4}))
    found = index.search(
        images(
            {1: 2, 2: 1, 9: 1},  # 2 + 1 of 4
            {3: 6, 1: 2},  # 4 + 2 of 8
            {1: 50},  # one word is not more than half of three
            {1: 30, 2: 30, 3: 30},  # 10 + 10 + 4 of 24: the structure is the smaller one
            {},
        )
    )
    assert listed(found) == [(0, 0, 3 / 4, 2), (1, 0, 6 / 8, 2), (3, 0, 1.0, 3)]
    assert found.support.tolist() == [3]


def test_every_word_once():
    """|S| = 3: the overlap is the share of the structure that the image holds."""
    index = StructureIndex(structures({1: 10, 2: 10, 3: 4}), structure_counts="ones")
    found = index.search(images({1: 2, 2: 1, 9: 5}, {3: 6, 1: 2, 2: 1}))
    assert listed(found) == [(0, 0, 2 / 3, 2), (1, 0, 1.0, 3)]


def test_exactly_half_is_not_more_than_half():
    index = StructureIndex(structures({1: 1, 2: 1}))
    assert index.search(images({1: 1})).support.tolist() == [0]
    assert index.search(images({1: 1, 2: 1})).support.tolist() == [1]


def test_threshold_does_not_change_the_support():
    index = StructureIndex(structures({1: 1, 2: 1, 3: 1}, {8: 1, 9: 1}))
    batch = images({1: 1, 2: 1, 7: 1}, {8: 1, 9: 1})
    assert listed(index.search(batch, min_overlap=2 / 3)) == [(0, 0, 2 / 3, 2), (1, 1, 1.0, 2)]
    strict = index.search(batch, min_overlap=0.7)
    assert listed(strict) == [(1, 1, 1.0, 2)]
    assert strict.support.tolist() == [1, 1]


def test_nothing():
    assert listed(StructureIndex(structures()).search(images({1: 1}))) == []
    found = StructureIndex(structures({1: 1})).search(images())
    assert (listed(found), found.support.tolist()) == ([], [0])
    assert listed(StructureIndex(structures({1: 1})).search(images({}, {}))) == []


def test_refused():
    with pytest.raises(SettingsError, match="'sets' is not one of model, ones"):
        StructureIndex(structures(), structure_counts="sets")
    for bound in (-0.1, 1.1):
        with pytest.raises(SettingsError, match=r"min_overlap must be within 0\.\.1, got"):
            StructureIndex(structures()).search(images(), min_overlap=bound)


items = st.one_of(st.integers(0, 9), st.just(2**32 - 1))
bags = st.dictionaries(items, st.integers(1, 5), max_size=7)


@given(
    st.lists(bags.filter(len), max_size=5),
    st.lists(bags, max_size=6),
    st.sampled_from([0.0, 0.5, 0.8]),
    st.sampled_from(["model", "ones"]),
    st.sampled_from([1, 3, 1 << 22]),
)
def test_against_the_slow_twin(models, documents, bound, counts, cells):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_CELLS", cells)  # any chunking gives the same
        index = StructureIndex(structures(*models), structure_counts=counts)
        found = index.search(images(*documents), min_overlap=bound)
    expected = []
    support = [0] * len(models)
    for i, image in enumerate(documents):
        for s, model in enumerate(models):
            held = len(model.keys() & image.keys())
            if held > len(model) / 2:
                support[s] += 1
                own = model if counts == "model" else dict.fromkeys(model, 1)
                value = slow_twin.overlap(own, image)
                if value >= bound:
                    expected.append((i, s, value, held))
    assert listed(found) == expected
    assert found.support.tolist() == support


def test_batches_together_are_the_whole():
    index = StructureIndex(structures({1: 2, 2: 1}, {2: 3, 3: 3, 4: 3}))
    documents = [{1: 1, 2: 1}, {2: 1, 3: 1}, {1: 1, 2: 2, 3: 1, 4: 1}]
    whole = index.search(images(*documents))
    parts = [index.search(images(document)) for document in documents]
    assert whole.support.tolist() == np.sum([part.support for part in parts], axis=0).tolist()
    assert [row[1:] for row in listed(whole)] == [r[1:] for part in parts for r in listed(part)]
