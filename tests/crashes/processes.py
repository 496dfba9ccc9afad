"""Runs of ``minia`` in processes that are killed: forks of this one, and processes of their own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from commands import run_minia
from pyspark.sql import SparkSession

from .points import Point, arm

__all__ = ["Fork", "start_process"]

_LIVED = 77
_kept: list[object] = []


class Fork:
    """A command in a fork of this process, on the same Java: it costs no start of Spark.

    Killed, it leaves what a killed driver leaves: a lock, a ledger that says "running", folders in
    the middle of being written - and Spark's jobs, which go on for a while.

    Parameters
    ----------
    spark : SparkSession
        The tests' own.
    arguments : sequence
        Of ``minia``.
    point : Point or None
        Where it kills itself.
    """

    def __init__(
        self, spark: SparkSession, arguments: Sequence[object], point: Point | None = None
    ) -> None:
        gc.collect()
        gc.freeze()  # the fork must not collect objects that belong to this process's Java gateway
        sys.stdout.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forks of threaded processes
            self.pid = os.fork()
        if self.pid == 0:
            self._be_the_fork(lambda: _work(spark, arguments, point))
        gc.unfreeze()

    @staticmethod
    def _be_the_fork(work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            os._exit(_LIVED)

    def kill(self) -> None:
        """End it now."""
        os.kill(self.pid, signal.SIGKILL)

    def was_killed(self) -> bool:
        """Wait for its end; False: it came to the end of the command first."""
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return True
        assert os.WEXITSTATUS(status) == _LIVED
        return False


def _work(spark: SparkSession, arguments: Sequence[object], point: Point | None) -> None:
    client = spark.sparkContext._gateway._gateway_client  # type: ignore[union-attr]
    # Two processes on one connection would read each other's answers: this one opens its own.
    _kept.extend((client.thread_connection, client.deque))
    client.thread_connection, client.deque = threading.local(), deque()
    if point is not None:
        arm(point)
    run_minia(*arguments)


def start_process(arguments: Sequence[object], log: Path) -> subprocess.Popen[bytes]:
    """Start ``minia`` as users do, with a Spark of its own, as the head of a process group."""
    command = [sys.executable, "-m", "minia_spark.cli", *map(str, arguments)]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def children_of(pid: int, name: bytes) -> list[int]:
    """Return the descendants of a process whose command line holds a name."""
    parents, found = {pid}, []
    for entry in sorted((p for p in Path("/proc").iterdir() if p.name.isdigit()), key=_number):
        with suppress(OSError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) in parents:
                parents.add(_number(entry))
                if name in (entry / "cmdline").read_bytes():
                    found.append(_number(entry))
    return found


def _number(entry: Path) -> int:
    return int(entry.name)


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
