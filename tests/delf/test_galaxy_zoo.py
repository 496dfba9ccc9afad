"""The classes of Galaxy Zoo 2: every rule by rows whose answer the reader sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minia_spark.base.errors import InputError
from minia_spark.delf.galaxy_zoo import CLASSES, COLUMNS, check_columns, numbers, verdicts

SMOOTH = "t01_smooth_or_features_a01_smooth_debiased"
FEATURES = "t01_smooth_or_features_a02_features_or_disk_debiased"
EDGE_ON = "t02_edgeon_a04_yes_debiased"
FACE_ON = "t02_edgeon_a05_no_debiased"
SPIRAL = "t04_spiral_a08_spiral_debiased"
ODD = "t06_odd_a14_yes_debiased"

# the way to every class, and its leaf, written once more by hand
WAYS = {
    "ring": ((ODD,), "t08_odd_feature_a19_ring_debiased"),
    "rounded": ((FEATURES, EDGE_ON), "t09_bulge_shape_a25_rounded_debiased"),
    "no_bulge": ((FEATURES, EDGE_ON), "t09_bulge_shape_a27_no_bulge_debiased"),
    "tight": ((FEATURES, FACE_ON, SPIRAL), "t10_arms_winding_a28_tight_debiased"),
    "medium": ((FEATURES, FACE_ON, SPIRAL), "t10_arms_winding_a29_medium_debiased"),
    "loose": ((FEATURES, FACE_ON, SPIRAL), "t10_arms_winding_a30_loose_debiased"),
    "completely_round": ((SMOOTH,), "t07_rounded_a16_completely_round_debiased"),
    "in_between": ((SMOOTH,), "t07_rounded_a17_in_between_debiased"),
    "cigar_shaped": ((SMOOTH,), "t07_rounded_a18_cigar_shaped_debiased"),
}
EVERY = pytest.mark.parametrize("name", WAYS)


def votes(*rows):
    """Return the columns of rows that give some fractions; all others are 0."""
    return {c: np.array([row.get(c, 0.0) for row in rows], dtype=float) for c in COLUMNS}


def way(name, path=0.71, leaf=0.76):
    return {**dict.fromkeys(WAYS[name][0], path), WAYS[name][1]: leaf}


def first(*rows):
    return [CLASSES[c] if c >= 0 else None for c in verdicts(votes(*rows)).first]


def test_nine_classes_in_this_order_from_fifteen_columns():
    assert tuple(WAYS) == CLASSES
    assert set(COLUMNS) == {c for path, leaf in WAYS.values() for c in (*path, leaf)}
    assert len(COLUMNS) == 15


@EVERY
def test_a_galaxy_above_both_limits(name):
    assert first(way(name)) == [name]


@EVERY
def test_limits_themselves_are_not_exceeded(name):
    assert first(way(name, path=0.70), way(name, leaf=0.75)) == [None, None]


@EVERY
def test_every_step_of_the_way_counts(name):
    path, leaf = WAYS[name]
    for step in (*path, leaf):
        assert first({**way(name), step: 0.5}) == [None], step


@EVERY
def test_a_missing_vote_exceeds_nothing(name):
    path, leaf = WAYS[name]
    for step in (*path, leaf):
        assert first({**way(name), step: np.nan}) == [None], step


def test_a_galaxy_of_two_classes_is_of_the_first():
    both = {**way("tight"), **way("ring")}
    found = verdicts(votes(both, way("tight"), {}))
    assert [CLASSES[found.first[0]], CLASSES[found.second[0]]] == ["ring", "tight"]
    assert found.first.tolist() == [0, 3, -1]
    assert found.second.tolist() == [3, -1, -1]


def test_shares_are_products_along_the_way():
    row = {SMOOTH: 0.5, "t07_rounded_a16_completely_round_debiased": 0.6}
    row |= {FEATURES: 0.5, FACE_ON: 0.8, SPIRAL: 0.5, "t10_arms_winding_a30_loose_debiased": 1.0}
    row |= {ODD: np.nan, "t08_odd_feature_a19_ring_debiased": 1.0}
    shares = dict(zip(CLASSES, verdicts(votes(row)).shares[0], strict=True))
    # 0.5 x 0.6 = 0.3 round, 0.5 x 0.8 x 0.5 x 1 = 0.2 loose: of 0.5 in all
    assert shares["completely_round"] == pytest.approx(0.6)
    assert shares["loose"] == pytest.approx(0.4)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["ring"] == 0


def test_shares_of_a_galaxy_that_nobody_voted_on():
    assert verdicts(votes({})).shares.tolist() == [[0.0] * 9]
    assert verdicts(votes()).shares.shape == (0, 9)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, st.floats(0, 1) | st.just(np.nan)))))
def test_as_a_loop_over_rows_and_rules(rows):
    found = verdicts(votes(*rows))
    for i, row in enumerate(rows):
        holds = [
            k
            for k, (path, leaf) in enumerate(WAYS.values())
            if all(row[c] > 0.70 for c in path) and row[leaf] > 0.75
        ]
        assert [found.first[i], found.second[i]] == [*holds, -1, -1][:2]
        assert np.all(found.shares[i] >= 0)
        assert found.shares[i].sum() == pytest.approx(1) or not found.shares[i].any()


def test_numbers_and_what_is_none():
    texts = ["0.5", " 1 ", "", None, "NaN", "null", "N/A", "0"]
    values, bad = numbers(texts)
    np.testing.assert_array_equal(values, [0.5, 1, *[np.nan] * 5, 0])
    assert not bad.any()
    values, bad = numbers(["1.01", "-0.1", "inf", "yes", "0.7_5", "0,8"])
    assert np.isnan(values).all()
    assert bad.all()


class TestColumns:
    def test_missing_ones_are_named_with_what_is_near(self):
        found = [c for c in COLUMNS if c != ODD] + [ODD.replace("debiased", "debiaised")]
        with pytest.raises(InputError, match=f"^votes lacks a column that is needed: {ODD} "):
            check_columns(found, COLUMNS, "votes")
        with pytest.raises(InputError, match=r"lacks columns that are needed: objid, asset_id$"):
            check_columns(["x"], ["objid", "asset_id"], "mapping")

    def test_one_that_stands_twice(self):
        with pytest.raises(InputError, match="votes has the column a more than once"):
            check_columns(["a", "b", "a"], ["a"], "votes")
        check_columns(["a", "b", "b"], ["a"], "votes")
