"""A bound on the memory that a piece of work may take: what is declared small must stay small."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

__all__ = ["bounded_memory"]

_PAGE_BYTES = resource.getpagesize()


@contextlib.contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """Let this process take only so much more memory inside: beyond, MemoryError is raised.

    The bound is the system's own on a process's data (``RLIMIT_DATA``), so it holds for libraries
    in C too; it counts all threads. Where the system does not say how much is in use, there is
    none.

    Parameters
    ----------
    more_bytes : int
        Beyond what is in use now.
    """
    used = _data_bytes()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    bound = used + more_bytes
    if used == 0 or (before[0] != resource.RLIM_INFINITY and before[0] <= bound):
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (bound, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """Return what Linux counts as this process's data; 0 elsewhere."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[5]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
