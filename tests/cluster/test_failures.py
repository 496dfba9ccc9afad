"""Nodes, Python workers and native programs that are killed while a cluster works.

Spark tries what was lost again on what is left: the run ends well, and its tables are those of a
run that nothing disturbed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import SMALL, chosen, rows_of

from minia_spark.smh.native import find_binary
from minia_spark.warehouse.warehouse import Warehouse

from .standalone import StandaloneCluster

ROOT = Path(__file__).resolve().parents[2]
SMALL_EXECUTORS = chosen(
    "spark.partitions=12",  # so that a node dies with some of a stage's tasks done, some not
    "spark.conf.spark.executor.memory=700m",
    f"spark.conf.spark.executorEnv.PYTHONPATH={ROOT}",
    # a node is missed after seconds instead of minutes; a moment's silence on a busy machine is not
    "spark.conf.spark.network.timeout=60s",
)


class Driver:
    """``minia`` as a process of its own that uses a cluster; what it prints is followed."""

    def __init__(self, cluster: StandaloneCluster, log: Path, *arguments: object) -> None:
        settings = [*SMALL, *SMALL_EXECUTORS, *chosen(f"spark.master={cluster.url}")]
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "minia_spark.cli", *map(str, arguments), *settings],
                cwd=log.parent,
                env=os.environ | {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def told(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return once a condition holds; fail when the driver ends before."""
        deadline = time.monotonic() + 300
        while not condition():
            assert self.process.poll() is None, self.told[-4000:]
            assert time.monotonic() < deadline, self.told[-4000:]
            time.sleep(0.02)

    def is_in(self, step: str) -> bool:
        """Tell whether it has begun a step and not ended it."""
        return f"] {step}: " in self.told and f"] {step}: done" not in self.told

    def end(self) -> None:
        assert self.process.wait(600) == 0, self.told[-4000:]


@pytest.fixture
def driver(cluster: StandaloneCluster, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    started = []

    def start(*arguments: object) -> Driver:
        started.append(Driver(cluster, tmp_path / "log", *arguments))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        one.process.wait()


def python_workers(cluster: StandaloneCluster, worker: int = 0) -> list[int]:
    """Return those that compute on a node: children of the daemon that makes them."""
    found = []
    for pid in cluster.processes_of(cluster.workers[worker]):
        with contextlib.suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if b"pyspark.daemon" in Path(f"/proc/{parent}/cmdline").read_bytes():
                found.append(pid)
    return found


def lose_a_node(cluster: StandaloneCluster, driver: Driver, step: str) -> None:
    """Kill a node in the middle of a step, then put another in its place."""
    driver.wait_for(lambda: driver.is_in(step) and python_workers(cluster))
    cluster.kill_worker()
    assert driver.is_in(step)
    cluster.add_worker()


def compare(location: Path, other: Path, *tables: str) -> None:
    for table in tables:
        assert rows_of(location, table) == rows_of(other, table), table


@pytest.mark.heavy
def test_a_node_lost_during_features(cluster, driver, minia, warehouse, survey, tmp_path):
    location = tmp_path / "W"
    source = ("--images", survey.images, "--batch", "b1")
    minia("ingest", *source, "--warehouse", location, *SMALL).expect(0)
    running = driver("features", "--warehouse", location)
    lose_a_node(cluster, running, "features b1 sift")
    running.end()
    compare(location, warehouse, "features")


@pytest.mark.heavy
def test_nodes_python_and_native_programs_lost_in_one_run(
    cluster, driver, warehouse, survey, tmp_path
):
    """One run, in which of everything something dies; no step is begun by a second start."""
    location, killed = tmp_path / "W", tmp_path / "killed"
    killed.mkdir()
    program = tmp_path / "smh"
    program.write_text(
        "#!/bin/sh\n"
        f'if mkdir "{killed}/$1" 2>/dev/null; then\n'
        f'  "{find_binary()}" "$@" <&0 & kill -KILL $!; kill -KILL $$\n'
        "fi\n"
        f'exec "{find_binary()}" "$@"\n'
    )
    program.chmod(0o755)
    running = driver(
        *("run", "--images", survey.images, "--batch", "b1", "--labels", survey.labels),
        *("--warehouse", location, "--set", f"mining.binary={program}"),
        *("--set", "mining.engine=native"),
    )
    lose_a_node(cluster, running, "features b1 sift")
    lose_a_node(cluster, running, "codebook")
    running.wait_for(lambda: running.is_in("words b1") and python_workers(cluster, 0))
    for pid in python_workers(cluster, 0):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lose_a_node(cluster, running, "mine")
    running.end()
    assert {path.name for path in killed.iterdir()} >= {"sketch", "mine"}
    (record,) = Warehouse(str(location)).runs()
    assert {step.action for step in record.steps} == {"done"}
    tables = {e.table for e in Warehouse(str(warehouse)).require().entries} - {"report"}
    compare(location, warehouse, *sorted(tables))
