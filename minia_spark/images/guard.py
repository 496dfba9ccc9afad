"""A process of its own for decoders that can crash or hang on what they are given.

Compressed FITS tiles are unpacked by code in C that trusts the stream. Here a worker has one child
for them, started at the first such image and again after each that it did not survive: a crash, or
a time limit, costs that image and no other.

::

    to the child:    a line of JSON {"bytes", "max_pixels"}, then so many bytes: the FITS file
    from the child:  a line of JSON {"dtype", "shape"}, then the pixels,
                     or {"reason", "detail"} of why there are none
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import Rejected
from minia_spark.images.fits import read_fits
from minia_spark.images.reasons import Reason

__all__ = ["read_guarded"]

SECONDS = 60.0
"""For one image."""

_guards: dict[int, _Guard] = {}  # by process: a fork must not speak to its parent's child


def read_guarded(data: bytes, *, max_pixels: int) -> NDArray[Any]:
    """Do what :func:`~minia_spark.images.fits.read_fits` does, where it can do no harm.

    Raises
    ------
    Rejected
        As that; ``decoder_failed`` where the decoder crashed or took longer than a minute.
    """
    guard = _guards.setdefault(os.getpid(), _Guard())
    return guard.read(data, max_pixels)


class _Guard:
    """The child of this process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes, max_pixels: int) -> NDArray[Any]:
        child = self._running()
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(SECONDS, stop)
        timer.start()
        try:
            return _asked(child, data, max_pixels)
        except (OSError, ValueError, KeyError) as error:
            child.kill()
            code = child.wait()
            self._child = None
            what = f"took longer than {SECONDS:g} s" if late.is_set() else f"crashed ({_end(code)})"
            raise Reason.DECODER_FAILED.reject(
                f"The decoder of compressed FITS {what}; the file may be made to do that."
            ) from error
        finally:
            timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            paths = [path for path in sys.path if path]
            self._child = child = subprocess.Popen(
                [sys.executable, "-m", "minia_spark.images.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            )
            atexit.register(child.kill)
        return self._child


def _asked(child: subprocess.Popen[bytes], data: bytes, max_pixels: int) -> NDArray[Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    _send(child.stdin, {"bytes": len(data), "max_pixels": max_pixels}, data)
    told = json.loads(child.stdout.readline())
    if "reason" in told:
        raise Rejected(told["reason"], told["detail"])
    kind = np.dtype(told["dtype"])
    pixels = np.empty(told["shape"], kind)
    if child.stdout.readinto(pixels.reshape(-1).view(np.uint8).data) != pixels.nbytes:  # type: ignore[attr-defined]
        raise ValueError("the child ended early")
    return pixels


def _send(stream: IO[bytes], head: dict[str, Any], data: bytes | memoryview) -> None:
    stream.write(json.dumps(head).encode() + b"\n")
    stream.write(data)
    stream.flush()


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve() -> None:
    """Answer until nobody asks any more."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    while line := source.readline():
        asked = json.loads(line)
        try:
            pixels = read_fits(source.read(asked["bytes"]), max_pixels=asked["max_pixels"])
        except Rejected as rejected:
            _send(target, {"reason": rejected.reason, "detail": rejected.detail}, b"")
            continue
        except MemoryError:
            told = Reason.OUT_OF_MEMORY.reject("Unpacking it takes more memory than there is.")
            _send(target, {"reason": told.reason, "detail": told.detail}, b"")
            continue
        plain = np.ascontiguousarray(pixels).reshape(pixels.shape)
        head = {"dtype": plain.dtype.str, "shape": plain.shape}
        _send(target, head, plain.reshape(-1).view(np.uint8).data)


if __name__ == "__main__":
    _serve()
