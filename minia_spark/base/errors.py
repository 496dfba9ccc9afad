"""What can go wrong, and what the user is told.

Every error that reaches a user is a :class:`MiniaError`: one message that names the item, the
cause and the next step, and the exit code of the command. A bad *record* is never an error of the
run: kernels raise :class:`Rejected` for it and the stage turns that into a row of ``rejects``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Self

__all__ = [
    "InputError",
    "MiniaError",
    "Reasons",
    "Rejected",
    "SettingsError",
    "blamed_on",
    "explained",
    "in_step",
    "leaving_readers",
    "legible",
    "root_cause",
    "state_left",
]

_LEFT = "minia_state_left"
_STEP = "minia_step"


class MiniaError(Exception):
    """The run cannot go on; exit code 1."""

    exit_code = 1


class SettingsError(MiniaError):
    """Wrong settings or wrong usage; exit code 2. Raised before anything starts."""

    exit_code = 2


class InputError(MiniaError):
    """The input as a whole cannot be used; exit code 3.

    Attributes
    ----------
    batch : str or None
        The batch that cannot be used, where it is one of several.
    """

    exit_code = 3
    batch: str | None = None


@contextlib.contextmanager
def blamed_on(batch: str | None) -> Iterator[None]:
    """Say of which batch an input cannot be used: a caller may go on with the others."""
    try:
        yield
    except InputError as error:
        error.batch = batch
        raise


@contextlib.contextmanager
def leaving_readers(state: int | None) -> Iterator[None]:
    """Note on whatever breaks off inside which state readers see then; see :func:`state_left`.

    Parameters
    ----------
    state : int or None
        One that was just published; None: the one before the run. The innermost note stands.
    """
    try:
        yield
    except BaseException as error:
        if not hasattr(error, _LEFT):
            setattr(error, _LEFT, state)
        raise


def state_left(error: BaseException) -> tuple[bool, int | None]:
    """Return whether an error broke off a run, and which state that run had published by then."""
    return hasattr(error, _LEFT), getattr(error, _LEFT, None)


class Rejected(Exception):  # noqa: N818 - not an error of the run, a verdict on one record
    """One record cannot be used; the run goes on.

    Parameters
    ----------
    reason : str
        A short fixed word, e.g. ``truncated``: what the ``rejects`` table is grouped by.
    detail : str
        One sentence for people: what was found, and what would be accepted.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str]]:
        """Survive the trip from a worker process: two arguments, not one message."""
        return type(self), (self.reason, self.detail)


class Reasons(StrEnum):
    """A room's words for why a record is refused; ``meaning`` says each in a sentence."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """Keep the sentence beside the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    def reject(self, detail: str) -> Rejected:
        """Make the exception of this reason; `detail` is one sentence on what was found."""
        return Rejected(self.value, detail)


_EXPLAINED = (
    (
        r"Py4J|Connection(?:Refused|Reset)|Answer from Java|Connection refused|Broken pipe",
        "Spark's Java process ended, as when it is killed or memory is short; start it again",
    ),
    (
        r"No FileSystem for scheme|Class org\.apache\.hadoop\.fs\.\S+ not found",
        "Spark cannot write there for want of a jar: name Hadoop's connector for that store, e.g. "
        "hadoop-aws for S3, in spark.conf (spark.jars), or choose a mounted folder",
    ),
    (
        r"Python worker exited",
        "it was killed, or memory is short: start it again; use fewer cores (spark.master) if it "
        "comes back",
    ),
    (r"\[Errno 28\] ", "make room there"),
    (r"\[Errno 122\] ", "ask for a larger quota, or make room there"),
    (r"\[Errno 36\] ", "give a shorter name"),
    (r"\[Errno 40\] ", "symbolic links lead in a circle there: remove one"),
    (r"\[Errno (?:1|13|30)\] ", "give this user the right to it, or choose another place"),
    (r"\[Errno 2\] ", "it went while it was needed: put it back, or leave it out"),
    (r"\[Errno 24\] ", "allow more open files ('ulimit -n')"),
    (r"\[Errno 5\] ", "the disk or the network behind it fails: check it, then start again"),
    (r"\[Errno \d+\] ", "the operating system refuses it; start again when that is put right"),
    (r"UnicodeEncodeError: ", "set LC_ALL=C.UTF-8, or PYTHONUTF8=1, or rename what is named"),
    (r"UnicodeDecodeError: ", "the file is not text in UTF-8: convert it"),
    (r"RecursionError: ", "the settings or another file are nested too deeply: make them flat"),
    (
        r"MemoryError: |OutOfMemoryError|ArrowMemoryError: ",
        "there is too little memory: 'minia plan' says how much is needed; set "
        "spark.driver_memory, or use fewer cores (spark.master)",
    ),
    (
        r"Arrow\w*: |AnalysisException: |Parquet",
        "'minia verify --full --warehouse DIR' tells whether a file of the warehouse is damaged; "
        "if none is, this is a defect",
    ),
    (r"^(?:cv2\.)?error: |error: OpenCV", "OpenCV failed on an image, which is a defect"),
)
"""What the system and libraries say, and what to do then; the first that fits."""


def explained(error: Exception) -> str:
    """Return an error that is none of ours as one sentence: where, what, and what to do.

    Parameters
    ----------
    error : Exception
        Its attribute ``minia_step``, if there is one, names the step that it ended.
    """
    cause = root_cause(error)
    if re.search(r"\bminia_spark\.base\.errors\.\w+: ", cause):  # ours, from a worker
        return re.sub(r"^.*?minia_spark\.base\.errors\.\w+: ", "", cause)
    advice = next((text for sign, text in _EXPLAINED if re.search(sign, cause)), None)
    step = getattr(error, _STEP, None)
    where = f"{step}: " if step else ""
    plain = re.sub(r"^[\w.]*(?:Error|Exception): (?:\[Errno \d+\] )?", "", cause)
    if advice is None:
        plain, advice = cause, "nobody foresaw that: start it again, and report it if it comes back"
    return f"{where}{plain}; {advice}"


def legible(text: str) -> str:
    """Return a message with what does not print as escapes: files can put anything into it."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


@contextlib.contextmanager
def in_step(title: str) -> Iterator[None]:
    """Note on whatever breaks off inside which step it was; see :func:`explained`."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, _STEP):
            setattr(error, _STEP, title)
        raise


def root_cause(error: Exception) -> str:
    """Return the line of a Spark error that says what happened, not its hundred frames."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        for mark in ("minia_spark.base.errors.", "MiniaError", "Error: ", "Exception: "):
            if mark in line and not line.startswith("at "):
                return line.removeprefix("Caused by: ")
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
