"""Text that a spreadsheet opens as text, not as a formula."""

from __future__ import annotations

__all__ = ["inert", "inert_path"]

_FORMULA = frozenset("=+-@\t\r\n")


def inert(text: str) -> str:
    """Return text with an apostrophe before a first sign by which spreadsheets know a formula."""
    return f"'{text}" if text[:1] in _FORMULA else text


def inert_path(image_id: str) -> str:
    """Percent-encode such a first sign of an image's name: it still names the same path."""
    first = image_id[:1]
    return f"%{ord(first):02X}{image_id[1:]}" if first in _FORMULA else image_id
