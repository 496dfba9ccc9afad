"""Arrays as scripts, against a decoder of plain loops."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minia_spark.explorer import parts

from .decoder import script, values
from .samples import HOSTILE

# what Arrow takes: no lone surrogates
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def back(part):
    return values(*script(parts.script("part", *part)))


@given(st.lists(st.none() | text, max_size=40))
@settings(deadline=None)
def test_one_value_a_point_comes_back(column):
    assert back(parts.category(pa.array(column, pa.string()))) == column


@given(st.lists(st.none() | st.lists(text, max_size=4), max_size=30))
@settings(deadline=None)
def test_several_values_come_back(column):
    found = back(parts.tags(pa.array(column, pa.list_(pa.string()))))
    assert found == [one or [] for one in column]


@given(st.lists(st.none() | text, max_size=30))
@settings(deadline=None)
def test_texts_come_back(column):
    assert back(parts.texts(pa.array(column, pa.string()))) == [one or "" for one in column]


@given(st.lists(st.none() | st.floats(width=32), max_size=30))
def test_numbers_come_back(column):
    found = back(parts.number(pa.array(column, pa.float64())))
    for one, own in zip(column, found, strict=True):
        assert math.isnan(own) if one is None or math.isnan(one) else own == one


@pytest.mark.parametrize("distinct", [0, 255, 256, 65_535, 65_536])
def test_codes_are_as_wide_as_their_number_needs(distinct):
    column = pa.array([f"v{i}" for i in range(distinct)], pa.string())
    head, blobs = parts.category(column)
    assert head["width"] == (1 if distinct < 256 else 2 if distinct < 65_536 else 4)
    assert len(blobs[0]) == distinct * head["width"]
    assert values(head, blobs) == column.to_pylist()


def test_a_slice_of_a_column_is_what_it_shows():
    lists = pa.array([["a"], ["b", "c"], None, ["d"]], pa.list_(pa.string()))
    assert back(parts.tags(lists.slice(1, 2))) == [["b", "c"], []]
    assert back(parts.category(pa.array(["a", "b", "c"]).slice(2))) == ["c"]


def test_no_text_can_leave_its_script():
    made = parts.script("part", *parts.category(pa.array(HOSTILE)))
    assert b"<" not in made
    assert b">" not in made
    assert made.isascii()
    assert b"\n" not in made[:-1]
    assert back(parts.category(pa.array(HOSTILE))) == HOSTILE


def test_positions_are_within_half_a_step():
    rng = np.random.default_rng(5)
    points = rng.uniform((-3, 10), (5, 18), (500, 2))
    points[7] = math.nan
    points[0], points[1] = (-3, 10), (5, 18)
    whole = parts.quantised(points, (-3.0, 10.0, 5.0, 18.0))
    assert whole[0].tolist() == [0, 0]
    assert whole[1].tolist() == [65_534, 65_534]
    assert whole[7].tolist() == [parts.ABSENT, parts.ABSENT]
    there = np.arange(500) != 7
    again = np.array([-3, 10]) + whole[there] / 65_534 * 8
    assert np.abs(again - points[there]).max() <= 8 / 65_534 / 2 + 1e-12
    assert back(parts.positions(whole)) == [tuple(row) for row in whole.tolist()]


def test_positions_outside_of_the_box_are_refused():
    with pytest.raises(ValueError, match=r"positions lie outside of the box"):
        parts.quantised(np.array([[2.0, 0.0]]), (-1.0, -1.0, 1.0, 1.0))


def test_the_order_is_by_hash_alone():
    names = [f"image-{i:03d}.png" for i in range(200)]
    order = parts.hash_order(pa.array(names))
    again = parts.hash_order(pa.array(names[::-1]))
    assert [names[i] for i in order] == [names[::-1][i] for i in again]
    first = parts.hash_order(pa.array(names[:50]))  # other images change nothing
    assert [names[i] for i in order if i < 50] == [names[i] for i in first]
    # a fair sample: of the first half, about as many are from either half of the names
    assert 35 < sum(int(i) < 100 for i in order[:100]) < 65


def test_near_points_are_near_on_the_curve():
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [65_535, 65_535]], np.uint16)
    assert parts.morton(points).tolist() == [0, 1, 2, 3, 4, 0xFFFFFFFF]


def test_a_digest_tells_values_apart_that_run_together():
    assert parts.digest("ab", "c") != parts.digest("a", "bc")
    assert parts.digest("a") == parts.digest(b"a")
