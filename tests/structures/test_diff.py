"""``minia structures diff RUN RUN``."""

from __future__ import annotations


def test_a_state_compared_with_itself(minia, warehouse):
    result = minia("structures", "diff", "1", "1", "--warehouse", warehouse)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["event", "older", "newer", "words", "gained", "lost"]
    assert lines[1].split() == ["same", "s0000", "s0000", "0", "0"]
    assert lines[-1] == f"{len(lines) - 2} same"


def test_usage_and_unknown_states(minia, warehouse):
    wrong = minia("structures", "diff", "1", "--warehouse", warehouse)
    assert (wrong.code, "diff RUN RUN" in wrong.err) == (2, True)
    unknown = minia("structures", "diff", "1", "77", "--warehouse", warehouse)
    assert unknown.code == 3
    assert "no state '77'" in unknown.err


def test_no_warehouse(minia, tmp_path):
    told = minia("structures", "diff", "1", "2", "--warehouse", tmp_path / "W").expect(3)
    assert "no warehouse at" in told.err
