"""Training sets in minIA's form, good and bad."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.delf.training_set import (
    file_of,
    name_fault,
    no_file,
    parse_training_set,
    read_training_set,
    write_training_set,
)


def parse(text):
    return parse_training_set(text.encode(), "set.csv")


def test_numbers_are_labels():
    found = parse("type_galaxy_id,images\n2,c d\n0,F1 1\n")
    assert found.classes == ("0", "1", "2")
    assert found.labels == {"c": 2, "d": 2, "F1": 0, "1": 0}
    assert list(found.labels) == ["c", "d", "F1", "1"]


def test_names_are_numbered_in_their_order():
    found = parse('\ufefftype_galaxy_id,images\r\nspiral,a b\r\n"a, b",c\r\n\r\n7,d\r\n')
    assert found.classes == ("spiral", "a, b", "7")
    assert found.labels == {"a": 0, "b": 0, "c": 1, "d": 2}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "set.csv begins with ''; expected is a line 'type_galaxy_id,images'"),
        ("0,1 2 3\n", "set.csv begins with '0,1 2 3'; expected"),
        ("type_galaxy_id,images,more\n", "begins with 'type_galaxy_id,images,more'"),
        ("type_galaxy_id,images\n", "set.csv names no class"),
        ("id,images\n0,a\n1,b a\n", "line 3: image 'a' of class '1' is named in class '0' too"),
        ("id,images\n0,a b a\n", "line 2: image 'a' of class '0' is named twice"),
        ("id,images\n0,a\n0,b\n", "line 3: class '0' has a line already"),
        ("id,images\n0,a\n00,b\n", "two classes have the same number"),
        ("id,images\n123456,a\n", "class 123456: numbers of classes count from 0"),
        ("id,images\n0,a  b\n", "line 2: names stand between single spaces"),
        ("id,images\n0,a b \n", "line 2: names stand between single spaces"),
        ("id,images\n0,\n", "line 2: class '0' has no images"),
        ("id,images\n,a\n", "line 2: the class has no name"),
        ("id,images\n0\n", "line 2: 1 fields, expected are 2"),
        ('id,images\n0,"a\n', "line 2: unexpected end of data"),
        ("id,images\n0,a ../b\n", r"line 2: '../b' cannot be an image's name: it has a path"),
        ("id,images\n0,a..b\n", r"'a..b' cannot be an image's name: it has '..'"),
        ("id,images\n0,a\\b\n", "cannot be an image's name: it has a path separator"),
        ("id,images\n0,.a\n", "'.a' cannot be an image's name: it begins with a dot"),
        ("id,images\n0,a\x00b\n", "cannot be an image's name: it has a space, a comma, or a sign"),
    ],
)
def test_what_is_refused(text, match):
    with pytest.raises(InputError, match=match):
        parse(text)


def test_bytes_that_are_no_text():
    with pytest.raises(InputError, match=r"set.csv is not UTF-8 \(at byte 3\)"):
        parse_training_set(b"id,\xff\n", "set.csv")


def test_a_class_may_have_many_images(tmp_path):
    names = [f"galaxy{i}" for i in range(40_000)]  # 470 kB in one field
    before = csv.field_size_limit()
    write_training_set(tmp_path / "set.csv", {"0": names})
    assert list(read_training_set(tmp_path / "set.csv").labels) == names
    assert csv.field_size_limit() == before


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"the training set .*gone.csv cannot be read: No such"):
        read_training_set(tmp_path / "gone.csv")


@given(
    st.dictionaries(
        st.text("abF1-é", min_size=1),
        st.lists(st.text("abA12_.-é", min_size=1, max_size=5)),
        min_size=1,
        max_size=4,
    )
)
def test_there_and_back(tmp_path_factory, members):
    seen = set()
    kept = {}
    for number, names in enumerate(members.values()):
        sound = dict.fromkeys(n for n in names if name_fault(n) is None and n not in seen)
        seen |= set(sound)
        kept[f"c{number}"] = list(sound)
    path = tmp_path_factory.mktemp("sets") / "set.csv"
    write_training_set(path, kept)
    if not any(kept.values()):
        with pytest.raises(InputError, match="names no class"):
            read_training_set(path)
        return
    found = read_training_set(path)
    assert found.classes == tuple(c for c, names in kept.items() if names)
    assert {found.classes[label]: [] for label in found.labels.values()}.keys() == {
        c for c, names in kept.items() if names
    }
    assert set(found.labels) == seen


def test_files_of_names():
    files = {"1.jpg", "2.JPG", "2.jpeg", "3.png", "4.jpg"}
    assert [file_of(n, files) for n in "1234"] == ["1.jpg", "2.JPG", None, "4.jpg"]
    assert no_file("3", files) == "There is no 3.jpg, nor with .JPG, .jpeg or .JPEG."
    assert no_file("4.jpg", files).endswith("Names stand without their ending.")
