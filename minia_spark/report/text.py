"""How the report prints values: Jinja2 filters, text out, escaped later by the templates."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

__all__ = [
    "FILTERS",
    "duration",
    "plural",
    "q_value",
    "setting",
    "significant",
    "thousands",
    "visible",
]


def thousands(value: int) -> str:
    """Return a whole number with thousands separated: ``5,300,000``."""
    return f"{value:,}"


def significant(value: float) -> str:
    """Return three significant digits, no exponent below a million: ``0.0421``, ``1,230``."""
    if not math.isfinite(value):
        return {math.inf: "\N{INFINITY}", -math.inf: "\N{MINUS SIGN}\N{INFINITY}"}.get(value, "nan")
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def q_value(value: float) -> str:
    """Return a false discovery rate with three decimals; below that ``<0.001``."""
    return "<0.001" if 0 <= value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``0.4 s``, ``73 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(value: int, one: str, many: str) -> str:
    """Return a count with its noun: ``1 image``, ``1,024 images``."""
    return f"{value:,} {one if value == 1 else many}"


def setting(value: Any) -> str:
    """Return a setting's value as YAML users write it (JSON)."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def visible(value: str) -> str:
    r"""Return text in which characters that do not show, or turn the text round, are escaped.

    Control, format, surrogate, private and unassigned characters and line breaks become ``\n``,
    ``\x07`` or ``\u202e``: two names that look alike on the page are alike.
    """
    return "".join(
        character
        if unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
        else character.encode("unicode_escape").decode("ascii")
        for character in value
    )


FILTERS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "thousands": thousands,
        "duration": duration,
        "plural": plural,
        "q_value": q_value,
        "significant": significant,
    }
)
"""Names under which the templates use these functions."""
