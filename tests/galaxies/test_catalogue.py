"""How an image finds its row in the table of classes."""

from __future__ import annotations

import pytest

from minia_spark.base.errors import InputError
from minia_spark.galaxies.catalogue import catalogue_of
from minia_spark.ingest.labels import match_keys


def rows(*pairs):
    return [(key, *match_keys(key), value) for key, value in pairs]


def test_the_most_precise_name_counts():
    known = catalogue_of(rows(("a/1.jpg", "Sb"), ("1.jpg", "Sc"), ("2", "Er"), ("3", None)))
    assert known.find("a/1.jpg") == ("Sb", False)
    assert known.find("deep/er/2.png") == ("Er", False)
    assert known.find("3.jpg") == (None, False)
    assert known.find("b/1.jpg") == (None, True)  # both rows are called so
    assert known.rows == 4


def test_equal_classes_are_no_conflict():
    known = catalogue_of(rows(("a/1.jpg", "Sb"), ("b/1.jpg", "Sb"), ("a/1.jpg", " Sb ")))
    assert known.find("c/1.jpg") == ("Sb", False)


def test_two_classes_for_one_key():
    with pytest.raises(InputError, match="gives 'x' two classes, 'Sb' and 'Sc'"):
        catalogue_of(rows(("x", "Sb"), ("x", "Sc")))
