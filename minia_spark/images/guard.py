"""A process of its own for decoders that can crash or hang on what they are given.

Compressed FITS tiles are unpacked by code in C that trusts the stream; and what other decoders do
to a worker shows when it is dead (:mod:`.care`). Here a worker has one child for them, started at
the first such image and again after each that it did not survive: a crash, or a time limit, costs
that image and no other.

::

    to the child:    a line of JSON {"kind", "bytes", "max_pixels"}, then so many bytes: the file
    from the child:  a line of JSON {"dtype", "shape"}, then the pixels,
                     or {"reason", "detail"} of why there are none
    to another:      a line of JSON {"walk", "part", "options"}: a file of images
    from that:       a line of JSON {"more": true} after each image, {"more": false} at the end
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from minia_spark.base.errors import Rejected
from minia_spark.images.container import Part
from minia_spark.images.fits import read_fits
from minia_spark.images.raster import read_raster
from minia_spark.images.reader import images_of_file
from minia_spark.images.reasons import Reason

__all__ = ["read_guarded", "walked"]

Kind = Literal["jpeg", "png", "tiff", "fits"]

SECONDS = 60.0
"""For one image."""

_children: dict[tuple[int, str], _Child] = {}
"""By process, since a fork must not speak to its parent's child, and by what it does."""

_Answer = TypeVar("_Answer")


def read_guarded(data: bytes, kind: Kind, *, max_pixels: int) -> NDArray[Any]:
    """Do what a decoder does, where it can do no harm.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : {"jpeg", "png", "tiff", "fits"}
        By :func:`~minia_spark.images.raster.read_raster` or
        :func:`~minia_spark.images.fits.read_fits`.
    max_pixels : int

    Raises
    ------
    Rejected
        As that; ``decoder_failed`` where the decoder crashed or took longer than a minute.
    """
    return _child("decode").ask(
        lambda child: _asked(child, data, kind, max_pixels), f"decoder of {kind.upper()}"
    )


def walked(root: bytes, path: bytes, **options: Any) -> Iterator[None]:
    """Go ahead through a file of images, where it can do no harm; stop after each image.

    Whoever reads an image only when this came past it is not killed by what it would be killed by.

    Parameters
    ----------
    root, path, **options
        As for :func:`~minia_spark.images.reader.images_of_file`.

    Raises
    ------
    Rejected
        ``decoder_failed``: the reader crashed, or took longer than a minute for the next image.
    """
    child = _child("walk")
    what = "reader of a file of images"
    part: Part = options.pop("part", Part())
    head = {"walk": [root.hex(), path.hex()], "part": part, "options": options}
    child.ask(lambda process: _send(process.stdin, head, b""), what)
    is_over = False
    try:
        while child.ask(_next, what):
            yield
        is_over = True
    finally:
        if not is_over:  # it would go on about this file
            child.end()


def _child(name: str) -> _Child:
    return _children.setdefault((os.getpid(), name), _Child())


class _Child:
    """A child of this process."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, question: Callable[[subprocess.Popen[bytes]], _Answer], what: str) -> _Answer:
        """Return the child's answer; Rejected when there is none within a minute."""
        child = self._running()
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(SECONDS, stop)
        timer.start()
        try:
            return question(child)
        except (OSError, ValueError, KeyError) as error:
            code = self.end()
            how = f"took longer than {SECONDS:g} s" if late.is_set() else f"crashed ({_end(code)})"
            raise Reason.DECODER_FAILED.reject(
                f"The {what} {how}; the file may be made to do that."
            ) from error
        finally:
            timer.cancel()

    def end(self) -> int:
        """Kill the child; return how it ended."""
        if self.process is None:
            return 0
        self.process.kill()
        code = self.process.wait()
        self.process = None
        return code

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            paths = [path for path in sys.path if path]
            self.process = child = subprocess.Popen(
                [sys.executable, "-m", "minia_spark.images.guard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            )
            atexit.register(child.kill)
        return self.process


def _asked(
    child: subprocess.Popen[bytes], data: bytes, kind: Kind, max_pixels: int
) -> NDArray[Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    _send(child.stdin, {"kind": kind, "bytes": len(data), "max_pixels": max_pixels}, data)
    told = json.loads(child.stdout.readline())
    if "reason" in told:
        raise Rejected(told["reason"], told["detail"])
    pixels = np.empty(told["shape"], np.dtype(told["dtype"]))
    if child.stdout.readinto(pixels.reshape(-1).view(np.uint8).data) != pixels.nbytes:  # type: ignore[attr-defined]
        raise ValueError("the child ended early")
    return pixels


def _next(child: subprocess.Popen[bytes]) -> bool:
    assert child.stdout is not None
    return bool(json.loads(child.stdout.readline())["more"])


def _send(stream: IO[bytes] | None, head: dict[str, Any], data: bytes | memoryview) -> None:
    assert stream is not None
    stream.write(json.dumps(head).encode() + b"\n")
    stream.write(data)
    stream.flush()


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _read(data: bytes, kind: Kind, max_pixels: int) -> NDArray[Any]:
    if kind == "fits":
        return read_fits(data, max_pixels=max_pixels)
    return read_raster(data, kind, max_pixels=max_pixels)


def _serve() -> None:
    """Answer until nobody asks any more."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    while line := source.readline():
        asked = json.loads(line)
        if "walk" in asked:
            root, path = map(bytes.fromhex, asked["walk"])
            for _ in images_of_file(root, path, part=Part(*asked["part"]), **asked["options"]):
                _send(target, {"more": True}, b"")
            _send(target, {"more": False}, b"")
            continue
        try:
            pixels = _read(source.read(asked["bytes"]), asked["kind"], asked["max_pixels"])
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
