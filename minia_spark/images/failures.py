"""Words for the exceptions of decoders, fit to stand in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from minia_spark.base.errors import Rejected
from minia_spark.images.reasons import Reason

__all__ = ["refusing", "sentence"]

_MAX_LENGTH = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def sentence(error: BaseException) -> str:
    """Return the error's message on one line of at most 200 printable characters.

    Memory addresses are removed: the same file gives the same words in every run.
    """
    text = _ADDRESS.sub("", str(error)) or type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn what a library raises on damaged bytes into ``corrupt``; lack of memory passes.

    Parameters
    ----------
    what : str
        What is damaged, as the beginning of a sentence.

    Raises
    ------
    Rejected
    """
    try:
        yield
    except (Rejected, MemoryError):
        raise
    except Exception as error:
        raise Reason.CORRUPT.reject(f"{what} is damaged: {sentence(error)}") from error
