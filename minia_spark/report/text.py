"""How the report prints values: Jinja2 filters, text out, escaped later by the templates."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from minia_spark.report.data import StructureCard

__all__ = [
    "FILTERS",
    "address",
    "changes",
    "css_string",
    "duration",
    "history",
    "percent",
    "plural",
    "q_value",
    "ratio",
    "repeated",
    "score",
    "setting",
    "significant",
    "terms",
    "thousands",
    "visible",
]


def address(value: str) -> str:
    """Return text as a part of an address: ``a/b c`` is ``a%2Fb%20c``."""
    return quote(value, safe="", errors="replace")


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


def percent(share: float) -> str:
    """Return a share of 1 in percent: ``37 %``, ``3.2 %``; ``100 %`` and ``0 %`` are exact."""
    value = 100 * share
    if 99.95 <= value < 100:
        return ">99.9 %"
    if 0 < value < 0.05:
        return "<0.1 %"
    rounded = math.floor(value + 0.5)  # halves upwards, as in the gallery
    return f"{rounded} %" if value in (0, 100) or 9.95 <= value < 99.5 else f"{value:.1f} %"


def repeated(stability: float, seeds: int | None) -> str:
    """Return how often a structure was found again, as the gallery does: ``2 of 3 repetitions``.

    ``67 % of repetitions`` where it is not known how many these were, or not so many of them.
    """
    times = stability * (seeds or 0)
    if seeds is not None and 0 < seeds <= 20 and abs(times - round(times)) < 1e-6:
        return f"{round(times)} of {plural(seeds, 'repetition', 'repetitions')}"
    return f"{percent(stability)} of repetitions"


def ratio(value: float) -> str:
    """Return a ratio with two digits, whole numbers from 10 on: ``0.61``, ``9.9``, ``1,234``."""
    if value < 0.01:
        return "0" if value == 0 else "<0.01"
    return f"{value:,.{2 if value < 0.995 else 1 if value < 9.95 else 0}f}"


def score(value: int) -> str:
    """Return a score on a factor, from units of 1 / 1024, with two decimals: ``-1.25``."""
    return f"{value / 1024:.2f}".replace("-", "\N{MINUS SIGN}")


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


def history(card: StructureCard) -> str:
    """Return what became of a structure since the state before, in plain words.

    ``new in state 2``; ``as in state 1``; ``2 words more than in state 1``; ``split off s0003 of
    state 1``. Empty where it is not known. An event that is not known here is printed as it is.
    """
    if card.event is None:
        return ""
    before = f"state {card.older_state}"
    gained, lost = (plural(n, "word", "words") for n in (card.words_gained, card.words_lost))
    sentences = {
        "born": f"new in state {(card.lineage or '').partition('.')[0]}",
        "same": f"as in {before}",
        "grown": f"{gained} more than in {before}",
        "shrunk": f"{lost} fewer than in {before}",
        "changed": f"{gained} more and {lost} fewer than in {before}",
        "split": f"split off {card.older_structure} of {before}",
        "returned": f"returned: it was missing in {before}",
    }
    return sentences.get(card.event, card.event)


def changes(events: Mapping[str, int]) -> str:
    """Return what became of structures: ``3 new, 2 grown, 1 ended``; empty where all stayed."""
    told = {
        "new": ("born", "split"),
        "grown": ("grown",),
        "shrunk": ("shrunk",),
        "changed": ("changed",),
        "returned": ("returned",),
        "ended": ("gone", "merged"),
    }
    counts = {word: sum(events.get(one, 0) for one in those) for word, those in told.items()}
    return ", ".join(f"{n:,} {word}" for word, n in counts.items() if n)


def css_string(value: str) -> Markup:
    """Return text as a string of a style sheet, in quotes."""
    escaped = "".join(c if c.isalnum() or c in " .,;:-'()%" else f"\\{ord(c):x} " for c in value)
    return Markup(f'"{escaped}"')  # noqa: S704 - nothing in it can end the string


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
        "address": address,
        "changes": changes,
        "thousands": thousands,
        "css_string": css_string,
        "duration": duration,
        "history": history,
        "percent": percent,
        "plural": plural,
        "q_value": q_value,
        "ratio": ratio,
        "repeated": repeated,
        "score": score,
        "significant": significant,
    }
)
"""Names under which the templates use these functions."""


def terms(*, tables: bool, background: bool) -> dict[str, tuple[str, str]]:
    """Return the words of the page that need a sentence: key -> name, sentence.

    The keys are in class names.

    Parameters
    ----------
    tables, background : bool
        Whether structures on the page were mined with hash tables, and against a background.
    """
    found = {}
    for key, (name, *sentences) in _TERMS.items():
        own = [s for s, there in zip(sentences, (tables, background), strict=False) if there and s]
        if len(sentences) == 1:
            own = sentences
        if len(own) == 2:
            own = [f"With hash tables: {own[0]} Against a background: {own[1]}"]
        if own:
            found[key] = (name, own[0])
    return found


_TERMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "word": (
            "Visual word",
            "A kind of small detail. Features (small patches that stand out) of all images were "
            "sorted into kinds that look alike; each kind is a visual word, and all of them are "
            "the codebook.",
        ),
        "structure": (
            "Structure",
            "A group of visual words that occur together in many of the same images.",
        ),
        "words": ("Words", "How many visual words make up the structure."),
        "established": (
            "Established",
            "Significant (q) and found again (stability): to be trusted. Strong: in at least three "
            "times as many images as by chance; weak: in less than one and a half times as many, "
            "or where chance makes as many once in less than a hundred times; moderate: between. "
            "Where images are compared with broad differences too, chance is what these explain.",
        ),
        "pattern": (
            "Pattern",
            "Structures in much the same images, and structures of words that look alike, as they "
            "are, turned by a quarter, or mirrored: a neighbour on the left and one above make "
            "different words, and so two structures, of one pattern.",
        ),
        "sets": (
            "Sets",
            "Mining returns many small sets of words that occur together; so many of them, "
            "repeated ones included, were joined into this structure.",
            "",
        ),
        "images": (
            "Images",
            "How many images hold more than half of the structure's words and have enough in "
            "common with it; their labels are counted.",
        ),
        "support": (
            "Support",
            "How many images hold more than half of the structure's words, and maybe others.",
        ),
        "expected": (
            "Expected",
            "The support that chance alone would give: every word in as many images, and every "
            "image with as many words, but without any connection between words.",
        ),
        "lift": ("Lift", "Support divided by expected: how many times more than by chance."),
        "expectedbeyond": (
            "Expected beyond",
            "",
            "The support that chance would give if images also differed in the broad ways that the "
            "factors stand for, such as size and brightness.",
        ),
        "liftbeyond": (
            "Lift beyond",
            "",
            "Support divided by expected beyond: how many times more than totals and broad "
            "differences explain. Where the structure follows a broad difference itself, it is "
            "little more than 1 although lift is large. Where its words are frequent, it may be "
            "less than 1: words that come together are also missing together.",
        ),
        "surprise": (
            "Surprise",
            "How improbable so many images are by chance: 3 is once in a thousand times, 6 once in "
            "a million. Structures are numbered by it, the established ones first.",
        ),
        "q": (
            "q",
            "The q-value: of structures that surprise as much as this one or more, the share that "
            "chance alone would have made. Found by mining shuffled copies of the collection "
            "(decoys); small is good. With few copies many structures share the smallest value.",
            "The q-value: of structures that surprise as much as this one or more, the share that "
            "chance alone would have made. Found by mining copies of the collection (decoys) whose "
            "images are drawn anew, word by word, with the probabilities that totals and factors "
            "give; small is good.",
        ),
        "stability": (
            "Stability",
            "Mining uses random numbers: the share of repetitions with other random numbers in "
            "which the structure was found again. 1 is always.",
            "The share of repetitions, each without another eighth of the images, in which the "
            "structure was found again. 1 is always.",
        ),
        "verified": (
            "Verified",
            "The share of pairs of its images, of those that were looked at, in which the features "
            "of the structure lie alike: a shift, rotation and scale takes them from one image to "
            "the other. Near 1 they show the same shape; near 0 they share its parts only.",
        ),
        "history": (
            "History",
            "What became of the structure since the state before. A state is what one run "
            "published. The lineage stays the same from state to state; names like s0003 "
            "are places in the ranking of one state.",
        ),
        "table": (
            "Hash table, tuple",
            "Mining puts words into many hash tables; a key is a tuple of a few random samples of "
            "the images that hold the word. Words that are in many of the same images often get "
            "the same key, and so meet.",
            "",
        ),
        "factor": (
            "Background, factor",
            "",
            "The background is what makes words come together without a pattern: how frequent "
            "words are, how many an image holds, and a few broad ways in which images differ, each "
            "of which is a factor. Every image has a score on every factor.",
        ),
    }
)
"""Key -> name and a sentence, or two: with hash tables, and against a background.

Where a way does not know the word, its sentence is empty.
"""
