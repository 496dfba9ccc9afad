"""Records: their places, the order they are read in, votes; broken files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from delf_samples import record, write_records
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.delf.records import Reader, classes_beside, index_files, order_of, read_votes

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")


@pytest.fixture
def files(tmp_path):
    first = [record(b"image%d" % n, n % 3, f"n{n}") for n in range(4)]
    second = [record(b"", 0, "Fn1.jpg"), record(b"x" * 1000, 2, "An2")]
    return [
        write_records(tmp_path / "train-0", first),
        write_records(tmp_path / "train-1", []),
        write_records(tmp_path / "train-2", second),
    ]


def test_every_record_is_found(files):
    index = index_files(files)
    assert len(index) == 6
    assert index.file.tolist() == [0, 0, 0, 0, 2, 2]
    images, targets = Reader(index, 3).read(np.array([5, 0, 4, 2]))
    assert images == [b"x" * 1000, b"image0", b"", b"image2"]
    assert targets.argmax(axis=1).tolist() == [2, 0, 0, 2]
    assert (targets.sum(axis=1) == 1).all()


@pytest.mark.parametrize("cut", [1, 4, 5, 300])
def test_a_file_that_ends_early(files, cut):
    data = files[2].read_bytes()
    files[2].write_bytes(data[:-cut])
    with pytest.raises(InputError, match=r"train-2 is no complete TFRecord file"):
        index_files(files)


def test_bytes_that_are_no_records(files):
    files[0].write_bytes(b"these are no records at all, only text")
    with pytest.raises(
        InputError, match=r"train-0 is no complete TFRecord file: the record at byte 0"
    ):
        index_files(files)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        index_files([files[0].with_name("missing")])


def test_records_that_are_no_examples(tmp_path):
    from minia_spark.base.networks import load_tensorflow

    train = load_tensorflow().train
    empty = train.Example().SerializeToString()
    path = write_records(tmp_path / "train-0", [b"\xff\xff\xff", empty, record(b"", 7, "n")])
    reader = Reader(index_files([path]), 3)
    with pytest.raises(InputError, match=r"record 1 of .*train-0 is broken"):
        reader.read(np.array([0]))
    with pytest.raises(InputError, match=r"record 2 of .* needs one image/encoded .* has 0 and 0"):
        reader.read(np.array([1]))
    with pytest.raises(
        InputError, match=r"record 3 of .* has class 7; with 3 classes they are 0 to 2"
    ):
        reader.read(np.array([2]))


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(0, 40), st.integers(0, 40))
def test_an_order_is_the_same_from_wherever_it_is_read(seed, count, a, b):
    start, stop = sorted((a, b))
    whole = order_of(seed, count, 0, 60)
    np.testing.assert_array_equal(order_of(seed, count, start, stop), whole[start:stop])
    for epoch in range(60 // count):
        assert sorted(whole[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_passes_have_different_orders():
    assert order_of(1, 50, 0, 50).tolist() != order_of(1, 50, 50, 100).tolist()
    assert order_of(1, 50, 0, 50).tolist() != order_of(2, 50, 0, 50).tolist()


def votes_file(tmp_path, text):
    path = tmp_path / "votes.csv"
    path.write_text(text)
    return path


def test_votes_are_shares_of_the_classes_by_name(tmp_path, files):
    path = votes_file(tmp_path, "name,c,a,b\nn1,1,3,0\nn2,0,0,2\n")
    votes = read_votes(path, ["a", "b", "c"])
    np.testing.assert_allclose(votes["n1"], [0.75, 0, 0.25])
    reader = Reader(index_files(files), 3, votes)
    _, targets = reader.read(np.array([1, 4, 5]))  # n1, its masked copy, the moved copy of n2
    np.testing.assert_allclose(targets, [[0.75, 0, 0.25], [0.75, 0, 0.25], [0, 1, 0]])
    assert reader.missing_votes() == ["n0", "n3"]
    with pytest.raises(InputError, match=r"no votes for 'n3' \(record 4 of"):
        reader.read(np.array([3]))
    for in_order in (3, ["0", "1", "2"]):  # as the numbers of a training set are
        np.testing.assert_allclose(read_votes(path, in_order)["n1"], [0.25, 0.75, 0])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must have a column"),
        ("name,a\nn1,1\n", "must have a column"),
        ("name,a,x\nn1,1,1\n", "it has name, a, x"),
        ("name,a,b\nn1,1\n", "line 2: 2 fields, not 3"),
        ("name,a,b\nn1,1,x\n", "line 2: could not convert"),
        ("name,a,b\nn1,1,nan\n", "are no shares"),
        ("name,a,b\nn1,1,-1\n", "are no shares"),
        ("name,a,b\nn1,0,0\n", "are no shares"),
        ("name,a,b\nn1,1,0\nn1,1,0\n", "line 3: 'n1' is there already"),
    ],
)
def test_votes_that_cannot_be_used(tmp_path, text, match):
    with pytest.raises(InputError, match=match):
        read_votes(votes_file(tmp_path, text), ["a", "b"])


@pytest.mark.parametrize(
    ("told", "classes"),
    [
        ({"classes": ["b", "a"]}, ["b", "a"]),
        ({"classes": {"b": 1, "a": 0}}, ["a", "b"]),
        ({"classes": {"b": 100, "a": 70}}, ["b", "a"]),
    ],
)
def test_classes_of_the_manifest(tmp_path, told, classes):
    assert classes_beside(tmp_path) is None
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    assert classes_beside(tmp_path) == classes


@pytest.mark.parametrize("text", ["{", "[]", '{"classes": ["one"]}', '{"classes": 3}'])
def test_manifests_without_classes(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest.json"):
        classes_beside(tmp_path)
