"""The structured log: one JSON object a line, for machines that watch.

Events go through the standard library's ``logging``, under the name ``minia_spark``: a program that
embeds this package may attach handlers of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from minia_spark.base.errors import SettingsError
from minia_spark.base.files import expanded

__all__ = ["FIELDS", "JsonLines", "log_event", "logging_to"]

FIELDS = ("run", "stage", "batch", "seconds", "counts")
"""What an event may say besides time, level, event and message; null where it does not apply."""

_LOG = logging.getLogger("minia_spark")
_LOG.addHandler(logging.NullHandler())  # without a handler, warnings would go to stderr twice
_LOG.setLevel(logging.INFO)


def log_event(event: str, message: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Log an event.

    Parameters
    ----------
    event : str
        A short fixed name, e.g. ``step done``.
    message : str
        A line for people.
    level : int
        Of ``logging``.
    **facts
        Any of `FIELDS`.

    Raises
    ------
    ValueError
        A fact is none of `FIELDS`.
    """
    unknown = facts.keys() - set(FIELDS)
    if unknown:
        raise ValueError(f"events have no field {', '.join(sorted(unknown))}")
    _LOG.log(level, "%s", message, extra={"event": event, "facts": facts})


class JsonLines(logging.Formatter):
    """Writes every record as one line of ASCII with the same keys, whatever its text holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        facts = getattr(record, "facts", {})
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps(
            {
                "time": time,
                "level": record.levelname.lower(),
                "event": getattr(record, "event", "message"),
                **{field: facts.get(field) for field in FIELDS},
                "message": record.getMessage(),
            }
        )


class _File(logging.handlers.WatchedFileHandler):
    """Appends to a file, also after logrotate moved it; a log that fails never fails a run."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say once that lines are lost."""
        if not self._told:
            self._told = True
            error = sys.exc_info()[1]
            print(f"warning: {self.baseFilename} cannot be written: {error}", file=sys.stderr)


@contextlib.contextmanager
def logging_to(path: str | None) -> Iterator[None]:
    """Append events to a file while the block runs; None: to no file.

    Raises
    ------
    SettingsError
        The file cannot be opened.
    """
    if path is None:
        yield
        return
    try:
        handler = _File(expanded(path), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"log.file {path} cannot be written: {error.strerror}") from None
    handler.setFormatter(JsonLines())
    _LOG.addHandler(handler)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk: what was lost was told
            handler.close()
