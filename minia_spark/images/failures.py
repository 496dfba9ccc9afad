"""Words for the exceptions of decoders, fit to stand in a table."""

from __future__ import annotations

import re

__all__ = ["sentence"]

_MAX_LENGTH = 200
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def sentence(error: BaseException) -> str:
    """Return the error's message on one line of at most 200 printable characters.

    Memory addresses are removed: the same file gives the same words in every run.
    """
    text = _ADDRESS.sub("", str(error)) or type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."
