"""Benchmarks are run by hand and rot unseen: here each still runs, on a small share of its data.

What they print is not looked at: nothing is asserted about speed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES

ROOT = Path(__file__).resolve().parents[1]
SCALES = dict.fromkeys(NAMES, 0.02) | {"many": 0.002, "significance": 0.05}


def check(name: str) -> None:
    command = [sys.executable, "-m", "tests.benchmarks", name, "--scale", str(SCALES[name])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    assert done.returncode in (0, 1)  # 1: a limit was missed, which on so little data says nothing
    assert f"\n{name}: " in done.stdout


def test_growth():
    check("growth")  # without Spark: the quickest


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in NAMES if name != "growth"])
def test_the_others(name):
    check(name)
