"""Who trains, who validates, and in which file: no leak, whatever the order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.delf.split import origin, shards_of, split_of


def split(labels, names=None, *, validation=0.2, seed=0):
    classes = [f"c{i}" for i in range(max(labels.values()) + 1)]
    return split_of(names or list(labels), labels, classes, validation=validation, seed=seed)


class TestOrigin:
    def test_copies_of_what_is_there(self):
        labels = dict.fromkeys(["123", "F123", "A123"], 0)
        assert {origin(name, labels) for name in labels} == {"123"}

    def test_two_copies_without_their_original(self):
        assert origin("F9", {"F9": 0, "A9": 0}) == origin("A9", {"F9": 0, "A9": 0}) == "9"

    def test_copies_of_copies(self):
        assert origin("FA1", {"FA1": 0, "A1": 0, "1": 0}) == "1"

    def test_a_name_that_only_begins_so(self):
        labels = {"Andromeda": 0, "F": 0, "Fish": 0, "ish": 1}
        assert [origin(name, labels) for name in labels] == list(labels)


def test_counts_are_of_each_class():
    labels = {f"{c}-{i}": c for c, n in enumerate((10, 2, 3, 51)) for i in range(n)}
    found = split(labels)
    counts = [
        sum(labels[n] == c and which == "validation" for n, which in found.items())
        for c in range(4)
    ]
    assert counts == [2, 1, 1, 10]


def test_nearly_all_may_validate_but_one():
    found = split({str(i): 0 for i in range(4)}, validation=0.99)
    assert sorted(found.values()) == ["train", *["validation"] * 3]


def test_one_image_cannot_be_in_both():
    labels = {"1": 0, "2": 0, "7": 1, "F7": 1}
    with pytest.raises(InputError, match="class 'c1' has one image that can be used, '7', not"):
        split(labels)


def test_a_copy_whose_original_cannot_be_used():
    """Its twin shows where it belongs; names alone decide, not what could be decoded."""
    labels = {n: 0 for i in range(10) for n in (f"{i}", f"F{i}", f"A{i}")}
    usable = [n for n in labels if n not in ("3", "4")]
    found = split(labels, usable, validation=0.5)
    for i in range(10):
        assert len({found[n] for n in (f"{i}", f"F{i}", f"A{i}") if n in found}) == 1


@given(
    st.dictionaries(st.text("FA12", min_size=1, max_size=3), st.integers(0, 1), min_size=1),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
    st.randoms(),
)
def test_no_leak_and_no_order(labels, validation, seed, random):
    try:
        found = split(labels, validation=validation, seed=seed)
    except InputError:
        return
    for prefix in "FA":  # an image and its copy of the same class are never apart
        for name, which in found.items():
            if labels.get(prefix + name) == labels[name]:
                assert found[prefix + name] == which
    shuffled = list(labels.items())
    random.shuffle(shuffled)
    assert split(dict(shuffled), validation=validation, seed=seed) == found


def test_shards_hold_everything_once_and_evenly():
    chosen = {str(i): "validation" if i % 5 == 0 else "train" for i in range(103)}
    shards = shards_of(chosen, 4, seed=1)
    assert [s.file for s in shards[:4]] == [f"train-{i:05d}-of-00004" for i in range(4)]
    assert [s.file for s in shards[4:]] == [f"validation-{i:05d}-of-00004" for i in range(4)]
    assert {len(s.names) for s in shards[:4]} == {20, 21}
    assert sorted(n for s in shards for n in s.names) == sorted(chosen)
    assert all(chosen[n] == s.file.partition("-")[0] for s in shards for n in s.names)
    assert shards == shards_of(dict(reversed(chosen.items())), 4, seed=1)
    assert shards != shards_of(chosen, 4, seed=2)
    in_order = [n for s in shards[:4] for n in s.names]
    assert in_order != sorted(in_order, key=int)


def test_more_shards_than_images():
    assert [len(s.names) for s in shards_of({"a": "train"}, 3, 0)] == [0, 0, 1, 0, 0, 0]
