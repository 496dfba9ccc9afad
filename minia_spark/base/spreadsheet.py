"""Text that a spreadsheet opens as text, not as a formula."""

from __future__ import annotations

__all__ = ["inert", "inert_path"]

# The wide forms too: spreadsheets in East Asian languages take them for the same signs.
_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def inert(text: str) -> str:
    """Return text with an apostrophe before a first sign by which spreadsheets know a formula."""
    return f"'{text}" if text[:1] in _FORMULA else text


def inert_path(image_id: str) -> str:
    """Percent-encode such a first sign of an image's name: it still names the same path."""
    if image_id[:1] not in _FORMULA:
        return image_id
    encoded = "".join(f"%{byte:02X}" for byte in image_id[0].encode())
    return encoded + image_id[1:]
