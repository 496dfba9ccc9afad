"""Never silent for long: what is going on is said when it changes, and every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pulse"]


class Pulse:
    """Says what is being done, at most one line in a few seconds; as a context also unasked.

    Parameters
    ----------
    say : callable
        Prints a line. Within the context it may be called from another thread, one at a time.
    seconds : float
        Between two lines.
    """

    def __init__(self, say: Callable[[str], None], *, seconds: float = 4.0) -> None:
        self._say = say
        self._seconds = seconds
        self._last = time.monotonic()
        self._now = ""
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        """Start to speak unasked."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Fall silent."""
        self._end.set()
        self._thread.join()

    def at(self, what: str, done: int, all_: int) -> None:
        """Be told what is being done; see :data:`minia_spark.mining.miner.Progress`."""
        self._now = f"{what}: {done:,} of {all_:,}" if all_ else what
        self._due()

    def say(self, text: str) -> None:
        """Print a line now."""
        with self._lock:
            self._last = time.monotonic()
            self._say(text)

    def _due(self) -> None:
        if time.monotonic() - self._last >= self._seconds and self._now:
            self.say(self._now)

    def _beat(self) -> None:
        while not self._end.wait(self._seconds / 4):
            self._due()
