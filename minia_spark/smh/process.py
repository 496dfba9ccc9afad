"""Stream bytes through a program and leave nothing behind."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import IO

from minia_spark.base.errors import MiniaError, SettingsError

__all__ = ["stream_through"]

_USAGE_STATUS = 2
_PROGRESS = re.compile(rb"progress (\d+) (\d+)\n")
_TAIL_BYTES = 4096
"""How much of the end of the program's messages an error quotes."""
_JOIN_SECONDS = 10.0
"""How long an abandoned feed may take to notice; its thread dies with Python in any case."""


def stream_through(
    command: Sequence[str],
    feed: Iterable[bytes] = (),
    *,
    chunk_bytes: int = 1 << 20,
    progress: Callable[[int, int], None] | None = None,
) -> Generator[bytes, None, None]:
    """Run a program, feed its standard input and yield its standard output as it comes.

    The feed is drawn in a thread of its own, and messages are drained in another, so that no pipe
    can fill up and block. The program is started with the first value asked for. However the
    generator ends - to the end, closed early, or by an exception here, in the feed or in the
    consumer - the program has ended too and has been waited for.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell is involved.
    feed : iterable of bytes
        What the program reads. When it raises, the program is killed, because it would take the
        early end of its input for the whole, and the exception is raised here.
    chunk_bytes : int
        Largest chunk yielded; memory is bounded by it.
    progress : callable, optional
        Called, from another thread, with the numbers of every message ``progress DONE ALL``; such
        lines are then no part of what an error quotes. When it raises, the program is killed and
        the exception is raised here.

    Yields
    ------
    bytes

    Raises
    ------
    MiniaError
        When the program cannot be started, ends with a status other than 0 or by a signal, or
        ends before it has read its input. The message holds the command and its last messages.
        Output that was already yielded is then not to be trusted.
    SettingsError
        The same for status 2, by which a program refuses its arguments.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise MiniaError(f"cannot start {shlex.join(command)}: {error}") from error
    assert process.stdin
    assert process.stdout
    assert process.stderr
    feeder = _Feeder(process, process.stdin, feed)
    messages = _Drain(process, process.stderr, progress)
    try:
        feeder.start()
        messages.start()
        while chunk := process.stdout.read1(chunk_bytes):  # type: ignore[attr-defined]
            yield chunk
        process.wait()
        feeder.join()
        messages.join()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        for thread in (feeder, messages):
            if thread.ident is not None:
                thread.join(_JOIN_SECONDS)
    failure = feeder.error or messages.error
    if failure is not None:
        raise failure
    if process.returncode != 0 or feeder.cut_off:
        kind = SettingsError if process.returncode == _USAGE_STATUS else MiniaError
        ending = _ending(process.returncode)
        raise kind(f"{shlex.join(command)} {ending}{messages.quoted()}")


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    if status == 0:
        return "ended before it had read its whole input"
    return f"failed with exit status {status}"


class _Feeder(threading.Thread):
    """Writes chunks to the program's input and closes it."""

    def __init__(
        self, process: subprocess.Popen[bytes], pipe: IO[bytes], feed: Iterable[bytes]
    ) -> None:
        super().__init__(daemon=True)
        self._process, self._pipe, self._feed = process, pipe, feed
        self.error: BaseException | None = None
        self.cut_off = False

    def run(self) -> None:
        try:
            for chunk in self._feed:
                if not self._passed_on(chunk):
                    return
        except BaseException as error:
            self.error = error
            self._process.kill()
        finally:
            self._close()

    def _passed_on(self, chunk: bytes) -> bool:
        try:
            self._pipe.write(chunk)
        except BrokenPipeError:
            self.cut_off = True
        return not self.cut_off

    def _close(self) -> None:
        try:
            self._pipe.close()  # flushes
        except BrokenPipeError:
            self.cut_off = True


class _Drain(threading.Thread):
    """Reads the program's messages: passes on its progress, and keeps the end of the others."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pipe: IO[bytes],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        super().__init__(daemon=True)
        self._process, self._pipe, self._progress = process, pipe, progress
        self._tail = b""
        self.error: BaseException | None = None

    def run(self) -> None:
        with self._pipe:
            while line := self._pipe.readline(_TAIL_BYTES):
                told = _PROGRESS.fullmatch(line) if self._progress else None
                if told is None:
                    self._tail = (self._tail + line)[-_TAIL_BYTES:]
                elif self.error is None:
                    self._tell(int(told[1]), int(told[2]))

    def _tell(self, done: int, all_: int) -> None:
        assert self._progress
        try:
            self._progress(done, all_)
        except BaseException as error:
            self.error = error
            self._process.kill()

    def quoted(self) -> str:
        """Return the last messages, ready to follow the first line of an error."""
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()[-10:]
        return "".join(f"\n  {line}" for line in lines)
