"""What can go wrong, and what the user is told.

Every error that reaches a user is a :class:`MiniaError`: one message that names the item, the
cause and the next step, and the exit code of the command. A bad *record* is never an error of the
run: kernels raise :class:`Rejected` for it and the stage turns that into a row of ``rejects``.
"""

from __future__ import annotations

import contextlib
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
    "leaving_readers",
    "root_cause",
    "state_left",
]

_LEFT = "minia_state_left"


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


def root_cause(error: Exception) -> str:
    """Return the line of a Spark error that says what happened, not its hundred frames."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        for mark in ("minia_spark.base.errors.", "MiniaError", "Error: ", "Exception: "):
            if mark in line and not line.startswith("at "):
                return line.removeprefix("Caused by: ")
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
