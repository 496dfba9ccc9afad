"""The command ``minia``; ``jobs/*.py`` take the same arguments under spark-submit.

Here are messages and exit codes. The commands are listed in :mod:`minia_spark.cli.parser` and in
the rooms; what they take and do stands in one module a group.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from minia_spark.base.errors import MiniaError, explained, legible, state_left
from minia_spark.base.files import lose_output
from minia_spark.cli.parser import parser
from minia_spark.engine.room import House
from minia_spark.rooms import HOUSE

__all__ = ["main"]

_SIGNAL_SECONDS = 0.5


def main(arguments: Sequence[str] | None = None, house: House = HOUSE) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Without the program's name; None takes those of the process.
    house : House
        The rooms whose commands there are.
    """
    _open_closed_streams()
    with contextlib.redirect_stderr(cast("TextIO", _Forgiving(sys.stderr))):
        return _main(list(sys.argv[1:] if arguments is None else arguments), house)


def _main(words: list[str], house: House) -> int:
    options = parser(house, words).parse_args(words)
    _keep_libraries_quiet()
    try:
        with _termination_interrupts():
            code: int = options.handler(options)
        _flush()
        return code
    except MiniaError as error:
        print(f"minia {options.command}: {legible(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        return _stopped(options, "stopped" if isinstance(error, _Terminated) else "interrupted")
    except BrokenPipeError:  # the reader of our output went away
        lose_output(sys.stdout)
        return 1
    except Exception as error:
        if _was_terminated(error):
            return _stopped(options, "stopped")
        if os.environ.get("MINIA_TRACEBACK"):
            traceback.print_exc()
        print(
            f"minia {options.command}: {legible(explained(error))}\n{_advice(error, options)}"
            f"{_outcome(error)}MINIA_TRACEBACK=1 shows where it happened.",
            file=sys.stderr,
        )
        return 1


def _keep_libraries_quiet() -> None:
    """Keep what libraries log from the terminal: an error that matters is raised, and told once."""
    root = logging.getLogger()
    if not (root.handlers or os.environ.get("MINIA_TRACEBACK")):
        root.addHandler(logging.NullHandler())


def _stopped(options: argparse.Namespace, how: str) -> int:
    print(f"minia {options.command}: {how}; the next run goes on", file=sys.stderr)
    return 1


def _was_terminated(error: BaseException) -> bool:
    """Tell whether an error is what SIGTERM left of Spark, whose Java gets it too and ends first.

    Then the connection breaks a moment before, or while, this process is told.
    """
    if _Terminated.received:
        return True
    if isinstance(error, ConnectionError) or "Py4JNetworkError" in repr(type(error).__mro__):
        with contextlib.suppress(_Terminated):
            time.sleep(_SIGNAL_SECONDS)
    return _Terminated.received


def _advice(error: Exception, options: argparse.Namespace) -> str:
    if "No space left on device" not in str(error):
        return ""
    where = getattr(options, "warehouse", None) or "the warehouse"
    return f"Make room in {where} and in Spark's scratch folder (SPARK_LOCAL_DIRS, else TMPDIR).\n"


def _outcome(error: Exception) -> str:
    of_a_run, published = state_left(error)
    if published is not None:
        return f"State {published} is published, and readers see it; the next run does the rest. "
    if of_a_run:
        return (
            "Readers still see the state before this run, and what it finished is kept: start it "
            "again. "
        )
    return ""


class _Terminated(KeyboardInterrupt):
    """Somebody sent SIGTERM."""

    received = False


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Take SIGTERM, by which schedulers stop a job, for Ctrl-C: what is held is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def stop(_number: int, _frame: object) -> None:
        _Terminated.received = True
        session = sys.modules.get("minia_spark.engine.session")
        if session is not None:
            session.silence_java()
        raise _Terminated

    _Terminated.received = False
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _flush() -> None:
    """Write what is left of the output; MiniaError when that fails, as on a full disk."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        lose_output(sys.stdout)
        raise MiniaError(f"the output cannot be written: {error.strerror}") from None


class _Forgiving:
    """Standard error whose reader may go, whose disk may be full: lines are lost, not the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            lose_output(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            lose_output(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_closed_streams() -> None:
    """Open what the caller closed (``>&-``): a data file would get its number, and our messages."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
