"""A driver that is killed at any moment: readers see a whole state, a second start ends well.

The runs that die fit a new codebook and add a batch, so that every stage has work to do.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import SMALL, chosen, rows_of, run_minia

from minia_spark.warehouse.warehouse import Warehouse

from .points import ENDS, WITHIN_A_STEP, Point
from .processes import Fork, children_of, start_process, wait_until
from .readers import contents, whole_state

STEPS = (
    *(("ingest", "b2"), ("features", "b2"), ("thumbnails", "b2"), ("codebook", None)),
    *(("words", "b1"), ("words", "b2"), ("drift", "b1"), ("drift", "b2"), ("tune", None)),
    *(("factors", "b1"), ("factors", "b2")),
    *(("pairs", None), ("mine", None), ("lineage", None), ("structures", None)),
    *(("geometry", None), ("gallery", None), ("report", None)),
)
"""What the run does, in order."""

FEW = (
    Point("worked", "ingest", "b2"),
    Point("amid", "features", "b2"),
    Point("noting", "mine"),
    Point("within the commit"),
    Point("after the commit"),
)


class Night:
    """A batch that is to be added to a copy of the shared warehouse, and what comes of it."""

    def __init__(self, base: Path, images: Path, folder: Path) -> None:
        self.base, self.images, self.folder = base, images, folder
        self.old = whole_state(base)
        self.before = contents(base)
        self.after: dict[str, list[object]] = {}
        self.seconds = 0.0

    def command(self, location: Path, *settings: str) -> list[object]:
        source = ["--images", self.images, "--batch", "b2", "--warehouse", location]
        more = chosen("codebook.size=100", *settings)
        return ["run", *source, *SMALL, *more, "--replace"]

    def copy(self, of: Path, name: str) -> Path:
        return Path(shutil.copytree(of, self.folder / name))

    def check_readers(self, location: Path) -> int:
        """Check that what is read is the old state or the new one, and return its number."""
        state = whole_state(location)
        if state.version == self.old.version:
            assert state == self.old
            assert contents(location) == self.before
        else:
            self.check_new(location)
        return state.version

    def check_new(self, location: Path) -> None:
        assert whole_state(location).version == self.old.version + 1
        found = contents(location)
        assert set(found) == set(self.after)
        for table, rows in self.after.items():
            assert found[table] == rows, table

    def finish(self, location: Path) -> str:
        """Start again, check that nothing tells from a run that nobody disturbed."""
        found = run_minia(*self.command(location)).expect(0)
        self.check_new(location)
        assert not list(location.glob("lock*"))
        return found.out


@pytest.fixture(scope="module")
def coming(warehouse, survey, tmp_path_factory) -> Night:
    """The night before anything is done."""
    images = tmp_path_factory.mktemp("images")
    for image in sorted(survey.images.iterdir())[::4]:
        shutil.copy(image, images / f"b2-{image.name}")
    return Night(warehouse, images, tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def night(coming, minia) -> Night:
    """The night, and the run of it that nothing disturbs."""
    night = coming
    location = night.copy(night.base, "undisturbed")
    start = time.monotonic()
    minia(*night.command(location)).expect(0)
    night.seconds = time.monotonic() - start
    record = next(Warehouse(str(location)).runs())
    assert tuple((s.stage, s.batch) for s in record.steps if s.action == "done") == STEPS
    night.after = contents(location)
    assert len(night.after["words"]) == 75
    assert {row[0] for row in rows_of(location, "structure_images", "batch")} == {"b1", "b2"}
    assert night.after["structures"] != night.before["structures"]
    return night


@pytest.mark.heavy
def test_killed_again_and_again_at_chosen_points(night, spark):
    """Every start goes on where the one before died."""
    location = night.copy(night.base, "few")
    versions = []
    for point in FEW:
        assert Fork(spark, night.command(location), point).was_killed(), point
        assert (location / "lock.json").exists()  # nothing was tidied up
        versions.append(night.check_readers(location))
    assert versions == [night.old.version] * 4 + [night.old.version + 1]
    assert "nothing to do" in night.finish(location)


@pytest.mark.heavy
def test_killed_at_every_point_of_every_stage(night, spark):
    """One warehouse goes from death to death; copies of it are finished.

    Copies after the points that are "before" and "noted" would only repeat those of the step
    before: what is on disk is the same.
    """
    location = night.copy(night.base, "all")
    points = [Point(when, *step) for step in STEPS for when in WITHIN_A_STEP]
    # between two notes nothing differs for steps of the same stage
    points = [p for p in points if p.batch != "b1" or p.when == "worked"]
    finished = 0
    for point in (*points, *ENDS):
        assert Fork(spark, night.command(location), point).was_killed(), point
        version = night.check_readers(location)
        assert version == night.old.version + (point in ENDS[2:]), point
        if point in ENDS or point.when in ("amid", "worked"):
            copy = night.copy(location, "finished")
            night.finish(copy)
            shutil.rmtree(copy)
            finished += 1
        if point in ENDS[2:]:  # there is nothing more to do
            shutil.rmtree(location)
            night.copy(night.base, "all")
    assert len(points) + len(ENDS) > 60
    assert finished >= 30


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(night, spark, seed):
    location = night.copy(night.base, f"random-{seed}")
    fork = Fork(spark, night.command(location))
    time.sleep(random.Random(seed).uniform(0, night.seconds))
    fork.kill()
    fork.was_killed()
    night.check_readers(location)
    night.finish(location)


def test_stopped_in_a_spark_job_by_sigterm(coming, tmp_path):
    """A scheduler stops the whole group, Java too, which may end first: one line says so."""
    location = coming.copy(coming.base, "stopped")
    command = coming.command(location, "spark.master=local[2]", "spark.partitions=5")
    log = tmp_path / "log"
    process = start_process(command, log)
    wait_until(lambda: "one pass over the pixels" in log.read_text() or bool(process.poll()))
    time.sleep(1.0)
    told = len(log.read_text())
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(120) == 1
    lines = [line for line in log.read_text()[told:].splitlines() if not line.startswith("[ ")]
    assert lines == ["minia run: stopped; the next run goes on"]
    assert not list(location.glob("lock*"))
    coming.check_readers(location)


@pytest.mark.heavy
@pytest.mark.parametrize("victim", ["driver", "java", "all"])
@pytest.mark.parametrize("seed", [1, 2])
def test_processes_of_their_own(night, victim, seed, tmp_path):
    """As users start it: Python alone is killed, its Java alone, or everything at once."""
    location = night.copy(night.base, f"{victim}-{seed}")
    command = night.command(location, "spark.master=local[2]", "spark.partitions=5")
    process = start_process(command, tmp_path / "log")
    wait_until(lambda: "ingest b2: done" in (tmp_path / "log").read_text() or bool(process.poll()))
    time.sleep(random.Random(seed).uniform(0, 0.8 * night.seconds))
    assert process.poll() is None, (tmp_path / "log").read_text()
    if victim == "java":
        os.kill(children_of(process.pid, b"SparkSubmit")[0], signal.SIGKILL)
        assert process.wait(120) == 1
        told = (tmp_path / "log").read_text()
        assert "minia run: " in told
        assert "Readers still see the state before this run" in told
    elif victim == "driver":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(120)
    night.check_readers(location)
    night.finish(location)
