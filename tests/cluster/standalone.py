"""A Spark standalone cluster on loopback: a master and workers as separate processes.

For tests (``with StandaloneCluster(folder) as cluster``) and by hand, where COMMAND finds the
master in the variable MASTER, which spark-submit reads too::

    python -m tests.cluster.standalone --workers 2 -- COMMAND...
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyspark

SPARK_HOME = Path(pyspark.__file__).parent
_START_SECONDS = 60
_STOP_SECONDS = 10
_MARK = "MINIA_TEST_CLUSTER"  # in the environment of every process of a cluster, so that none hides


def clean_environment(**variables: str) -> dict[str, str]:
    """Return an environment as on a node where nothing was set up, and `variables`."""
    java = os.environ.get("JAVA_HOME")
    if not java:
        found = shutil.which("java")
        if found is None:
            raise RuntimeError("no Java: set JAVA_HOME or put java on PATH")
        java = str(Path(found).resolve().parents[1])
    base = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "JAVA_HOME": java}
    return base | {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1"} | variables


_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=256m"
"""Six of them start, and compile hardly anything twice."""


@dataclass
class Daemon:
    """A master or worker: its process, what it prints, and where it works."""

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def wait_for(self, pattern: str) -> str:
        """Return the first group of `pattern` once the log has it."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            if found := re.search(pattern, text):
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"{self.folder.name} did not start; {self.log}:\n{text[-4000:]}")


class StandaloneCluster:
    """A master and its workers; no process of theirs outlives the ``with`` block.

    Parameters
    ----------
    folder : Path
        Logs, and one work folder a worker: they share no files but those that Spark sends.
    workers : int
    cores : int
        Cores of each worker.
    memory : str
        Memory of each worker for its executors, as Spark writes it.
    """

    def __init__(
        self, folder: Path, *, workers: int = 2, cores: int = 1, memory: str = "2g"
    ) -> None:
        self.folder = folder
        self.cores = cores
        self.memory = memory
        self.url = ""
        self.master: Daemon | None = None
        self.workers: list[Daemon] = []
        self._wanted = workers
        self._started = 0
        self._mark = uuid.uuid4().hex

    def __enter__(self) -> StandaloneCluster:
        try:
            self.master = self._start("master", "master.Master", "--port", "0")
            self.url = self.master.wait_for(r"Starting Spark master at (spark://\S+)")
            for _ in range(self._wanted):
                self.add_worker(wait=False)
            for worker in self.workers:
                worker.wait_for(r"(Successfully registered with master)")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def add_worker(self, *, wait: bool = True) -> Daemon:
        """Start one more worker; with `wait`, return when the master knows it."""
        name = f"worker{self._started}"
        self._started += 1
        options = ["--cores", str(self.cores), "--memory", self.memory]
        options += ["--work-dir", str(self.folder / name / "work"), self.url]
        worker = self._start(name, "worker.Worker", *options)
        self.workers.append(worker)
        if wait:
            worker.wait_for(r"(Successfully registered with master)")
        return worker

    def kill_worker(self) -> None:
        """Kill the oldest worker with its executors and their Python, all at once, as with a node.

        The master learns of it by itself.
        """
        worker = self.workers.pop(0)
        for pid in [worker.process.pid, *self.processes_of(worker)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.process.wait()

    def processes_of(self, worker: Daemon) -> dict[int, str]:
        """Return pid and command line of a worker, its executors and their Python."""
        found = {}
        for pid, command in self.processes().items():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cwd").resolve().is_relative_to(worker.folder):
                    found[pid] = command
        return found

    def _start(self, name: str, main: str, *options: str) -> Daemon:
        folder = self.folder / name
        for part in ("conf", "local", "work"):
            (folder / part).mkdir(parents=True)
        environment = clean_environment(
            SPARK_CONF_DIR=str(folder / "conf"),
            SPARK_LOCAL_DIRS=str(folder / "local"),
            SPARK_DAEMON_MEMORY="256m",
            SPARK_DAEMON_JAVA_OPTS=_SHORT_LIVED,
            **{_MARK: self._mark},
        )
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{main}"]
        command += ["--host", "127.0.0.1", "--webui-port", "0", *options]
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Daemon(process, log, folder)

    def processes(self) -> dict[int, str]:
        """Return pid and command line of all that belongs: daemons, executors, Python workers."""
        mark = f"{_MARK}={self._mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # ended while we look
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                        found[int(entry.name)] = command.decode(errors="replace")
        return found

    def stop(self) -> None:
        """End the daemons, workers first, then whatever of theirs is left."""
        daemons = [*self.workers, *([self.master] if self.master else [])]
        for daemon in daemons:
            daemon.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for daemon in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(max(0.0, deadline - time.monotonic()))
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for daemon in daemons:
                daemon.process.poll()  # reaps it, else it stays in /proc
            time.sleep(0.05)
        for daemon in daemons:
            daemon.process.wait()

    def submit(
        self, *arguments: str, folder: Path, timeout_seconds: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run spark-submit against this cluster."""
        return submit(
            *("--master", self.url, "--driver-java-options", _SHORT_LIVED),
            *("--conf", f"spark.executor.extraJavaOptions={_SHORT_LIVED}"),
            *arguments,
            folder=folder,
            timeout_seconds=timeout_seconds,
            **variables,
        )


def private_spark_home(folder: Path) -> Path:
    """Return a SPARK_HOME of links to the real one.

    Executors of ``local-cluster`` work in SPARK_HOME/work; so they work in `folder` instead.
    """
    home = folder / "spark"
    home.mkdir()
    for entry in SPARK_HOME.iterdir():
        if entry.name not in ("conf", "work"):
            (home / entry.name).symlink_to(entry)
    return home


def submit(
    *arguments: str, folder: Path, timeout_seconds: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run spark-submit in `folder` with a clean environment plus `variables`."""
    return subprocess.run(
        [str(SPARK_HOME / "bin" / "spark-submit"), *arguments],
        cwd=folder,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def main() -> int:
    """Run a command beside a cluster."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cores", type=int, default=1, help="of each worker")
    parser.add_argument("--memory", default="2g", help="of each worker")
    parser.add_argument("command", nargs="+", help="finds the master's address in MASTER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="spark-standalone-") as name:
        cluster = StandaloneCluster(
            Path(name), workers=options.workers, cores=options.cores, memory=options.memory
        )
        with cluster:
            print(f"master: {cluster.url}", file=sys.stderr)
            environment = os.environ | {"MASTER": cluster.url, "SPARK_LOCAL_IP": "127.0.0.1"}
            return subprocess.run(options.command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
