"""The line of exposures, killed at ten points and started again: as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import chosen, rows_of, run_minia
from crashes.points import Point

pytest.importorskip("tensorflow", reason="the extra 'networks' is not installed")

from minia_spark.exposures.page import ABOVE
from minia_spark.sky.exposures import Exposures, write_exposures
from minia_spark.warehouse.warehouse import Warehouse

TESTS = Path(__file__).resolve().parents[1]
SETTINGS = chosen(
    *("exposures.per_ccd=12", "exposures.usual_ccds=2", "spark.partitions=2"),
    *("desom.cutouts.side=3", "desom.cutouts.steps=120", "desom.cutouts.batch=16"),
    *("desom.exposures.side=2", "desom.exposures.steps=12", "desom.exposures.batch=8"),
)
POINTS = (
    *(Point("amid", "cutouts", "n1"), Point("worked", "cutouts", "n1")),
    *(Point("before", "cutout_map"), Point("worked", "cutout_map")),
    *(Point("noting", "cells", "n1"), Point("worked", "exposure_map")),
    *(Point("amid", "places", "n1"), Point("noted", "flags", "n1")),
    *(Point("worked", "exposure_page"), Point("within the commit")),
)
DYING = """
import sys
from crashes.points import Point, arm
from minia_spark.cli import main
arm(Point(sys.argv[1], sys.argv[2], sys.argv[3] or None))
sys.exit(main(sys.argv[4:]))
"""
"""In a process of its own: networks do not survive a fork."""


def contents(location: Path) -> dict[str, object]:
    """Return the rows of every table, the weights of the maps, and the files of the page."""
    found: dict[str, object] = {}
    for entry in Warehouse(str(location)).require().entries:
        folder = location / entry.path
        if list(folder.rglob("*.parquet")):
            found[entry.table] = rows_of(location, entry.table)
        else:  # manifests say how quick a training was; these two, of which run it is
            every = (f for f in folder.rglob("*") if f.is_file())
            files = [f for f in every if f.suffix != ".json" and f.name != ABOVE]
            found[entry.table] = {f.name: f.read_bytes() for f in files}
    return found


@pytest.mark.heavy
def test_killed_at_ten_points(tmp_path):
    night = tmp_path / "n1"
    made = Exposures(seed=4, ccds=2, side_px=160, sources=60)
    list(write_exposures(night, made, 10))

    def command(name: str) -> list[object]:
        where = ("--exposures", night, "--batch", "n1", "--warehouse", tmp_path / name)
        return ["exposures", "run", *where, *SETTINGS]

    run_minia(*command("undisturbed")).expect(0)
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    for point in POINTS:
        arguments = [point.when, point.stage, point.batch or "", *map(str, command("killed"))]
        done = subprocess.run(
            [sys.executable, "-c", DYING, *arguments],
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, (point, done.stderr[-2000:])
        assert not list((tmp_path / "killed" / "catalogue").glob("[0-9]*")), point
    run_minia(*command("killed")).expect(0)
    assert len(POINTS) == 10
    assert Warehouse(str(tmp_path / "killed")).require().version == 1
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed")
