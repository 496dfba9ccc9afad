"""Everything that three writers and two readers can do to each other, by search."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest
from protocol import KINDS, NEW, OLD, search

THREE = list(combinations_with_replacement(KINDS, 3))


def test_no_reader_ever_meets_a_state_whose_files_are_missing():
    situations = 0
    for kinds in THREE:
        found, fault = search(kinds, NEW, readers=1)
        assert not fault, (kinds, fault)
        situations += found
    assert situations > 300_000  # the machine moves


@pytest.mark.heavy
def test_with_two_readers_and_with_four_writers():
    for kinds in THREE:
        assert search(kinds, NEW, readers=2)[1] == "", kinds
    for kinds in (("run", "reprocess", "rollback", "vacuum"), ("run", "rollback", *["vacuum"] * 2)):
        assert search(kinds, NEW, readers=0)[1] == "", kinds


def test_it_finds_what_was_wrong_with_the_old_protocol():
    """A run that was suspended after its check commits what vacuum has removed meanwhile."""
    _, fault = search(("run", "vacuum"), OLD)
    told = fault.split(", ")
    assert told.index("run 0 checks") < told.index("vacuum 1 removes a folder")
    assert told.index("run 0 commits") > told.index("run 0 checks")
    assert fault.endswith("which is gone")


def test_it_finds_the_reverse_too():
    """A suspended vacuum removes what a rollback has brought back."""
    _, fault = search(("rollback", "vacuum"), OLD)
    wanted = "rollback 0 commits, vacuum 1 removes a folder: state 3 names [('b1', 1)], which is"
    assert wanted in fault


def test_no_rule_can_be_left_out():
    """Without each of them, the search finds a way to harm."""
    _, fault = search(("run", "vacuum"), NEW._replace(forgets=False))
    assert "state 4 names [('b2', 3)], which is gone" in fault
    _, fault = search(("rollback", "vacuum"), NEW._replace(marks=False))
    assert "state 3 names [('b1', 1)], which is gone" in fault
    kinds = ("run", "rollback", "vacuum", "vacuum")
    _, fault = search(kinds, NEW._replace(keeps_numbers=False), readers=0)
    assert "number 3 is given twice: its writer believes that it published" in fault
