"""Progress of long work: a bar on a terminal, plain lines elsewhere; always on stderr.

Every line is also an event of the structured log (:mod:`minia_spark.base.events`), with the
run, stage and batch that it is about.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from minia_spark.base.events import log_event

if TYPE_CHECKING:
    from pyspark import SparkContext

__all__ = ["Progress"]

_POLL_SECONDS = 0.25
_LINE_SECONDS = 4.5


class Progress:
    """Tells what a run is doing.

    Parameters
    ----------
    stream : text stream or None
        Where to write; None is stderr.
    quiet : bool
        Only warnings.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.quiet = quiet
        self.started = time.monotonic()
        self._bars = not quiet and self.stream.isatty()
        self._about: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """Print one line with the seconds since the start in front."""
        self.tell("progress", text)

    def warn(self, text: str) -> None:
        """Print a line that also a quiet run shows."""
        self._print(f"warning: {text}")
        log_event("warning", text, level=logging.WARNING, **self._about)

    def tell(self, event: str, text: str, **facts: Any) -> None:
        """Print a line that stands in the structured log as an event of its own.

        Parameters
        ----------
        event, text
            As for :func:`minia_spark.base.events.log_event`.
        **facts
            What the event says besides the run, stage and batch at work.
        """
        if not self.quiet:
            self._print(text)
        log_event(event, text, **(self._about | facts))

    @contextmanager
    def about(self, **facts: str | None) -> Iterator[None]:
        """Let all events inside the block say which run, stage or batch they are about."""
        before = self._about
        self._about = before | facts
        try:
            yield
        finally:
            self._about = before

    def _print(self, text: str) -> None:
        tqdm.write(f"[{time.monotonic() - self.started:7.1f} s] {text}", file=self.stream)

    @contextmanager
    def spark_jobs(self, context: SparkContext, title: str) -> Iterator[None]:
        """Show how many tasks of the Spark jobs inside the block have ended."""
        if self.quiet:
            yield
            return
        stop = threading.Event()
        watcher = threading.Thread(
            target=self._watch, args=(context, title, stop), name="progress", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, context: SparkContext, title: str, stop: threading.Event) -> None:
        tracker = context.statusTracker()
        ended: dict[int, int] = {}
        totals: dict[int, int] = {}
        bar = None
        last_line = time.monotonic()
        while not stop.wait(_POLL_SECONDS):
            try:
                for stage_id in tracker.getActiveStageIds():
                    info = tracker.getStageInfo(stage_id)
                    if info is not None:
                        totals[stage_id] = info.numTasks
                        ended[stage_id] = info.numCompletedTasks
            except Exception:  # a session that ends must not fail over its own progress
                break
            active = [s for s in totals if ended[s] < totals[s]]
            if not active:
                continue
            stage_id = active[-1]
            if self._bars:
                if bar is None:
                    bar = tqdm(desc=title, unit="task", leave=False, file=self.stream)
                bar.total, bar.n = totals[stage_id], ended[stage_id]
                bar.refresh()
            elif time.monotonic() - last_line >= _LINE_SECONDS:
                last_line = time.monotonic()
                self.say(f"{title}: {ended[stage_id]} of {totals[stage_id]} tasks")
        if bar is not None:
            bar.close()
