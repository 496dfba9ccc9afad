"""Where an image is decoded, so that one which kills or holds up its decoder costs itself alone."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from enum import Enum

__all__ = ["ALARM_SECONDS", "Care", "with_care"]

ALARM_SECONDS = 30.0
"""For one image, or the next one of a file of images: far more than the largest that is allowed
takes on a busy machine, and whose time is up is tried once more."""


class Care(Enum):
    """How far decoders of JPEG, PNG, TIFF and plain FITS are trusted.

    Decoders in C can crash or hang on damaged files, and nothing in their own process can help
    then. A process for each image, or a copy of all pixels through a pipe, would cost every image;
    so workers decode by themselves first, and whose worker died has its images decoded with a
    guard. Compressed tiles of FITS, whose decoders trust the most, always have one.
    """

    NONE = "none"
    """In this process, without a limit of time."""
    ALARM = "alarm"
    """In this process, which the system ends (``SIGALRM``) when an image takes too long: for
    workers, whose tasks are then tried again."""
    GUARD = "guard"
    """In a process of its own (:mod:`.guard`): a crash, or a limit of time, is a reject."""


@contextlib.contextmanager
def with_care(care: Care) -> Iterator[None]:
    """Let this process be ended when what is inside takes too long, if that is asked for.

    It is the system's timer: no thread, and no interpreter that code in C may hold, has to wake up.
    """
    if care is not Care.ALARM:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
