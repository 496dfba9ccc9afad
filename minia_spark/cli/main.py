"""The command ``minia``; ``jobs/*.py`` take the same arguments under spark-submit.

Here are messages and exit codes. What a command takes is in :mod:`minia_spark.cli.parser`, what it
does in :mod:`minia_spark.cli.commands` and :mod:`minia_spark.cli.inspection`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from minia_spark.base.errors import MiniaError, root_cause
from minia_spark.cli.parser import Handler, parser

if TYPE_CHECKING:
    pass

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str or None
        Without the program's name; None takes those of the process.
    """
    options = parser().parse_args(arguments)
    if getattr(options, "log_json", None) is not None:
        options.set.append(f"log.file={json.dumps(options.log_json)}")
    logging.getLogger("py4j").setLevel(logging.ERROR)
    handler: Handler = options.handler
    try:
        with _termination_interrupts():
            code = handler(options)
        _flush()
        return code
    except MiniaError as error:
        print(f"minia {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"minia {options.command}: interrupted; the next run goes on", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away
        _discard_output()
        return 1
    except Exception as error:
        if os.environ.get("MINIA_TRACEBACK"):
            traceback.print_exc()
        print(
            f"minia {options.command}: {root_cause(error)}\n{_advice(error, options)}"
            "Readers still see the state before this run, and what it finished is kept: start it "
            "again. MINIA_TRACEBACK=1 shows where it happened.",
            file=sys.stderr,
        )
        return 1


def _advice(error: Exception, options: argparse.Namespace) -> str:
    if "No space left on device" not in str(error):
        return ""
    where = getattr(options, "warehouse", None) or "the warehouse"
    return f"Make room in {where} and in Spark's scratch folder (SPARK_LOCAL_DIRS, else TMPDIR).\n"


@contextlib.contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Take SIGTERM, by which schedulers stop a job, for Ctrl-C: what is held is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        _discard_output()
        raise MiniaError(f"the output cannot be written: {error.strerror}") from None


def _discard_output() -> None:
    """Keep Python from failing once more, over the same output, while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
