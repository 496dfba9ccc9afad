"""Runs of the native program, measured from a process so small that it hides none of its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SMH = Path(__file__).resolve().parents[2] / "native" / "build" / "smh"

# A process starts with the peak memory of the one that started it, hence one in between.
_LAUNCHER = """
import json, os, subprocess, sys, time
runs = json.load(sys.stdin)
start = time.perf_counter()
processes = []
for command, source, target in runs:
    with open(source or os.devnull, "rb") as read, open(target or os.devnull, "wb") as write:
        processes.append(subprocess.Popen(command, stdin=read, stdout=write, stderr=-1))
messages = b"".join(p.stderr.read() for p in processes)
cpu, peak = 0, 0
for process in processes:
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(messages.decode())
    cpu, peak = cpu + used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss / 1024)
print(json.dumps([time.perf_counter() - start, cpu, peak]))
"""


@dataclass(frozen=True)
class Use:
    """What runs took."""

    seconds: float
    """On the clock, from the start of the first to the end of the last."""
    cpu: float
    """Of all cores, user and system."""
    peak_mib: float
    """Resident memory of the largest."""

    @staticmethod
    def least(uses: list[Use]) -> Use:
        """Return the smallest of each: other processes only ever add."""
        return Use(
            min(use.seconds for use in uses),
            min(use.cpu for use in uses),
            min(use.peak_mib for use in uses),
        )


def measured(
    *lines: str, folder: Path, source: Path | None = None, target: Path | None = None
) -> Use:
    """Run command lines of smh at the same time.

    Parameters
    ----------
    lines : str
        Arguments of smh, separated by blanks.
    folder : Path
        Where they run.
    source, target : Path, optional
        Standard input and output of each; nothing by default.
    """
    files = [source and str(source), target and str(target)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER],
        input=json.dumps([[[str(SMH), *line.split()], *files] for line in lines]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"smh {'; '.join(lines)}: {done.stderr}")
    return Use(*json.loads(done.stdout))
